import { address, path, send } from "../api/client";
import { Problem } from "../api/problem";
import { text } from "../text";
import type { Lines } from "./lines";

/** Where a log is, and what it is. */
export interface LogKey {
  uid: string;
  task: string;
  attempt: number;
}

export const logPath = (key: LogKey) => path("runs", key.uid, "tasks", key.task, "attempts", key.attempt, "log");

/** downloadAddress is where the whole log is, as a file. */
export const downloadAddress = (key: LogKey) => address(logPath(key), { download: true });

/** readStored reads a log to its end. grew is called after each part. */
export async function readStored(key: LogKey, lines: Lines, grew: () => void, signal: AbortSignal): Promise<void> {
  const response = await send("GET", logPath(key), { headers: { Accept: "text/plain" }, signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    lines.append(value);
    grew();
  }
  lines.finish();
  grew();
}

/** At most so many streams of logs are open in a browser, because it has six connections to a host over HTTP/1.1. */
const mostStreams = 3;

/** withSlot runs while one of the streams of this browser is free for it. Without a free one it does not run: false. */
export async function withSlot(signal: AbortSignal, action: () => Promise<void>): Promise<boolean> {
  if (!navigator.locks) {
    await action();
    return true;
  }
  for (let slot = 0; slot < mostStreams; slot++) {
    const isMine = await navigator.locks.request(`kontroler-log-${slot}`, { ifAvailable: true }, async (lock) => {
      if (!lock) return false;
      await action();
      return true;
    });
    if (isMine || signal.aborted) return true;
  }
  return false;
}

/** follow receives a log as it is written, until the server ends it ("ended") or the connection is lost ("lost"). */
export function follow(key: LogKey, lines: Lines, grew: () => void, restarted: () => Lines, signal: AbortSignal): Promise<"ended" | "lost"> {
  return new Promise((resolve) => {
    const source = new EventSource(address(logPath(key), { follow: true }));
    let into = lines;
    const finish = (how: "ended" | "lost") => {
      source.close();
      signal.removeEventListener("abort", stop);
      resolve(how);
    };
    const stop = () => finish("lost");
    signal.addEventListener("abort", stop);
    const data = (event: Event) => (event as MessageEvent<string>).data;
    source.onmessage = (event: MessageEvent<string>) => { into.append(`${event.data}\n`); grew(); };
    source.addEventListener("log", (event) => { into.append(data(event)); grew(); });
    source.addEventListener("gap", (event) => { into.gap(gapText(data(event))); grew(); });
    source.addEventListener("reset", () => { into = restarted(); grew(); });
    source.addEventListener("end", () => { into.finish(); grew(); finish("ended"); });
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) finish("lost"); };
  });
}

function gapText(data: string): string {
  try {
    const { bytes } = JSON.parse(data) as { bytes?: number };
    return `${text.log.cut(bytes === undefined ? text.log.something : size(bytes))} ${text.log.cutHint}`;
  } catch {
    return text.log.cutHint;
  }
}

/** size is a number of bytes in words. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log2(bytes) / 10) : 0);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}

/** isAbsent reports whether a problem means that there is no log yet, or no longer. */
export const isAbsent = (problem: Problem) => problem.kind === "not-found" || problem.kind === "conflict";
