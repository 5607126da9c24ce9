import { createEffect, createSignal, on, onCleanup, type Accessor } from "solid-js";
import { Problem } from "./api/problem";
import { isLive, onChange, type Change } from "./live";

/** News makes a view read again at most this often, in milliseconds. */
export const shortestInterval = 1000;
/** While no stream is open, a visible view reads again this often. */
const pollInterval = 10_000;

/** Reading is what a view has read. data stays while it is read again, also if that fails. */
export interface Reading<T> {
  data: Accessor<T | undefined>;
  problem: Accessor<Problem | undefined>;
  isLoading: Accessor<boolean>;
  refresh: () => void;
}

/**
 * createReading reads whenever the source changes. undefined as the source reads nothing. concerns says which changes
 * make it read again; a hidden page reads again when it is shown. isOfCluster says that it shows objects of Kubernetes: the stream has no event for those that no
 * controller has seen, so a visible view reads them again at intervals.
 */
export function createReading<S, T>(
  source: Accessor<S | undefined>, fetcher: (source: S, signal: AbortSignal) => Promise<T>,
  concerns?: (change: Change) => boolean, isOfCluster = false,
): Reading<T> {
  const [data, setData] = createSignal<T>();
  const [problem, setProblem] = createSignal<Problem>();
  const [isLoading, setLoading] = createSignal(false);
  let current: AbortController | undefined;
  let isStale = false; // news came while it was reading or the page was hidden

  const load = async () => {
    current?.abort();
    const from = source();
    if (from === undefined) return;
    const mine = (current = new AbortController());
    isStale = false;
    setLoading(true);
    try {
      const value = await fetcher(from, mine.signal);
      if (mine.signal.aborted) return;
      setData(() => value);
      setProblem(undefined);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      if (current === mine) {
        setLoading(false);
        if (isStale) again();
      }
    }
  };

  createEffect(on(() => JSON.stringify(source()), () => {
    setData(undefined);
    setProblem(undefined);
    void load();
  }));
  // News does not interrupt reading: a slow reading would never end while there is much of it.
  const again = throttle(() => {
    if (isLoading() || document.visibilityState === "hidden") isStale = true;
    else void load();
  }, shortestInterval);
  if (concerns) {
    const shown = () => isStale && again();
    document.addEventListener("visibilitychange", shown);
    onCleanup(() => document.removeEventListener("visibilitychange", shown));
    onCleanup(onChange((change) => (change === "reset" || concerns(change)) && again()));
    const timer = setInterval(() => {
      if ((isOfCluster || !isLive()) && document.visibilityState === "visible") again();
    }, pollInterval);
    onCleanup(() => clearInterval(timer));
  }
  onCleanup(() => {
    current?.abort();
    again.cancel();
  });
  return { data, problem, isLoading, refresh: () => void load() };
}

/** throttle calls at most once an interval, and not again for calls that come within it but once at its end. */
export function throttle(action: () => void, interval: number): { (): void; cancel: () => void } {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = -Infinity;
  const run = () => {
    timer = undefined;
    last = performance.now();
    action();
  };
  const call = () => {
    timer ??= setTimeout(run, Math.max(0, last + interval - performance.now()));
  };
  return Object.assign(call, { cancel: () => clearTimeout(timer) });
}
