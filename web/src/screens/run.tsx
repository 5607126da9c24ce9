import { createEffect, createMemo, createSignal, For, lazy, on, onCleanup, Show, Suspense, type JSX } from "solid-js";
import { createAction } from "../action";
import { dags, runs } from "../api/calls";
import type { Attempt, RunDetail, RunGraph, RunParameter, Task, TaskSpec } from "../api/types";
import type { GraphTask } from "../graph/graph";
import { useKeys } from "../keys";
import { onChange } from "../live";
import { Confirm, Dialog } from "../parts/dialog";
import { Badge, Icon, Mark } from "../parts/icons";
import { Keyed } from "../parts/keyed";
import { CopyButton, Loaded, ProblemNotice, Skeleton } from "../parts/states";
import { say, sayProblem } from "../parts/toasts";
import { Ago, At, OfAbout, Said, Took } from "../parts/values";
import { isLiveRun, isOver, lookOfAttempt, lookOfRun, lookOfTask, type Look } from "../phases";
import { createReading, type Reading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { may } from "../session";
import { number, text } from "../text";
import { about, age, clock, clockSeconds, duration, moment, now, span } from "../time";
import { attemptsByTask, axisOf, segmentsOf, type TimedAttempt } from "../timeline";

const Graph = lazy(() => import("../graph/graph"));
const pageSize = 200;
/** Among more tasks the marks of those that run do not move. */
const manyTasks = 80;
/** The timeline shows so many tasks at a time. */
const mostRows = 200;

/** readTasks reads all pages of the tasks of a run. */
async function readTasks(uid: string, signal: AbortSignal): Promise<Task[]> {
  const tasks: Task[] = [];
  for (let cursor: string | undefined = ""; cursor !== undefined;) {
    const page: { items: Task[]; next?: string } = await runs.tasks(uid, { limit: pageSize, cursor }, signal);
    tasks.push(...page.items);
    cursor = page.next;
  }
  return tasks;
}

export default function RunScreen(): JSX.Element {
  const uid = place().segments[1] ?? "";
  const concerns = (change: { run?: string }) => change.run === uid;
  const run = createReading(() => ({}), (_, signal) => runs.one(uid, signal), concerns);
  const setTitle = (phase: string, name: string) =>
    (document.title = `${text.phase[lookOfRun(phase)]} ${text.none} ${text.shell.title(name)}`);
  createEffect(() => {
    const data = run.data();
    if (data) setTitle(data.phase, data.name);
  });
  // A hidden page does not read the run again, but its title is seen.
  onCleanup(onChange((change) => {
    const name = run.data()?.name;
    if (change !== "reset" && change.run === uid && change.phase && name) setTitle(change.phase, name);
  }));
  return (
    <Loaded reading={run} rows={6}>{(data) => <RunView run={data()} refresh={run.refresh} />}</Loaded>
  );
}

function RunView(props: { run: RunDetail; refresh: () => void }): JSX.Element {
  const uid = props.run.uid;
  const concerns = (change: { run?: string }) => change.run === uid;
  const graph = createReading(() => ({}), (_, signal) => runs.graph(uid, signal), concerns);
  const tasks = createReading(() => ({}), (_, signal) => readTasks(uid, signal), concerns);
  const attempts = createReading(() => ({}), async (_, signal) => attemptsByTask(await runs.allAttempts(uid, signal)), concerns);
  const byName = createMemo(() => new Map(tasks.data()?.map((task) => [task.name, task])));
  const selected = () => param("task");
  const select = (name: string) => setParams({ task: name === selected() ? "" : name });
  const task = () => byName().get(selected());
  useKeys({
    l: () => { const shown = task(); if (shown?.attempts) go(to.log(uid, shown.name, shown.attempts)); },
    Escape: () => setParams({ task: "" }),
  });
  return (
    <div class="run" classList={{ picked: Boolean(selected()), many: props.run.tasks.total > manyTasks }}>
      <About run={props.run} tasks={tasks.data() ?? []} refresh={props.refresh} select={select} />
      <Show when={props.run.tasks.total > 0} fallback={<section class="view g"><p class="pad dim">{text.run.gone}</p></section>}>
        <section class="view g" aria-label={text.run.graph}>
          <Loaded reading={graph} rows={5}>{(data) => (
            <Suspense fallback={<Skeleton rows={5} />}>
              <RunGraphView graph={data()} tasks={byName()} attempts={attempts.data()} selected={selected()} select={select} />
            </Suspense>
          )}</Loaded>
        </section>
        <section class="view t" aria-label={text.run.timeline}>
          <header>
            <h2>{text.run.timeline}</h2>
            <div class="legend end">
              <span><svg width="20" height="4" aria-hidden="true"><rect class="wait" width="20" height="4" /></svg>{text.run.waits}</span>
              <span><svg width="20" height="10" aria-hidden="true"><rect class="bar" data-phase="running" width="20" height="10" /></svg>{text.run.runs}</span>
            </div>
          </header>
          <Loaded reading={tasks} rows={5}>{(data) => (
            <Timeline run={props.run} tasks={data()} attempts={attempts.data()} selected={selected()} select={select} />
          )}</Loaded>
        </section>
      </Show>
      <p class="sr" role="status">{task() && `${task()?.name}, ${task()?.phase}`}</p>
      <aside class="task" aria-label={text.run.task}>
        <Show when={task()} fallback={<RunFacts run={props.run} />} keyed={false}>
          {(shown) => <TaskPanel run={props.run} task={shown()} graph={graph} select={select} />}
        </Show>
      </aside>
    </div>
  );
}

/** done is the number of tasks that have ended. */
const done = (run: RunDetail) => run.tasks.succeeded + run.tasks.failed + run.tasks.skipped + run.tasks.cancelled;

function About(props: { run: RunDetail; tasks: Task[]; refresh: () => void; select: (task: string) => void }): JSX.Element {
  const [asks, setAsks] = createSignal<"cancel" | "remove" | "again">();
  const run = () => props.run;
  const canRun = () => may(run().namespace, "operator");
  const act = async (action: () => Promise<unknown>, said: string) => {
    try {
      await action();
      say(said);
    } catch (error) {
      sayProblem(error);
    }
    props.refresh();
  };
  const [again, isStarting] = createAction(async () => {
    try {
      const created = await runs.again(run().uid);
      go(to.pending(created.namespace, created.name));
    } catch (error) {
      sayProblem(error, true);
    }
  });
  const trigger = () => {
    if (run().trigger === "Schedule") return text.run.bySchedule;
    const how = run().trigger === "Manual" ? text.run.manual : run().trigger === "API" ? text.run.api : "";
    return run().requestedBy ? `${how} ${text.run.by(run().requestedBy ?? "")}` : how;
  };
  return (
    <div class="about">
      <div class="head">
        <h1>
          <span class="of"><a href={to.dags({ namespace: run().namespace })}>{run().namespace}</a> / <a href={to.dag(run().namespace, run().dag)}>{run().dag}</a> / </span>
          {run().name}
        </h1>
        <Badge look={lookOfRun(run().phase)} word={run().phase} />
        <Show when={canRun()}>
          <div class="actions">
            <button class="btn" type="button" onClick={() => setAsks("again")}>{text.run.again}</button>
            <Show when={isLiveRun(run().phase)} fallback={
              <Show when={may(run().namespace, "editor")}><button class="btn" type="button" onClick={() => setAsks("remove")}>{text.run.remove}</button></Show>
            }>
              <button class="btn" type="button" disabled={Boolean(run().stop)} onClick={() => setAsks("cancel")}>{text.run.cancel}</button>
            </Show>
          </div>
        </Show>
      </div>
      <div class="meta">
        <span><b>{text.run.tasks(done(run()), run().tasks.total)[0]}</b>{text.run.tasks(0, 0)[1]}</span>
        <span><b><Took from={run().startedAt ?? run().admittedAt ?? run().createdAt} until={run().finishedAt} /></b> <OfAbout seconds={run().typicalDurationSeconds} /></span>
        <Show when={run().dueAt}>{(at) => <span>{text.run.dueAndBegun} <b><At at={at()} isDue /></b></span>}</Show>
        <span>{text.run.begun} <b><At at={run().startedAt ?? run().admittedAt ?? run().createdAt} /></b> {trigger()}</span>
        <Show when={run().version}>{(version) => (
          <span>{text.run.version} <b><a class="link" href={to.dag(run().namespace, run().dag, "versions", { version: version() })}>{version()}</a></b></span>
        )}</Show>
        <Show when={isLiveRun(run().phase) && run().deadlineAt}>{(at) => <span>{text.run.deadline} <b><At at={at()} /></b></span>}</Show>
      </div>
      <Hold run={run()} tasks={props.tasks} select={props.select} />
      <Show when={asks() === "cancel"}>
        <Confirm title={text.run.confirmCancel(run().name)} hint={text.runs.confirmCancelHint} action={text.run.cancel} isDanger
          close={() => setAsks(undefined)} confirm={() => void act(() => runs.cancel(run().uid), text.run.cancelled)} />
      </Show>
      <Show when={asks() === "remove"}>
        <Confirm title={text.run.confirmRemove(run().name)} hint={text.runs.confirmRemoveHint} action={text.run.remove} isDanger
          close={() => setAsks(undefined)} confirm={() => void act(() => runs.remove(run().uid), text.run.removed)} />
      </Show>
      <Show when={asks() === "again"}>
        <Dialog title={text.runs.confirmAgain(1)} close={() => setAsks(undefined)}>
          <p class="dim">{text.run.confirmAgainHint}</p>
          <div class="dialog-actions">
            <a class="btn" href={to.trigger(run().namespace, run().dag, run().uid)}>{text.run.againHint}</a>
            <button class="btn primary" type="button" autofocus disabled={isStarting()} onClick={() => void again()}>
              {text.run.again}
            </button>
          </div>
        </Dialog>
      </Show>
    </div>
  );
}

/** held are the tasks that could run and do not, those that wait longest first. */
export function held(tasks: Task[]): Task[] {
  return tasks.filter((task) => (task.phase === "Ready" || task.phase === "Active") && task.reason)
    .sort((a, b) => Date.parse(a.readyAt ?? "") - Date.parse(b.readyAt ?? ""));
}

const mostHeld = 3;

/** Hold is the sentence that says what holds the run up, or why it failed. */
function Hold(props: { run: RunDetail; tasks: Task[]; select: (task: string) => void }): JSX.Element {
  const waiting = () => (isLiveRun(props.run.phase) ? held(props.tasks) : []);
  // Those of a live run, too: the others go on, and somebody may correct the DAG meanwhile.
  const failed = () => (props.run.phase === "Cancelled" ? [] : props.tasks.filter((task) => task.phase === "Failed"));
  const isBad = () => ["Failed", "Cancelled"].includes(props.run.phase);
  const Pick = (pick: { task: Task }) => (
    <button class="link-button" type="button" onClick={() => props.select(pick.task.name)}>{pick.task.name}</button>
  );
  const Fix = () => (
    <Show when={may(props.run.namespace, "editor")}>
      <a class="link" href={to.edit("DAG", props.run.namespace, props.run.dag)}>{text.run.editDag}</a>
    </Show>
  );
  return (
    <>
      <Show when={props.run.stop && isLiveRun(props.run.phase)}><p class="hold">{text.run.stops(props.run.stop ?? "")}</p></Show>
      <Show when={props.run.hold}><p class="hold"><b>{text.run.waitingAll}</b> <span class="reason">{props.run.hold}</span></p></Show>
      <Show when={waiting().length}>
        <p class="hold">
          <b>{text.run.hold(waiting().length)}</b>
          <Keyed each={waiting().slice(0, mostHeld)} by={(task) => task.name}>{(task) => (
            <span><Pick task={task()} />{task().phase === "Ready" && Date.parse(task().dueAt ?? "") > now() && task().retries > 0
              ? text.run.retryIn(age(Date.parse(task().dueAt ?? "") - now()))
              : text.run.is(task().reason ?? "", task().readyAt ? duration(span(task().readyAt) ?? 0) : "")}</span>
          )}</Keyed>
          <Show when={waiting().length > mostHeld}><span>{text.run.more(waiting().length - mostHeld)}</span></Show>
          <Show when={waiting().length === 1 && waiting()[0]?.message}><span><Said text={waiting()[0]?.message} /></span></Show>
          <Show when={!failed().length}><Fix /></Show>
        </p>
      </Show>
      <Show when={isBad() || failed().length}>
        <p class="hold">
          <Show when={isBad() && props.run.reason}><span class="reason" data-phase={lookOfRun(props.run.phase)}>{props.run.reason}</span></Show>
          <Show when={isBad() && props.run.message}><Said text={props.run.message} /></Show>
          <Keyed each={failed().slice(0, mostHeld)} by={(task) => task.name}>{(task) => <span><Pick task={task()} /> <span class="reason" data-phase="failed">{task().reason}</span> <Said text={task().message} /> <Show when={task().attempts}><a class="link" href={to.log(props.run.uid, task().name, task().attempts)}>{text.run.openLog}</a></Show></span>}</Keyed>
          <Show when={failed().length}><Fix /></Show>
        </p>
      </Show>
    </>
  );
}

/** whyOf says in a few words how a task is. last is its last attempt: how long it ran, without the wait for its Pod. */
export function whyOf(
  task: Task | undefined, phase: string, reason: string, unmet: number, last: TimedAttempt | undefined,
): string {
  if (phase === "Waiting") return text.run.needsMore(task?.needs?.length ?? unmet);
  if (phase === "Ready" || (phase === "Active" && reason)) {
    if (task?.dueAt && Date.parse(task.dueAt) > now() && task.retries > 0) {
      return `${text.run.retry(task.retries)} ${text.home.inTime(age(Date.parse(task.dueAt) - now()))}`;
    }
    return reason || text.run.ready;
  }
  const ran = last ?? task;
  const length = ran?.startedAt ? duration(span(ran.startedAt, ran.finishedAt) ?? 0) : phase === "Active" ? text.run.waitingForPod : "";
  if (isOver(phase) && phase !== "Succeeded") return reason || phase;
  return task?.restarts && phase === "Active" ? `${length}, ${text.run.restarted}` : length;
}

function RunGraphView(props: {
  graph: RunGraph; tasks: Map<string, Task>; attempts: Map<string, TimedAttempt[]> | undefined; selected: string; select: (name: string) => void;
}): JSX.Element {
  const [shown, setShown] = createSignal<Look>();
  const [search, setSearch] = createSignal("");
  const lookAt = (position: number) => lookOfTask(props.graph.phases[position] ?? "", props.graph.reasons[position]);
  const counts = createMemo(() => {
    const byLook = new Map<Look, number>();
    props.graph.names.forEach((_, position) => byLook.set(lookAt(position), (byLook.get(lookAt(position)) ?? 0) + 1));
    return [...byLook];
  });
  const pickFound = () => {
    const found = search() && props.graph.names.find((name) => name.includes(search()));
    if (found && found !== props.selected) props.select(found);
  };
  const describe = (position: number): GraphTask => {
    const name = props.graph.names[position] ?? "";
    const phase = props.graph.phases[position] ?? "", reason = props.graph.reasons[position] ?? "";
    const task = props.tasks.get(name);
    const unmet = () => (props.graph.parents[position] ?? []).filter((parent) => props.graph.phases[parent] !== "Succeeded").length;
    const before = (props.attempts?.get(name) ?? []).slice(phase === "Ready" ? 0 : 1).map((attempt) => lookOfAttempt(attempt.phase)).reverse();
    const look = lookAt(position);
    return {
      look, sub: whyOf(task, phase, reason, phase === "Waiting" ? unmet() : 0, props.attempts?.get(name)?.[0]), ...(before.length ? { before } : {}),
      ...(look !== "succeeded" && look !== "running" && (reason || task?.needs?.length) ? { why: {
        reason: reason || phase, message: task?.message || (task?.needs?.length ? text.run.needs(task.needs) : ""),
      } } : {}),
    };
  };
  return (
    <Graph names={props.graph.names} parents={props.graph.parents} name={text.run.graphOfRun} selected={props.selected}
      select={props.select} search={search()} shown={shown()} task={describe}
      tools={<>
        <div class="seg" role="group" aria-label={text.run.all}>
          <button type="button" aria-pressed={!shown()} onClick={() => setShown(undefined)}>{text.run.all} <span class="n">{number(props.graph.names.length)}</span></button>
          <For each={counts()}>{([look, count]) => (
            <button type="button" aria-pressed={shown() === look} onClick={() => setShown(look)}>
              <Mark look={look} />{text.phase[look]} <span class="n">{number(count)}</span>
            </button>
          )}</For>
        </div>
        <Show when={props.graph.names.length > 20}>
          <label class="search find"><Icon name="search" />
            <input type="search" aria-label={text.run.findTask} placeholder={text.run.findTask}
              onInput={(event) => setSearch(event.currentTarget.value.trim())}
              onKeyDown={(event) => event.key === "Enter" && pickFound()} />
          </label>
        </Show>
      </>} />
  );
}

/** The axis ends at this part of the width, so that a label has room after the longest bar. */
const axisPart = 0.86;

/** Timeline has a row a task. Waiting is thin, running is thick, on one axis that begins with the run. */
function Timeline(props: {
  run: RunDetail; tasks: Task[]; attempts: Map<string, TimedAttempt[]> | undefined; selected: string; select: (name: string) => void;
}): JSX.Element {
  const [from, setFrom] = createSignal(0);
  const start = () => Date.parse(props.run.startedAt ?? props.run.admittedAt ?? props.run.createdAt);
  const end = () => (props.run.finishedAt ? Date.parse(props.run.finishedAt) : now());
  const marks = createMemo(() => axisOf(Math.max(1000, end() - start())), undefined, { equals: (a, b) => String(a) === String(b) });
  const length = () => marks()[marks().length - 1] ?? 1000;
  const part = (time: number) => Math.min(1, Math.max(0, (time - start()) / length())) * axisPart * 100;
  const x = (time: number) => `${part(time)}%`;
  const width = (from: number, until: number) => `${Math.max(0.15, part(until) - part(from))}%`;
  const ordered = createMemo(() => [...props.tasks].sort((a, b) =>
    (a.readyAt ? Date.parse(a.readyAt) : Infinity) - (b.readyAt ? Date.parse(b.readyAt) : Infinity) || 0));
  const rows = () => ordered().slice(from(), from() + mostRows);
  createEffect(on(() => [props.selected, ordered().length], () => {
    const at = ordered().findIndex((task) => task.name === props.selected);
    if (at >= 0) setFrom(at - (at % mostRows));
  }));
  const height = () => rows().length * 27 + 22;
  return (
    <div class="timeline">
      <div class="axis" aria-hidden="true">
        <span />
        <svg>
          <For each={marks()}>{(mark, index) => (
            <>
              <line class="tick" x1={x(start() + mark)} x2={x(start() + mark)} y1="20" y2={height()} />
              <text x={x(start() + mark)} y="14" text-anchor={index() === 0 ? "start" : "middle"}>
                {index() === 0 ? clockSeconds(start()) : `+${about(mark / 1000)}`}
              </text>
            </>
          )}</For>
          <Show when={!props.run.finishedAt}><line class="now" x1={x(now())} x2={x(now())} y1="18" y2={height()} /></Show>
        </svg>
      </div>
      <ul>
        <Keyed each={rows()} by={(task) => task.name}>{(task) => {
          const segments = createMemo(() => segmentsOf(task(), props.attempts?.get(task().name), props.run.finishedAt ? end() : now()));
          const last = () => segments()[segments().length - 1];
          const said = () => {
            if (task().phase === "Waiting") return text.run.needs(task().needs ?? []);
            if (task().phase === "Skipped" || task().phase === "Cancelled") return task().reason ?? task().phase;
            const lastShown = last();
            return task().reason && task().phase !== "Succeeded" ? task().reason : lastShown ? duration(lastShown.until - lastShown.from) : "";
          };
          const place = () => {
            const lastShown = last();
            return { x: x(lastShown ? lastShown.until : end()), isBefore: !lastShown };
          };
          return (
            <li aria-current={task().name === props.selected ? "true" : undefined}>
              <a class="row" href={to.run(props.run.uid, { task: task().name })} title={task().name}
                onClick={(event) => { event.preventDefault(); props.select(task().name); }}>
                <Mark look={lookOfTask(task().phase, task().reason)} label={task().phase} /><span>{task().name}</span>
              </a>
              <svg aria-hidden="true">
                <For each={segments()}>{(segment) => (
                  <rect class={segment.isWait ? "wait" : "bar"} data-phase={segment.look} x={x(segment.from)}
                    width={width(segment.from, segment.until)} y={segment.isWait ? 11 : 7} height={segment.isWait ? 4 : 12}>
                    <title>{`${clockSeconds(segment.from)} ${text.none} ${clockSeconds(segment.until)}, ${duration(segment.until - segment.from)} ${segment.title}`}</title>
                  </rect>
                )}</For>
                <text x={place().x} dx={place().isBefore ? -8 : 8} y="17" text-anchor={place().isBefore ? "end" : "start"}>{said()}</text>
              </svg>
            </li>
          );
        }}</Keyed>
      </ul>
      <Show when={ordered().length > mostRows}>
        <div class="pager">
          <span class="dim">{text.run.showing(from() + 1, from() + rows().length, ordered().length)}</span>
          <button class="btn end" type="button" disabled={from() === 0} onClick={() => setFrom(from() - mostRows)}>{text.run.earlier}</button>
          <button class="btn" type="button" disabled={from() + mostRows >= ordered().length}
            onClick={() => setFrom(from() + mostRows)}>{text.run.later}</button>
        </div>
      </Show>
      <div class="sr"><table>
        <caption>{text.run.table}</caption>
        <thead><tr><th>{text.run.task}</th><th>{text.run.phase}</th><th>{text.run.reason}</th><th>{text.run.start}</th><th>{text.run.end}</th></tr></thead>
        <tbody><For each={rows()}>{(task) => (
          <tr><td>{task.name}</td><td>{task.phase}</td><td>{task.reason ?? (task.needs ? text.run.needs(task.needs) : "")}</td>
            <td>{task.startedAt ? clock(task.startedAt) : ""}</td><td>{task.finishedAt ? clock(task.finishedAt) : ""}</td></tr>
        )}</For></tbody>
      </table></div>
    </div>
  );
}

/** RunFacts stands in the panel while no task is picked. */
function RunFacts(props: { run: RunDetail }): JSX.Element {
  return (
    <>
      <div><h2>{text.run.pickTask}</h2><p class="dim">{text.run.pickTaskHint}</p></div>
      <Show when={props.run.parameters.length}>
        <div><h3>{text.run.parameters}</h3><Parameters values={props.run.parameters as unknown as RunParameter[]} /></div>
      </Show>
    </>
  );
}

function Parameters(props: { values: RunParameter[] }): JSX.Element {
  const secret = (value: RunParameter) => value.secret && (value.key ? `${value.secret} / ${value.key}` : value.secret);
  return (
    <dl class="facts">
      <For each={props.values}>{(value) => (
        <>
          <dt><code>{value.name}</code></dt>
          <dd><Show when={secret(value)} fallback={<code><Said text={value.value} /></code>}>{(name) => <>{text.run.fromSecret} <code>{name()}</code></>}</Show></dd>
        </>
      )}</For>
    </dl>
  );
}

function TaskPanel(props: { run: RunDetail; task: Task; graph: Reading<RunGraph>; select: (name: string) => void }): JSX.Element {
  const name = () => props.task.name;
  const attempts = createReading(() => ({ name: name() }), ({ name }, signal) => runs.attempts(props.run.uid, name, signal),
    (change) => change.run === props.run.uid);
  const [number, setNumber] = createSignal<number>();
  createEffect(on(name, () => setNumber(undefined)));
  const attempt = () => attempts.data()?.items.find((each) => each.number === (number() ?? attempts.data()?.items[0]?.number));
  const events = createReading(() => (attempt() ? { name: name(), number: attempt()?.number ?? 0 } : undefined),
    (key, signal) => runs.events(props.run.uid, key.name, key.number, signal), (change) => change.run === props.run.uid);
  const version = createReading(() => (props.run.version ? { version: props.run.version } : undefined),
    ({ version }, signal) => dags.version(props.run.namespace, props.run.dag, version, signal));
  const spec = () => (version.data()?.spec as { task?: TaskSpec[] } | undefined)?.task?.find((task) => task.name === name());
  const kin = () => {
    const graph = props.graph.data();
    const at = graph?.names.indexOf(name()) ?? -1;
    if (!graph || at < 0) return { parents: [], children: [] };
    const names = (positions: number[]) => positions.map((position) => graph.names[position] ?? "");
    return { parents: names(graph.parents[at] ?? []), children: names(graph.parents.flatMap((parents, child) => (parents.includes(at) ? [child] : []))) };
  };
  const look = () => lookOfTask(props.task.phase, props.task.reason);
  const waited = (each: Attempt) => (each.startedAt ? duration(Date.parse(each.startedAt) - Date.parse(each.decidedAt)) : undefined);
  const Names = (names: { names: string[] }) => (
    <For each={names.names.slice(0, 12)}>{(each, index) => <>{index() > 0 ? ", " : ""}<button class="link-button" type="button" onClick={() => props.select(each)}>{each}</button></>}</For>
  );
  return (
    <>
      <div>
        <h2>
          <Mark look={look()} label={props.task.phase} /><span class="task-title">{name()}</span>
          <Show when={props.task.attempts > 0}>
            <a class="btn end" href={to.log(props.run.uid, name(), attempt()?.number ?? props.task.attempts)}>{text.run.openLog} <kbd class="small-no">l</kbd></a>
          </Show>
          <button class="btn quiet icon" classList={{ end: !props.task.attempts }} type="button" aria-label={text.shell.close} onClick={() => setParams({ task: "" })}><Icon name="close" /></button>
        </h2>
        <Show when={props.task.reason}>
          <p><span class="reason" data-phase={look()}>{props.task.reason}</span>{" "}
            <Show when={props.task.phase === "Ready" && props.task.dueAt && Date.parse(props.task.dueAt) > now()}>
              <b>{text.run.until} {clockSeconds(props.task.dueAt ?? 0)}, {text.home.inTime(age(Date.parse(props.task.dueAt ?? "") - now()))}</b>
            </Show>
          </p>
        </Show>
        <Show when={props.task.message}><p class="dim message"><Said text={props.task.message} /></p></Show>
        <Show when={props.task.phase === "Waiting" && !props.task.message && props.task.needs?.length}><p class="dim">{text.run.needs(props.task.needs ?? [])}</p></Show>
      </div>
      <Show when={attempts.data()?.items.length}>
        <div>
          <h3>{text.run.attempts}</h3>
          <table class="table compact">
            <thead><tr><th><span class="sr">{text.run.attempts}</span></th><th>{text.run.ended}</th><th class="num">{text.run.began}</th><th class="num">{text.run.ran}</th>
              <th class="num">{text.run.exit}</th><th><span class="sr">{text.run.log}</span></th></tr></thead>
            <tbody>
              <Keyed each={attempts.data()?.items} by={(each) => each.number}>{(each) => (
                <tr aria-selected={each().number === attempt()?.number}>
                  <td class="num"><button class="link-button cover" type="button" aria-label={text.run.attempt(each().number)} onClick={() => setNumber(each().number)}>{each().number}</button></td>
                  <td><span class="phase" data-phase={lookOfAttempt(each().phase)}><Mark look={lookOfAttempt(each().phase)} label={each().phase} />{each().reason || each().phase}</span></td>
                  <td class="num"><Show when={each().startedAt}>{(at) => <time title={moment(at())}>{clockSeconds(at())}</time>}</Show></td>
                  <td class="num"><Took from={each().startedAt} until={each().finishedAt} /></td>
                  <td class="num">{each().exitCode ?? ""}</td>
                  <td class="num"><a class="link" href={to.log(props.run.uid, name(), each().number)}>{text.run.log}</a></td>
                </tr>
              )}</Keyed>
            </tbody>
          </table>
        </div>
      </Show>
      <Show when={attempt()}>{(each) => (
        <>
          <div>
            <h3>{text.run.attempt(each().number)}</h3>
            <Show when={each().message}><p class="dim message"><Said text={each().message} /></p></Show>
            <dl class="facts">
              <Show when={each().node}><dt>{text.run.node}</dt><dd>{each().node}</dd></Show>
              <dt>{text.run.pod}</dt><dd><code>{each().podName}</code> <CopyButton value={each().podName} label={text.run.copyPod} icon /></dd>
              <Show when={waited(each())}><dt>{text.run.waited}</dt><dd>{waited(each())}</dd></Show>
              <Show when={each().strayUID}><dt>{text.run.pod}</dt><dd>{text.run.stray}</dd></Show>
            </dl>
          </div>
          <div>
            <h3>{text.run.podEvents}</h3>
            <Show when={events.problem()}>{(problem) => <ProblemNotice problem={problem()} />}</Show>
            <Show when={events.data()?.items.length} fallback={<p class="dim">{events.data() ? text.run.noEvents : ""}</p>}>
              <ul class="events">
                <For each={events.data()?.items}>{(event) => (
                  <li><time title={moment(event.lastAt)}>{clockSeconds(event.lastAt)}</time>
                    <p><span classList={{ warn: event.type === "Warning" }}>{event.reason}</span> <Said text={event.message} />
                      <Show when={event.count > 1}> <span class="faint">{text.run.countTimes(event.count)}</span></Show></p></li>
                )}</For>
              </ul>
            </Show>
          </div>
        </>
      )}</Show>
      <Show when={props.run.parameters.length}>
        <div><h3>{text.run.parameters} <span class="faint">{text.run.ofThisRun}</span></h3><Parameters values={props.run.parameters as unknown as RunParameter[]} /></div>
      </Show>
      <div>
        <h3>{text.run.task}</h3>
        <dl class="facts">
          <Show when={spec()?.image}><dt>{text.run.image}</dt><dd><code>{spec()?.image}</code></dd></Show>
          <Show when={spec()?.taskRef}>{(ref) => <><dt>{text.run.taskRef}</dt><dd><a class="link" href={to.dagTask(props.run.namespace, ref().name)}>{ref().name}</a></dd></>}</Show>
          <Show when={kin().parents.length}><dt>{text.run.needsLabel}</dt><dd><Names names={kin().parents} /></dd></Show>
          <Show when={kin().children.length}><dt>{text.run.then}</dt><dd><Names names={kin().children} /></dd></Show>
          <Show when={spec()?.backoff?.limit !== undefined}><dt>{text.run.retries}</dt><dd>{spec()?.backoff?.limit}</dd></Show>
          <Show when={props.task.readyAt}>{(at) => <><dt>{text.run.reasonSince}</dt><dd><Ago at={at()} suffix /></dd></>}</Show>
        </dl>
      </div>
    </>
  );
}

