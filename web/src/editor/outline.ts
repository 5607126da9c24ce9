import type { Source } from "./source";
import { valueOf } from "./source";

/** OutlineTask is what the graph shows of a task. */
export interface OutlineTask {
  name: string;
  /** What it runs: a DagTask, or an image without its registry. */
  runs: string;
  /** Names of runAfter that no task has. */
  missing: string[];
}

/** Outline is the shape of a DAG as far as it is written. */
export interface Outline {
  tasks: OutlineTask[];
  /** For each task the positions of those that it runs after. What would close a cycle is left out. */
  parents: number[][];
  /** The names of a cycle, if there is one. */
  cycle: string[];
  parameters: string[];
}

type Values = Record<string, unknown>;

const isValues = (value: unknown): value is Values =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const textOf = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";

/** outlineOf returns the outline of a source, or nothing if it is not a map. */
export function outlineOf(source: Source): Outline | undefined {
  const value = valueOf(source);
  const spec = isValues(value) && isValues(value["spec"]) ? value["spec"] : undefined;
  if (!isValues(value)) return undefined;
  const written = listOf(spec?.["task"]).map((task) => (isValues(task) ? task : {}));
  const tasks = written.map((task): OutlineTask => {
    const ref = isValues(task["taskRef"]) ? textOf(task["taskRef"]["name"]) : "";
    return { name: textOf(task["name"]), runs: ref || textOf(task["image"]).replace(/^.*\//, ""), missing: [] };
  });
  const positions = new Map(tasks.map((task, index) => [task.name, index]));
  const parents = written.map((task, index) =>
    listOf(task["runAfter"])
      .map(textOf)
      .flatMap((name) => {
        const parent = positions.get(name);
        if (parent === undefined && name) tasks[index]?.missing.push(name);
        return parent ?? [];
      }),
  );
  const cycle = cutCycles(parents).map((task) => tasks[task]?.name ?? "");
  const parameters = listOf(spec?.["parameters"]).map((each) => (isValues(each) ? textOf(each["name"]) : textOf(each)));
  return { tasks, parents, cycle, parameters: parameters.filter(Boolean) };
}

/** cutCycles removes the edges that close cycles, and returns the positions of the first cycle. */
function cutCycles(parents: number[][]): number[] {
  let first: number[] = [];
  const done = new Set<number>();
  const way: number[] = [];
  const walk = (task: number) => {
    way.push(task);
    parents[task] = (parents[task] ?? []).filter((parent) => {
      const at = way.indexOf(parent);
      if (at >= 0 && !first.length) first = way.slice(at).reverse();
      if (at < 0 && !done.has(parent)) walk(parent);
      return at < 0;
    });
    way.pop();
    done.add(task);
  };
  parents.forEach((_, task) => !done.has(task) && walk(task));
  return first;
}

/** difference counts the tasks that are new or written otherwise than in another source. */
export function difference(before: Source, after: Source): { added: number; changed: number; removed: number } {
  const tasksOf = (source: Source) => {
    const value = valueOf(source);
    const tasks = isValues(value) && isValues(value["spec"]) ? listOf(value["spec"]["task"]).filter(isValues) : [];
    return new Map(tasks.map((task) => [textOf(task["name"]), JSON.stringify(task)]));
  };
  const old = tasksOf(before),
    now = tasksOf(after);
  const added = [...now.keys()].filter((name) => !old.has(name)).length;
  const changed = [...now].filter(([name, text]) => old.has(name) && old.get(name) !== text).length;
  return { added, changed, removed: [...old.keys()].filter((name) => !now.has(name)).length };
}
