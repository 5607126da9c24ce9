import { createEffect, createMemo, createSignal, For, lazy, Match, Show, Suspense, Switch, type JSX } from "solid-js";
import { dags, runs } from "../api/calls";
import type { Change, DAGDetail, TaskSpec, Version } from "../api/types";
import { useKeys } from "../keys";
import { Icon } from "../parts/icons";
import { Keyed } from "../parts/keyed";
import { Pager } from "../parts/pager";
import { RemoveButton } from "../parts/remove";
import { CopyButton, Empty, Loaded, ProblemNotice, Skeleton } from "../parts/states";
import { Ago, At, In, Said } from "../parts/values";
import { createReading, type Reading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { may, mayAnywhere } from "../session";
import { percent, text } from "../text";
import { about, zone } from "../time";
import { toYAML } from "../yaml";
import { RunTable } from "./runs";
import { createSuspending } from "./dags";
import { GridView } from "./grid";

const Graph = lazy(() => import("../graph/graph"));
const pageSize = 50;

type Tab = keyof typeof text.dag.tabs;
const tabs = Object.keys(text.dag.tabs) as Tab[];

export default function DAG(): JSX.Element {
  const namespace = place().segments[1] ?? "", name = place().segments[2] ?? "";
  const tab = (): Tab => tabs.find((known) => known === place().segments[3]) ?? "grid";
  const concerns = (change: { namespace: string; dag?: string }) => change.namespace === namespace && change.dag === name;
  const dag = createReading(() => ({}), (_, signal) => dags.one(namespace, name, signal), concerns, true);
  const versions = createReading(() => ({}), (_, signal) => dags.versions(namespace, name, { limit: 1 }, signal), concerns);
  const statistics = createReading(() => ({ zone: zone() }), ({ zone }, signal) => dags.statistics(namespace, name, zone, signal));
  createEffect(() => (document.title = text.shell.title(`${name} ${text.none} ${text.dag.tabs[tab()]}`)));
  const canRun = () => may(namespace, "operator") && !dag.data()?.readOnly;
  useKeys({ t: () => canRun() && go(to.trigger(namespace, name)) });
  const suspend = createSuspending(dag.data, dag.refresh);
  const isGone = () => dag.problem()?.kind === "not-found" || Boolean(dag.data()?.deletedAt);
  return (
    <>
      <div class="head">
        <h1><span class="of"><a href={to.dags({ namespace })}>{namespace}</a> / </span>{name}</h1>
        <Show when={dag.data()?.suspended}><span class="badge" data-phase="waiting"><Icon name="pause" />{text.dag.suspended}</span></Show>
        <Show when={canRun() && !isGone()}>
          <div class="actions">
            <Show when={may(namespace, "editor") && dag.data()}><a class="btn" href={to.edit("DAG", namespace, name)}>{text.dag.definition.edit}</a></Show>
            <Show when={dag.data()}>{(data) => (
              <button class="btn" type="button" onClick={suspend}>
                <Icon name={data().suspended ? "resume" : "pause"} />{data().suspended ? text.dag.resume : text.dag.suspend}
              </button>
            )}</Show>
            <a class="btn primary" href={to.trigger(namespace, name)}><Icon name="play" />{text.dag.trigger}</a>
          </div>
        </Show>
      </div>
      <div class="meta">
        <Show when={dag.data()?.nextDueAt}>{(at) => <span>{text.dag.nextDue} <b><At at={at()} isDue />, <In at={at()} /></b></span>}</Show>
        <Show when={dag.data()?.schedule}>{(schedule) => (
          <span><code>{schedule().cron.join("; ")}</code> {schedule().timeZone ?? ""}</span>
        )}</Show>
        <Show when={dag.data()?.typicalDurationSeconds}>{(seconds) => <span>{text.dag.takes} <b>~{about(seconds())}</b></span>}</Show>
        <Show when={statistics.data()?.all}>{(all) => (
          <Show when={all().successRate !== null}>
            <span><b>{text.dag.succeededIn30(percent(all().successRate ?? 0), 0)[0]}</b>
              {text.dag.succeededIn30("", all().succeeded + all().failed)[1]}</span>
          </Show>
        )}</Show>
        <Show when={versions.data()?.items[0]}>{(version) => (
          <span>{text.dag.version} <b>{version().version}</b>, <Ago at={version().createdAt} suffix /></span>
        )}</Show>
      </div>
      <Show when={dag.data()?.valid === false}>
        <div class="notice" data-phase="failed" role="status">
          <svg class="ph" data-phase="failed" aria-hidden="true"><use href="#invalid" /></svg>
          <div><h2>{text.dag.invalid}</h2><p><Said text={dag.data()?.message || text.dags.invalidSaid} /></p></div>
        </div>
      </Show>
      <Show when={isGone()}><p class="notice">{text.dag.deleted}</p></Show>
      <Show when={dag.problem() && dag.problem()?.kind !== "not-found"}>
        <Show when={dag.problem()?.kind === "unavailable"} fallback={<ProblemNotice problem={dag.problem() as never} retry={dag.refresh} />}>
          <p class="notice">{text.dag.notLive}</p>
        </Show>
      </Show>
      <nav class="tabs" aria-label={name}>
        <For each={tabs}>{(known) => (
          <a href={to.dag(namespace, name, known === "grid" ? "" : known)} aria-current={tab() === known ? "page" : undefined}>
            {text.dag.tabs[known]}
          </a>
        )}</For>
      </nav>
      <div class="tab">
        <Switch>
          <Match when={tab() === "grid"}><GridView namespace={namespace} name={name} /></Match>
          <Match when={tab() === "graph"}><GraphTab namespace={namespace} name={name} versions={versions} /></Match>
          <Match when={tab() === "runs"}><RunsTab namespace={namespace} name={name} /></Match>
          <Match when={tab() === "versions"}><VersionsTab namespace={namespace} name={name} /></Match>
          <Match when={tab() === "ledger"}><LedgerTab namespace={namespace} name={name} /></Match>
          <Match when={tab() === "definition"}><Show when={!isGone()}><DefinitionTab dag={dag} namespace={namespace} name={name} /></Show></Match>
        </Switch>
      </div>
    </>
  );
}

/** parentsOf returns for each task of a spec the positions of the tasks that it runs after. */
export function parentsOf(tasks: TaskSpec[]): number[][] {
  const position = new Map(tasks.map((task, index) => [task.name, index]));
  return tasks.map((task) => (task.runAfter ?? []).flatMap((name) => position.get(name) ?? []));
}

function GraphTab(props: { namespace: string; name: string; versions: Reading<{ items: Version[] }> }): JSX.Element {
  const newest = createReading(() => props.versions.data()?.items[0]?.version,
    (version, signal) => dags.version(props.namespace, props.name, version, signal));
  const tasks = createMemo(() => ((newest.data()?.spec as { task?: TaskSpec[] } | undefined)?.task ?? []));
  const [selected, setSelected] = createSignal("");
  const task = () => tasks().find((each) => each.name === selected());
  return (
    <Show when={props.versions.data()?.items.length !== 0} fallback={<Empty title={text.dag.versions.none} hint={text.dag.versions.noneHint} />}>
      <Loaded reading={newest}>{() => (
        <div class="with-side">
          <section class="panel view-graph">
            <Suspense fallback={<Skeleton rows={4} />}>
              <Graph names={tasks().map((each) => each.name)} parents={parentsOf(tasks())} name={text.dag.graphOf(props.name)}
                selected={selected()} select={setSelected} hasTable
                task={(position) => ({ sub: subOf(tasks()[position]) })} />
            </Suspense>
          </section>
          <Show when={task()}>{(shown) => <TaskFacts namespace={props.namespace} task={shown()} />}</Show>
        </div>
      )}</Loaded>
    </Show>
  );
}

const subOf = (task: TaskSpec | undefined) => task?.taskRef ? `${text.run.taskRef} ${task.taskRef.name}` : task?.image ?? "";

function TaskFacts(props: { namespace: string; task: TaskSpec }): JSX.Element {
  return (
    <aside class="panel side" aria-label={props.task.name}>
      <div>
        <h2>{props.task.name}</h2>
        <dl class="facts">
          <Show when={props.task.taskRef}>{(ref) => (
            <><dt>{text.run.taskRef}</dt><dd><a class="link" href={to.dagTask(props.namespace, ref().name)}>{ref().name}</a></dd></>
          )}</Show>
          <Show when={props.task.image}><dt>{text.run.image}</dt><dd><code>{props.task.image}</code></dd></Show>
          <Show when={props.task.runAfter?.length}><dt>{text.run.needsLabel}</dt><dd>{props.task.runAfter?.join(", ")}</dd></Show>
          <Show when={props.task.parameters?.length}><dt>{text.run.parameters}</dt><dd>{props.task.parameters?.join(", ")}</dd></Show>
          <Show when={props.task.backoff?.limit !== undefined}><dt>{text.run.retries}</dt><dd>{props.task.backoff?.limit}</dd></Show>
        </dl>
      </div>
      <Show when={props.task.script ?? props.task.command?.join(" ")}>
        {(code) => <div><h3>{text.run.command}</h3><pre class="code" tabindex="0">{code()}</pre></div>}
      </Show>
    </aside>
  );
}

function RunsTab(props: { namespace: string; name: string }): JSX.Element {
  const list = createReading(
    () => ({ namespace: props.namespace, dag: props.name, cursor: param("cursor"), phase: param("phase"), limit: pageSize }),
    (query, signal) => runs.list(query, signal), (change) => change.kind === "run" && change.dag === props.name);
  return (
    <Loaded reading={list}>{(page) => (
      <Show when={page().items.length} fallback={<Empty title={text.dag.noRuns} hint={text.dag.noRunsHint} />}>
        <div class="panel"><RunTable runs={page().items} isOfOneDag refresh={list.refresh} /></div>
        <Pager page={page()} />
      </Show>
    )}</Loaded>
  );
}

function VersionsTab(props: { namespace: string; name: string }): JSX.Element {
  const list = createReading(() => ({ cursor: param("cursor"), limit: pageSize }),
    (query, signal) => dags.versions(props.namespace, props.name, query, signal), (change) => change.dag === props.name);
  const shown = () => Number(param("version")) || list.data()?.items[0]?.version;
  const from = () => Number(param("from")) || undefined;
  // The version before may be on another page of the list, so the server finds it.
  const diff = createReading(() => (shown() ? { from: from(), to: shown() as number } : undefined),
    ({ from, to }, signal) => dags.diff(props.namespace, props.name, from, to, signal));
  const hasNone = () => !from() && diff.problem()?.kind === "not-found";
  const others = () => {
    const numbers = [diff.data()?.from, ...(list.data()?.items.map((version) => version.version) ?? [])];
    return [...new Set(numbers)].filter((number) => number && number !== shown()).sort((a = 0, b = 0) => b - a);
  };
  return (
    <Loaded reading={list}>{(page) => (
      <Show when={page().items.length} fallback={<Empty title={text.dag.versions.none} hint={text.dag.versions.noneHint} />}>
        <div class="with-side reverse">
          <div class="panel">
            <table class="table">
              <thead><tr><th>{text.dag.version}</th><th>{text.dag.versions.created}</th><th class="num">{text.dag.versions.tasks}</th></tr></thead>
              <tbody>
                <Keyed each={page().items} by={(version) => version.version}>{(version) => (
                  <tr aria-selected={version().version === shown()}>
                    <td><a class="row" href={to.dag(props.namespace, props.name, "versions", { version: version().version, cursor: param("cursor") })}>
                      {text.dag.versions.show(version().version)}</a></td>
                    <td><Ago at={version().createdAt} suffix /></td><td class="num">{version().tasks}</td>
                  </tr>
                )}</Keyed>
              </tbody>
            </table>
            <Pager page={page()} />
          </div>
          <section class="panel" aria-live="polite">
            <header>
              <h2>{text.dag.versions.show(shown() ?? 0)}</h2>
              <Show when={!hasNone() && others().length}>
                <label class="end faint">{text.dag.versions.compare} {" "}
                  <select class="input" onChange={(event) => setParams({ version: shown(), from: event.currentTarget.value })}>
                    <For each={others()}>{(number) => <option selected={number === (from() ?? diff.data()?.from)}>{number}</option>}</For>
                  </select>
                </label>
              </Show>
            </header>
            <Show when={!hasNone()} fallback={<p class="pad dim">{diff.problem()?.detail}</p>}>
              <Loaded reading={diff}>{(data) => (
                <Show when={data().changes.length} fallback={<p class="pad dim">{text.dag.versions.same}</p>}>
                  <ul class="changes"><For each={data().changes}>{(change) => <ChangeLine change={change} />}</For></ul>
                </Show>
              )}</Loaded>
            </Show>
          </section>
        </div>
      </Show>
    )}</Loaded>
  );
}

function ChangeLine(props: { change: Change }): JSX.Element {
  const value = (each: unknown) => (typeof each === "string" ? each : toYAML(each));
  return (
    <li>
      <h3><code>{props.change.path.join(" › ")}</code></h3>
      <Show when={props.change.before !== undefined}><del><span class="sr">{text.dag.versions.before}: </span>{value(props.change.before)}</del></Show>
      <Show when={props.change.after !== undefined}><ins><span class="sr">{text.dag.versions.after}: </span>{value(props.change.after)}</ins></Show>
    </li>
  );
}

function LedgerTab(props: { namespace: string; name: string }): JSX.Element {
  const list = createReading(() => ({ cursor: param("cursor"), limit: pageSize }),
    (query, signal) => dags.ticks(props.namespace, props.name, query, signal), (change) => change.dag === props.name);
  return (
    <Loaded reading={list}>{(page) => (
      <Show when={page().items.length} fallback={<Empty title={text.dag.ledger.none} hint={text.dag.ledger.noneHint} />}>
        <div class="panel narrow">
          <table class="table">
            <thead><tr><th>{text.dag.ledger.due}</th><th class="num">{text.dag.ledger.count}</th><th>{text.dag.ledger.outcome}</th>
              <th>{text.dag.ledger.run}</th><th class="mid">{text.dag.ledger.decided}</th></tr></thead>
            <tbody>
              <Keyed each={page().items} by={(tick) => tick.from}>{(tick) => (
                <tr classList={{ stretch: tick().count > 1 }}>
                  <td><At at={tick().from} isDue /><Show when={tick().to !== tick().from}> {text.dag.ledger.until} <At at={tick().to} isDue /></Show></td>
                  <td class="num">{tick().count > 1 ? tick().count : ""}</td>
                  <td><Show when={tick().outcome !== "Ran"} fallback={tick().outcome}>
                    <span class="reason">{tick().outcome}</span> <span class="dim">{text.outcome[tick().outcome]}</span></Show></td>
                  <td><Show when={tick().runUID} fallback={tick().runName ?? ""}>
                    {(uid) => <a class="link" href={to.run(uid())}>{tick().runName}</a>}</Show></td>
                  <td class="mid faint"><Ago at={tick().decidedAt} suffix /></td>
                </tr>
              )}</Keyed>
            </tbody>
          </table>
        </div>
        <Pager page={page()} />
      </Show>
    )}</Loaded>
  );
}

function DefinitionTab(props: { dag: Reading<DAGDetail>; namespace: string; name: string }): JSX.Element {
  const { namespace, name } = props;
  return (
    <Loaded reading={props.dag}>{(data) => {
      const yaml = createMemo(() => toYAML(withoutStatus(data().manifest ?? {})));
      return (
        <section class="panel">
          <header class="wraps">
            <span class="faint">{text.dag.definition.hint}</span>
            <Show when={data().manager}>{(manager) => <span class="dim">{text.dag.definition.manager} {manager()}</span>}</Show>
            <span class="end" /><CopyButton value={yaml()} label={text.dag.definition.copy} />
            <Show when={mayAnywhere("editor")}>
              <a class="btn quiet" href={to.create("DAG", { namespace, from: `copy ${namespace}/${name}` })}>{text.create.copy}</a>
            </Show>
            <Show when={may(namespace, "editor") && !data().readOnly}>
              <RemoveButton kind="DAG" namespace={namespace} name={name} done={() => go(to.dags({ namespace }))} />
            </Show>
          </header>
          <pre class="code flat" tabindex="0">{yaml()}</pre>
        </section>
      );
    }}</Loaded>
  );
}

function withoutStatus<T extends object>(manifest: T): Omit<T, "status"> {
  const { status: _, ...rest } = manifest as T & { status?: unknown };
  return rest;
}
