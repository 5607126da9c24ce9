import { Text } from "@codemirror/state";
import { Chunk } from "@codemirror/merge";
import { createMemo, For, Show, type JSX } from "solid-js";
import { text } from "../text";
import { visible } from "../visible";
import { lineRange, pathAt, read, type Source } from "./source";

/** Line is a line of a difference. before and after are its numbers in the two texts. */
export interface Line {
  sign: " " | "+" | "-";
  text: string;
  before?: number;
  after?: number;
}

/** Hunk is a part of two texts that differs, with some lines around it. */
export interface Hunk {
  /** What the part belongs to, such as spec.task, load-prices. */
  place: string;
  lines: Line[];
}

const context = 3;

/** linesOf returns all lines of two texts in the order in which a reader wants them. */
function linesOf(before: string, after: string): Line[] {
  const [old, now] = [before, after].map((each) => Text.of(each.replace(/\n?$/, "\n").split("\n"))) as [Text, Text];
  const lines: Line[] = [];
  let a = 1,
    b = 1;
  const unchanged = (until: number) => {
    for (; b < until; a++, b++) lines.push({ sign: " ", text: now.line(b).text, before: a, after: b });
  };
  for (const { fromA, toA, fromB, toB } of Chunk.build(old, now)) {
    unchanged(lineAfter(now, fromB));
    for (const end = lineAfter(old, toA); a < end && fromA < toA; a++)
      lines.push({ sign: "-", text: old.line(a).text, before: a });
    for (const end = lineAfter(now, toB); b < end && fromB < toB; b++)
      lines.push({ sign: "+", text: now.line(b).text, after: b });
  }
  unchanged(now.lines); // the last one is empty: what is after the last line break
  return lines;
}

/** lineAfter returns the number of the line that begins at an offset, which may be behind the last one. */
const lineAfter = (of: Text, offset: number) => (offset > of.length ? of.lines + 1 : of.lineAt(offset).number);

/** differenceOf returns the parts of two texts that differ. */
export function differenceOf(before: string, after: string): Hunk[] {
  const lines = linesOf(before, after);
  const source = read(after);
  const hunks: Hunk[] = [];
  let last = -Infinity; // the position of the last line of the last hunk
  lines.forEach((line, index) => {
    const near = lines.slice(Math.max(0, index - context), index + context + 1);
    if (!near.some((each) => each.sign !== " ")) return;
    if (last < index - 1) hunks.push({ place: placeOf(source, lines.slice(index)), lines: [] });
    hunks.at(-1)?.lines.push(line);
    last = index;
  });
  return hunks;
}

/** placeOf names what the first change of some lines belongs to. */
function placeOf(source: Source, lines: Line[]): string {
  const change = lines.findIndex((line) => line.sign !== " ");
  const line = lines.slice(change).find((each) => each.after) ?? lines[change - 1];
  return line?.after ? placeAt(source, lineRange(source.text, line.after).from) : "";
}

function placeAt(source: Source, offset: number): string {
  const dash = /^(- *)*/.exec(source.text.slice(offset))?.[0].length ?? 0;
  const path = pathAt(source, offset + dash)?.path ?? [];
  const [first, second, third] = path;
  if (first === "spec" && second === "task" && typeof third === "number") {
    const name = source.document.getIn(["spec", "task", third, "name"]);
    return `spec.task, ${typeof name === "string" ? name : third}`;
  }
  return path.slice(0, 2).join(".");
}

/** Difference shows what is removed and added between two texts. */
export function Difference(props: { before: string; after: string }): JSX.Element {
  const hunks = createMemo(() => differenceOf(props.before, props.after));
  return (
    <Show when={hunks().length} fallback={<p class="pad dim">{text.edit.unchanged}</p>}>
      <ol class="diff" tabindex="0" aria-label={text.edit.what}>
        <For each={hunks()}>
          {(hunk) => (
            <>
              <li class="gap">{visible(hunk.place)}</li>
              <For each={hunk.lines}>
                {(line) => (
                  <li classList={{ add: line.sign === "+", del: line.sign === "-" }}>
                    <b>{line.before}</b>
                    <b>{line.after}</b>
                    <span>
                      <Show when={line.sign !== " "}>
                        <span class="sr">{line.sign === "+" ? text.edit.added : text.edit.removed} </span>
                      </Show>
                      <i aria-hidden="true">{line.sign}</i>
                      {visible(line.text)}
                    </span>
                  </li>
                )}
              </For>
            </>
          )}
        </For>
      </ol>
    </Show>
  );
}
