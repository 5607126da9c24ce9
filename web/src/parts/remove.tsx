import { createSignal, createUniqueId, Show, type JSX } from "solid-js";
import { dagTasks, dags } from "../api/calls";
import { text } from "../text";
import { Dialog } from "./dialog";
import { say, sayProblem } from "./toasts";

/** RemoveButton deletes an object, once its name is typed. What is lost with it is said before. */
export function RemoveButton(props: {
  kind: "DAG" | "DagTask";
  namespace: string;
  name: string;
  done: () => void;
  children?: JSX.Element;
}): JSX.Element {
  const id = createUniqueId();
  const [asks, setAsks] = createSignal(false);
  const [typed, setTyped] = createSignal("");
  const remove = async () => {
    try {
      await (props.kind === "DAG" ? dags : dagTasks).remove(props.namespace, props.name);
      say(text.remove.done(props.name));
      props.done();
    } catch (error) {
      sayProblem(error);
    }
  };
  return (
    <>
      <button
        class="btn"
        type="button"
        onClick={() => {
          setTyped("");
          setAsks(true);
        }}
      >
        {text.remove.action}
      </button>
      <Show when={asks()}>
        <Dialog title={text.remove.confirm(props.name)} close={() => setAsks(false)}>
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              setAsks(false);
              void remove();
            }}
          >
            <p class="dim">{text.remove[props.kind]}</p>
            {props.children}
            <div class="field">
              <label class="wrap" for={id}>
                {text.remove.type(props.name)}
              </label>
              <input
                id={id}
                class="input mono"
                autocomplete="off"
                spellcheck={false}
                autofocus
                value={typed()}
                onInput={(event) => setTyped(event.currentTarget.value)}
              />
            </div>
            <div class="dialog-actions">
              <button class="btn" type="button" onClick={() => setAsks(false)}>
                {text.remove.keep}
              </button>
              <button class="btn danger" type="submit" disabled={typed() !== props.name}>
                {text.remove.action}
              </button>
            </div>
          </form>
        </Dialog>
      </Show>
    </>
  );
}
