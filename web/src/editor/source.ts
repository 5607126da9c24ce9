import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Node,
  type Pair,
  type YAMLMap,
} from "yaml";
import type { Path } from "./crd";

/** Range is a part of a text, by offsets. */
export interface Range {
  from: number;
  to: number;
}

/** Source is a text, and the document that it is in YAML as far as it can be read. */
export interface Source {
  text: string;
  document: Document.Parsed;
  /** What cannot be read as YAML. */
  faults: (Range & { detail: string })[];
}

/** read parses a text as Kubernetes does: YAML 1.1, one document. */
export function read(text: string): Source {
  const document = parseDocument(text, {
    version: "1.1",
    lineCounter: new LineCounter(),
    prettyErrors: false,
    stringKeys: true,
  });
  const faults = document.errors.map((error) => ({
    from: Math.min(error.pos[0], text.length),
    to: Math.min(error.pos[1], text.length),
    detail: error.message,
  }));
  return { text, document, faults };
}

/** valueOf returns the value of a source, or nothing if it has syntax errors. */
export function valueOf(source: Source): unknown {
  if (source.faults.length) return undefined;
  try {
    return source.document.toJS({ maxAliasCount: 1000 }) as unknown;
  } catch {
    return undefined; // an alias without an anchor, or too many
  }
}

/** pathOfPointer returns the path of a JSON pointer. Positions in lists are texts. */
export function pathOfPointer(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** pathOfField returns the path of a field as Kubernetes writes it, such as spec.task[3].podTemplate.labels[a.b/c]. */
export function pathOfField(name: string): string[] {
  return [...name.matchAll(/\[([^\]]*)\]|([^.[\]]+)/g)].map(([, key, plain]) => key ?? plain ?? "");
}

const rangeOf = (node: Node): Range => ({ from: node.range?.[0] ?? 0, to: node.range?.[1] ?? 0 });

function resolve(node: unknown, document: Document): unknown {
  return isAlias(node) ? node.resolve(document) : node;
}

/** pairOf returns the pair of a field of a map. */
export function pairOf(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key);
}

/**
 * locate returns where the value at a path is: the value if it is a scalar, else the name of its field, else its first
 * line. If the document does not have it, the nearest value around it is meant.
 */
export function locate(source: Source, path: Path): Range {
  let node: unknown = source.document.contents;
  let found: Range | undefined;
  for (const step of path) {
    const within = resolve(node, source.document);
    if (isMap(within)) {
      const pair = pairOf(within, String(step));
      if (!pair || !isScalar(pair.key)) break;
      node = pair.value;
      found = rangeOf(pair.key);
      if (
        isScalar(node) &&
        node.range &&
        node.range[1] > node.range[0] &&
        !source.text.slice(...ends(node)).includes("\n")
      )
        found = rangeOf(node);
    } else if (isSeq(within)) {
      const item = within.items[Number(step)];
      if (!item) break;
      node = item;
      found = firstLine(source.text, rangeOf(item as Node));
    } else {
      break;
    }
  }
  return found ?? firstLine(source.text, { from: 0, to: source.text.length });
}

const ends = (node: Node): [number, number] => [node.range?.[0] ?? 0, node.range?.[1] ?? 0];

function firstLine(text: string, { from, to }: Range): Range {
  const line = text.indexOf("\n", from);
  return { from, to: Math.max(from, line < 0 ? to : Math.min(line, to)) };
}

/** lineRange returns the text of a line, from 1, without its indentation. */
export function lineRange(text: string, line: number): Range {
  let from = 0;
  for (let passed = 1; passed < line && from >= 0; passed++) from = text.indexOf("\n", from) + 1 || text.length;
  const end = text.indexOf("\n", from);
  const to = end < 0 ? text.length : end;
  const indent = /^\s*/.exec(text.slice(from, to))?.[0].length ?? 0;
  return { from: Math.min(from + indent, to), to };
}

/** pathAt returns the path of the field whose name, or whose scalar, is at an offset. */
export function pathAt(source: Source, offset: number): { path: Path; range: Range } | undefined {
  let found: { path: Path; range: Range } | undefined;
  visit(source.document, {
    Scalar(_, node, ancestors) {
      const range = rangeOf(node);
      if (offset < range.from || offset > range.to) return undefined;
      found = { path: pathTo(node, ancestors), range };
      return visit.BREAK;
    },
  });
  return found;
}

/** pathTo returns the path of a node from those around it. The name of a field has the path of the field. */
function pathTo(node: Node, ancestors: readonly unknown[]): Path {
  const all = [...ancestors, node];
  return all.flatMap((each, index): Path => {
    const around = all[index - 1];
    if (isPair(each) && isScalar(each.key)) return [String(each.key.value)];
    return isSeq(around) ? [around.items.indexOf(each)] : [];
  });
}

/** Here is where a text is typed: the path of the map, list or field around it, and what is typed already. */
export interface Here {
  /** The path of the map whose field is typed, or of the value that is typed. */
  path: Path;
  /** Whether the name of a field is typed. A plain value that stands for a map begins with such a name. */
  isKey: boolean;
  from: number;
  /** Names of the other fields of the map, or the other elements of the list. */
  others: string[];
  /** Whether the text is between braces or brackets. */
  isFlow: boolean;
  document: Document.Parsed;
}

const marker = "ThisIsTyped";

/**
 * here finds out what is typed before an offset. It reads the text with a word in the place of what is typed, so that
 * the parser finds the map that it belongs to, also in an empty line.
 */
export function here(text: string, offset: number): Here | undefined {
  const typed = /["']?[\w./-]*$/.exec(text.slice(0, offset))?.[0] ?? "";
  const from = offset - typed.length;
  const before = text.slice(text.lastIndexOf("\n", from - 1) + 1, from);
  const after = text.slice(offset).replace(/^[\w./-]*["']?/, "");
  // Only a field can be alone in its line: the elements of a list begin with a dash.
  const isField = /^\s*$/.test(before) && !/^[ \t]*:/.test(after);
  const document = parseDocument(text.slice(0, from) + marker + (isField ? ":" : "") + after, {
    version: "1.1",
    prettyErrors: false,
  });
  let found: Here | undefined;
  visit(document, {
    Scalar(key, node, ancestors) {
      if (node.value !== marker) return undefined;
      const path = pathTo(node, ancestors);
      const isKey = key === "key";
      const around = [...ancestors].reverse().find(isCollection);
      const others = around ? namesIn(around).filter((name) => name !== marker) : [];
      found = {
        path: isKey ? path.slice(0, -1) : path,
        isKey,
        from,
        others,
        isFlow: ancestors.some((each) => isCollection(each) && each.flow === true),
        document,
      };
      return visit.BREAK;
    },
  });
  return found;
}

function namesIn(around: { items: unknown[] }): string[] {
  return around.items.flatMap((item) => {
    const scalar = isPair(item) ? item.key : item;
    return isScalar(scalar) ? [String(scalar.value)] : [];
  });
}

/** elementAt returns the position of the element of a list at a path that an offset is in, or -1. */
export function elementAt(source: Source, path: Path, offset: number): number {
  const list = source.document.getIn(path);
  if (!isSeq(list)) return -1;
  const from = list.range?.[0] ?? 0,
    end = list.range?.[2] ?? 0;
  if (offset < from || offset > end) return -1;
  return list.items.findLastIndex(
    (item) =>
      rangeOf(item as Node).from <= offset || source.text.slice(offset, rangeOf(item as Node).from).trim() === "",
  );
}
