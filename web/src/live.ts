import { createSignal } from "solid-js";
import { address, backoff, pause } from "./api/client";
import { reread } from "./session";
import { watch } from "./silence";
import { onMessage, post } from "./tabs";

/** Change says what may have changed. A view that shows it reads it again. */
export interface Change {
  kind: "run" | "dag" | "dagtask";
  namespace: string;
  dag?: string;
  run?: string;
  phase?: string;
}

type Listener = (change: Change | "reset") => void;

const listeners = new Set<Listener>();
const [isLive, setLive] = createSignal(false);

/** isLive reports whether changes arrive as they happen. */
export { isLive };

/** onChange calls back for each change, until the returned function is called. "reset" means anything may have changed. */
export function onChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

function tell(change: Change | "reset"): void {
  for (const listener of listeners) listener(change);
}

/**
 * start receives changes until the returned function is called. Of all tabs of a browser one has the stream, because a
 * browser has six connections to a host over HTTP/1.1. That tab holds a Web Lock. The others hear it by BroadcastChannel.
 * Browsers have no Web Locks on plain HTTP; there each visible tab has its own stream.
 */
export function start(): () => void {
  const stop = new AbortController();
  const forget = onMessage((message) => {
    if (message.kind === "change") tell(message.change);
    if (message.kind === "reset") tell("reset");
    if (message.kind === "stream") setLive(message.isOpen);
    if (message.kind === "hello" && holdsStream) post({ kind: "stream", isOpen: isLive() });
  });
  stop.signal.addEventListener("abort", () => {
    forget();
    setLive(false);
  });
  if (navigator.locks) {
    post({ kind: "hello" });
    const name = `kontroler-events ${new URL(".", location.href).pathname}`; // as that of the channel
    navigator.locks.request(name, { signal: stop.signal }, () => hold(stop.signal)).catch(() => {});
  } else {
    void whileVisible(stop.signal);
  }
  return () => stop.abort();
}

let holdsStream = false;

/** hold has the stream until the signal aborts, for all tabs. */
async function hold(signal: AbortSignal): Promise<void> {
  holdsStream = true;
  try {
    await follow(signal, true);
  } finally {
    holdsStream = false;
  }
}

async function whileVisible(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    if (document.visibilityState === "visible") {
      const hidden = new AbortController();
      const listen = () => document.visibilityState === "hidden" && hidden.abort();
      document.addEventListener("visibilitychange", listen);
      await follow(AbortSignal.any([signal, hidden.signal]), false);
      document.removeEventListener("visibilitychange", listen);
    } else {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      tell("reset");
    }
  }
}

/** Replicas of the server keep rights for 2 seconds. After so long, in milliseconds, none answers by old ones. */
export const rightsSettle = 2500;

/**
 * follow keeps a stream open. The browser opens a lost one again at its place. If the server refuses that, follow waits
 * longer each time, and opens a new one. No stream has what changed before it was opened, so everything is read again then.
 */
async function follow(signal: AbortSignal, isShared: boolean): Promise<void> {
  const say = (isOpen: boolean) => {
    setLive(isOpen);
    if (isShared) post({ kind: "stream", isOpen });
  };
  const news = (change: Change | "reset") => {
    tell(change);
    if (isShared) post(change === "reset" ? { kind: "reset" } : { kind: "change", change });
  };
  const rights = () => reread(signal);
  /** twice reads now, and again when no replica has old rights. */
  const twice = (read: () => void) => {
    read();
    pause(rightsSettle, signal).then(read, () => {});
  };
  const renew = () => {
    void rights();
    news("reset");
  };
  for (let attempt = 1; !signal.aborted; attempt++) {
    let isNew = true;
    await stream(signal, (isOpen) => {
      say(isOpen);
      if (!isOpen) return;
      if (isNew) news("reset");
      twice(() => void rights()); // Nobody tells what they became meanwhile.
      isNew = false;
      attempt = 1;
    }, news, () => twice(renew));
    say(false);
    if (signal.aborted) return;
    await rights();
    await pause(backoff(attempt), signal).catch(() => {});
  }
}

/** stream reads one stream until the server ends or refuses it, or is silent for too long. */
function stream(
  signal: AbortSignal, opened: (isOpen: boolean) => void,
  news: (change: Change | "reset") => void, newRights: () => void,
): Promise<void> {
  return new Promise((resolve) => {
    const source = new EventSource(address("events"));
    const finish = () => {
      silence.stop();
      source.close();
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const silence = watch(finish);
    signal.addEventListener("abort", finish);
    source.onopen = () => {
      silence.heard();
      opened(true);
    };
    source.onerror = () => (source.readyState === EventSource.CLOSED ? finish() : opened(false));
    const on = (name: string, action: (data: string) => void) => source.addEventListener(name, (event) => {
      silence.heard();
      action((event as MessageEvent<string>).data);
    });
    on("heartbeat", () => {});
    on("change", (data) => news(JSON.parse(data) as Change));
    on("reset", (data) => {
      if ((JSON.parse(data) as { reason?: string }).reason === "rights") newRights();
      else news("reset");
    });
    on("end", finish);
  });
}
