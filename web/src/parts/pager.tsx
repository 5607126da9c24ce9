import { Show, type JSX } from "solid-js";
import type { Page } from "../api/types";
import { setParams } from "../router";
import { text } from "../text";

/** Pager goes to the pages around this one. The cursor is in the address. */
export function Pager<T>(props: { page: Page<T>; newer?: string; older?: string }): JSX.Element {
  return (
    <Show when={props.page.next || props.page.previous}>
      <div class="pager">
        <button class="btn end" type="button" disabled={!props.page.previous}
          onClick={() => setParams({ cursor: props.page.previous }, {})}>{props.newer ?? text.runs.newer}</button>
        <button class="btn" type="button" disabled={!props.page.next}
          onClick={() => setParams({ cursor: props.page.next }, {})}>{props.older ?? text.runs.older}</button>
      </div>
    </Show>
  );
}
