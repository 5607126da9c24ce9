import { address, path, send } from "../api/client";
import { Problem } from "../api/problem";
import { text } from "../text";
import { watch } from "../silence";
import { Lines } from "./lines";

/** Where a log is, and what it is. */
export interface LogKey {
  uid: string;
  task: string;
  attempt: number;
}

export const logPath = (key: LogKey) => path("runs", key.uid, "tasks", key.task, "attempts", key.attempt, "log");

/** downloadAddress is where the whole log is, as a file. */
export const downloadAddress = (key: LogKey) => address(logPath(key), { download: true });

/** bounded keeps the newer lines of too long a log. */
export const bounded = (lines: Lines): Lines => lines.bounded((dropped) => text.log.dropped(size(dropped)));

/**
 * readText returns what there is of a log. It throws a Problem, also if the connection breaks within the answer.
 */
export async function readText(key: LogKey, signal: AbortSignal): Promise<Lines> {
  let lines = new Lines();
  const response = await send("GET", logPath(key), { headers: { Accept: "text/plain" }, signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return lines;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      lines.append(value);
      lines = bounded(lines);
    }
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem("unreachable", {});
  }
  lines.finish();
  return lines;
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

/** Ending is how a stream of a log ended. */
export type Ending =
  | { how: "complete"; isRotated: boolean }
  /** There is no log, and why. */
  | { how: "gone"; reason: string; message: string }
  /** The session has ended, or it may no longer read the namespace. */
  | { how: "credential"; reason: string; message: string }
  /** The server did not open the stream, it was silent for too long, or this page has left it. */
  | { how: "lost" }
  /** The page gave the stream back while it was hidden. */
  | { how: "hidden" };

/** State is where the server reads a log from, and what it knows of a stored one. */
export interface State {
  state: string;
  bytes?: number;
  rotated?: boolean;
  incomplete?: boolean;
  message?: string;
}

/** Sink takes what arrives of a log. restart forgets what came before. */
export interface Sink {
  lines: () => Lines;
  /** The id of the event behind which the lines end. It is empty at the beginning. */
  place: () => string;
  reached: (place: string) => void;
  restart: () => void;
  grew: () => void;
  state: (state: State) => void;
  connected: (isConnected: boolean) => void;
}

/**
 * stream receives a log from the place of a sink on, and what is written to it, until its end. The browser opens a lost
 * stream again at its place.
 */
export function stream(key: LogKey, sink: Sink, signal: AbortSignal): Promise<Ending> {
  return new Promise((resolve) => {
    const source = new EventSource(address(logPath(key), { from: sink.place() }));
    const finish = (ending: Ending) => {
      silence.stop();
      source.close();
      signal.removeEventListener("abort", stop);
      resolve(ending);
    };
    const stop = () => finish({ how: "lost" });
    const silence = watch(stop);
    signal.addEventListener("abort", stop);
    const on = <T>(name: string, action: (data: T, place: string) => void) => source.addEventListener(name, (event) => {
      silence.heard();
      const { data, lastEventId } = event as MessageEvent<string>;
      action(JSON.parse(data) as T, lastEventId);
      sink.grew();
    });
    on<State>("state", sink.state);
    on<string>("log", (piece, place) => {
      sink.lines().append(piece);
      sink.reached(place);
    });
    on<{ bytes: number }>("omitted", ({ bytes }, place) => {
      sink.lines().gap(`${text.log.cut(size(bytes))} ${text.log.cutHint}`);
      sink.reached(place);
    });
    on("reset", sink.restart);
    on<{ reason: string; message: string }>("gone", ({ reason, message }) => finish({ how: "gone", reason, message }));
    on<{ reason: string; rotated?: boolean; detail?: string }>("end", ({ reason, rotated = false, detail = "" }) => {
      sink.lines().finish();
      if (reason === "complete") finish({ how: "complete", isRotated: rotated });
      else finish({ how: "credential", reason, message: detail });
    });
    source.addEventListener("heartbeat", silence.heard);
    source.onopen = () => {
      silence.heard();
      sink.connected(true);
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) finish({ how: "lost" });
      else sink.connected(false);
    };
  });
}

/** size is a number of bytes in words. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  const power = Math.min(units.length - 1, bytes > 0 ? Math.floor(Math.log2(bytes) / 10) : 0);
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`;
}
