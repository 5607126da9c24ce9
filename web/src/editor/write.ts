import { Document, isAlias, isMap, isScalar, isSeq, type Node, type YAMLMap } from "yaml";
import type { Manifest } from "../api/types";
import type { Kind } from "./crd";
import { pairOf, read } from "./source";

/** TaskForm is a task as a small form has it. Empty texts are left out of what is written. */
export interface TaskForm {
  name: string;
  image: string;
  isScript: boolean;
  command: string;
  script: string;
  runAfter: string[];
  retries: string;
}

/** ObjectForm is a new DAG with its first task, or a new DagTask. */
export interface ObjectForm {
  name: string;
  schedule: string;
  /** Names and default values. A DagTask has only the names. */
  parameters: { name: string; value: string }[];
  task: TaskForm;
}

export const emptyTask: TaskForm = {
  name: "",
  image: "",
  isScript: false,
  command: "",
  script: "",
  runAfter: [],
  retries: "",
};

const apiVersion = "kontroler.greedykomodo/v1alpha1";

/** words splits a command as a shell does: at spaces, except between quotes. */
export function words(command: string): string[] {
  const found = command.matchAll(/(?:"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)|[^\s"'\\])+/gs);
  return [...found].map(([word]) =>
    word.replace(
      /"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs,
      (_, double?: string, single?: string, escaped?: string) =>
        double?.replace(/\\(["\\$`])/g, "$1") ?? single ?? escaped ?? "",
    ),
  );
}

function templateOf(task: TaskForm) {
  const command = words(task.command);
  return {
    ...(task.image && { image: task.image }),
    ...(!task.isScript && command.length && { command }),
    ...(task.isScript && task.script && { script: task.script.replace(/\n*$/, "\n") }),
    ...(task.retries && { backoff: { limit: Number(task.retries) } }),
  };
}

const taskOf = (task: TaskForm) => ({
  name: task.name,
  ...templateOf(task),
  ...(task.runAfter.length && { runAfter: task.runAfter }),
});

/** objectOf writes a form as YAML. */
export function objectOf(kind: Kind, form: ObjectForm): string {
  const parameters = form.parameters.filter((parameter) => parameter.name);
  const names = parameters.map((parameter) => parameter.name);
  const task = { ...taskOf(form.task), ...(names.length && { parameters: names }) };
  const spec =
    kind === "DagTask"
      ? { ...templateOf(form.task), ...(names.length && { parameters: names }) }
      : {
          ...(form.schedule && { schedule: form.schedule }),
          ...(parameters.length && {
            parameters: parameters.map(({ name, value }) => ({ name, defaultValue: value })),
          }),
          task: [task],
        };
  return write({ apiVersion, kind, metadata: { name: form.name }, spec });
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration";

/** draftOf is the part of a manifest that somebody edits, as YAML. */
export function draftOf(manifest: Manifest): string {
  const { name, namespace, labels, annotations } = manifest.metadata as Manifest["metadata"] & {
    annotations?: Record<string, string>;
  };
  const { [lastApplied]: _, ...kept } = annotations ?? {};
  const metadata = { name, namespace, labels, annotations: Object.keys(kept).length ? kept : undefined };
  const { task, ...spec } = manifest.spec;
  return write({ apiVersion: manifest.apiVersion, kind: manifest.kind, metadata, spec: named({ ...spec, task }) });
}

/** named puts the name first in each map that has one, because people look for it there. */
function named(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(named);
  if (typeof value !== "object" || value === null) return value;
  const { name, ...rest } = value as Record<string, unknown>;
  return { name, ...Object.fromEntries(Object.entries(rest).map(([key, each]) => [key, named(each)])) };
}

/** write makes YAML. Lists of texts are in one line. Texts that YAML 1.1 would read as something else have quotes. */
function write(value: unknown): string {
  const document = new Document(value, { version: "1.1" });
  flatten(document.contents);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false, directives: false });
}

function flatten(node: unknown): void {
  if (isMap(node)) node.items.forEach((pair) => flatten(pair.value));
  if (!isSeq(node)) return;
  if (node.items.every((item) => isScalar(item))) node.flow = true;
  else node.items.forEach(flatten);
}

/** Insertion is a text and where it belongs. */
export interface Insertion {
  at: number;
  insert: string;
}

/** taskInsertion writes a task after the last one of a DAG. It changes nothing else, so comments stay. */
export function taskInsertion(text: string, task: TaskForm): Insertion {
  const { document } = read(text);
  const root = document.contents;
  const specPair = isMap(root) ? pairOf(root, "spec") : undefined;
  const spec = specPair?.value;
  const pair = isMap(spec) ? pairOf(spec, "task") : undefined;
  const list = isAlias(pair?.value) ? undefined : pair?.value;
  if (isSeq(list) && list.flow) {
    const at = text.lastIndexOf("]", list.range?.[1]);
    return { at, insert: `${list.items.length ? ", " : ""}${JSON.stringify(taskOf(task))}` };
  }
  if (isSeq(list) && list.items.length) {
    const last = list.items[list.items.length - 1] as Node;
    const first = list.items[0] as Node;
    const dash = text.lastIndexOf("-", (first.range?.[0] ?? 0) - 1);
    return after(text, last.range?.[1] ?? text.length, element(task, column(text, dash)));
  }
  if (pair && isScalar(pair.key)) {
    const from = pair.key.range?.[0] ?? 0;
    return after(text, pair.key.range?.[1] ?? 0, element(task, `${column(text, from)}  `));
  }
  if (isMap(spec) && spec.items.length) {
    const indent = column(text, ((spec as YAMLMap<Node>).items[0]?.key as Node).range?.[0] ?? 0);
    return after(text, spec.range?.[1] ?? text.length, `${indent}task:\n${element(task, `${indent}  `)}`);
  }
  if (specPair && isScalar(specPair.key))
    return after(text, specPair.key.range?.[1] ?? 0, `  task:\n${element(task, "    ")}`);
  return after(text, text.length, `spec:\n  task:\n${element(task, "    ")}`);
}

/** column is the space that stands as far left as an offset. */
function column(text: string, offset: number): string {
  return " ".repeat(offset - (text.lastIndexOf("\n", offset - 1) + 1));
}

/** element writes a task as an element of a list whose dashes are behind an indentation. */
function element(task: TaskForm, indent: string): string {
  return write([taskOf(task)])
    .trimEnd()
    .split("\n")
    .map((line) => (line ? indent + line : line))
    .join("\n");
}

/** after inserts lines below the line in which something ends. */
function after(text: string, end: number, lines: string): Insertion {
  const trimmed = text.slice(0, end).trimEnd().length;
  const line = text.indexOf("\n", trimmed);
  return line < 0
    ? { at: text.length, insert: `${text.endsWith("\n") || !text ? "" : "\n"}${lines}\n` }
    : { at: line + 1, insert: `${lines}\n` };
}
