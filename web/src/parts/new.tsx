import { Show, type JSX } from "solid-js";
import { param, to } from "../router";
import { may, mayAnywhere } from "../session";
import { text } from "../text";
import { Icon } from "./icons";

/** NewButton leads to a new DAG or DagTask. Only those who may create one see it. */
export function NewButton(props: { kind: "DAG" | "DagTask" }): JSX.Element {
  const namespace = () => param("namespace");
  return (
    <Show when={namespace() ? may(namespace(), "editor") : mayAnywhere("editor")}>
      <a class="btn end" href={to.create(props.kind, { namespace: namespace() })}>
        <Icon name="plus" />
        {text.create.action[props.kind]}
      </a>
    </Show>
  );
}
