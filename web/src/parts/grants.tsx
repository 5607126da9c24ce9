import { For, type JSX } from "solid-js";
import type { Grant, Role } from "../api/types";
import { text } from "../text";
import { Icon } from "./icons";

const roles: Role[] = ["viewer", "operator", "editor"];

/** accessText is what a user or an API token may do, in a line. */
export const accessText = (access: { admin: boolean; grants: Grant[] }): string =>
  [access.admin ? text.users.admin : "", ...access.grants.map((grant) => `${grant.namespace}: ${grant.role}`)]
    .filter(Boolean).join(", ");

/** GrantFields are where roles by namespace are chosen. change takes the index of a grant, and what it has now. */
export function GrantFields(props: {
  grants: Grant[]; change: (index: number, grant: Grant) => void; remove: (index: number) => void; add: () => void;
}): JSX.Element {
  return (
    <fieldset>
      <legend>{text.users.grants}</legend>
      <For each={props.grants}>{(grant, index) => (
        <div class="grant">
          <input class="input" aria-label={text.users.namespace} placeholder={text.users.namespace} value={grant.namespace}
            required onInput={(event) => props.change(index(), { ...grant, namespace: event.currentTarget.value })} />
          <select class="input" aria-label={text.users.role}
            onChange={(event) => props.change(index(), { ...grant, role: event.currentTarget.value as Role })}>
            <For each={roles}>{(role) => <option selected={grant.role === role}>{role}</option>}</For>
          </select>
          <button class="btn quiet icon" type="button" aria-label={text.users.removeGrant}
            onClick={() => props.remove(index())}><Icon name="close" /></button>
        </div>
      )}</For>
      <button class="btn" type="button" onClick={() => props.add()}>{text.users.addGrant}</button>
    </fieldset>
  );
}
