import type { Grid } from "./api/types";
import { lookOfTask, type Look } from "./phases";

/** The width of a column and the height of a row, in pixels. */
export const columnWidth = 24;
export const rowHeight = 24;

/** GridRow is a task across runs, the oldest run first. */
export interface GridRow {
  task: string;
  /** The phase in each run, null where the run has no such task. */
  phases: (string | null)[];
  /** One path for each look, however many cells it has. */
  paths: [Look, string][];
  retried: string;
  restarted: string;
  counts: Map<Look, number>;
}

const glyphs: Record<Look, (x: number, y: number) => string> = {
  succeeded: (x, y) => `M${x} ${y}h0`,
  failed: (x, y) => `M${x - 4} ${y - 4}l8 8m0-8l-8 8`,
  running: (x, y) => `M${x} ${y - 4.5}a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9v9`,
  waiting: (x, y) => `M${x} ${y - 4}a4 4 0 1 0 0 8a4 4 0 1 0 0-8`,
  skipped: (x, y) => `M${x - 5} ${y + 3}c0-3 2-5 5-5s3.5 1.2 4.5 3.5m0-3.5v3.5h-3.5`,
  cancelled: (x, y) => `M${x - 4} ${y - 4}h8v8h-8z`,
  lost: (x, y) => `M${x} ${y}h0`,
};

/** rowsOf turns a grid, which has a row a run with the newest first, into a row a task with the newest last. */
export function rowsOf(grid: Grid): GridRow[] {
  const runs = [...grid.runs].reverse();
  const retried = runs.map((run) => new Set(run.retried)), restarted = runs.map((run) => new Set(run.restarted));
  return grid.tasks.map((task, column) => {
    const paths = new Map<Look, string>(), counts = new Map<Look, number>();
    let retries = "", restarts = "";
    const phases = runs.map((run, index) => {
      const phase = run.phases[column] ?? null;
      if (phase === null) return null;
      const look = lookOfTask(phase);
      const x = index * columnWidth + columnWidth / 2;
      paths.set(look, (paths.get(look) ?? "") + glyphs[look](x, rowHeight / 2 - 1));
      counts.set(look, (counts.get(look) ?? 0) + 1);
      if (retried[index]?.has(column)) retries += `M${x - 5} ${rowHeight - 3}h10`;
      else if (restarted[index]?.has(column)) restarts += `M${x - 5} ${rowHeight - 3}h10`;
      return phase;
    });
    return { task, phases, paths: [...paths], retried: retries, restarted: restarts, counts };
  });
}

/** ticksOf returns round durations for an axis up to a longest one, in milliseconds. */
export function ticksOf(longest: number): number[] {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18_000, 36_000, 86_400, 172_800];
  const step = (steps.find((seconds) => seconds * 1000 * 2 >= longest) ?? longest / 2000) * 1000;
  return longest > step ? [step, step * 2] : [step];
}
