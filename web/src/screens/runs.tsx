import { createEffect, createSignal, For, Show, type JSX } from "solid-js";
import { createAction } from "../action";
import { runs } from "../api/calls";
import { Problem } from "../api/problem";
import type { PendingRun, Run } from "../api/types";
import { Confirm } from "../parts/dialog";
import { Icon, Mark } from "../parts/icons";
import { Keyed } from "../parts/keyed";
import { Pager } from "../parts/pager";
import { Empty, Lacks, Loaded, outcomeOf } from "../parts/states";
import { Ago, At, Said, Took } from "../parts/values";
import { lookOfRun, type Look } from "../phases";
import { createReading } from "../reading";
import { param, setParams, to } from "../router";
import { may } from "../session";
import { number, text } from "../text";
import { instant, zoneName } from "../time";

const pageSize = 50;
const phases = ["", "Live", "Failed", "Succeeded", "Cancelled"] as const;
const triggers = ["", "Schedule", "API", "Manual"] as const;
const filterNames = ["dag", "phase", "trigger", "requestedBy", "namePrefix", "from", "to"] as const;

const moreNames = ["dag", "trigger", "requestedBy", "from", "to"] as const;


export default function Runs(): JSX.Element {
  const filter = () => ({
    namespace: param("namespace"), dag: param("dag"), phase: param("phase"), trigger: param("trigger"),
    requestedBy: param("requestedBy"), namePrefix: param("namePrefix"), from: instant(param("from")), to: instant(param("to")),
    cursor: param("cursor"), limit: pageSize,
  });
  const list = createReading(filter, (query, signal) => runs.list(query, signal), (change) => change.kind === "run");
  const showsPending = () => !param("cursor") && !filterNames.some((name) => param(name) && !(name === "phase" && param(name) === "Live"));
  const pending = createReading(() => (showsPending() ? { namespace: param("namespace") } : undefined),
    ({ namespace }, signal) => runs.pending(namespace, signal), (change) => change.kind === "run", true);
  createEffect(() => (document.title = text.shell.title(text.runs.title)));
  const isFiltered = () => filterNames.some((name) => param(name));
  const clear = () => setParams({ ...Object.fromEntries(filterNames.map((name) => [name, ""])), cursor: "" });
  let wait: ReturnType<typeof setTimeout> | undefined;
  const later = (name: string, value: string) => {
    clearTimeout(wait);
    wait = setTimeout(() => setParams({ [name]: value, cursor: "" }), 250);
  };
  return (
    <>
      <div class="head"><h1>{text.runs.title}</h1></div>
      <div class="filters">
        <label class="search"><Icon name="search" />
          <input type="search" aria-label={text.runs.namePrefix} placeholder={text.runs.namePrefix} value={param("namePrefix")}
            onInput={(event) => later("namePrefix", event.currentTarget.value)} />
        </label>
        <div class="seg" role="group" aria-label={text.runs.phase}>
          <For each={phases}>{(phase) => (
            <button type="button" aria-pressed={param("phase") === phase} onClick={() => setParams({ phase, cursor: "" })}>
              <Show when={phase}><Mark look={phase === "Live" ? "running" : lookOfRun(phase)} /></Show>
              {phase ? (phase === "Live" ? text.runs.Live : text.phase[lookOfRun(phase)]) : text.runs.any}
            </button>
          )}</For>
        </div>
        <details open={moreNames.some((name) => param(name))}>
          <summary class="btn quiet">{text.runs.moreFilters}</summary>
          <div class="filters">
        <input class="input" aria-label={text.runs.dag} placeholder={text.runs.dag} value={param("dag")}
          onChange={(event) => setParams({ dag: event.currentTarget.value, cursor: "" })} />
        <select class="input" aria-label={text.runs.trigger} onChange={(event) => setParams({ trigger: event.currentTarget.value, cursor: "" })}>
          <For each={triggers}>{(trigger) => (
            <option value={trigger} selected={param("trigger") === trigger}>{trigger ? text.runs[trigger] : text.runs.anyTrigger}</option>
          )}</For>
        </select>
        <input class="input" aria-label={text.runs.requestedBy} placeholder={text.runs.requestedBy} value={param("requestedBy")}
          onChange={(event) => setParams({ requestedBy: event.currentTarget.value, cursor: "" })} />
        <label class="dim">{text.runs.from(zoneName())} <input class="input" type="datetime-local" value={param("from")}
          onChange={(event) => setParams({ from: event.currentTarget.value, cursor: "" })} /></label>
        <label class="dim">{text.runs.until(zoneName())} <input class="input" type="datetime-local" value={param("to")}
          onChange={(event) => setParams({ to: event.currentTarget.value, cursor: "" })} /></label>
          </div>
        </details>
        <Show when={isFiltered()}><button class="btn quiet" type="button" onClick={clear}>{text.runs.clear}</button></Show>
      </div>
      <Lacks lists={[pending.data()]} />
      <Show when={pending.data()?.items.length}><PendingTable runs={pending.data()?.items ?? []} /></Show>
      <Loaded reading={list} rows={10}>{(page) => (
        <Show when={page().items.length} fallback={
          <Empty title={text.runs.none} hint={isFiltered() ? text.runs.noneHint : text.dag.noRunsHint}>
            <Show when={isFiltered()}><button class="btn" type="button" onClick={clear}>{text.runs.clear}</button></Show>
          </Empty>
        }>
          <div class="panel"><RunTable runs={page().items} refresh={list.refresh} /></div>
          <Pager page={page()} />
        </Show>
      )}</Loaded>
    </>
  );
}

function PendingTable(props: { runs: PendingRun[] }): JSX.Element {
  return (
    <section class="panel before-list" aria-label={text.runs.pendingTitle}>
      <header><h2>{text.runs.pendingTitle}</h2><span class="n">{props.runs.length}</span></header>
      <ul class="lines-list">
        <Keyed each={props.runs} by={(run) => run.uid}>{(run) => (
          <li>
            <Mark look="waiting" label={text.phase.waiting} />
            <span class="name"><span class="of">{run().namespace} / {run().dag} / </span><a class="row" href={to.pending(run().namespace, run().name)}>{run().name}</a></span>
            <span class="dim"><Show when={run().reason}><span class="reason">{run().reason}</span> </Show><Said text={run().message} /></span>
            <span class="faint end"><Ago at={run().createdAt} /></span>
          </li>
        )}</Keyed>
      </ul>
    </section>
  );
}

/** Outcome is what became of a run that something was done to. */
interface Outcome {
  name: string;
  problem?: Problem;
  /** What became of it, if it failed. */
  said?: string;
}

type Action = "cancel" | "again" | "remove";

const doTo: Record<Action, (uid: string) => Promise<unknown>> = {
  cancel: (uid) => runs.cancel(uid), again: (uid) => runs.again(uid), remove: (uid) => runs.remove(uid),
};

/** RunTable lists runs. Those of a namespace in which the user may do so can be selected. */
export function RunTable(props: { runs: Run[]; isOfOneDag?: boolean; refresh: () => void }): JSX.Element {
  const [selected, setSelected] = createSignal<ReadonlySet<string>>(new Set());
  const [asked, setAsked] = createSignal<Action>();
  const [outcomes, setOutcomes] = createSignal<Outcome[]>([]);
  const selectable = () => props.runs.filter((run) => may(run.namespace, "operator"));
  const chosen = () => selectable().filter((run) => selected().has(run.uid));
  const toggle = (uid: string, isOn: boolean) => {
    const next = new Set(selected());
    if (isOn) next.add(uid);
    else next.delete(uid);
    setSelected(next);
  };
  const [perform, isPerforming] = createAction(async (action: Action) => {
    const results: Outcome[] = [];
    const open = new Set<string>(); // It may or may not be done, so it stays selected.
    for (const run of chosen()) {
      try {
        await doTo[action](run.uid);
        results.push({ name: run.name });
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.isOutcomeUnknown) open.add(run.uid);
        results.push({ name: run.name, problem: error, said: outcomeOf(error, action === "again") });
      }
      setOutcomes([...results]);
    }
    setSelected(open);
    props.refresh();
  });
  const titles = { cancel: text.runs.confirmCancel, again: text.runs.confirmAgain, remove: text.runs.confirmRemove };
  const hints = { cancel: text.runs.confirmCancelHint, again: text.runs.confirmAgainHint, remove: text.runs.confirmRemoveHint };
  const canRemove = () => chosen().every((run) => may(run.namespace, "editor"));
  return (
    <>
      <Show when={chosen().length}>
        <div class="selection" role="toolbar" aria-label={text.runs.selected(chosen().length)}>
          <b>{text.runs.selected(chosen().length)}</b>
          <button class="btn" type="button" disabled={isPerforming()} onClick={() => setAsked("cancel")}>{text.runs.cancel}</button>
          <button class="btn" type="button" disabled={isPerforming()} onClick={() => setAsked("again")}>{text.runs.again}</button>
          <Show when={canRemove()}>
            <button class="btn danger" type="button" disabled={isPerforming()} onClick={() => setAsked("remove")}>{text.runs.remove}</button>
          </Show>
        </div>
      </Show>
      <Show when={outcomes().length}>
        <div class="results" role="status">
          <h3>{text.runs.results}</h3>
          <ul><For each={outcomes()}>{(outcome) => (
            <li><Mark look={outcome.problem ? "failed" : "succeeded"} label={outcome.problem ? text.runs.failed : text.runs.done} />
              {outcome.name}<Show when={outcome.problem}>{(problem) => <span class="dim">: {problem().message.replace(/\.$/, "")}. {problem().detail} {outcome.said}</span>}</Show></li>
          )}</For></ul>
          <button class="btn quiet" type="button" onClick={() => setOutcomes([])}>{text.shell.close}</button>
        </div>
      </Show>
      <table class="table runs-table cards">
        <thead>
          <tr>
            <Show when={selectable().length}>
              <th class="check"><input type="checkbox" aria-label={text.runs.selectAll} checked={chosen().length === selectable().length}
                onChange={(event) => setSelected(new Set(event.currentTarget.checked ? selectable().map((run) => run.uid) : []))} /></th>
            </Show>
            <th>{text.runs.name}</th><th class="num">{text.runs.tasks}</th><th>{text.runs.started}</th>
            <th class="num">{text.runs.took}</th><th class="mid">{text.runs.by}</th>
          </tr>
        </thead>
        <tbody>
          <Keyed each={props.runs} by={(run) => run.uid}>{(run) => (
            <tr aria-selected={selected().has(run().uid) ? "true" : undefined}>
              <Show when={selectable().length}>
                <td class="check"><Show when={may(run().namespace, "operator")}>
                  <input type="checkbox" aria-label={text.runs.select(run().name)} checked={selected().has(run().uid)}
                    onChange={(event) => toggle(run().uid, event.currentTarget.checked)} />
                </Show></td>
              </Show>
              <td class="name">
                <div>
                  <Mark look={lookOfRun(run().phase)} label={run().phase} />
                  <div>
                    <Show when={!props.isOfOneDag}><span class="of">{run().namespace} / {run().dag} / </span></Show>
                    <a class="row" href={to.run(run().uid)}>{run().name}</a>
                    <Show when={run().reason}><small><span class="reason" data-phase={lookOfRun(run().phase)}>{run().reason}</span> <Said text={run().message} /></small></Show>
                  </div>
                </div>
              </td>
              <td class="num tasks"><TaskCount run={run()} /></td>
              <td class="started"><At at={run().startedAt ?? run().admittedAt ?? run().createdAt} /></td>
              <td class="num took"><Took from={run().startedAt} until={run().finishedAt} /></td>
              <td class="mid dim">{originOf(run())}</td>
            </tr>
          )}</Keyed>
        </tbody>
      </table>
      <Show when={asked()} keyed>{(action) => (
        <Confirm title={titles[action](chosen().length)} hint={hints[action]} action={text.runs[action]} isDanger={action !== "again"}
          close={() => setAsked(undefined)} confirm={() => void perform(action)} />
      )}</Show>
    </>
  );
}

const originOf = (run: Run) =>
  run.trigger ? text.runs.sub(text.runs[run.trigger], run.requestedBy ?? "") : run.requestedBy ?? "";

/** TaskCount is the number of tasks that have ended, of all, and of those that failed. */
function TaskCount(props: { run: Run }): JSX.Element {
  const tasks = () => props.run.tasks;
  const look: Look = "failed";
  return (
    <>
      <Show when={tasks().failed}><span class="phase" data-phase={look}><Mark look={look} label={text.phase[look]} />{number(tasks().failed)}</span> </Show>
      {number(tasks().succeeded + tasks().failed + tasks().skipped + tasks().cancelled)}/{number(tasks().total)}
    </>
  );
}

