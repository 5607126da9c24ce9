import { onCleanup } from "solid-js";

type Handler = (event: KeyboardEvent) => void;

const handlers: Record<string, Handler>[] = [];
let prefix = "";
let prefixTimer: ReturnType<typeof setTimeout> | undefined;

/** isTyping reports whether a key goes into a field. */
export function isTyping(event: KeyboardEvent): boolean {
  const target = event.composedPath()[0]; // the target is the host, if the field is in a shadow root
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

/** onKey finds the handler of a key, of two keys after g, or none. The newest component goes first. */
function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
  if (document.querySelector("dialog[open]")) return;
  const key = prefix ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  clearTimeout(prefixTimer);
  for (const group of [...handlers].reverse()) {
    const handler = group[key];
    if (!handler) continue;
    event.preventDefault();
    handler(event);
    return;
  }
  if (event.key === "g") {
    prefix = "g";
    prefixTimer = setTimeout(() => (prefix = ""), 1500);
  }
}

// A held Enter presses once. A browser presses a button each time that the key repeats, and so confirms a dialog that the
// first press has opened. In a text, a held Enter writes lines.
document.addEventListener("keydown", (event) => {
  const target = event.composedPath()[0];
  const isText = target instanceof HTMLElement && (target.isContentEditable || target.tagName === "TEXTAREA");
  if (event.key === "Enter" && event.repeat && !isText) event.preventDefault();
}, true);

/** useKeys handles keys while the component is shown. */
export function useKeys(group: Record<string, Handler>): void {
  if (handlers.length === 0) document.addEventListener("keydown", onKey);
  handlers.push(group);
  onCleanup(() => {
    handlers.splice(handlers.indexOf(group), 1);
    if (handlers.length === 0) document.removeEventListener("keydown", onKey);
  });
}

/** moveRow moves the focus to the next or the previous row of the lists of the page. */
export function moveRow(step: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>("#main a.row")].filter((row) => row.getClientRects().length > 0);
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step));
  rows[next]?.focus();
}
