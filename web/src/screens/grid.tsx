import { createMemo, createSignal, For, Show, type JSX } from "solid-js";
import { dags, runs } from "../api/calls";
import type { Grid, GridRun } from "../api/types";
import { columnWidth, rowHeight, rowsOf, ticksOf, type GridRow } from "../grid";
import { Mark, PhaseWord } from "../parts/icons";
import { Empty, Loaded } from "../parts/states";
import { Said, Took } from "../parts/values";
import { lookOfAttempt, lookOfRun, lookOfTask, type Look } from "../phases";
import { createReading } from "../reading";
import { param, setParams, to } from "../router";
import { text } from "../text";
import { about, clock, duration, moment, now } from "../time";

const mostRuns = 50;
const stripBase = 82;
const stripTallest = 58;
/** A day and a time need the width of some columns. */
const columnsOfLabel = 6;
const filters: (Look | "")[] = ["", "failed", "waiting", "running", "cancelled"];

/** GridView shows runs across and tasks down. The newest run is at the right edge, where it opens. */
export function GridView(props: { namespace: string; name: string }): JSX.Element {
  const grid = createReading(() => ({}), (_, signal) => dags.grid(props.namespace, props.name, mostRuns, signal),
    (change) => change.kind === "run" && change.namespace === props.namespace && change.dag === props.name);
  return (
    <Loaded reading={grid} rows={8}>{(data) => (
      <Show when={data().runs.length} fallback={<Empty title={text.dag.noRuns} hint={text.dag.noRunsHint} />}>
        <div class="with-side grid">
          <Cells grid={data()} />
          <Side grid={data()} />
        </div>
      </Show>
    )}</Loaded>
  );
}

function Cells(props: { grid: Grid }): JSX.Element {
  const [shown, setShown] = createSignal<Look | "">("");
  const [isTable, setTable] = createSignal(false);
  const all = createMemo(() => rowsOf(props.grid));
  const rows = createMemo(() => (shown() ? all().filter((row) => row.counts.has(shown() as Look)) : all()));
  const ordered = createMemo(() => [...props.grid.runs].reverse());
  const width = () => ordered().length * columnWidth;
  const picked = createMemo(() => param("task"));
  const at = createMemo(() => {
    const uid = param("run");
    return ordered().findIndex((run) => run.uid === uid);
  });
  const pick = (task: string, index: number) => setParams({ task, run: ordered()[index]?.uid });
  const fromPointer = (event: MouseEvent, task: string) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    pick(task, Math.min(ordered().length - 1, Math.max(0, Math.floor((event.clientX - box.left) / columnWidth))));
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const row = rows().findIndex((each) => each.task === picked());
    const steps: Record<string, [number, number]> = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const step = steps[event.key];
    if (!step) return;
    event.preventDefault();
    const nextRow = rows()[Math.min(rows().length - 1, Math.max(0, row < 0 ? 0 : row + step[0]))];
    const column = at() < 0 ? ordered().length - 1 : Math.min(ordered().length - 1, Math.max(0, at() + step[1]));
    if (nextRow) pick(nextRow.task, column);
  };
  const count = (look: Look) => all().filter((row) => row.counts.has(look)).length;
  return (
    <section class="panel" aria-label={text.dag.tabs.grid}>
      <header>
        <div class="seg" role="group" aria-label={text.dag.allTasks}>
          <For each={filters.filter((look) => !look || count(look) > 0)}>{(look) => (
            <button type="button" aria-pressed={shown() === look} onClick={() => setShown(look)}>
              <Show when={look}><Mark look={look as Look} /></Show>
              {look ? text.phase[look] : text.dag.allTasks} <span class="n">{look ? count(look) : all().length}</span>
            </button>
          )}</For>
        </div>
        <button class="btn quiet end" type="button" aria-pressed={isTable()} onClick={() => setTable(!isTable())}>{text.dag.asTable}</button>
      </header>
      <Show when={!isTable()} fallback={<Twin rows={rows()} runs={ordered()} />}>
        <div class="scroll" tabindex="0" role="group" aria-label={text.dag.gridKeys} onKeyDown={onKeyDown}>
          <div class="cells">
            <Strip runs={ordered()} width={width()} selected={at()} typical={props.grid.typicalDurationSeconds} />
            <ul>
              <For each={rows()}>{(row) => (
                <li aria-current={row.task === picked() ? "true" : undefined}>
                  <button type="button" class="task-name" tabindex="-1" title={row.task}
                    onClick={() => pick(row.task, at() < 0 ? ordered().length - 1 : at())}>{row.task}</button>
                  <svg width={width()} height={rowHeight} aria-hidden="true" onClick={(event) => fromPointer(event, row.task)}>
                    <Show when={at() >= 0}><rect class="column" x={at() * columnWidth} width={columnWidth} height={rowHeight} /></Show>
                    <For each={row.paths}>{([look, d]) => <path data-phase={look} d={d} />}</For>
                    <Show when={row.retried}><path class="again" data-phase="failed" d={row.retried} /></Show>
                    <Show when={row.restarted}><path class="again" data-phase="lost" d={row.restarted} /></Show>
                    <Show when={at() >= 0 && row.task === picked()}>
                      <rect class="pick" x={at() * columnWidth + 1} y="1" width={columnWidth - 2} height={rowHeight - 2} rx="4" />
                    </Show>
                  </svg>
                </li>
              )}</For>
            </ul>
          </div>
        </div>
      </Show>
      <Legend />
    </section>
  );
}

const took = (run: GridRun) => (run.startedAt ? (run.finishedAt ? Date.parse(run.finishedAt) : now()) - Date.parse(run.startedAt) : 0);

function Strip(props: { runs: GridRun[]; width: number; selected: number; typical: number | undefined }): JSX.Element {
  const longest = () => Math.max(1000, ...props.runs.map(took));
  const ticks = () => ticksOf(longest());
  const scale = () => Math.max(longest(), ticks()[ticks().length - 1] ?? 0);
  const paths = () => {
    const byLook = new Map<Look, string>();
    props.runs.forEach((run, index) => {
      const look = lookOfRun(run.phase);
      const x = index * columnWidth + columnWidth / 2;
      const height = Math.max(3, (took(run) / scale()) * stripTallest);
      const foot = look === "failed" || look === "cancelled" ? 5 : 0;
      byLook.set(look, `${byLook.get(look) ?? ""}M${x} ${stripBase + foot}V${Math.round(stripBase - height)}`);
    });
    return [...byLook];
  };
  return (
    <div class="strip">
      <div aria-hidden="true">
        <svg width="100%" height="112">
          <For each={ticks()}>{(tick) => (
            <text x="100%" y={stripBase - (tick / scale()) * stripTallest + 4} text-anchor="end">{about(tick / 1000)}</text>
          )}</For>
        </svg>
      </div>
      <svg width={props.width} height="112" role="img" aria-label={text.dag.runsCount(props.runs.length)}>
        <For each={ticks()}>{(tick) => (
          <line x1="0" x2={props.width} y1={stripBase - (tick / scale()) * stripTallest} y2={stripBase - (tick / scale()) * stripTallest} />
        )}</For>
        <line x1="0" x2={props.width} y1={stripBase} y2={stripBase} />
        <Show when={props.selected >= 0}>
          <rect class="column" x={props.selected * columnWidth} y="14" width={columnWidth} height="98" />
        </Show>
        <For each={paths()}>{([look, d]) => <path data-phase={look} d={d} />}</For>
        <For each={props.runs}>{(run, index) => (
          <Show when={(props.runs.length - 1 - index()) % columnsOfLabel === 0}>
            <text x={index() * columnWidth + columnWidth / 2} y="104" text-anchor={index() < 2 ? "start" : index() === props.runs.length - 1 ? "end" : "middle"}
              dx={index() === props.runs.length - 1 ? columnWidth / 2 - 2 : 0}>{clock(run.startedAt ?? run.admittedAt)}</text>
          </Show>
        )}</For>
      </svg>
    </div>
  );
}

/** Twin is the grid as a table: for screen readers, and for whoever prefers one. The newest run comes first. */
function Twin(props: { rows: GridRow[]; runs: GridRun[] }): JSX.Element {
  const shown = () => [...props.runs].reverse().slice(0, 10);
  return (
    <div class="table-scroll" tabindex="0" role="region" aria-label={text.dag.gridTable}>
      <table class="table">
        <caption class="sr">{text.dag.gridTable}</caption>
        <thead><tr><th>{text.dag.task}</th><For each={shown()}>{(run) => (
          <th><a class="link" href={to.run(run.uid)} title={run.name}>{clock(run.startedAt ?? run.admittedAt)}</a></th>
        )}</For></tr></thead>
        <tbody><For each={props.rows}>{(row) => (
          <tr><th scope="row">{row.task}</th><For each={shown()}>{(_, index) => {
            const phase = row.phases[props.runs.length - 1 - index()];
            return <td>{phase ? <PhaseWord look={lookOfTask(phase)} word={phase} /> : <span class="faint">{text.none}</span>}</td>;
          }}</For></tr>
        )}</For></tbody>
      </table>
    </div>
  );
}

function Legend(): JSX.Element {
  const shapes: Look[] = ["succeeded", "running", "waiting", "failed", "skipped", "cancelled"];
  return (
    <div class="legend">
      <For each={shapes}>{(look) => <span><Mark look={look} />{text.phase[look]}</span>}</For>
      <span data-phase="failed"><i />{text.dag.legendRetry}</span><span data-phase="lost"><i />{text.dag.legendRestart}</span>
      <span>{text.dag.legendEmpty}</span>
    </div>
  );
}

/** Side is the cell that was picked: how the task was in that run, and over all runs of the grid. */
function Side(props: { grid: Grid }): JSX.Element {
  const picked = () => {
    const run = props.grid.runs.find((each) => each.uid === param("run"));
    const column = props.grid.tasks.indexOf(param("task"));
    return run && column >= 0 ? { run, column, task: param("task"), phase: run.phases[column] ?? null } : undefined;
  };
  const key = () => {
    const cell = picked();
    return cell?.phase ? { uid: cell.run.uid, task: cell.task } : undefined;
  };
  const task = createReading(key, ({ uid, task }, signal) => runs.task(uid, task, signal), (change) => change.run === picked()?.run.uid);
  const attempts = createReading(key, ({ uid, task }, signal) => runs.attempts(uid, task, signal), (change) => change.run === picked()?.run.uid);
  /** What screen readers say when another cell is picked, or when its task goes on. */
  const said = () => {
    const cell = picked();
    return cell && text.dag.cellTitle(cell.task, cell.run.name, cell.phase ?? text.dag.inVersion);
  };
  const counts = () => rowsOf(props.grid)[picked()?.column ?? -1]?.counts;
  return (
    <aside class="panel side" aria-label={text.dag.task}>
      <p class="sr" role="status">{said()}</p>
      <Show when={picked()} fallback={<div><p>{text.dag.cell}</p></div>}>{(cell) => (
        <>
          <div>
            <h2>{cell().task}</h2>
            <p title={moment(cell().run.startedAt ?? cell().run.admittedAt)}>{cell().run.name}</p>
            <Show when={cell().phase} fallback={<p>{text.dag.inVersion}</p>}>{(phase) => (
              <p class="how"><PhaseWord look={lookOfTask(phase(), task.data()?.reason)} word={phase()} />
                <Show when={task.data()?.reason}>{(reason) => <span class="reason" data-phase={lookOfTask(phase(), reason())}>{reason()}</span>}</Show></p>
            )}</Show>
            <Show when={task.data()?.message}><p><Said text={task.data()?.message} /></p></Show>
            <Show when={task.data()?.needs?.length}><p>{text.run.needs(task.data()?.needs ?? [])}</p></Show>
          </div>
          <Show when={attempts.data()?.items.length}>
            <div>
              <table class="table compact">
                <thead><tr><th>{text.dag.attempts}</th><th class="num">{text.run.ran}</th><th class="num">{text.run.exit}</th><th><span class="sr">{text.run.log}</span></th></tr></thead>
                <tbody><For each={attempts.data()?.items}>{(attempt) => (
                  <tr>
                    <td><span class="phase" data-phase={lookOfAttempt(attempt.phase)}><span class="faint">{attempt.number}</span> <Mark look={lookOfAttempt(attempt.phase)} label={attempt.phase} /></span></td>
                    <td class="num"><Took from={attempt.startedAt} until={attempt.finishedAt} /></td>
                    <td class="num">{attempt.exitCode ?? ""}</td>
                    <td class="num"><a class="link" href={to.log(cell().run.uid, cell().task, attempt.number)}>{text.run.log}</a></td>
                  </tr>
                )}</For></tbody>
              </table>
            </div>
          </Show>
          <div>
            <h3>{text.dag.over(props.grid.runs.length)}</h3>
            <dl class="facts"><For each={[...(counts() ?? [])]}>{([look, count]) => <><dt>{text.phase[look]}</dt><dd>{count}</dd></>}</For></dl>
          </div>
          <div class="actions">
            <a class="btn" href={to.run(cell().run.uid, { task: cell().task })}>{text.dag.openRun}</a>
            <span class="sr">{duration(took(cell().run))}</span>
          </div>
        </>
      )}</Show>
    </aside>
  );
}
