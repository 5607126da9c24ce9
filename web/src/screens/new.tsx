import {
  createEffect,
  createMemo,
  createSignal,
  createUniqueId,
  For,
  Match,
  on,
  onCleanup,
  onMount,
  Show,
  Switch,
  type JSX,
} from "solid-js";
import { createAction } from "../action";
import { dagTasks, dags, home } from "../api/calls";
import { Problem } from "../api/problem";
import type { Manifest } from "../api/types";
import { calls, createChecking } from "../editor/checking";
import type { Kind } from "../editor/crd";
import { draftAt, draftsBelow, keepDraft } from "../drafts";
import { examplesOf } from "../editor/examples";
import { Field, NameField, RunsFields } from "../editor/taskform";
import { FaultsWithoutPlace, Workbench } from "../editor/workbench";
import { draftOf, emptyTask, objectOf, type ObjectForm, type TaskForm } from "../editor/write";
import { Icon } from "../parts/icons";
import { Loaded, ProblemNotice } from "../parts/states";
import { say } from "../parts/toasts";
import { createReading } from "../reading";
import { go, param, place, setParams, to } from "../router";
import { may, mayAnywhere, me } from "../session";
import { text } from "../text";
import { createTyped } from "../typed";

const draftKey = (kind: Kind, from: string) => `new ${kind} ${from}`;

/** New creates a DAG or a DagTask: from an example, a form, or another one. from in the address says which. */
export default function New(): JSX.Element {
  const kind: Kind = place().segments[0] === "dags" ? "DAG" : "DagTask";
  createEffect(() => (document.title = text.shell.title(text.create.title[kind])));
  return (
    <Show when={mayAnywhere("editor")} fallback={<p class="notice">{text.create.forbidden}</p>}>
      <Show when={param("from")} fallback={<Choice kind={kind} />} keyed>
        {(from) => <Begun kind={kind} from={from} />}
      </Show>
    </Show>
  );
}

/** startOf returns the text that an example begins with, or what was typed before. */
const startOf = (kind: Kind, from: string): string | undefined =>
  draftAt(draftKey(kind, from))?.text ?? examplesOf(kind).find((example) => example.id === from)?.text;

/** Begun is the editor of a new object. */
function Begun(props: { kind: Kind; from: string }): JSX.Element {
  const start = startOf(props.kind, props.from);
  const copied = /^copy ([^/]+)\/(.+)$/.exec(props.from);
  const original = createReading<object, { manifest?: Manifest }>(
    () => (start === undefined && copied ? {} : undefined),
    (_, signal) => (props.kind === "DAG" ? dags : dagTasks).one(copied?.[1] ?? "", copied?.[2] ?? "", signal),
  );
  onMount(
    () =>
      start === undefined && !copied && go(to.create(props.kind, { namespace: param("namespace") }), { replace: true }),
  );
  return (
    <Switch>
      <Match when={start}>{(text) => <Draft kind={props.kind} from={props.from} start={text()} />}</Match>
      <Match when={copied}>
        <Loaded reading={original}>
          {(data) => (
            <Show when={data().manifest}>
              {(manifest) => <Draft kind={props.kind} from={props.from} start={copyOf(draftOf(manifest()))} />}
            </Show>
          )}
        </Loaded>
      </Match>
    </Switch>
  );
}

/** copyOf leaves the namespace out, and gives the copy a name of its own. */
const copyOf = (manifest: string) =>
  manifest.replace(/^ {2}namespace: .*\n/m, "").replace(/^( {2}name: )("?)(.*?)("?)$/m, "$1$2$3-copy$4");

/** useNamespaces returns where the user may create objects, and whether there may be namespaces that no list has. */
function useNamespaces() {
  const known = createReading(
    () => ({}),
    (_, signal) => home.namespaces(signal),
  );
  const names = createMemo(() =>
    (known.data()?.items ?? [])
      .map((each) => each.name)
      .filter((name) => may(name, "editor"))
      .sort(),
  );
  const isOpen = () => me().admin || me().grants.some((grant) => grant.namespace === "*" && grant.role === "editor");
  const chosen = () => param("namespace") || names()[0] || (isOpen() && known.data() ? "default" : "");
  return { names, isOpen, chosen };
}

/** NamespaceField chooses where the object is created. Whoever is editor everywhere may name any namespace. */
function NamespaceField(props: { names: string[]; isOpen: boolean; chosen: string }): JSX.Element {
  const list = createUniqueId();
  const choose = (name: string) => setParams({ namespace: name.trim() });
  return (
    <label class="inline-field">
      <span class="faint">{text.create.namespace}</span>
      <Show
        when={props.isOpen}
        fallback={
          <select class="input" onChange={(event) => choose(event.currentTarget.value)}>
            <For each={props.names}>{(name) => <option selected={name === props.chosen}>{name}</option>}</For>
          </select>
        }
      >
        <input
          class="input"
          list={list}
          value={props.chosen}
          spellcheck={false}
          autocomplete="off"
          onChange={(event) => choose(event.currentTarget.value)}
        />
        <datalist id={list}>
          <For each={props.names}>{(name) => <option value={name} />}</For>
        </datalist>
      </Show>
    </label>
  );
}

function Heading(props: { kind: Kind; namespace: string; children?: JSX.Element }): JSX.Element {
  const list = () => (props.kind === "DAG" ? to.dags : to.dagTasks)({ namespace: param("namespace") });
  return (
    <div class="head">
      <h1>
        <span class="of">
          <a href={list()}>{props.kind === "DAG" ? text.shell.dags : text.shell.dagTasks}</a> /{" "}
        </span>
        {text.create.title[props.kind]}
      </h1>
      {props.children}
    </div>
  );
}

function Draft(props: { kind: Kind; from: string; start: string }): JSX.Element {
  const { kind, from } = props;
  const key = draftKey(kind, from);
  const namespaces = useNamespaces();
  const namespace = namespaces.chosen;
  const before = draftAt(key);
  const [draft, setDraft] = createSignal(props.start);
  const [problem, setProblem] = createSignal<Problem>();
  const [isDone, setDone] = createSignal(false);
  const checking = createChecking(kind, namespace, draft);
  // What was not touched is not kept: the example is there all the same.
  createEffect(on(draft, (now) => keepDraft(key, { text: now, generation: 0 }), { defer: true }));
  onCleanup(() => {
    if (!isDone() && draftAt(key))
      say(text.edit.keptOf(text.create.title[kind]), {
        label: text.edit.backTo,
        run: () => go(to.create(kind, { from, namespace: namespace() })),
      });
  });
  const [create, isCreating] = createAction(async () => {
    setProblem(undefined);
    try {
      const { name, warnings } = await calls[kind].create(namespace(), draft());
      setDone(true);
      keepDraft(key, undefined);
      say(text.create.created(name), undefined, warnings);
      go(to.object(kind, namespace(), name), { replace: true });
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      // A conflict without faults is about the name: there is one already.
      const named =
        error.kind === "conflict" && !error.faults.length
          ? new Problem("invalid", { errors: [{ pointer: "/metadata/name", detail: error.detail || error.message }] })
          : error;
      if (!checking.refuse(named)) setProblem(error);
    }
  });
  return (
    <div class="edit">
      <div class="about">
        <Heading kind={kind} namespace={namespace()}>
          <NamespaceField names={namespaces.names()} isOpen={namespaces.isOpen()} chosen={namespace()} />
          <div class="actions">
            <a class="btn" href={to.create(kind, { namespace: namespace() })}>
              {text.create.other}
            </a>
            <button
              class="btn primary"
              type="button"
              disabled={isCreating() || !namespace()}
              onClick={() => void create()}
            >
              {text.create.create}
            </button>
          </div>
        </Heading>
        <Show when={before && from !== "form"}>
          <p class="notice">{text.edit.restored}</p>
        </Show>
        <Show when={problem()}>{(shown) => <ProblemNotice problem={shown()} isWrite />}</Show>
        <FaultsWithoutPlace checking={checking} />
      </div>
      <Workbench
        kind={kind}
        namespace={namespace()}
        draft={key}
        text={draft()}
        setText={setDraft}
        checking={checking}
        save={() => void create()}
      />
    </div>
  );
}

/** Choice asks how to begin. */
function Choice(props: { kind: Kind }): JSX.Element {
  const kind = props.kind;
  const namespaces = useNamespaces();
  const begin = (from: string) => to.create(kind, { namespace: namespaces.chosen(), from });
  const [unfinished, setUnfinished] = createSignal(draftsBelow(`new ${kind} `));
  const nameOf = (key: string) => key.slice(`new ${kind} `.length);
  return (
    <>
      <Heading kind={kind} namespace={namespaces.chosen()}>
        <NamespaceField names={namespaces.names()} isOpen={namespaces.isOpen()} chosen={namespaces.chosen()} />
      </Heading>
      <Show when={unfinished().length}>
        <div class="notice">
          <div>
            <h2>{text.create.unfinished}</h2>
            <ul class="unfinished">
              <For each={unfinished()}>
                {(key) => (
                  <li>
                    <a class="link" href={begin(nameOf(key))}>
                      {nameOf(key) === "form" ? text.create.form : nameOf(key)}
                    </a>
                    <button
                      class="btn quiet"
                      type="button"
                      onClick={() => {
                        keepDraft(key, undefined);
                        setUnfinished(draftsBelow(`new ${kind} `));
                      }}
                    >
                      {text.create.discard}
                    </button>
                  </li>
                )}
              </For>
            </ul>
            <p>{text.create.unfinishedHint}</p>
          </div>
        </div>
      </Show>
      <div class="begin">
        <section class="panel" aria-labelledby="begin-form">
          <header>
            <h2 id="begin-form">{text.create.begin}</h2>
            <span class="faint small-no">{text.create.beginHint}</span>
          </header>
          <ObjectFields
            kind={kind}
            write={(form) => {
              keepDraft(draftKey(kind, "form"), { text: objectOf(kind, form), generation: 0 });
              go(begin("form"));
            }}
          />
        </section>
        <section class="panel" aria-labelledby="begin-example">
          <header>
            <h2 id="begin-example">{text.create.examples}</h2>
            <span class="faint small-no">{text.create.examplesHint}</span>
          </header>
          <ul class="examples">
            <For each={examplesOf(kind)}>
              {(example) => (
                <li>
                  <a class="row" href={begin(example.id)}>
                    {example.name}
                  </a>
                  <p>{example.about}</p>
                </li>
              )}
            </For>
          </ul>
        </section>
      </div>
    </>
  );
}

/** ObjectFields are the small form. What it writes is not read back; what is typed is kept when the session ends. */
function ObjectFields(props: { kind: Kind; write: (form: ObjectForm) => void }): JSX.Element {
  const isDAG = () => props.kind === "DAG";
  const fields: Omit<ObjectForm, "task"> = { name: "", schedule: "", parameters: [] };
  const [form, set] = createTyped(`form ${props.kind}`, fields);
  const [task, setTask] = createTyped<TaskForm>(`task of form ${props.kind}`, { ...emptyTask, runAfter: [] });
  return (
    <form
      class="stack pad"
      onSubmit={(event) => {
        event.preventDefault();
        props.write({ ...form, parameters: form.parameters.map((each) => ({ ...each })), task: { ...task } });
      }}
    >
      <NameField label={text.create.name} value={form.name} set={(name) => set("name", name)} />
      <Show when={isDAG()}>
        <Field label={text.create.schedule} hint={text.create.scheduleHint}>
          {(id) => (
            <input
              id={id}
              class="input mono"
              value={form.schedule}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => set("schedule", event.currentTarget.value)}
            />
          )}
        </Field>
      </Show>
      <fieldset>
        <legend>{text.create.parameters}</legend>
        <For each={form.parameters}>
          {(parameter, index) => (
            <div class="parameter">
              <input
                class="input mono"
                required
                aria-label={text.create.parameter}
                placeholder={text.create.parameter}
                value={parameter.name}
                spellcheck={false}
                onInput={(event) => set("parameters", index(), "name", event.currentTarget.value)}
              />
              <Show when={isDAG()}>
                <input
                  class="input mono"
                  aria-label={text.create.value}
                  placeholder={text.create.value}
                  value={parameter.value}
                  spellcheck={false}
                  onInput={(event) => set("parameters", index(), "value", event.currentTarget.value)}
                />
              </Show>
              <button
                class="btn quiet icon"
                type="button"
                aria-label={text.create.removeParameter(parameter.name)}
                onClick={() => set("parameters", (all) => all.filter((_, at) => at !== index()))}
              >
                <Icon name="close" />
              </button>
            </div>
          )}
        </For>
        <button
          class="btn"
          type="button"
          onClick={() => set("parameters", form.parameters.length, { name: "", value: "" })}
        >
          <Icon name="plus" />
          {text.create.addParameter}
        </button>
      </fieldset>
      <fieldset>
        <legend>{isDAG() ? text.create.task : text.create.runs}</legend>
        <Show when={isDAG()}>
          <NameField label={text.create.taskName} value={task.name} set={(name) => setTask("name", name)} />
        </Show>
        <RunsFields task={task} set={setTask} />
      </fieldset>
      <div class="dialog-actions">
        <button class="btn primary" type="submit">
          {text.create.toEditor}
        </button>
      </div>
    </form>
  );
}
