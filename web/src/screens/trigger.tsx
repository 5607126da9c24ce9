import { createEffect, createMemo, createSignal, For, Show, type JSX } from "solid-js";
import { createStore, reconcile } from "solid-js/store";
import { dags, runs } from "../api/calls";
import { Problem } from "../api/problem";
import type { Parameter, ParameterValue, Run, RunParameter } from "../api/types";
import { Loaded, ProblemNotice } from "../parts/states";
import { createReading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { may } from "../session";
import { text } from "../text";
import { clock } from "../time";

/** Values are what was typed, by parameter. A parameter that is not in it has its default. */
export type Values = Record<string, string>;

const isSecret = (parameter: Parameter) => Boolean(parameter.defaultFromSecret ?? parameter.defaultSecretKeyRef);

/** valuesOfRun returns what an earlier run had other than the defaults. Secret parameters are names. */
export function valuesOfRun(parameters: Parameter[], run: RunParameter[]): Values {
  const values: Values = {};
  for (const had of run) {
    const parameter = parameters.find((each) => each.name === had.name);
    if (!parameter) continue;
    const [now, before] = isSecret(parameter) ? [secretDefault(parameter), had.secret] : [parameter.defaultValue ?? "", had.value];
    if (before !== undefined && before !== now) values[had.name] = before;
  }
  return values;
}

const secretDefault = (parameter: Parameter) => parameter.defaultFromSecret ?? parameter.defaultSecretKeyRef?.name ?? "";

/** overridesOf makes the parameters of the request: those that differ from their defaults. */
export function overridesOf(parameters: Parameter[], values: Values): ParameterValue[] {
  return parameters.flatMap((parameter): ParameterValue[] => {
    const value = values[parameter.name];
    if (value === undefined) return [];
    if (!isSecret(parameter)) return value === (parameter.defaultValue ?? "") ? [] : [{ name: parameter.name, value }];
    if (value === secretDefault(parameter) || value === "") return [];
    return parameter.defaultSecretKeyRef
      ? [{ name: parameter.name, secretKeyRef: { name: value, key: parameter.defaultSecretKeyRef.key } }]
      : [{ name: parameter.name, fromSecret: value }];
  });
}

export default function Trigger(): JSX.Element {
  const namespace = place().segments[1] ?? "", name = place().segments[2] ?? "";
  const dag = createReading(() => ({}), (_, signal) => dags.one(namespace, name, signal));
  const earlier = createReading(() => ({}), (_, signal) => runs.list({ namespace, dag: name, limit: 20 }, signal));
  const from = createReading(() => param("from") || undefined, (uid, signal) => runs.one(uid, signal));
  createEffect(() => (document.title = text.shell.title(text.trigger.title(name))));
  return (
    <>
      <div class="head"><h1><span class="of"><a href={to.dags({ namespace })}>{namespace}</a> / <a href={to.dag(namespace, name)}>{name}</a> / </span>{text.trigger.of}</h1></div>
      <Loaded reading={dag} rows={4}>{(data) => (
        <Show when={!param("from") || from.data() || from.problem()}>
          <Form namespace={namespace} name={name} parameters={data().manifest?.spec.parameters ?? []}
            isSuspended={data().suspended} isInvalid={data().valid === false} earlier={earlier.data()?.items ?? []}
            from={from.data()?.parameters as RunParameter[] | undefined} />
        </Show>
      )}</Loaded>
    </>
  );
}

function Form(props: {
  namespace: string; name: string; parameters: Parameter[]; isSuspended: boolean; isInvalid: boolean; earlier: Run[];
  from: RunParameter[] | undefined;
}): JSX.Element {
  const [values, setValues] = createStore<Values>({});
  const [isWorking, setWorking] = createSignal(false);
  const [problem, setProblem] = createSignal<Problem>();
  // The same key on every try of this form: a repeated request starts one run.
  const key = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  createEffect(() => setValues(reconcile(props.from ? valuesOfRun(props.parameters, props.from) : {})));
  const overrides = createMemo(() => overridesOf(props.parameters, values));
  const isEditor = () => may(props.namespace, "editor");
  const faultOf = (parameter: string) => {
    const index = overrides().findIndex((each) => each.name === parameter);
    return problem()?.faults.find((fault) => index >= 0 && new RegExp(`/parameters/${index}(/|$)`).test(fault.pointer))?.detail;
  };
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    setWorking(true);
    setProblem(undefined);
    try {
      const created = await dags.trigger(props.namespace, props.name, overrides(), key);
      go(to.pending(created.namespace, created.name), { replace: true });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setWorking(false);
    }
  };
  const reset = (parameter: string) => setValues(parameter, undefined as never);
  return (
    <form class="panel form" onSubmit={(event) => void submit(event)}>
      <Show when={props.isInvalid}><p class="notice" data-phase="failed">{text.trigger.invalid}</p></Show>
      <Show when={props.isSuspended}><p class="notice">{text.trigger.suspended}</p></Show>
      <Show when={props.parameters.length} fallback={<p class="dim"><b>{text.trigger.none}</b> {text.trigger.none2}</p>}>
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
        <For each={props.parameters}>{(parameter, index) => {
          const initial = isSecret(parameter) ? secretDefault(parameter) : parameter.defaultValue ?? "";
          const value = () => values[parameter.name] ?? initial;
          const isReadOnly = () => isSecret(parameter) && !isEditor();
          const hint = () => isSecret(parameter)
            ? isReadOnly() ? `${text.trigger.secretOf(initial)}. ${text.trigger.secretEditors}` : text.trigger.secret
            : text.trigger.default(initial || text.trigger.empty);
          return (
            <div class="field">
              <label for={`p-${index()}`}><code>{parameter.name}</code></label>
              <Show when={!isReadOnly()}>
                <Show when={value().includes("\n")} fallback={
                  <input id={`p-${index()}`} class="input mono" value={value()} spellcheck={false} autocomplete="off" autofocus={index() === 0}
                    aria-describedby={`h-${index()}`} aria-invalid={faultOf(parameter.name) ? "true" : undefined}
                    onInput={(event) => setValues(parameter.name, event.currentTarget.value)} />
                }>
                  <textarea id={`p-${index()}`} class="input mono" rows="4" spellcheck={false} aria-describedby={`h-${index()}`}
                    onInput={(event) => setValues(parameter.name, event.currentTarget.value)}>{value()}</textarea>
                </Show>
              </Show>
              <p class="hint" id={`h-${index()}`}>
                <Show when={faultOf(parameter.name)} fallback={hint()}>{(fault) => <span class="said">{fault()}</span>}</Show>
                <Show when={value() !== initial && !isReadOnly()}>
                  {" "}<button class="link-button" type="button" onClick={() => reset(parameter.name)}>{text.trigger.reset}</button>
                </Show>
              </p>
            </div>
          );
        }}</For>
      </Show>
      <Show when={problem()}>{(shown) => <ProblemNotice problem={shown()} isWrite />}</Show>
      <div class="dialog-actions">
        <a class="btn" href={to.dag(props.namespace, props.name)}>{text.trigger.cancel}</a>
        <button class="btn primary" type="submit" disabled={isWorking()} autofocus={!props.parameters.length}>{isWorking() ? text.trigger.working : text.trigger.submit}</button>
      </div>
    </form>
  );
}
