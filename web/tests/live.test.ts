import { createRoot } from "solid-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { isLive, onChange, rightsSettle, start, type Change } from "../src/live";
import { createReading, shortestInterval } from "../src/reading";
import { may, restore } from "../src/session";
import { longestSilence } from "../src/silence";

/** Stream stands in for EventSource, which jsdom lacks. */
class Stream extends EventTarget {
  static CLOSED = 2;
  static opened: Stream[] = [];
  readyState = 0;
  onopen: (() => void) | undefined;
  onerror: (() => void) | undefined;

  constructor() {
    super();
    Stream.opened.push(this);
  }

  close(): void {
    this.readyState = Stream.CLOSED;
  }

  change(change: Change): void {
    this.dispatchEvent(new MessageEvent("change", { data: JSON.stringify(change) }));
  }

  /** fail is what the browser does: it opens a lost stream again, but not a refused one. */
  fail(isRefused: boolean): void {
    this.readyState = isRefused ? Stream.CLOSED : 0;
    this.onerror?.();
  }
}

const change: Change = { kind: "run", namespace: "shop", dag: "etl", run: "1" };
let stop: () => void;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("EventSource", Stream);
  vi.stubGlobal("fetch", () => Promise.reject(new Error("the server is away")));
  Stream.opened = [];
  stop = start();
});
afterEach(() => {
  stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const stream = () => Stream.opened[Stream.opened.length - 1] as Stream;

describe("the stream of changes", () => {
  it("makes everything be read again when it opens, because what changed before is not in it", () => {
    const heard: unknown[] = [];
    const forget = onChange((news) => heard.push(news));
    stream().onopen?.();
    stream().change(change);
    expect(heard).toEqual(["reset", change]);
    forget();
  });

  it("goes on at its place when the browser opens it again, and is not live meanwhile", () => {
    const heard: unknown[] = [];
    stream().onopen?.();
    const forget = onChange((news) => heard.push(news));
    stream().fail(false);
    expect(isLive()).toBe(false);
    stream().onopen?.();
    expect([isLive(), heard]).toEqual([true, []]);
    forget();
  });

  it("that is refused is opened anew, later each time, and everything is read again", async () => {
    stream().onopen?.();
    const heard: unknown[] = [];
    const forget = onChange((news) => heard.push(news));
    for (let refusals = 1; refusals <= 3; refusals++) {
      stream().fail(true);
      await vi.advanceTimersByTimeAsync(15_000);
      expect(Stream.opened).toHaveLength(1 + refusals);
    }
    stream().onopen?.();
    expect(heard).toEqual(["reset"]);
    forget();
  });
});

describe("changed rights", () => {
  const user = (role: string) => ({ user: { name: "ann", admin: false, grants: [{ namespace: "shop", role }] } });
  let role: string;
  beforeEach(async () => {
    role = "editor";
    vi.stubGlobal("fetch", () => Promise.resolve(new Response(JSON.stringify(user(role)))));
    await restore();
    stream().onopen?.();
    await vi.advanceTimersByTimeAsync(2 * rightsSettle);
    expect(may("shop", "editor")).toBe(true);
  });
  const reset = () => stream().dispatchEvent(new MessageEvent("reset", { data: JSON.stringify({ reason: "rights" }) }));

  it("are read again, and the page follows", async () => {
    role = "viewer";
    reset();
    await vi.waitFor(() => expect(may("shop", "editor")).toBe(false));
    role = "editor";
    stream().fail(false); // Rights may change while no stream says so.
    stream().onopen?.();
    await vi.waitFor(() => expect(may("shop", "editor")).toBe(true));
  });

  it("are read once more, and all else with them, when no replica answers by the old ones", async () => {
    const heard: unknown[] = [];
    const forget = onChange((news) => heard.push(news));
    reset(); // Another replica answers what was read for it.
    await vi.advanceTimersByTimeAsync(2000);
    role = "viewer";
    await vi.advanceTimersByTimeAsync(rightsSettle);
    expect([may("shop", "editor"), heard]).toEqual([false, ["reset", "reset"]]);
    forget();
  });

  it("are read when a stream is opened, such as that of a hidden page that is shown", async () => {
    const turn = (to: "hidden" | "visible") => {
      vi.spyOn(document, "visibilityState", "get").mockReturnValue(to);
      document.dispatchEvent(new Event("visibilitychange"));
      return vi.advanceTimersByTimeAsync(0);
    };
    await turn("hidden");
    role = "viewer";
    await turn("visible");
    expect([Stream.opened.length, may("shop", "editor")]).toEqual([2, true]);
    stream().onopen?.();
    await vi.waitFor(() => expect(may("shop", "editor")).toBe(false));
  });
});

describe("a stream that is silent", () => {
  const beat = () => stream().dispatchEvent(new MessageEvent("heartbeat", { data: "{}" }));

  it("stays open while heartbeats arrive, and is opened anew after three that did not", async () => {
    stream().onopen?.();
    for (let beats = 0; beats < 10; beats++) {
      await vi.advanceTimersByTimeAsync(15_000);
      beat();
    }
    expect([isLive(), Stream.opened.length]).toEqual([true, 1]);
    const dead = stream();
    await vi.advanceTimersByTimeAsync(longestSilence + 15_000);
    expect([isLive(), Stream.opened.length, dead.readyState]).toEqual([false, 2, Stream.CLOSED]);
    const heard: unknown[] = [];
    const forget = onChange((news) => heard.push(news));
    stream().onopen?.();
    expect([isLive(), heard]).toEqual([true, ["reset"]]);
    forget();
  });

  it("is opened anew as soon as the page is shown after the computer slept", async () => {
    stream().onopen?.();
    const dead = stream();
    vi.setSystemTime(Date.now() + longestSilence); // no timer has run
    document.dispatchEvent(new Event("visibilitychange"));
    expect(dead.readyState).toBe(Stream.CLOSED);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Stream.opened.length).toBeGreaterThan(1);
  });
});

describe("a view", () => {
  it("reads at most once a second, however much news there is, and once more at the end", async () => {
    stream().onopen?.();
    await createRoot(async (dispose) => {
      let count = 0;
      createReading(() => ({}), () => Promise.resolve(count++), () => true);
      for (let ms = 0; ms < 5000; ms += 50) {
        stream().change(change);
        await vi.advanceTimersByTimeAsync(50);
      }
      expect(count).toBeLessThanOrEqual(7);
      const before = count;
      stream().change(change);
      await vi.advanceTimersByTimeAsync(2 * shortestInterval);
      expect(count).toBeGreaterThan(before);
      dispose();
    });
  });

  it("of a hidden page does not read again until the page is shown, and then once", async () => {
    stream().onopen?.();
    await createRoot(async (dispose) => {
      let count = 0;
      createReading(() => ({}), () => Promise.resolve(count++), () => true);
      await vi.advanceTimersByTimeAsync(2 * shortestInterval);
      const before = count;
      const visibility = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
      for (let changes = 0; changes < 20; changes++) {
        stream().change(change);
        await vi.advanceTimersByTimeAsync(shortestInterval);
      }
      expect(count).toBe(before);
      visibility.mockReturnValue("visible");
      document.dispatchEvent(new Event("visibilitychange"));
      await vi.advanceTimersByTimeAsync(5 * shortestInterval);
      expect(count).toBe(before + 1);
      dispose();
    });
  });

  it("that takes long to read is not interrupted by news, and is read again afterwards", async () => {
    stream().onopen?.();
    await createRoot(async (dispose) => {
      let count = 0;
      const reading = createReading(() => ({}), (_, signal) => new Promise<number>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
        setTimeout(() => resolve(++count), 3 * shortestInterval);
      }), () => true);
      for (let ms = 0; ms < 4 * shortestInterval; ms += 100) {
        stream().change(change);
        await vi.advanceTimersByTimeAsync(100);
      }
      expect(reading.data()).toBe(1);
      await vi.advanceTimersByTimeAsync(4 * shortestInterval);
      expect(reading.data()).toBe(2);
      dispose();
    });
  });
});
