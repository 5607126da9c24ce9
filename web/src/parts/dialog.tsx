import { createUniqueId, onMount, type JSX } from "solid-js";
import { text } from "../text";

/**
 * Dialog asks, above the page. Escape closes it, and so does a click that begins and ends outside of it. The browser
 * keeps the focus inside, and gives it back.
 */
export function Dialog(props: { title: string; close: () => void; children: JSX.Element; class?: string }): JSX.Element {
  const id = createUniqueId();
  let element!: HTMLDialogElement;
  let isPressedOutside = false;
  // The target of a click on the backdrop is the dialog. So is that of a click on its padding, and of a click that
  // begins in a field and ends outside.
  const isOutside = (event: MouseEvent) => {
    const box = element.getBoundingClientRect();
    return event.target === element && (event.clientX < box.left || event.clientX > box.right ||
      event.clientY < box.top || event.clientY > box.bottom);
  };
  onMount(() => element.showModal());
  return (
    <dialog class={`dialog ${props.class ?? ""}`} ref={element} aria-labelledby={id} onClose={() => props.close()}
      onPointerDown={(event) => (isPressedOutside = isOutside(event))}
      onClick={(event) => isPressedOutside && isOutside(event) && element.close()}>
      <h2 id={id}>{props.title}</h2>
      {props.children}
    </dialog>
  );
}

/** Confirm asks before something that cannot be undone. Its button names what it does. */
export function Confirm(props: {
  title: string; hint: string; action: string; isDanger?: boolean; confirm: () => void; close: () => void;
}): JSX.Element {
  return (
    <Dialog title={props.title} close={props.close}>
      <p class="dim">{props.hint}</p>
      <div class="dialog-actions">
        <button class="btn" type="button" onClick={() => props.close()}>{text.runs.keep}</button>
        <button class="btn" classList={{ danger: props.isDanger ?? false, primary: !props.isDanger }} type="button"
          autofocus onClick={() => { props.close(); props.confirm(); }}>{props.action}</button>
      </div>
    </Dialog>
  );
}
