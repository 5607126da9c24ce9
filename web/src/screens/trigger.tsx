import { createEffect, createMemo, createSignal, For, on, onCleanup, onMount, Show, type JSX } from "solid-js";
import { createStore, reconcile } from "solid-js/store";
import { dags, runs } from "../api/calls";
import { Problem } from "../api/problem";
import type { Parameter, ParameterValue, Run, RunDetail, RunParameter } from "../api/types";
import { defaultOf, isSecret, overridesOf, valuesOfRun, type Values } from "../parameters";
import { Loaded, outcomeOf, ProblemNotice } from "../parts/states";
import { createReading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { may } from "../session";
import { text } from "../text";
import { clock } from "../time";
import { keepTyped, typedAt } from "../typed";

/** The server checks what was typed when nothing has been typed for so long. */
const checkDelay = 400;

export default function Trigger(): JSX.Element {
  const namespace = place().segments[1] ?? "", name = place().segments[2] ?? "";
  const dag = createReading(() => ({}), (_, signal) => dags.one(namespace, name, signal));
  const newest = createReading(() => ({}), (_, signal) => runs.list({ namespace, dag: name, limit: 20 }, signal));
  const from = createReading(() => param("from") || undefined, (uid, signal) => runs.one(uid, signal));
  createEffect(() => (document.title = text.shell.title(text.trigger.title(name))));
  /** The run to take values from. While another one is read, it is still the one before, so that the form stays. */
  const chosen = createMemo<RunDetail | undefined>((before) => (param("from") ? from.data() ?? before : undefined));
  const isReady = createMemo<boolean>(
    (before) => before || !param("from") || Boolean(from.data() ?? from.problem()), false);
  /** The runs to take values from: the newest ones, and the one of the address, however old it is. */
  const earlier = (): Run[] => {
    const listed = newest.data()?.items ?? [], taken = chosen();
    return taken && !listed.some((run) => run.uid === taken.uid) ? [...listed, taken] : listed;
  };
  return (
    <>
      <div class="head"><h1><span class="of"><a href={to.dags({ namespace })}>{namespace}</a> / <a href={to.dag(namespace, name)}>{name}</a> / </span>{text.trigger.of}</h1></div>
      <Show when={from.problem()}>{(problem) => <ProblemNotice problem={problem()} retry={from.refresh} />}</Show>
      <Loaded reading={dag} rows={4}>{(data) => (
        <Show when={isReady()}>
          <Form namespace={namespace} name={name} parameters={data().manifest?.spec.parameters ?? []}
            isSuspended={data().suspended} earlier={earlier()}
            from={chosen()?.parameters as RunParameter[] | undefined} />
        </Show>
      )}</Loaded>
    </>
  );
}

/** Verdict is what the server said of a request: what is wrong with it, or nothing. */
interface Verdict {
  of: ParameterValue[];
  /** It is of a dry run, which starts nothing. */
  isOfCheck: boolean;
  problem?: Problem;
}

/** faultOf is what a verdict says of a parameter. Pointers count the parameters that were sent. */
export function faultOf(verdict: Verdict | undefined, parameter: string): string | undefined {
  const index = verdict?.of.findIndex((each) => each.name === parameter) ?? -1;
  if (index < 0) return undefined;
  const pointer = new RegExp(`^/parameters/${index}(/|$)`);
  return verdict?.problem?.faults.find((fault) => pointer.test(fault.pointer))?.detail;
}

/** Typed is what is kept of the form: the run that values were taken from, and the values. */
interface Typed {
  from: string;
  values: Values;
}

function Form(props: {
  namespace: string; name: string; parameters: Parameter[]; isSuspended: boolean; earlier: Run[];
  from: RunParameter[] | undefined;
}): JSX.Element {
  const isEditor = () => may(props.namespace, "editor");
  /** Whoever may not name a Secret is not shown which it is. */
  const shown = () => props.parameters.filter((parameter) => isEditor() || !isSecret(parameter));
  const prefill = createMemo(() => (props.from ? valuesOfRun(shown(), props.from) : {}));
  const hasLost = () => {
    const all = props.from ? valuesOfRun(props.parameters, props.from) : {};
    return Object.keys(all).some((name) => prefill()[name] === undefined);
  };
  const [values, setValues] = createStore<Values>({});
  const draft = `trigger ${props.namespace}/${props.name}`;
  let typed = typedAt<Typed>(draft);
  createEffect(on(() => props.from, () => {
    setValues(reconcile({ ...(typed?.from === param("from") ? typed.values : prefill()) }));
    typed = undefined;
  }));
  keepTyped(draft, () => {
    const text = JSON.stringify({ from: param("from"), values } satisfies Typed);
    return JSON.stringify(values) === JSON.stringify(prefill()) ? undefined : text;
  });
  const overrides = createMemo(() => overridesOf(shown(), values));
  const [isWorking, setWorking] = createSignal(false);
  const [verdict, setVerdict] = createSignal<Verdict>();

  /** judge sends a request, and keeps what the server says of it. It reports whether the server took it. */
  const judge = async (of: ParameterValue[], request: () => Promise<void>, signal?: AbortSignal) => {
    const isOfCheck = signal !== undefined;
    try {
      await request();
      if (!signal?.aborted) setVerdict({ of, isOfCheck });
      return true;
    } catch (error) {
      if (signal?.aborted) return false;
      if (!(error instanceof Problem)) throw error;
      setVerdict({ of, isOfCheck, problem: error });
      return false;
    }
  };
  let checking: AbortController | undefined;
  const stopChecking = () => checking?.abort();
  createEffect(on(() => JSON.stringify(overrides()), () => {
    stopChecking();
    const { signal } = (checking = new AbortController());
    const of = overrides();
    const check = () => dags.checkTrigger(props.namespace, props.name, of, signal);
    const timer = setTimeout(() => void judge(of, check, signal), checkDelay);
    signal.addEventListener("abort", () => clearTimeout(timer));
  }));
  onCleanup(stopChecking);
  let submitButton!: HTMLButtonElement;
  onMount(() => shown().length || submitButton.focus());

  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    stopChecking();
    setWorking(true);
    const of = overrides();
    await judge(of, async () => {
      const created = await dags.trigger(props.namespace, props.name, of);
      go(to.pending(created.namespace, created.name), { replace: true });
    });
    setWorking(false);
  };
  /** The faults that no field shows. */
  const remaining = () => {
    const problem = verdict()?.problem;
    const atFields = shown().filter((parameter) => faultOf(verdict(), parameter.name)).length;
    return problem && (atFields === 0 || atFields < problem.faults.length) ? problem : undefined;
  };
  return (
    <form class="panel form" onSubmit={(event) => void submit(event)}>
      <Show when={props.isSuspended}><p class="notice">{text.trigger.suspended}</p></Show>
      <Show when={shown().length} fallback={<p class="dim"><b>{text.trigger.none}</b> {text.trigger.none2}</p>}>
        <Show when={props.earlier.length}>
          <label class="field">{text.trigger.from}
            <select class="input" onChange={(event) => setParams({ from: event.currentTarget.value })}>
              <option value="" selected={!param("from")}>{text.trigger.defaults}</option>
              <For each={props.earlier}>{(run) => (
                <option value={run.uid} selected={param("from") === run.uid}>{`${run.name}, ${clock(run.startedAt ?? run.admittedAt ?? run.createdAt)}, ${run.phase}`}</option>
              )}</For>
            </select>
          </label>
        </Show>
        <h2>{text.trigger.parameters}</h2>
        <For each={shown()}>{(parameter, index) => (
          <Field id={`p-${index()}`} parameter={parameter} value={values[parameter.name] ?? defaultOf(parameter)}
            isLong={(prefill()[parameter.name] ?? defaultOf(parameter)).includes("\n")} isFirst={index() === 0}
            fault={faultOf(verdict(), parameter.name)} change={(value) => setValues(parameter.name, value)} />
        )}</For>
      </Show>
      <Show when={hasLost()}><p class="notice">{text.trigger.lostSecret}</p></Show>
      <Show when={remaining()}>{(problem) => (
        <ProblemNotice problem={problem()} advice={verdict()?.isOfCheck ? undefined : outcomeOf(problem(), true)} />
      )}</Show>
      <div class="dialog-actions">
        <p class="hint checked" role="status">
          {verdict() && !verdict()?.problem?.isOutcomeUnknown &&
            (verdict()?.problem ? text.trigger.refused : text.trigger.right)}
        </p>
        <a class="btn" href={to.dag(props.namespace, props.name)}>{text.trigger.cancel}</a>
        <button class="btn primary" type="submit" disabled={isWorking()} ref={submitButton}>
          {isWorking() ? text.trigger.working : text.trigger.submit}
        </button>
      </div>
    </form>
  );
}

/** Field is where a parameter is typed. One whose value had several lines has room for several. */
function Field(props: {
  id: string; parameter: Parameter; value: string; isLong: boolean; isFirst: boolean; fault: string | undefined;
  change: (value: string | undefined) => void;
}): JSX.Element {
  const initial = () => defaultOf(props.parameter);
  let first: HTMLInputElement | HTMLTextAreaElement | undefined;
  onMount(() => first?.focus()); // A browser honours autofocus once a page.
  const focusFirst = (field: HTMLInputElement | HTMLTextAreaElement) => (first = props.isFirst ? field : undefined);
  const hint = () =>
    isSecret(props.parameter) ? text.trigger.secret : text.trigger.default(initial() || text.trigger.empty);
  const common = () => ({
    id: props.id, spellcheck: false, "aria-describedby": `${props.id}-hint`,
    "aria-invalid": props.fault ? "true" as const : undefined,
  });
  return (
    <div class="field">
      <label for={props.id}><code>{props.parameter.name}</code></label>
      <Show when={props.isLong} fallback={
        <input class="input mono" {...common()} value={props.value} autocomplete="off" ref={focusFirst}
          onInput={(event) => props.change(event.currentTarget.value)} />
      }>
        <textarea class="input mono" {...common()} rows="4" value={props.value} ref={focusFirst}
          onInput={(event) => props.change(event.currentTarget.value)} />
      </Show>
      <p class="hint" id={`${props.id}-hint`}>
        <Show when={props.fault} fallback={hint()}>{(fault) => <span class="said">{fault()}</span>}</Show>
        <Show when={props.value !== initial()}>
          {" "}<button class="link-button" type="button" onClick={() => props.change(undefined)}>
            {text.trigger.reset}
          </button>
        </Show>
      </p>
    </div>
  );
}
