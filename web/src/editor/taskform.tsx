import { createUniqueId, For, Show, type JSX } from "solid-js";
import type { SetStoreFunction } from "solid-js/store";
import { Dialog } from "../parts/dialog";
import { text } from "../text";
import { createTyped } from "../typed";
import { emptyTask, type TaskForm } from "./write";

/** namePattern is what Kubernetes takes for a name of a task. */
const namePattern = "[a-z0-9]([a-z0-9\\-]*[a-z0-9])?";

/** Field is a label with its input, and a hint below. */
export function Field(props: { label: string; hint?: string; children: (id: string) => JSX.Element }): JSX.Element {
  const id = createUniqueId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      {props.children(id)}
      <Show when={props.hint}>
        <span class="hint">{props.hint}</span>
      </Show>
    </div>
  );
}

/** NameField asks for the name of an object or of a task. The first field of a dialog has the focus when that opens. */
export function NameField(props: {
  label: string; value: string; set: (name: string) => void; isFirst?: boolean;
}): JSX.Element {
  return (
    <Field label={props.label} hint={text.create.nameHint}>
      {(id) => (
        <input
          id={id}
          class="input mono"
          required
          pattern={namePattern}
          maxlength="63"
          value={props.value}
          autocomplete="off"
          spellcheck={false}
          autofocus={props.isFirst}
          onInput={(event) => props.set(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** RunsFields are what a task runs: an image with a command or a script, and how often it is retried. */
export function RunsFields(props: { task: TaskForm; set: SetStoreFunction<TaskForm> }): JSX.Element {
  const set = props.set;
  return (
    <>
      <Field label={text.create.image}>
        {(id) => (
          <input
            id={id}
            class="input mono"
            value={props.task.image}
            placeholder="busybox:1.36"
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => set("image", event.currentTarget.value)}
          />
        )}
      </Field>
      <div class="seg" role="group" aria-label={text.create.runs}>
        <button type="button" aria-pressed={!props.task.isScript} onClick={() => set("isScript", false)}>
          {text.create.command}
        </button>
        <button type="button" aria-pressed={props.task.isScript} onClick={() => set("isScript", true)}>
          {text.create.script}
        </button>
      </div>
      <Show
        when={props.task.isScript}
        fallback={
          <Field label={text.create.command} hint={text.create.commandHint}>
            {(id) => (
              <input
                id={id}
                class="input mono"
                value={props.task.command}
                placeholder={'sh -c "echo $DAY"'}
                autocomplete="off"
                spellcheck={false}
                onInput={(event) => set("command", event.currentTarget.value)}
              />
            )}
          </Field>
        }
      >
        <Field label={text.create.script} hint={text.create.scriptHint}>
          {(id) => (
            <textarea
              id={id}
              class="input mono"
              rows="6"
              value={props.task.script}
              spellcheck={false}
              onInput={(event) => set("script", event.currentTarget.value)}
            />
          )}
        </Field>
      </Show>
      <Field label={text.create.retries} hint={text.create.retriesHint}>
        {(id) => (
          <input
            id={id}
            class="input"
            type="number"
            min="0"
            max="100"
            value={props.task.retries}
            onInput={(event) => set("retries", event.currentTarget.value)}
          />
        )}
      </Field>
    </>
  );
}

/** TaskDialog asks what a task is. It is written as YAML, and never read back. draft is where what is typed is kept. */
export function TaskDialog(props: {
  draft: string; names: string[]; close: () => void; add: (task: TaskForm) => void;
}): JSX.Element {
  const last = props.names.at(-1);
  const [task, set] = createTyped<TaskForm>(props.draft, { ...emptyTask, runAfter: last ? [last] : [] });
  const toggle = (name: string, isOn: boolean) =>
    set("runAfter", (now) => props.names.filter((each) => (each === name ? isOn : now.includes(each))));
  return (
    <Dialog title={text.create.addTask} close={props.close} class="wide-dialog">
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          props.close();
          props.add({ ...task });
        }}
      >
        <NameField label={text.create.name} value={task.name} set={(name) => set("name", name)} isFirst />
        <RunsFields task={task} set={set} />
        <fieldset class="choices">
          <legend>{text.create.runAfter}</legend>
          <For each={props.names} fallback={<p class="faint">{text.create.noParents}</p>}>
            {(name) => (
              <label>
                <input
                  type="checkbox"
                  checked={task.runAfter.includes(name)}
                  onChange={(event) => toggle(name, event.currentTarget.checked)}
                />{" "}
                {name}
              </label>
            )}
          </For>
        </fieldset>
        <div class="dialog-actions">
          <button class="btn" type="button" onClick={() => props.close()}>
            {text.create.cancel}
          </button>
          <button class="btn primary" type="submit">
            {text.create.addTask}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
