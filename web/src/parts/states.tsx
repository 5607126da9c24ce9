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

/** copyText copies a text, and reports whether it could. Browsers have no clipboard API on plain HTTP. */
async function copyText(value: string, button: HTMLElement): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(value);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.className = "sr";
    area.value = value;
    button.after(area); // within a dialog that is open, outside of which nothing can be selected
    area.focus();
    area.select();
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    } finally {
      area.remove();
      button.focus();
    }
  }
}

/** CopyButton copies a text, and says whether it is copied. */
export function CopyButton(props: { value: string; label: string; icon?: boolean }): JSX.Element {
  const [said, setSaid] = createSignal("");
  const copy = async (button: HTMLElement) => {
    const isCopied = await copyText(props.value, button);
    setSaid(isCopied ? text.dag.definition.copied : text.dag.definition.notCopied);
    if (isCopied) setTimeout(() => setSaid(""), 2000);
  };
  return (
    <button class="btn quiet" classList={{ icon: props.icon ?? false }} type="button" aria-label={props.label}
      title={props.label} onClick={(event) => void copy(event.currentTarget)}>
      <Icon name="copy" />
      <Show when={!props.icon}>{said() || props.label}</Show>
      <Show when={props.icon && said()}>
        <span classList={{ sr: said() === text.dag.definition.copied }} role="status">{said()}</span>
      </Show>
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
