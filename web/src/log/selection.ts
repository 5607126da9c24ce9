import { plainText } from "./ansi";
import type { Row } from "./lines";

/** Point is a place in a log: a row, and how many characters of its text are before the place. */
export interface Point {
  row: number;
  offset: number;
}

/** Span is what is selected, from where the selection began to where it is now. */
export interface Span {
  anchor: Point;
  focus: Point;
}

const isSame = (a: Point, b: Point) => a.row === b.row && a.offset === b.offset;
const compare = (a: Point, b: Point) => a.row - b.row || a.offset - b.offset;

/** shownText is the text of a row as it is copied. */
export const shownText = (row: Row) => (row.number ? plainText(row.text) : `[${row.text}]`);

/** joined returns the text of rows as it is copied, without line breaks where a line goes on. */
export const joined = (rows: readonly Row[], copied: (row: Row) => string = shownText): string =>
  rows.map((row, at) => (at > 0 && !row.isContinuation ? "\n" : "") + copied(row)).join("");

/** textOf returns the text of a span. */
export function textOf(rows: readonly Row[], { anchor, focus }: Span): string {
  const [from, to] = compare(anchor, focus) <= 0 ? [anchor, focus] : [focus, anchor];
  return joined(rows.slice(from.row, to.row + 1), (row) => {
    const whole = shownText(row);
    return whole.slice(row.index === from.row ? from.offset : 0, row.index === to.row ? to.offset : whole.length);
  });
}

/**
 * Selection keeps what is selected in a log of which only a part is in the document. The browser's selection shows the
 * part of it that is. Rows have the attribute data-row.
 */
export class Selection {
  private span: Span | undefined;
  /** Where this has put the ends of the browser's selection. */
  private drawn: Span | undefined;

  constructor(private readonly list: HTMLElement, private readonly rows: () => readonly Row[]) {}

  /** read returns what is selected. It is empty where the user has only clicked. */
  read(): string {
    this.changed();
    return this.span ? textOf(this.rows(), this.span) : "";
  }

  /** all selects every row. */
  all(): void {
    const last = this.rows()[this.rows().length - 1];
    if (!last) return;
    this.span = { anchor: { row: 0, offset: 0 }, focus: { row: last.index, offset: shownText(last).length } };
    this.draw();
  }

  clear(): void {
    this.span = this.drawn = undefined;
  }

  /**
   * changed takes over what the user did to the browser's selection. An end that this has moved stays where it was. The
   * browser says selectionchange late: a key or a scroll may come before it.
   */
  changed(): void {
    const selection = document.getSelection();
    if (!selection?.anchorNode || !this.list.contains(selection.anchorNode)) return this.clear();
    const anchor = this.pointAt(selection.anchorNode, selection.anchorOffset);
    const focus = this.pointAt(selection.focusNode, selection.focusOffset);
    if (!anchor || !focus) return this.clear();
    this.span = {
      anchor: this.span && this.drawn && isSame(anchor, this.drawn.anchor) ? this.span.anchor : anchor,
      focus: this.span && this.drawn && isSame(focus, this.drawn.focus) ? this.span.focus : focus,
    };
  }

  /** draw shows the span by the browser's selection. It is called when rows have come into the document or left it. */
  draw(): void {
    const selection = document.getSelection();
    if (!this.span || !selection) return;
    const items = this.items;
    const anchor = nearest(items, this.span.anchor);
    let focus = nearest(items, this.span.focus);
    if (!anchor || !focus) return;
    // A drag of the mouse begins anew where nothing is selected. So something outside of what is seen stays selected.
    if (isSame(anchor, focus) && !isSame(this.span.anchor, this.span.focus)) focus = besideEnd(items, anchor);
    this.drawn = { anchor, focus };
    selection.setBaseAndExtent(...nodeAt(items, anchor), ...nodeAt(items, focus));
  }

  private get items(): HTMLElement[] {
    return [...this.list.querySelectorAll<HTMLElement>("[data-row]")];
  }

  /** pointAt returns the place of a node of the document. A node after the list, or before it, is its last or first place. */
  private pointAt(node: Node | null, offset: number): Point | undefined {
    if (!node) return undefined;
    const item = (node instanceof Element ? node : node.parentElement)?.closest<HTMLElement>("[data-row]");
    const before = document.createRange();
    if (item && this.list.contains(item)) {
      before.setStart(textIn(item), 0);
      if (before.comparePoint(node, offset) < 0) return { row: rowOf(item), offset: 0 };
      before.setEnd(node, offset);
      return { row: rowOf(item), offset: before.toString().length };
    }
    // Between rows: the end of the last row that is before the place.
    let last: HTMLElement | undefined;
    for (const each of this.items) {
      before.selectNode(each);
      if (before.comparePoint(node, offset) <= 0) break;
      last = each;
    }
    if (last) return endOf(last);
    const first = this.items[0];
    return first && { row: rowOf(first), offset: 0 };
  }
}

const rowOf = (item: HTMLElement) => Number(item.dataset["row"]);
const endOf = (item: HTMLElement): Point => ({ row: rowOf(item), offset: textIn(item).textContent?.length ?? 0 });

/** nearest returns a place, or the end of the list that is nearest to it if it is not in the document. */
function nearest(items: HTMLElement[], point: Point): Point | undefined {
  const first = items[0], last = items[items.length - 1];
  if (!first || !last) return undefined;
  if (point.row < rowOf(first)) return { row: rowOf(first), offset: 0 };
  return point.row > rowOf(last) ? endOf(last) : point;
}

/** besideEnd returns a place a row away from an end of the list. */
function besideEnd(items: HTMLElement[], end: Point): Point {
  const [first, second] = items, beforeLast = items[items.length - 2];
  if (!first || !second || !beforeLast) return end;
  return end.row === rowOf(first) ? { row: rowOf(second), offset: 0 } : endOf(beforeLast);
}

/** nodeAt returns where a place is in the document. */
function nodeAt(items: HTMLElement[], { row, offset }: Point): [Node, number] {
  const text = textIn(items[row - rowOf(items[0] as HTMLElement)] as HTMLElement);
  const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  let rest = offset;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const length = node.textContent?.length ?? 0;
    if (rest <= length) return [node, rest];
    rest -= length;
  }
  return [text, text.childNodes.length];
}

/** textIn returns the element of a row that has its text. */
const textIn = (item: HTMLElement): Element => item.lastElementChild ?? item;
