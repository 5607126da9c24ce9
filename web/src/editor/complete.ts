import { element, field, schemaAt, type Kind, type Path, type Schema } from "./crd";
import { outlineOf } from "./outline";
import { here, type Here } from "./source";

/** Candidate completes what is typed. */
export interface Candidate {
  label: string;
  kind: "field" | "value";
  /** What is written in its place. | is where the cursor stands then. */
  apply: string;
  schema?: Schema | undefined;
  isRequired: boolean;
  isDefault: boolean;
}

export interface Completion {
  from: number;
  candidates: Candidate[];
}

/** complete returns what may be written before an offset. dagTasks are the names of the DagTasks of the namespace. */
export function complete(kind: Kind, text: string, offset: number, dagTasks: string[]): Completion | undefined {
  const at = here(text, offset);
  if (!at) return undefined;
  const schema = schemaAt(kind, at.path);
  const startsField = at.isKey || (schema?.type === "object" && isElement(at.path));
  const line = text.slice(text.lastIndexOf("\n", at.from - 1) + 1, at.from);
  const candidates = startsField
    ? fieldsOf(schema, at, line, /^["'\w./-]*[ \t]*:/.test(text.slice(offset)))
    : valuesOf(kind, schema, at, dagTasks);
  return candidates.length ? { from: at.from, candidates } : undefined;
}

const isElement = (path: Path) => typeof path.at(-1) === "number";

function fieldsOf(schema: Schema | undefined, at: Here, line: string, hasColon: boolean): Candidate[] {
  // The first field of an element stands after the dash. What belongs to it stands below it.
  const indent = line.replaceAll("-", " ").replace(/\S.*$/, "");
  return Object.keys(schema?.properties ?? {})
    .filter((name) => !at.others.includes(name))
    .map((name) => {
      const of = field(schema, name);
      return {
        label: name,
        kind: "field",
        schema: of,
        isRequired: schema?.required?.includes(name) ?? false,
        isDefault: false,
        apply: hasColon ? name : name + opening(of, indent, at.isFlow),
      };
    });
}

/** opening is what follows the name of a field: a map begins in the next line, and so does a list of maps. */
function opening(schema: Schema | undefined, indent: string, isFlow: boolean): string {
  const isMap = schema?.type === "object",
    isList = schema?.type === "array";
  if (isMap) return isFlow ? ": {|}" : `:\n${indent}  |`;
  if (!isList) return ": |";
  return isFlow || element(schema)?.type !== "object" ? ": [|]" : `:\n${indent}  - |`;
}

function valuesOf(kind: Kind, schema: Schema | undefined, at: Here, dagTasks: string[]): Candidate[] {
  const names = namesFor(kind, at, dagTasks);
  const values = names ?? schema?.enum ?? (schema?.type === "boolean" ? ["true", "false"] : []);
  return values
    .map(String)
    .filter((value) => !isElement(at.path) || !at.others.includes(value))
    .map((value) => ({
      label: value,
      kind: "value",
      apply: value,
      schema,
      isRequired: false,
      isDefault: value === String(schema?.default),
    }));
}

/** namesFor returns the names that a value refers to: of tasks, of parameters or of DagTasks. */
function namesFor(kind: Kind, at: Here, dagTasks: string[]): string[] | undefined {
  if (kind !== "DAG") return undefined;
  const place = at.path.map((step) => (typeof step === "number" ? "*" : step)).join("/");
  if (place === "spec/task/*/taskRef/name") return dagTasks;
  if (place !== "spec/task/*/runAfter/*" && place !== "spec/task/*/parameters/*") return undefined;
  const outline = outlineOf({ text: "", document: at.document, faults: [] });
  if (place.endsWith("parameters/*")) return outline?.parameters ?? [];
  const own = outline?.tasks[Number(at.path[2])]?.name;
  return (outline?.tasks ?? []).map((task) => task.name).filter((name) => name && name !== own);
}
