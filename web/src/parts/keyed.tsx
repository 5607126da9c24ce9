import { createMemo, For, type JSX } from "solid-js";

/**
 * Keyed draws a list whose items are read again and again. What has the same key stays the same element, so that the
 * focus and a selection in it stay, too.
 */
export function Keyed<T>(props: {
  each: T[] | undefined; by: (item: T) => string | number; children: (item: () => T, index: () => number) => JSX.Element;
}): JSX.Element {
  const items = createMemo(() => new Map(props.each?.map((item) => [props.by(item), item])));
  return (
    <For each={[...items().keys()]}>{(key, index) => {
      // An item that has just gone is still there until its element is.
      const item = createMemo<T>((before) => items().get(key) ?? before as T);
      return props.children(item, index);
    }}</For>
  );
}
