import { createSignal, For, Show, type JSX } from "solid-js";
import type { Problem } from "../api/problem";
import type { Incomplete } from "../api/types";
import type { Reading } from "../reading";
import { text } from "../text";
import { Icon, Mark } from "./icons";

/** outcomeOf says what became of a write that failed. isStart is true if repeating it starts the same run. */
export function outcomeOf(problem: Problem, isStart = false): string {
  if (!problem.isOutcomeUnknown) return text.problem.nothingSaved;
  return isStart ? text.problem.unknownStart : text.problem.unknownOutcome;
}

/** ProblemNotice says what failed, what that means, and the id by which the server's log has it. */
export function ProblemNotice(props: {
  problem: Problem; retry?: () => void; isWrite?: boolean; advice?: string | undefined;
}): JSX.Element {
  const advice = () =>
    props.advice ?? (props.isWrite ? outcomeOf(props.problem) : text.problem.advice(props.problem.kind));
  return (
    <div class="notice" data-phase="failed" role="alert">
      <Mark look="failed" />
      <div>
        <h2>{props.problem.message}</h2>
        <Show when={props.problem.detail}><p>{props.problem.detail}</p></Show>
        <Show when={props.problem.faults.length > 0}>
          <ul class="faults">
            <For each={props.problem.faults}>{(fault) => <li><code>{fault.pointer}</code> {fault.detail}</li>}</For>
          </ul>
        </Show>
        <Show when={advice()}><p>{advice()}</p></Show>
        <Show when={props.problem.requestId}><p class="id">{text.problem.request(props.problem.requestId)}</p></Show>
        <Show when={props.retry}>
          <button class="btn" type="button" onClick={() => props.retry?.()}>{text.problem.again}</button>
        </Show>
      </div>
    </div>
  );
}

/** Skeleton stands where rows will be. It does not move. */
export function Skeleton(props: { rows?: number }): JSX.Element {
  return (
    <div class="skeleton" role="status" aria-label={text.shell.loading}>
      <For each={Array.from({ length: props.rows ?? 5 })}>{() => <div><span class="skel" /><span class="skel short" /></div>}</For>
    </div>
  );
}

/** Loaded shows what was read. Until then it shows a skeleton, or why nothing could be read. */
export function Loaded<T>(props: {
  reading: Reading<T>; rows?: number; children: (data: () => T) => JSX.Element;
}): JSX.Element {
  return (
    <>
      <Show when={props.reading.problem()}>
        {(problem) => <div class="pad"><ProblemNotice problem={problem()} retry={props.reading.refresh} /></div>}
      </Show>
      <Show when={props.reading.data() !== undefined}
        fallback={<Show when={!props.reading.problem()}><Skeleton rows={props.rows ?? 5} /></Show>}>
        {props.children(() => props.reading.data() as T)}
      </Show>
    </>
  );
}

/** Lacks says which namespaces are missing in lists, and why: each once. */
export function Lacks(props: { lists: (Incomplete | undefined)[] }): JSX.Element {
  const each = () => {
    const all = props.lists.flatMap((list) => list?.unavailableNamespaces ?? []);
    return all.filter((one, index) => all.findIndex((other) => other.namespace === one.namespace) === index);
  };
  return <For each={each()}>{(one) => <Notice title={text.problem.lacks(one.namespace)} detail={one.detail} />}</For>;
}

/** Notice says what a view lacks. */
export function Notice(props: { title: string; detail: string }): JSX.Element {
  return (
    <div class="notice before-list" role="status">
      <div><h2>{props.title}</h2><p>{props.detail}</p></div>
    </div>
  );
}

/** Empty says that a list is empty, and what to do about it. */
export function Empty(props: { title: string; hint?: string; children?: JSX.Element }): JSX.Element {
  return (
    <div class="empty">
      <h2>{props.title}</h2>
      <Show when={props.hint}><p>{props.hint}</p></Show>
      {props.children}
    </div>
  );
}

/** CopyButton copies a text, and says so. */
export function CopyButton(props: { value: string; label: string; icon?: boolean }): JSX.Element {
  const [isDone, setDone] = createSignal(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(props.value);
      setDone(true);
      setTimeout(() => setDone(false), 2000);
    } catch {
      // Without permission, the text can still be selected.
    }
  };
  return (
    <button class="btn quiet" classList={{ icon: props.icon ?? false }} type="button" aria-label={props.label}
      title={props.label} onClick={() => void copy()}>
      <Icon name="copy" />
      <Show when={!props.icon}>{isDone() ? text.dag.definition.copied : props.label}</Show>
      <Show when={props.icon && isDone()}><span class="sr" role="status">{text.dag.definition.copied}</span></Show>
    </button>
  );
}

/** Code is a block of code that can be copied. */
export function Code(props: { value: string }): JSX.Element {
  return (
    <div class="code-block">
      <pre class="code" tabindex="0">{props.value}</pre>
      <CopyButton value={props.value} label={text.dag.definition.copy} icon />
    </div>
  );
}
