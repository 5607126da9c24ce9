import {
  createEffect,
  createMemo,
  createSignal,
  For,
  lazy,
  on,
  onCleanup,
  onMount,
  Show,
  Suspense,
  type JSX,
} from "solid-js";
import { dagTasks } from "../api/calls";
import { Problem } from "../api/problem";
import { Icon, Mark } from "../parts/icons";
import { Skeleton } from "../parts/states";
import { Said } from "../parts/values";
import { createReading } from "../reading";
import { text } from "../text";
import { typedAt } from "../typed";
import type { Checking } from "./checking";
import { explained, type Kind } from "./crd";
import { Difference } from "./diff";
import { lineOf, type Fault } from "./faults";
import { explanation } from "./fields";
import { difference, outlineOf, type Outline, type OutlineTask } from "./outline";
import { elementAt, locate, pathAt, read, type Source } from "./source";
import { TaskDialog } from "./taskform";
import { createEditor, type Editor } from "./view";
import { taskInsertion } from "./write";

const Graph = lazy(() => import("../graph/graph"));

/** FaultsWithoutPlace are the faults that belong to no line. */
export function FaultsWithoutPlace(props: { checking: Checking }): JSX.Element {
  return (
    <For each={props.checking.faults().filter((fault) => !fault.range)}>
      {(fault) => (
        <p class="notice" data-phase={fault.isWarning ? "cancelled" : "failed"} role="alert">
          <Said text={fault.detail} />
        </p>
      )}
    </For>
  );
}

/** Workbench is an editor with what belongs to its text: faults, the graph, and what saving would change. */
export function Workbench(props: {
  kind: Kind;
  namespace: string;
  /** The key of the draft that the text is. */
  draft: string;
  text: string;
  setText: (text: string) => void;
  checking: Checking;
  save: () => void;
  /** What the object is now. A new one has nothing before it. */
  before?: { text: string; generation: number } | undefined;
  consequences?: JSX.Element;
  tools?: JSX.Element;
}): JSX.Element {
  let editor: Editor | undefined;
  const [cursor, setCursor] = createSignal(0);
  const taskDraft = `task of ${props.draft}`;
  const [asksForTask, setAsksForTask] = createSignal(typedAt(taskDraft) !== undefined);
  const source = () => props.checking.source();
  const outline = createMemo<Outline | undefined>((last) => outlineOf(source()) ?? last);
  const isDAG = () => props.kind === "DAG";
  const names = createReading(
    () => (isDAG() && props.namespace ? { namespace: props.namespace } : undefined),
    ({ namespace }, signal) => dagTasks.list(namespace, { limit: 200 }, signal),
  );
  const jump = (offset: number) => editor?.jump(offset);
  return (
    <>
      <section class="pane yaml" aria-label={text.edit.manifest}>
        <header>
          <h2>{text.edit.manifest}</h2>
          <span class="end" />
          {props.tools}
          <Show when={isDAG()}>
            <button class="btn quiet" type="button" onClick={() => setAsksForTask(true)}>
              <Icon name="plus" />
              {text.edit.addTask}
            </button>
          </Show>
        </header>
        <Manifest
          kind={props.kind}
          text={props.text}
          setText={props.setText}
          faults={props.checking.faults()}
          save={props.save}
          moved={setCursor}
          dagTasks={() => names.data()?.items.map((each) => each.name) ?? []}
          ready={(made) => (editor = made)}
        />
        <FieldAtCursor kind={props.kind} source={source()} cursor={cursor()} />
        <Faults text={source().text} checking={props.checking} jump={jump} />
      </section>
      <Show when={isDAG()}>
        <section class="pane g" aria-label={text.edit.graph}>
          <GraphOf
            source={source()}
            outline={outline()}
            isStale={outline() !== undefined && source().faults.length > 0}
            before={props.before?.text}
            cursor={cursor()}
            jump={jump}
          />
        </section>
      </Show>
      <Show when={props.before}>
        {(before) => (
          <section class="pane what" aria-label={text.edit.what}>
            <header>
              <h2>{text.edit.what}</h2>
              <span class="faint">{text.edit.against(before().generation)}</span>
            </header>
            <Show when={before().text !== source().text}>
              <div class="consequences">{props.consequences}</div>
            </Show>
            <Difference before={before().text} after={source().text} />
          </section>
        )}
      </Show>
      <Show when={asksForTask()}>
        <TaskDialog
          draft={taskDraft}
          names={(outline()?.tasks ?? []).map((task) => task.name).filter(Boolean)}
          close={() => setAsksForTask(false)}
          add={(task) => {
            const { at, insert } = taskInsertion(props.text, task);
            editor?.insert(at, insert);
          }}
        />
      </Show>
    </>
  );
}

/** Manifest is the text. */
function Manifest(props: {
  kind: Kind;
  text: string;
  setText: (text: string) => void;
  faults: Fault[];
  save: () => void;
  moved: (offset: number) => void;
  dagTasks: () => string[];
  ready: (editor: Editor) => void;
}): JSX.Element {
  let parent!: HTMLDivElement;
  let written = props.text;
  onMount(() => {
    const editor = createEditor({
      parent,
      kind: props.kind,
      label: props.kind === "DAG" ? text.edit.label : text.edit.labelTask,
      text: written,
      dagTasks: props.dagTasks,
      changed: (now) => {
        written = now;
        props.setText(now);
      },
      moved: props.moved,
      save: props.save,
    });
    props.ready(editor);
    createEffect(() => props.text !== written && editor.setText(props.text));
    createEffect(on(() => props.faults, editor.setFaults));
    onCleanup(editor.destroy);
  });
  return <div class="manifest" ref={parent} />;
}

/** FieldAtCursor explains the field at the cursor, where nothing hovers: for keyboards and fingers. */
function FieldAtCursor(props: { kind: Kind; source: Source; cursor: number }): JSX.Element {
  const found = createMemo(() => {
    const path = pathAt(props.source, props.cursor)?.path;
    const field = path && explained(props.kind, path);
    return field && { name: field.name, ...explanation(field.schema) };
  });
  return (
    <p class="field-doc" aria-label={text.edit.field} role="note">
      <span>
        <Show
          when={found()}
          fallback={
            <For each={text.edit.hints}>
              {([key, what]) => (
                <span class="hint-key small-no">
                  <kbd>{key}</kbd> {what}
                </span>
              )}
            </For>
          }
        >
          {(field) => (
            <>
              <code>{field().name}</code> <span class="faint">{field().type}</span> {field().lines.join(" ")}
            </>
          )}
        </Show>
      </span>
    </p>
  );
}

/** Faults says what is wrong and where, and how the server knows the text. */
function Faults(props: { text: string; checking: Checking; jump: (offset: number) => void }): JSX.Element {
  const placed = createMemo(() =>
    props.checking
      .faults()
      .flatMap((fault) => (fault.range ? [{ ...fault, range: fault.range }] : []))
      .sort((a, b) => a.range.from - b.range.from),
  );
  const count = (isWarning: boolean) => props.checking.faults().filter((fault) => fault.isWarning === isWarning).length;
  const state = () => {
    const now = props.checking.state();
    return now instanceof Problem
      ? text.edit.unchecked(now.message)
      : count(false) && now === "waiting"
        ? text.edit.waiting
        : text.edit[now];
  };
  return (
    <>
      <Show when={placed().length}>
        <ul class="fault-list" aria-label={text.edit.faults}>
          <For each={placed()}>
            {(fault) => (
              <li>
                <button class="link-button" type="button" onClick={() => props.jump(fault.range.from)}>
                  {text.edit.line(lineOf(props.text, fault.range.from))}
                </button>
                <Said text={fault.detail} />
              </li>
            )}
          </For>
        </ul>
      </Show>
      <div class="foot-bar">
        <span role="status">
          <Show
            when={count(false)}
            fallback={
              props.checking.state() === "checked" && (
                <span class="phase" data-phase="succeeded">
                  <Mark look="succeeded" />
                  {text.edit.noFaults}
                </span>
              )
            }
          >
            <span class="phase" data-phase="failed">
              <Mark look="failed" />
              {text.edit.fault(count(false))}
            </span>
          </Show>
          <Show when={count(true)}>
            {" "}
            <span class="phase" data-phase="cancelled">
              <Mark look="warning" />
              {text.edit.warning(count(true))}
            </span>
          </Show>
        </span>
        <span class="end">{state()}</span>
        <span class="small-no">{text.edit.kept}</span>
      </div>
    </>
  );
}

/** GraphOf draws the tasks as they are written. The task at the cursor is selected; picking one moves the cursor. */
function GraphOf(props: {
  source: Source;
  outline: Outline | undefined;
  isStale: boolean;
  before: string | undefined;
  cursor: number;
  jump: (offset: number) => void;
}): JSX.Element {
  const tasks = () => props.outline?.tasks ?? [];
  const counts = createMemo(() =>
    props.before === undefined ? undefined : difference(read(props.before), props.source),
  );
  const nameOf = (task: OutlineTask) => task.name || text.edit.unnamed;
  const selected = () => {
    const task = tasks()[elementAt(props.source, ["spec", "task"], props.cursor)];
    return task && nameOf(task);
  };
  const summary = () =>
    [
      text.edit.tasks(tasks().length),
      counts()?.added && text.edit.new(counts()?.added ?? 0),
      counts()?.changed && text.edit.changed(counts()?.changed ?? 0),
      counts()?.removed && text.edit.gone(counts()?.removed ?? 0),
    ]
      .filter(Boolean)
      .join(", ");
  return (
    <Show
      when={tasks().length}
      fallback={
        <div class="empty">
          <h2>{text.edit.noTasks}</h2>
          <p>{text.edit.noTasksHint}</p>
        </div>
      }
    >
      <Suspense fallback={<Skeleton rows={2} />}>
        <Graph
          names={tasks().map(nameOf)}
          parents={props.outline?.parents ?? []}
          name={text.edit.graphOf}
          selected={selected()}
          select={(name) =>
            props.jump(
              locate(props.source, ["spec", "task", tasks().findIndex((task) => nameOf(task) === name), "name"]).from,
            )
          }
          task={(position) => {
            const task = tasks()[position];
            return { sub: task?.missing.length ? text.edit.missing(task.missing) : (task?.runs ?? "") };
          }}
          tools={
            <>
              <h2>{text.edit.graph}</h2>
              <span class="faint">{summary()}</span>
            </>
          }
        />
      </Suspense>
      <Show when={props.isStale}>
        <p class="pane-note" role="status">
          {text.edit.unread}
        </p>
      </Show>
      <Show when={props.outline?.cycle.length}>
        <p class="pane-note said" role="status">
          {text.edit.cycle(props.outline?.cycle ?? [])}
        </p>
      </Show>
    </Show>
  );
}
