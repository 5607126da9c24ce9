import type { Attempt, RunAttempts, Task } from "./api/types";
import { lookOfAttempt, lookOfTask, type Look } from "./phases";

/** Segment is a part of the row of a task: waiting, or an attempt that runs. Times are in milliseconds. */
export interface Segment {
  look: Look;
  isWait: boolean;
  from: number;
  until: number;
  title: string;
}

/** TimedAttempt is an attempt as the graph and the timeline show it. */
export type TimedAttempt = Pick<Attempt, "number" | "phase" | "reason" | "startedAt" | "finishedAt">;

/** attemptsByTask returns the attempts of a run by the names of their tasks, newest first. */
export function attemptsByTask(all: RunAttempts): Map<string, TimedAttempt[]> {
  const byTask = new Map<string, TimedAttempt[]>();
  all.tasks.forEach((task, at) => {
    const of = byTask.get(task) ?? [];
    byTask.set(task, of);
    of.push({
      number: all.numbers[at] ?? 0, phase: all.phases[at] ?? "Decided", reason: all.reasons[at],
      startedAt: all.startedAt[at] ?? undefined, finishedAt: all.finishedAt[at] ?? undefined,
    });
  });
  return byTask;
}

const ms = (time: string | undefined) => (time === undefined ? undefined : Date.parse(time));

/**
 * segmentsOf returns what a task did, in order of time: a thin bar while it waits, a thick one for each attempt. Without
 * its attempts, a task is drawn as one.
 */
export function segmentsOf(task: Task, attempts: TimedAttempt[] | undefined, now: number): Segment[] {
  const ready = ms(task.readyAt);
  if (ready === undefined) return [];
  const segments: Segment[] = [];
  let cursor = ready;
  const wait = (until: number) => {
    if (until > cursor) segments.push({ look: "waiting", isWait: true, from: cursor, until, title: task.reason ?? "" });
    cursor = Math.max(cursor, until);
  };
  const run = (look: Look, from: number, until: number, title: string) => {
    wait(from);
    segments.push({ look, isWait: false, from, until: Math.max(from, until), title });
    cursor = Math.max(cursor, until);
  };
  if (attempts) {
    for (const attempt of [...attempts].sort((a, b) => a.number - b.number)) {
      const started = ms(attempt.startedAt), finished = ms(attempt.finishedAt);
      if (started !== undefined) run(lookOfAttempt(attempt.phase), started, finished ?? now, attempt.reason ?? "");
      else if (finished !== undefined) wait(finished);
    }
  } else {
    const started = ms(task.startedAt);
    const isWaiting = task.phase === "Active" && Boolean(task.reason);
    if (started !== undefined && !isWaiting) run(lookOfTask(task.phase), started, ms(task.finishedAt) ?? now, task.reason ?? "");
  }
  if (task.phase === "Ready" || (task.phase === "Active" && task.reason)) {
    wait(Math.max(now, task.phase === "Ready" ? ms(task.dueAt) ?? 0 : 0));
  }
  return segments;
}

const day = 86_400;

/** axisOf returns marks of round lengths from the start of a run to at least its end, in milliseconds from the start. */
export function axisOf(length: number): number[] {
  const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 21_600, 43_200, day];
  const step = 1000 * (seconds.find((each) => each * 1000 * 5 >= length) ?? Math.ceil(length / 5000 / day) * day);
  return Array.from({ length: Math.max(1, Math.ceil(length / step)) + 1 }, (_, index) => index * step);
}
