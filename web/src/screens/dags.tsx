import { createEffect, For, Show, type JSX } from "solid-js";
import { createAction } from "../action";
import { dags } from "../api/calls";
import type { DAG } from "../api/types";
import { useKeys } from "../keys";
import { Bars } from "../parts/bars";
import { Icon, Mark } from "../parts/icons";
import { Keyed } from "../parts/keyed";
import { NewButton } from "../parts/new";
import { Pager } from "../parts/pager";
import { Code, Empty, Lacks, Loaded } from "../parts/states";
import { say, sayProblem } from "../parts/toasts";
import { Ago, In, Said, Took } from "../parts/values";
import { lookOfRun, type Look } from "../phases";
import { createReading } from "../reading";
import { go, param, setParams, to } from "../router";
import { may } from "../session";
import { text } from "../text";

const pageSize = 50;

/** filterOf makes the query of the API from the address of the page. */
function filterOf() {
  const show = param("show");
  return {
    namespace: param("namespace"), search: param("search"), label: param("label"), cursor: param("cursor"), limit: pageSize,
    suspended: show === "suspended" ? true : undefined, valid: show === "invalid" ? "false" : undefined,
    deleted: show === "deleted" ? true : undefined,
    lastRun: show === "failed" ? "Failed" as const : show === "live" ? "Live" as const : undefined,
  };
}

type Suspendable = Pick<DAG, "namespace" | "name" | "suspended">;

/** suspendOrResume changes whether due times start runs, and offers to undo it. */
async function suspendOrResume(dag: Suspendable, done: () => void): Promise<void> {
  try {
    const { warnings } = await (dag.suspended ? dags.resume : dags.suspend)(dag.namespace, dag.name);
    say(dag.suspended ? text.dags.resumeDone(dag.name) : text.dags.suspendDone(dag.name), {
      label: text.dags.undo, run: () => void suspendOrResume({ ...dag, suspended: !dag.suspended }, done),
    }, warnings);
  } catch (error) {
    sayProblem(error);
  }
  done();
}

/**
 * createSuspending returns the handler of the button that suspends or resumes a DAG. It ignores the second click of a
 * double click, which would undo the first.
 */
export function createSuspending(dag: () => Suspendable | undefined, done: () => void): (event: MouseEvent) => void {
  const [change] = createAction((of: Suspendable) => suspendOrResume(of, done));
  return (event) => {
    const of = dag();
    if (of && event.detail < 2) void change(of);
  };
}

/** stateOf is the shape before the name of a DAG: invalid, else how its last run is. */
export function stateOf(dag: DAG): Look | "invalid" {
  if (dag.valid === false) return "invalid";
  const last = dag.runs[0];
  return last ? lookOfRun(last.phase) : "waiting";
}

export default function DAGs(): JSX.Element {
  const list = createReading(filterOf, (query, signal) => dags.list(query, signal),
    (change) => change.kind === "dag" || change.kind === "run", true);
  createEffect(() => (document.title = text.shell.title(text.dags.title)));
  const isFiltered = () => ["search", "label", "show"].some((name) => param(name));
  const shows: [string, string][] = [["", text.dags.all], ["failed", text.dags.failed], ["live", text.dags.live],
    ["suspended", text.dags.suspended], ["invalid", text.dags.invalid], ["deleted", text.dags.deleted]];
  let wait: ReturnType<typeof setTimeout> | undefined;
  const later = (name: string, value: string) => {
    clearTimeout(wait);
    wait = setTimeout(() => setParams({ [name]: value, cursor: "" }), 200);
  };
  useKeys({ t: () => focusedDag(list.data()?.items ?? [], (dag) => go(to.trigger(dag.namespace, dag.name))) });
  return (
    <>
      <div class="head"><h1>{text.dags.title}</h1><NewButton kind="DAG" /></div>
      <div class="filters">
        <label class="search"><Icon name="search" />
          <input type="search" aria-label={text.dags.search} placeholder={text.dags.search} value={param("search")}
            onInput={(event) => later("search", event.currentTarget.value)} />
        </label>
        <label class="search narrow"><span class="faint">{text.dags.label}</span>
          <input type="search" placeholder={text.dags.labelHint} value={param("label")}
            onChange={(event) => setParams({ label: event.currentTarget.value, cursor: "" })} />
        </label>
        <div class="seg" role="group" aria-label={text.dags.title}>
          <For each={shows}>{([value, word]) => (
            <button type="button" aria-pressed={param("show") === value}
              onClick={() => setParams({ show: value, cursor: "" })}>{word}</button>
          )}</For>
        </div>
      </div>
      <Lacks lists={[list.data()]} />
      <Loaded reading={list} rows={8}>{(page) => (
        <Show when={page().items.length} fallback={
          <Show when={isFiltered()} fallback={
            <Show when={!page().unavailableNamespaces}>
              <Empty title={text.home.welcome} hint={text.home.welcomeHint}>
                <Code value={"kubectl apply -f manifests/examples/hello.yaml"} />
                <NewButton kind="DAG" />
              </Empty>
            </Show>
          }>
            <Empty title={text.dags.none} hint={text.dags.noneHint}>
              <button class="btn" type="button" onClick={() => setParams({ search: "", label: "", show: "", cursor: "" })}>{text.dags.clear}</button>
            </Empty>
          </Show>
        }>
          <div class="panel">
            <table class="table dags cards">
              <thead>
                <tr><th>{text.dags.name}</th><th>{text.dags.last20}</th><th>{text.dags.lastRun}</th><th>{text.dags.nextDue}</th>
                  <th class="mid">{text.dags.managedBy}</th><th><span class="sr">{text.dags.actions}</span></th></tr>
              </thead>
              <tbody>
                <Keyed each={page().items} by={(dag) => `${dag.namespace}/${dag.name}`}>{(dag) => (
                  <Row dag={dag()} refresh={list.refresh} />
                )}</Keyed>
              </tbody>
            </table>
          </div>
          <Pager page={page()} newer={text.dags.before} older={text.dags.more} />
        </Show>
      )}</Loaded>
    </>
  );
}

function focusedDag(items: DAG[], action: (dag: DAG) => void): void {
  const row = document.activeElement?.closest<HTMLElement>("[data-dag]")?.dataset["dag"];
  const dag = items.find((item) => `${item.namespace}/${item.name}` === row);
  if (dag) action(dag);
}

function Row(props: { dag: DAG; refresh: () => void }): JSX.Element {
  const dag = () => props.dag;
  const last = () => dag().runs[0];
  const state = () => stateOf(dag());
  const word = () => (state() === "invalid" ? text.dags.invalid : last() ? text.phase[state() as Look] : text.dags.noRunYet);
  const canRun = () => may(dag().namespace, "operator") && !dag().readOnly;
  const suspend = createSuspending(dag, () => props.refresh());
  return (
    <tr data-dag={`${dag().namespace}/${dag().name}`} classList={{ off: dag().suspended }}>
      <td class="name">
        <div>
          <Show when={!dag().suspended} fallback={<Icon name="pause" />}><Mark look={state()} label={word()} /></Show>
          <div>
            <span class="of">{dag().namespace} / </span><a class="row" href={to.dag(dag().namespace, dag().name)}>{dag().name}</a>
            <Show when={dag().valid === false}><small class="said"><Said text={dag().message ?? text.dags.invalidSaid} /></small></Show>
            <Show when={dag().readOnly}><small>{text.dags.readOnly}</small></Show>
          </div>
        </div>
      </td>
      <td class="of-bars"><Bars name={dag().name} runs={dag().runs} /></td>
      <td class="last">
        <Show when={last()} fallback={<span class="faint">{text.dags.never}</span>}>{(run) => (
          <>
            <span class="when">
              <Show when={run().finishedAt} fallback={text.dags.now}>{(at) => <Ago at={at()} suffix />}</Show>
            </span>
            <span class="faint"><Took from={run().startedAt} until={run().finishedAt} /></span>
          </>
        )}</Show>
      </td>
      <td class="next">
        <Show when={!dag().suspended} fallback={<span class="when faint">{text.dags.suspendedState}</span>}>
          <Show when={dag().nextDueAt} fallback={
            <span class="when faint">{dag().schedule?.cron.length ? text.none : text.dags.whenTriggered}</span>
          }>{(at) => <b class="when"><In at={at()} /></b>}</Show>
        </Show>
        <Show when={dag().schedule}>{(schedule) => <code class="small-no">{schedule().cron.join("; ")}</code>}</Show>
      </td>
      <td class="mid manager">
        <Show when={dag().manager}>{(manager) => (
          <span class="lock"><Show when={dag().readOnly}><Icon name="lock" /></Show>{manager()}</span>
        )}</Show>
      </td>
      <td class="acts">
        <Show when={canRun()}>
          <a class="btn icon" href={to.trigger(dag().namespace, dag().name)} aria-label={text.dags.triggerOf(dag().name)}
            title={text.dags.trigger}><Icon name="play" /></a>
          <button class="btn icon" type="button" title={dag().suspended ? text.dags.resume : text.dags.suspend}
            aria-label={dag().suspended ? text.dags.resumeOf(dag().name) : text.dags.suspendOf(dag().name)}
            onClick={suspend}>
            <Icon name={dag().suspended ? "resume" : "pause"} />
          </button>
        </Show>
      </td>
    </tr>
  );
}
