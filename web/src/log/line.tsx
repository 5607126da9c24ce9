import { createMemo, For, Show, type JSX } from "solid-js";
import { parseLine, type Piece } from "./ansi";

/** Line shows a line as text nodes. Hits are marked. */
export function Line(props: { text: string; query: string; isNow: boolean }): JSX.Element {
  const pieces = createMemo(() => (props.query ? marked(parseLine(props.text), props.query) : parseLine(props.text)));
  return (
    <span dir="ltr">
      <For each={pieces()}>{(piece) => (
        <Show when={"isHit" in piece && piece.isHit} fallback={<span class={piece.color} classList={{ bold: piece.isBold ?? false }}>{piece.text}</span>}>
          <mark classList={{ at: props.isNow }}>{piece.text}</mark>
        </Show>
      )}</For>
    </span>
  );
}

/** marked cuts pieces at the hits of a query. A hit across pieces is not marked, but its line is still found. */
export function marked(pieces: Piece[], query: string): (Piece & { isHit?: boolean })[] {
  const wanted = query.toLowerCase();
  return pieces.flatMap((piece) => {
    const parts: (Piece & { isHit?: boolean })[] = [];
    const lower = piece.text.toLowerCase();
    let from = 0;
    for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
      if (at > from) parts.push({ ...piece, text: piece.text.slice(from, at) });
      parts.push({ ...piece, text: piece.text.slice(at, at + wanted.length), isHit: true });
      from = at + wanted.length;
    }
    if (from < piece.text.length) parts.push({ ...piece, text: piece.text.slice(from) });
    return parts;
  });
}
