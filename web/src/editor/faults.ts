import type { Fault as ServerFault } from "../api/problem";
import { text } from "../text";
import { field, schemaAt, type Kind } from "./crd";
import { outlineOf } from "./outline";
import { lineRange, locate, pathOfField, pathOfPointer, type Range, type Source } from "./source";

/** Fault is what is wrong with a text, or surprising, and where. A fault without a place concerns the whole. */
export interface Fault {
  detail: string;
  isWarning: boolean;
  range?: Range;
  fix?: Fix;
}

/** Fix is a text that may have been meant in the place of a fault. */
export interface Fix {
  label: string;
  insert: string;
}

/** syntaxFaults are those that the parser finds: of each line the first, because the others follow from it. */
export function syntaxFaults(source: Source): Fault[] {
  const lines = source.faults.map((fault) => lineOf(source.text, fault.from));
  return source.faults
    .filter((_, index) => lines.indexOf(lines[index] as number) === index)
    .map(({ from, to, detail }) => ({ detail, isWarning: false, range: { from, to } }));
}

/** serverFaults gives the faults of the server their places: by pointer, else by line. */
export function serverFaults(kind: Kind, source: Source, faults: ServerFault[]): Fault[] {
  return faults.map(({ pointer, line, detail }) => {
    if (!pointer) return { detail, isWarning: false, ...(line && { range: lineRange(source.text, line) }) };
    const path = pathOfPointer(pointer);
    const range = locate(source, path);
    const meant = nameMeant(kind, source, path);
    return { detail, isWarning: false, range, ...(meant && { fix: { label: text.edit.use(meant), insert: meant } }) };
  });
}

/** nameMeant returns the task or the field that a name was meant to be, if it is the name that is at fault. */
function nameMeant(kind: Kind, source: Source, path: string[]): string | undefined {
  const last = path.at(-1) ?? "";
  if (/^spec\/task\/\d+\/runAfter\/\d+$/.test(path.join("/"))) {
    const task = outlineOf(source)?.tasks[Number(path[2])];
    const written = source.document.getIn(path.map(step));
    const others = (outlineOf(source)?.tasks ?? []).map((each) => each.name).filter((name) => name !== task?.name);
    return typeof written === "string" && task?.missing.includes(written) ? nearest(written, others) : undefined;
  }
  const around = schemaAt(kind, path.slice(0, -1).map(step));
  return around?.properties && !field(around, last) ? nearest(last, Object.keys(around.properties)) : undefined;
}

const step = (name: string) => (/^\d+$/.test(name) ? Number(name) : name);

/** serverWarnings gives warnings their places. They begin with the name of a field. */
export function serverWarnings(source: Source, warnings: string[]): Fault[] {
  return warnings.map((warning) => {
    const name = /^([a-zA-Z][\w.[\]/-]*): /.exec(warning);
    const range = name?.[1] ? { range: locate(source, pathOfField(name[1])) } : {};
    return { detail: name ? warning.slice(name[0].length) : warning, isWarning: true, ...range };
  });
}

/** lineOf returns the number of the line of an offset, from 1. */
export function lineOf(written: string, offset: number): number {
  let line = 1;
  for (let at = written.indexOf("\n"); at >= 0 && at < offset; at = written.indexOf("\n", at + 1)) line++;
  return line;
}

/** nearest returns the name that is most like a word, if one is like it. */
export function nearest(word: string, names: string[]): string | undefined {
  let best: string | undefined,
    least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const distance = edits(word, name);
    if (distance < least) [best, least] = [name, distance];
  }
  return best;
}

/** edits is the number of characters to insert, delete or replace. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(
        Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
