import { visible } from "../visible";

/** Style is how a piece of a line looks. Colours are those of a terminal that have a hue. */
export interface Style {
  color?: "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "dim";
  isBold?: boolean;
}

/** Piece is a part of a line with one style. */
export interface Piece extends Style {
  text: string;
}

const colors: (Style["color"] | undefined)[] = ["dim", "red", "green", "yellow", "blue", "magenta", "cyan", undefined];
/** Escape sequences: CSI, OSC with its end, and the rest, of two characters. */
const escapes = /\x1b\[([0-9;:?]*)[ -/]*([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[^[\]]?/g;
/** afterReturns returns what a terminal shows at last of a line in which \r returns to its beginning. */
export function afterReturns(line: string): string {
  const trimmed = line.replace(/\r+$/, "");
  const at = trimmed.lastIndexOf("\r");
  return at < 0 ? trimmed : trimmed.slice(at + 1);
}

/** Whatever a line may contain besides the text that it shows. */
const unseen = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/;

/** plainText returns the text of a line without escape sequences. */
export const plainText = (line: string): string =>
  unseen.test(line) ? visible(afterReturns(line).replace(escapes, "")) : line;

/** parseLine cuts a line into pieces. It returns text alone: nothing in a log becomes markup. */
export function parseLine(line: string): Piece[] {
  const source = afterReturns(line);
  const pieces: Piece[] = [];
  let style: Style = {};
  let from = 0;
  const push = (text: string) => text && pieces.push({ ...style, text: visible(text) });
  for (const match of source.matchAll(escapes)) {
    push(source.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[2] === "m") style = apply(style, match[1] ?? "");
  }
  push(source.slice(from));
  return pieces;
}

function apply(style: Style, parameters: string): Style {
  const next = { ...style };
  const codes = parameters.split(/[;:]/).map(Number);
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index] ?? 0;
    if (code === 0) { delete next.color; delete next.isBold; }
    else if (code === 1) next.isBold = true;
    else if (code === 2) next.color = "dim";
    else if (code === 22) { delete next.isBold; if (next.color === "dim") delete next.color; }
    else if (code === 38 || code === 48) index += codes[index + 1] === 5 ? 2 : codes[index + 1] === 2 ? 4 : 0;
    else if (code === 39) delete next.color;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      const color = colors[code % 10];
      if (color) next.color = color;
      else delete next.color;
    }
  }
  return next;
}

const failure = /\b(error|fatal|panic|exception|traceback|critical)\b/i;

/** isError reports whether a line looks like an error. */
export const isError = (line: string): boolean => failure.test(line);
