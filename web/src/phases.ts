import type { Attempt, Run, Task } from "./api/types";

/** Look is how a phase looks: a shape, a colour and a word. */
export type Look = "succeeded" | "running" | "waiting" | "failed" | "skipped" | "cancelled" | "lost";

export const looks: Look[] = ["failed", "running", "waiting", "lost", "cancelled", "skipped", "succeeded"];

/** lookOfRun returns the look of a run. A pending one waits. */
export function lookOfRun(phase: Run["phase"] | string): Look {
  switch (phase) {
    case "Running": return "running";
    case "Succeeded": return "succeeded";
    case "Failed": return "failed";
    case "Cancelled": return "cancelled";
    default: return "waiting";
  }
}

/** lookOfTask returns the look of a task. An active task with a reason has a Pod that does not run yet. */
export function lookOfTask(phase: Task["phase"] | string, reason = ""): Look {
  switch (phase) {
    case "Active": return reason ? "waiting" : "running";
    case "Succeeded": return "succeeded";
    case "Failed": return "failed";
    case "Skipped": return "skipped";
    case "Cancelled": return "cancelled";
    default: return "waiting";
  }
}

export function lookOfAttempt(phase: Attempt["phase"] | string): Look {
  switch (phase) {
    case "Running": case "Stopping": return "running";
    case "Succeeded": return "succeeded";
    case "Failed": return "failed";
    case "Lost": return "lost";
    case "Cancelled": return "cancelled";
    default: return "waiting";
  }
}

/** isLive reports whether a run has not ended. */
export const isLiveRun = (phase: string) => phase === "Pending" || phase === "Running";

/** isOver reports whether a task has ended. */
export const isOver = (phase: string) => ["Succeeded", "Failed", "Skipped", "Cancelled"].includes(phase);
