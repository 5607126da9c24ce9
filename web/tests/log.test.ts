import { createRoot } from "solid-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { afterReturns, parseLine, plainText } from "../src/log/ansi";
import { createFollowing, type Following } from "../src/log/following";
import { Heights, Lines, longestRow, Search } from "../src/log/lines";
import { joined, textOf } from "../src/log/selection";
import { size } from "../src/log/source";
import { me, restore, state } from "../src/session";

describe("a line of a log", () => {
  it("has the colours of a terminal", () => {
    expect(parseLine("\x1b[1;31mERROR\x1b[0m no tax code")).toEqual([
      { text: "ERROR", color: "red", isBold: true }, { text: " no tax code" },
    ]);
  });

  it("ignores colours of 256 and of 24 bits without eating what follows", () => {
    expect(parseLine("\x1b[38;5;208;1ma\x1b[48;2;1;2;3mb")).toEqual([{ text: "a", isBold: true }, { text: "b", isBold: true }]);
  });

  it("is text, whatever markup it contains", () => {
    expect(parseLine("<script>alert(1)</script>")).toEqual([{ text: "<script>alert(1)</script>" }]);
  });

  it("shows other escape sequences as nothing, and control characters as symbols", () => {
    expect(plainText("\x1b]0;title\x07a\x1b[2Kb\x08c\x00")).toBe("ab\u2408c\u2400");
  });

  it("cannot turn the direction of a text around", () => expect(plainText("a\u202eb\u2066c")).toBe("a\ufffdb\ufffdc"));

  it("shows what stands after the last carriage return, as a terminal does", () => {
    expect(afterReturns("10 %\r50 %\r100 %")).toBe("100 %");
    expect(afterReturns("windows\r")).toBe("windows");
  });
});

describe("a log that is longer than a page keeps", () => {
  const most = 4000;
  const notice = (dropped: number) => `${dropped} dropped`;

  it("loses its older half, visibly, and keeps the numbers of the lines and the errors among them", () => {
    let lines = new Lines();
    for (let number = 1; number <= 1000; number++) {
      lines.append(`${number % 50 ? "line" : "ERROR"} ${number}\n`);
      lines = lines.bounded(notice, most);
      expect(lines.rows.reduce((sum, row) => sum + (row.number && row.text.length), 0)).toBeLessThanOrEqual(most);
    }
    lines.append("un");
    lines.append("finished\n");
    const [first, ...rest] = lines.rows;
    const written = Array.from({ length: 1000 }, (_, at) => `${(at + 1) % 50 ? "line" : "ERROR"} ${at + 1}`);
    const shown = rest.slice(0, -1);
    expect(rest.at(-1)).toMatchObject({ number: 1001, text: "unfinished" });
    expect(shown.map((row) => row.text)).toEqual(written.slice(-shown.length));
    expect(shown.every((row) => row.text.endsWith(` ${row.number}`))).toBe(true);
    expect(lines.rows.every((row, index) => row.index === index)).toBe(true);
    expect(first).toMatchObject({ number: 0, isDropped: true,
      text: notice(written.slice(0, -shown.length).join("").length) });
    expect(lines.errors).toEqual(lines.rows.filter((row) => row.text.startsWith("ERROR")));
  });

  it("is the same as long as it is not too long", () => {
    const lines = new Lines();
    lines.append("a\nb\n");
    expect(lines.bounded(notice, 100)).toBe(lines);
  });

  it("has a bounded number of rows, also if they are empty", () => {
    let lines = new Lines();
    for (let part = 0; part < 100; part++) {
      lines.append("\n".repeat(100));
      lines = lines.bounded(notice, most);
      expect(lines.rows.length).toBeLessThan(most / 10);
    }
    expect(lines.rows.at(-1)).toMatchObject({ number: 10_000, text: "" });
  });
});

describe("a line that is longer than a row", () => {
  const most = 64 * longestRow;
  const endless = "x".repeat(longestRow / 2 - 1) + "é";

  it("has several rows before it ends, which are bounded as any, and all of which are the line", () => {
    let lines = new Lines();
    lines.append("first\n");
    for (let part = 0; part < 1001; part++) {
      lines.append(endless);
      lines = lines.bounded((dropped) => `${dropped} dropped`, most);
    }
    expect(lines.rows.length).toBeGreaterThan(16);
    expect(lines.rows.length).toBeLessThan(70);
    lines.append("end\nnext\n");
    const rows = lines.rows.filter((row) => row.number);
    const [next, ...line] = rows.reverse();
    expect(next).toEqual({ index: lines.rows.length - 1, number: 3, text: "next", isAfterGap: false });
    expect(line.every((row) => row.number === 2 && row.isContinuation && row.text.length <= longestRow)).toBe(true);
    expect(line[0]?.text.endsWith("éend")).toBe(true);
    expect(lines.count).toBe(2);
  });

  it("is one line in what is copied, and is counted once", () => {
    const lines = new Lines(), written = `a\n${endless.repeat(5)}\nb\n`;
    for (let at = 0; at < written.length; at += 1000) lines.append(written.slice(at, at + 1000));
    expect(lines.rows.map((row) => [row.number, row.isContinuation ?? false])).toEqual(
      [[1, false], [2, false], [2, true], [2, true], [3, false]]);
    expect(`${joined(lines.rows)}\n`).toBe(written);
    expect(lines.count).toBe(3);
  });

  it("is cut neither within a character nor within an escape sequence, and ends at a gap", () => {
    const lines = new Lines();
    const [pair, escape] = ["x".repeat(longestRow - 1) + "😀", "x".repeat(longestRow - 5) + "\x1b[1;31mred"];
    lines.append(`${pair}\n${escape}\n${pair}`);
    lines.gap("9 B are missing here.");
    lines.append("later\n");
    expect(lines.rows.map((row) => row.text.slice(-8))).toEqual([
      "xxxxxxxx", "😀", "xxxxxxxx", "\x1b[1;31mred".slice(-8), "xxxxxxxx", "😀", "ng here.", "later",
    ]);
    expect(lines.rows[3]?.text).toBe("\x1b[1;31mred");
    expect(lines.rows.at(-1)).toMatchObject({ number: 1, isAfterGap: true });
  });
});

describe("lines", () => {
  it("join parts that end within a line", () => {
    const lines = new Lines();
    lines.append("one\ntw");
    lines.append("o\nthree");
    expect(lines.rows.map((row) => row.text)).toEqual(["one", "two"]);
    lines.finish();
    expect(lines.rows.map((row) => row.text)).toEqual(["one", "two", "three"]);
  });

  it("are counted anew after a gap, because nobody knows their number", () => {
    const lines = new Lines();
    lines.append("one\ntwo\n");
    lines.gap("1.6 MiB are missing here.");
    lines.append("later\n");
    expect(lines.rows.map((row) => [row.number, row.isAfterGap])).toEqual([[1, false], [2, false], [0, false], [1, true]]);
  });

  it("are found whatever their case and colours", () => {
    const lines = new Lines();
    const search = new Search("UPSTREAM");
    lines.append("ok\nUp\x1b[31mstream\x1b[0m failed\nok\n");
    search.add(lines.rows);
    expect(search.hits.map((row) => row.index)).toEqual([1]);
    lines.append("upstream again\n");
    search.add(lines.rows);
    expect(search.hits.map((row) => row.index)).toEqual([1, 3]);
  });
});

describe("what is selected", () => {
  const lines = new Lines();
  lines.append("one\n\x1b[31mtwo\x1b[0m\n");
  lines.gap("9 B are missing here.");
  lines.append("three\n");

  it("is the text between two places, in either direction", () => {
    const [from, to] = [{ row: 0, offset: 1 }, { row: 3, offset: 2 }];
    expect(textOf(lines.rows, { anchor: from, focus: to })).toBe("ne\ntwo\n[9 B are missing here.]\nth");
    expect(textOf(lines.rows, { anchor: to, focus: from })).toBe("ne\ntwo\n[9 B are missing here.]\nth");
    expect(textOf(lines.rows, { anchor: from, focus: { row: 0, offset: 2 } })).toBe("n");
  });
});

describe("heights", () => {
  const rows = ["short", "x".repeat(25), "", "y".repeat(10)].map((text, index) => ({ index, number: index + 1, text, isAfterGap: false }));

  it("count the rows of wrapped lines", () => {
    const heights = new Heights(10);
    heights.add(rows);
    expect([heights.total, heights.top(1), heights.top(2), heights.top(3)]).toEqual([6, 1, 4, 5]);
    expect([0, 1, 3.9, 4, 5, 99].map((height) => heights.at(height))).toEqual([0, 1, 1, 2, 3, 3]);
  });

  it("have one row a line without wrapping", () => {
    const heights = new Heights(Infinity);
    heights.add(rows);
    expect(heights.total).toBe(4);
  });
});

describe("a log that is read without a stream", () => {
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    Reflect.deleteProperty(navigator, "locks");
  });

  it("is asked for again after an answer that breaks off", async () => {
    vi.useFakeTimers();
    const locks = { request: (_name: string, _options: object, use: (lock: null) => unknown) => use(null) }; // no slot is free
    Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
    const broken = new ReadableStream<Uint8Array>({
      start: (body) => body.enqueue(new TextEncoder().encode("one\ntw")),
      pull: (body) => body.error(new TypeError("network error")),
    });
    const answers = [new Response(broken), new Response("one\ntwo\n")];
    vi.stubGlobal("fetch", () => Promise.resolve(answers.shift() ?? new Response("one\ntwo\nthree\n")));
    const pass = async (milliseconds: number) => {
      for (let at = 0; at < milliseconds; at += 50) await vi.advanceTimersByTimeAsync(50);
    };
    await createRoot(async (dispose) => {
      const log = createFollowing({ uid: "u", task: "t", attempt: 1 }, () => false);
      await pass(200);
      expect([log.mode(), log.lines().rows]).toEqual(["lost", []]);
      await pass(1000);
      expect([log.mode(), log.lines().rows.map((row) => row.text)]).toEqual(["full", ["one", "two"]]);
      await pass(3000);
      expect(log.lines().rows.map((row) => row.text)).toEqual(["one", "two", "three"]);
      dispose();
    });
  });
});

describe("a log that is followed", () => {
  /** Stream is an EventSource that does what a test says. */
  class Stream extends EventTarget {
    static opened: Stream[] = [];
    isClosed = false;
    constructor(readonly address: string) {
      super();
      Stream.opened.push(this);
    }
    say(event: string, data: unknown, lastEventId = "") {
      this.dispatchEvent(new MessageEvent(event, { data: JSON.stringify(data), lastEventId }));
    }
    close() {
      this.isClosed = true;
    }
  }
  const newest = () => Stream.opened.at(-1) as Stream;
  const opened = (count: number) => vi.waitFor(() => expect(Stream.opened).toHaveLength(count));
  const turn = (to: "hidden" | "visible") => {
    vi.spyOn(document, "visibilityState", "get").mockReturnValue(to);
    document.dispatchEvent(new Event("visibilitychange"));
  };
  const follow = (test: (shows: (...texts: string[]) => Promise<void>, log: Following) => Promise<void>) =>
    createRoot(async (dispose) => {
      Stream.opened = [];
      vi.stubGlobal("EventSource", Stream);
      const log = createFollowing({ uid: "u", task: "t", attempt: 1 }, () => false);
      const shows = (...texts: string[]) =>
        vi.waitFor(() => expect(log.lines().rows.map((row) => row.text)).toEqual(texts));
      await opened(1);
      await test(shows, log);
      dispose();
    });
  afterEach(() => vi.unstubAllGlobals());

  it("goes on from its place when its tab is shown again, within a line, too", () => follow(async (shows, log) => {
    newest().say("log", "one\ntwo\nth", "2026-07-01T12:00:00Z/10");
    await shows("one", "two");
    const before = log.lines();
    turn("hidden");
    expect(newest().isClosed).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(Stream.opened).toHaveLength(1);
    turn("visible");
    await opened(2);
    expect(new URL(newest().address).searchParams.get("from")).toBe("2026-07-01T12:00:00Z/10");
    newest().say("log", "ree\n", "2026-07-01T12:00:00Z/14");
    await shows("one", "two", "three");
    expect(log.lines()).toBe(before);
    newest().say("end", { reason: "complete" });
    await vi.waitFor(() => expect(log.mode()).toBe("stored"));
  }));

  it("begins anew when the server says that it does, and goes on from there afterwards", () => follow(async (shows) => {
    newest().say("log", "one\n", "2026-07-01T12:00:00Z/4");
    await shows("one");
    newest().say("reset", { reason: "rotated" }, "2026-07-01T12:00:00Z/4");
    turn("hidden");
    turn("visible");
    await opened(2);
    expect(new URL(newest().address).searchParams.has("from")).toBe(false);
    newest().say("omitted", { bytes: 2048 }, "2026-07-01T13:00:00Z/2048");
    turn("hidden");
    turn("visible");
    await opened(3);
    expect(new URL(newest().address).searchParams.get("from")).toBe("2026-07-01T13:00:00Z/2048");
  }));

  it("keeps its lines when the rest is not kept, and says why", () => follow(async (shows, log) => {
    newest().say("log", "one\n", "2026-07-01T12:00:00Z/4");
    await shows("one");
    turn("hidden");
    turn("visible");
    await opened(2);
    newest().say("gone", { reason: "NotStored", message: "The Pod is gone." });
    await vi.waitFor(() => expect(log.mode()).toBe("stored"));
    expect([log.lines().rows.length, log.notice(), log.absence()]).toEqual([1, "The Pod is gone.", ""]);
  }));
});

it("a log of a namespace that the user lost ends and keeps its lines, and the session goes on", async () => {
  let opened!: EventTarget;
  vi.stubGlobal("EventSource", class extends EventTarget {
    constructor() {
      super();
      opened = this;
    }
    close() {}
  });
  let grants = [{ namespace: "shop", role: "viewer" }];
  const user = () => JSON.stringify({ user: { name: "ann", admin: false, grants } });
  vi.stubGlobal("fetch", () => Promise.resolve(new Response(user())));
  await restore();
  grants = [];
  const detail = "There is no such object, or you may not see it.";
  const say = (event: string, data: unknown) =>
    opened.dispatchEvent(new MessageEvent(event, { data: JSON.stringify(data) }));
  for (const isRead of [true, false]) {
    await createRoot(async (dispose) => {
      const log = createFollowing({ uid: "u", task: "t", attempt: 1 }, () => false);
      await vi.waitFor(() => expect(opened).toBeDefined());
      if (isRead) say("log", "one\n");
      say("end", { reason: "credential", detail });
      await vi.waitFor(() => expect(log.mode()).toBe("stored"));
      const shown = [log.lines().rows.length, log.notice(), log.absence()];
      expect(shown).toEqual(isRead ? [1, detail, ""] : [0, "", detail]);
      await vi.waitFor(() => expect(me().grants).toEqual([]));
      expect(state().is).toBe("signed-in");
      dispose();
    });
    opened = undefined as never;
  }
  vi.unstubAllGlobals();
});

it("a size has a unit", () => expect([0, 1023, 1536, 1.6 * 2 ** 20].map(size)).toEqual(["0 B", "1023 B", "1.5 KiB", "1.6 MiB"]));
