import { createEffect, createMemo, createSignal, For, on, onCleanup, Show, type JSX } from "solid-js";
import { createAction } from "../action";
import { dagTasks, dags } from "../api/calls";
import { Problem } from "../api/problem";
import type { DAGDetail, DagTaskDetail, Manifest, Written } from "../api/types";
import { calls, createChecking } from "../editor/checking";
import type { Kind } from "../editor/crd";
import { Difference } from "../editor/diff";
import { draftAt, keepDraft, type Draft } from "../drafts";
import { draftOf } from "../editor/write";
import { FaultsWithoutPlace, Workbench } from "../editor/workbench";
import { Dialog } from "../parts/dialog";
import { Loaded, ProblemNotice } from "../parts/states";
import { say } from "../parts/toasts";
import { isLiveRun } from "../phases";
import { createReading, type Reading } from "../reading";
import { go, place, to } from "../router";
import { may } from "../session";
import { text } from "../text";
import { clock } from "../time";

/** Live is an object that exists, as far as its editor needs it. */
type Live = (DAGDetail | DagTaskDetail) & { manifest?: Manifest };

/** Edit changes a DAG or a DagTask as YAML. The server checks it, and names what is wrong. */
export default function Edit(): JSX.Element {
  const kind: Kind = place().segments[0] === "dags" ? "DAG" : "DagTask";
  const namespace = place().segments[1] ?? "",
    name = place().segments[2] ?? "";
  const live = createReading<object, Live>(
    () => ({}),
    (_, signal) => (kind === "DAG" ? dags : dagTasks).one(namespace, name, signal),
  );
  createEffect(() => (document.title = text.shell.title(text.edit.title(name))));
  const refusal = (data: Live) =>
    !may(namespace, "editor")
      ? text.edit.forbidden
      : kind === "DAG" && data.readOnly
        ? text.edit.foreign
        : data.manifest
          ? ""
          : text.edit.deleted;
  return (
    <div class="edit">
      <Show
        when={live.data() && !refusal(live.data() as Live)}
        fallback={
          <div class="about">
            <Heading kind={kind} namespace={namespace} name={name} />
            <Loaded reading={live} rows={8}>
              {(data) => <p class="notice">{refusal(data())}</p>}
            </Loaded>
          </div>
        }
      >
        <Draft kind={kind} namespace={namespace} name={name} live={live as Reading<Live & { manifest: Manifest }>} />
      </Show>
    </div>
  );
}

function Heading(props: { kind: Kind; namespace: string; name: string }): JSX.Element {
  const list = () => (props.kind === "DAG" ? to.dags : to.dagTasks)({ namespace: props.namespace });
  return (
    <h1>
      <span class="of">
        <a href={list()}>{props.namespace}</a> /{" "}
        <a href={to.object(props.kind, props.namespace, props.name)}>{props.name}</a> /{" "}
      </span>
      {text.edit.of}
    </h1>
  );
}

function Draft(props: {
  kind: Kind;
  namespace: string;
  name: string;
  live: Reading<Live & { manifest: Manifest }>;
}): JSX.Element {
  const { kind, namespace, name } = props;
  const key = `${kind} ${namespace}/${name}`;
  // The last that was read stays while it is read again.
  const live = createMemo<Live & { manifest: Manifest }>(
    (last) => props.live.data() ?? (last as Live & { manifest: Manifest }),
  );
  const original = createMemo(() => draftOf(live().manifest));
  const generation = () => live().generation ?? 0;
  const stored = draftAt(key);
  const [draft, setDraft] = createSignal<Draft>(stored ?? { text: original(), generation: generation() });
  const [asks, setAsks] = createSignal(false);
  const [problem, setProblem] = createSignal<Problem>();
  const [isSaved, setSaved] = createSignal(false);
  const checking = createChecking(
    kind,
    () => namespace,
    () => draft().text,
  );
  const isChanged = () => draft().text !== original();
  const isOutdated = () => draft().generation !== generation();
  createEffect(on([draft, isSaved], () => keepDraft(key, isChanged() && !isSaved() ? draft() : undefined)));
  onCleanup(() => {
    if (!isSaved() && draftAt(key))
      say(text.edit.keptOf(name), { label: text.edit.backTo, run: () => go(to.edit(kind, namespace, name)) });
  });
  const ask = async () => {
    setProblem(undefined);
    if (isChanged() && (await checking.check())) setAsks(true);
  };
  const discard = () => {
    setDraft({ text: original(), generation: generation() });
    setProblem(undefined);
  };
  const save = async (isForced: boolean) => {
    setProblem(undefined);
    let written: Written;
    try {
      written = await calls[kind].update(namespace, name, generation(), draft().text, isForced);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (checking.refuse(error)) setAsks(false);
      else setProblem(error);
      if (error.kind === "precondition-failed" || error.isOutcomeUnknown) props.live.refresh();
      return;
    }
    setSaved(true);
    say(text.edit.saved(name), undefined, written.warnings);
    go(kind === "DAG" ? to.dag(namespace, name, "definition") : to.dagTask(namespace, name), { replace: true });
  };
  const consequences = () => <Consequences kind={kind} live={live()} />;
  return (
    <>
      <div class="about">
        <div class="head">
          <Heading kind={kind} namespace={namespace} name={name} />
          <span class="faint">{text.edit.generation(generation(), live().manager ?? "")}</span>
          <div class="actions">
            <Show
              when={isChanged()}
              fallback={
                <a class="btn" href={to.object(kind, namespace, name)}>
                  {text.edit.back}
                </a>
              }
            >
              <button class="btn" type="button" onClick={discard}>
                {text.edit.discard}
              </button>
            </Show>
            <button class="btn primary" type="button" disabled={!isChanged()} onClick={() => void ask()}>
              {text.edit.save}
            </button>
          </div>
        </div>
        <Show when={stored && isChanged()}>
          <p class="notice">{text.edit.restored}</p>
        </Show>
        <Show when={isOutdated() && isChanged()}>
          <p class="notice" role="alert">
            {text.edit.outdated}
          </p>
        </Show>
        <FaultsWithoutPlace checking={checking} />
      </div>
      <Workbench
        kind={kind}
        namespace={namespace}
        draft={key}
        text={draft().text}
        setText={(now) => setDraft({ ...draft(), text: now })}
        checking={checking}
        save={() => void ask()}
        before={{ text: original(), generation: generation() }}
        consequences={consequences()}
      />
      <Show when={asks()}>
        <Review
          name={name}
          before={original()}
          after={draft().text}
          problem={problem()}
          isOutdated={isOutdated()}
          manager={live().manager}
          consequences={consequences()}
          close={() => {
            setAsks(false);
            setProblem(undefined);
          }}
          save={save}
        />
      </Show>
    </>
  );
}

/** Review shows what saving changes before it is saved. It names what stands in the way, and what to do about it. */
function Review(props: {
  name: string;
  before: string;
  after: string;
  problem: Problem | undefined;
  isOutdated: boolean;
  manager: string | undefined;
  consequences: JSX.Element;
  close: () => void;
  save: (isForced: boolean) => Promise<void>;
}): JSX.Element {
  const isManaged = () => props.problem?.kind === "conflict" && props.manager !== undefined;
  const isChangedMeanwhile = () => props.isOutdated || props.problem?.kind === "precondition-failed";
  const action = () => (isManaged() ? text.edit.force : isChangedMeanwhile() ? text.edit.saveOver : text.edit.save);
  const [save, isSaving] = createAction(() => props.save(isManaged()));
  return (
    <Dialog title={text.edit.review(props.name)} close={props.close} class="review">
      <Show when={isChangedMeanwhile()}>
        <p class="notice" role="alert">
          {text.edit.outdated}
        </p>
      </Show>
      <Show when={isManaged()}>
        <p class="notice" role="alert">
          {text.edit.managed(props.manager ?? text.edit.anotherManager)}
        </p>
      </Show>
      <Show when={props.problem && !isManaged() && props.problem.kind !== "precondition-failed"}>
        <ProblemNotice problem={props.problem as Problem} isWrite />
      </Show>
      <div class="consequences">{props.consequences}</div>
      <Difference before={props.before} after={props.after} />
      <div class="dialog-actions">
        <button class="btn" type="button" onClick={() => props.close()}>
          {text.edit.keepEditing}
        </button>
        <button class="btn primary" type="button" autofocus disabled={isSaving()} onClick={() => void save()}>
          {action()}
        </button>
      </div>
    </Dialog>
  );
}

/** Consequences says what saving means for runs, as far as the server knows them. */
function Consequences(props: { kind: Kind; live: Live }): JSX.Element {
  const users = createReading(
    () => (props.kind === "DagTask" ? { namespace: props.live.namespace, name: props.live.name } : undefined),
    ({ namespace, name }, signal) => dagTasks.users(namespace, name, signal),
  );
  const sentences = () => {
    if (props.kind === "DagTask") {
      const names = users.data()?.items.map((dag) => dag.name);
      if (!names) return [];
      return [names.length ? text.edit.users(names.slice(0, 3), Math.max(0, names.length - 3)) : text.edit.noUsers];
    }
    const dag = props.live as DAGDetail;
    const count = dag.runs.filter((run) => isLiveRun(run.phase)).length;
    return [
      count ? text.edit.live(count) : "",
      dag.suspended
        ? text.edit.suspended
        : dag.nextDueAt
          ? text.edit.due(clock(dag.nextDueAt))
          : text.edit.whenTriggered,
    ];
  };
  return <For each={sentences().filter(Boolean)}>{(sentence) => <p>{sentence}</p>}</For>;
}
