import { createSignal, onCleanup, onMount, type Accessor } from "solid-js";
import { backoff, isTransient, pause } from "../api/client";
import { Problem } from "../api/problem";
import { reread } from "../session";
import { text } from "../text";
import { Lines } from "./lines";
import { bounded, readText, stream, withSlot, type Ending, type LogKey, type Sink, type State } from "./source";

/** Mode is how a log comes: by a stream, by asking, or no more. */
export type Mode = "loading" | "live" | "stored" | "lost" | "full";

/** Following is a log that is read as it grows. */
export interface Following {
  /** The lines, each time that more of them are there. */
  lines: Accessor<Lines>;
  mode: Accessor<Mode>;
  problem: Accessor<Problem | undefined>;
  /** Why there is no log. */
  absence: Accessor<string>;
  /** What is to be known of the log as a whole. */
  notice: Accessor<string>;
  retry: () => void;
}

/** Tabs without a stream ask this often, in milliseconds. */
const askInterval = 3000;
/** What is shown stays so long while a log is read anew, in milliseconds, unless as much has come again before. */
const keptFor = 1000;

/**
 * createFollowing follows a log while the component is shown. A lost stream is opened again. So is one that the page gave
 * back while it was hidden, at its place.
 */
export function createFollowing(key: LogKey, isOver: () => boolean): Following {
  const stop = new AbortController();
  onCleanup(() => stop.abort());
  let coming = new Lines();
  let place = ""; // of the end of coming, for the next stream. A text has none.
  let restartedAt = 0;
  const [lines, setLines] = createSignal(coming, { equals: false });
  const [mode, setMode] = createSignal<Mode>("loading");
  const [problem, setProblem] = createSignal<Problem>();
  const [absence, setAbsence] = createSignal("");
  const [notice, setNotice] = createSignal("");

  let frame = 0;
  const show = () => {
    frame = 0;
    const isAsMuch = coming.rows.length >= lines().rows.length || coming.rows[0]?.isDropped;
    if (isAsMuch || performance.now() - restartedAt > keptFor) setLines(coming);
    else frame = requestAnimationFrame(show);
  };
  onCleanup(() => cancelAnimationFrame(frame));
  const sink: Sink = {
    lines: () => (coming = bounded(coming)),
    place: () => place,
    reached: (reached) => (place = reached),
    restart: () => {
      coming = new Lines();
      place = "";
      restartedAt = performance.now();
    },
    grew: () => (frame ||= requestAnimationFrame(show)),
    state: (state) => setNotice(noticeOf(state)),
    connected: (isConnected) => setMode(isConnected ? (isOver() ? "loading" : "live") : "lost"),
  };
  /** ask reads the log without a stream. */
  const ask = async () => {
    const read = await readText(key, stop.signal);
    place = "";
    setLines((coming = read));
  };
  const conclude = (ending: Ending) => {
    if (ending.how === "credential") void reread(); // It ends the session only if that is what has ended.
    if ("message" in ending) (coming.rows.length ? setNotice : setAbsence)(ending.message || ending.reason);
    if (ending.how === "complete" && ending.isRotated) setNotice(text.log.rotated);
    setLines(coming);
    setMode("stored");
  };
  /** follow opens one stream, if this tab may have one. */
  const follow = async (opened: () => void): Promise<{ isMine: boolean; ending: Ending }> => {
    let ending: Ending = { how: "lost" };
    const isMine = await withSlot(stop.signal, async () => {
      if (!place) sink.restart();
      const connected = (isConnected: boolean) => {
        if (isConnected) opened();
        sink.connected(isConnected);
      };
      ending = await whileShown(stop.signal, (signal) => stream(key, { ...sink, connected }, signal));
    });
    return { isMine, ending };
  };
  const load = async () => {
    setProblem(undefined);
    try {
      for (let attempt = 1; ; attempt++) {
        while (!isShown()) await turned(stop.signal);
        const { isMine, ending } = await follow(() => (attempt = 1));
        if (stop.signal.aborted) return;
        if (ending.how === "hidden") continue;
        if (ending.how !== "lost") return conclude(ending);
        setMode(isMine ? "lost" : "full");
        const isRead = isShown() && await ask().then(() => true, (error: unknown) => {
          if (!isTransient(error)) throw error;
          setMode("lost");
          return false;
        });
        if (isRead && isOver()) return setMode("stored");
        await pause(isRead && !isMine ? askInterval : backoff(attempt), stop.signal);
      }
    } catch (error) {
      if (stop.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      if (error.kind === "not-found" || error.kind === "conflict") setAbsence(error.detail || error.message);
      else setProblem(error);
      setMode("stored");
    }
  };
  onMount(() => void load());
  return { lines, mode, problem, absence, notice, retry: () => void load() };
}

const isShown = () => document.visibilityState === "visible";

/** turned returns when the page is hidden or shown. It does not return if the signal aborts before. */
const turned = (signal: AbortSignal) =>
  new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true, signal }));

const noticeOf = (state: State) =>
  [state.rotated && text.log.rotated, state.incomplete && (state.message || text.log.incomplete)].filter(Boolean).join(" ");

/** whileShown ends a stream when the page is hidden, so that hidden tabs give their streams back. */
async function whileShown(outer: AbortSignal, open: (signal: AbortSignal) => Promise<Ending>): Promise<Ending> {
  if (!isShown()) return { how: "hidden" };
  const hidden = new AbortController();
  const listen = () => !isShown() && hidden.abort();
  document.addEventListener("visibilitychange", listen);
  try {
    const ending = await open(AbortSignal.any([outer, hidden.signal]));
    return ending.how === "lost" && hidden.signal.aborted ? { how: "hidden" } : ending;
  } finally {
    document.removeEventListener("visibilitychange", listen);
  }
}
