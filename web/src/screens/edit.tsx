import { createEffect, createMemo, createSignal, on, Show, type JSX } from "solid-js";
import { dags } from "../api/calls";
import { Problem } from "../api/problem";
import type { DAGDetail, Manifest } from "../api/types";
import { Loaded, ProblemNotice } from "../parts/states";
import { say } from "../parts/toasts";
import { createReading } from "../reading";
import { go, place, to } from "../router";
import { may } from "../session";
import { text } from "../text";
import { toYAML } from "../yaml";

/** draftOf is the part of a manifest that somebody edits. */
export function draftOf(manifest: Manifest): string {
  const { name, namespace, labels, annotations } = manifest.metadata;
  return `${toYAML({ apiVersion: manifest.apiVersion, kind: manifest.kind, metadata: { name, namespace, labels, annotations }, spec: manifest.spec })}\n`;
}

/** Draft is what was typed. It survives a reload in this tab. */
interface Draft {
  text: string;
  generation: number;
}

function stored(key: string): Draft | undefined {
  try {
    return (JSON.parse(sessionStorage.getItem(key) ?? "null") as Draft | null) ?? undefined;
  } catch {
    return undefined;
  }
}

function store(key: string, draft: Draft | undefined): void {
  try {
    if (draft) sessionStorage.setItem(key, JSON.stringify(draft));
    else sessionStorage.removeItem(key);
  } catch {
    // A browser that stores nothing still saves to the server.
  }
}

/** Edit changes a DAG as YAML. The server checks it, and names what is wrong. */
export default function Edit(): JSX.Element {
  const namespace = place().segments[1] ?? "", name = place().segments[2] ?? "";
  const dag = createReading(() => ({}), (_, signal) => dags.one(namespace, name, signal));
  createEffect(() => (document.title = text.shell.title(text.edit.title(name))));
  return (
    <>
      <div class="head"><h1><span class="of"><a href={to.dags({ namespace })}>{namespace}</a> / <a href={to.dag(namespace, name)}>{name}</a> / </span>{text.edit.of}</h1></div>
      <Loaded reading={dag} rows={8}>{(data) => (
        <Show when={data().manifest && may(namespace, "editor")} fallback={<p class="notice">{text.edit.forbidden}</p>}>
          <Editor dag={data()} latest={dag.refresh} />
        </Show>
      )}</Loaded>
    </>
  );
}

function Editor(props: { dag: DAGDetail; latest: () => void }): JSX.Element {
  const { namespace, name } = props.dag;
  const key = `draft ${namespace}/${name}`;
  const original = createMemo(() => draftOf(props.dag.manifest as Manifest));
  const before = stored(key);
  const [draft, setDraft] = createSignal<Draft>(before ?? { text: original(), generation: props.dag.generation ?? 0 });
  const [problem, setProblem] = createSignal<Problem>();
  const [isWorking, setWorking] = createSignal(false);
  const isChanged = () => draft().text !== original();
  createEffect(on(draft, (now) => store(key, isChanged() ? now : undefined), { defer: true }));
  const attempt = async (action: () => Promise<void>) => {
    setWorking(true);
    setProblem(undefined);
    try {
      await action();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      if (error.kind === "precondition-failed") props.latest();
    } finally {
      setWorking(false);
    }
  };
  const check = () => attempt(async () => {
    const { warnings } = await dags.validate(namespace, draft().text);
    say([text.edit.isValid, ...warnings].join(" "));
  });
  const save = (generation: number, isForced = false) => attempt(async () => {
    await dags.update(namespace, name, generation, draft().text, isForced);
    store(key, undefined);
    say(text.edit.saved(name));
    go(to.dag(namespace, name, "definition"), { replace: true });
  });
  const isOutdated = () => problem()?.kind === "precondition-failed";
  return (
    <form class="editor" onSubmit={(event) => { event.preventDefault(); void save(draft().generation); }}>
      <Show when={before}><p class="notice">{text.edit.restored}</p></Show>
      <Show when={problem()}>{(shown) => <ProblemNotice problem={shown()} isWrite />}</Show>
      <Show when={isOutdated()}>
        <p class="notice">{text.edit.conflict}
          <button class="btn" type="button" onClick={() => void save(props.dag.generation ?? 0)}>{text.edit.overwrite}</button></p>
      </Show>
      <Show when={problem()?.kind === "conflict"}>
        <p class="notice">{text.edit.managed}
          <button class="btn" type="button" onClick={() => void save(draft().generation, true)}>{text.edit.force}</button></p>
      </Show>
      <textarea class="input mono yaml" aria-label={text.edit.label} spellcheck={false} rows={Math.min(40, Math.max(16, draft().text.split("\n").length))}
        value={draft().text} onInput={(event) => setDraft({ ...draft(), text: event.currentTarget.value })} />
      <div class="dialog-actions">
        <a class="btn" href={to.dag(namespace, name, "definition")}>{text.edit.back}</a>
        <button class="btn" type="button" disabled={!isChanged()} onClick={() => { setDraft({ text: original(), generation: props.dag.generation ?? 0 }); setProblem(undefined); }}>{text.edit.reset}</button>
        <button class="btn" type="button" disabled={isWorking()} onClick={() => void check()}>{text.edit.check}</button>
        <button class="btn primary" type="submit" disabled={isWorking() || !isChanged()}>{text.edit.save}</button>
      </div>
    </form>
  );
}
