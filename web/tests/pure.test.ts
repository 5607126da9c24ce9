import { describe, expect, it } from "vitest";
import type { Attention, Run, Task } from "../src/api/types";
import { Problem } from "../src/api/problem";
import { rowsOf, ticksOf } from "../src/grid";
import { overridesOf, valuesOfRun } from "../src/parameters";
import { lookOfAttempt, lookOfRun, lookOfTask } from "../src/phases";
import { href, parse } from "../src/router";
import { concerns } from "../src/screens/home";
import { held, whyOf } from "../src/screens/run";
import { faultOf } from "../src/screens/trigger";
import { allows } from "../src/session";
import { about, age, clock, day, duration, instant, moment } from "../src/time";
import { attemptsByTask, axisOf, segmentsOf } from "../src/timeline";
import { percent, plural } from "../src/text";
import { toYAML } from "../src/yaml";

describe("times", () => {
  const second = 1000, minute = 60 * second, hour = 60 * minute;
  it("ages have one unit", () => expect([0, 59 * second, 3 * hour + 59 * minute, 50 * hour].map(age)).toEqual(["0 s", "59 s", "3 h", "2 d"]));
  it("durations have two", () => expect([400, 27 * second, 7 * minute + 42 * second, 3 * hour + 8 * minute, 26 * hour].map(duration))
    .toEqual(["400ms", "27s", "7m 42s", "3h 08m", "1d 2h"]));
  it("typical durations are round", () => expect([0.2, 31, 545, 3600, 4800].map(about)).toEqual(["1s", "31s", "9m", "1h", "1h 20m"]));
  it("moments are in a zone", () => expect(moment("2025-11-26T12:55:31Z", "Europe/Berlin")).toBe("Wed 26 Nov 2025, 13:55:31 CET"));
  it("a due time shows its seconds if it has some", () => {
    const now = Date.parse("2025-11-26T12:00:00Z");
    expect(["2025-11-26T12:55:10Z", "2025-11-26T12:55:00Z"].map((at) => clock(at, "UTC", now, true))).toEqual(["12:55:10", "12:55"]);
    expect(clock("2025-11-26T12:55:10Z", "UTC", now)).toBe("12:55");
  });
  it("a time of day names another day", () => {
    const now = Date.parse("2025-11-26T12:00:00Z");
    expect(clock("2025-11-26T08:05:00Z", "UTC", now)).toBe("08:05");
    expect(clock("2025-11-25T08:05:00Z", "UTC", now)).toBe("25 Nov, 08:05");
  });
  it("that are typed are in the zone that is shown", () => {
    // Node reads TZ again for each time.
    const before = process.env["TZ"];
    process.env["TZ"] = "Europe/Berlin";
    expect(["2026-07-01T12:00", "2026-07-01T12:00:30"].map((typed) => [instant(typed, false), instant(typed, true)])).toEqual([
      ["2026-07-01T10:00:00.000Z", "2026-07-01T12:00:00.000Z"], ["2026-07-01T10:00:30.000Z", "2026-07-01T12:00:30.000Z"],
    ]);
    if (before === undefined) delete process.env["TZ"];
    else process.env["TZ"] = before;
  });
  it("of an address may name their zone, and need not be times", () => {
    expect(["2026-07-01T12:00:00Z", "2026-07-01T12:00:00+02:00", "2026-07-01", "", "yesterday"].map((each) => instant(each, true)))
      .toEqual(["2026-07-01T12:00:00.000Z", "2026-07-01T10:00:00.000Z", "2026-07-01T00:00:00.000Z", "", ""]);
  });
  it("a date is that date in every zone", () => expect(day("2025-11-12")).toBe("12 Nov"));
});

describe("numbers", () => {
  it("have their nouns", () => expect([plural(1, "task"), plural(1002, "task")]).toEqual(["1 task", "1,002 tasks"]));
  it("99.96 % is not 100 %", () => expect(percent(0.9996)).toBe("99.9 %"));
});

describe("addresses", () => {
  it("keep segments and parameters, whatever is in them", () => {
    const made = href(["dags", "a/b", "c?d#e"], { task: "x&y=z", empty: "", absent: undefined });
    expect(made).toBe("#/dags/a%2Fb/c%3Fd%23e?task=x%26y%3Dz");
    const place = parse(made);
    expect([place.segments, Object.fromEntries(place.query)]).toEqual([["dags", "a/b", "c?d#e"], { task: "x&y=z" }]);
  });
  it("are read also if they are broken", () => expect(parse("#/runs/%zz").segments).toEqual(["runs", "%zz"]));
});

describe("phases", () => {
  it("an active task with a reason waits", () => expect([lookOfTask("Active"), lookOfTask("Active", "Unschedulable")]).toEqual(["running", "waiting"]));
  it("unknown phases wait", () => expect([lookOfRun("New"), lookOfAttempt("New"), lookOfTask("New")]).toEqual(["waiting", "waiting", "waiting"]));
});

describe("roles", () => {
  const otto = { name: "otto", admin: false, grants: [{ namespace: "shop", role: "operator" as const }, { namespace: "*", role: "viewer" as const }] };
  it("hold in their namespace and include the lower ones", () => {
    expect([allows(otto, "shop", "operator"), allows(otto, "shop", "editor"), allows(otto, "other", "operator"), allows(otto, "other", "viewer")])
      .toEqual([true, false, false, true]);
  });
  it("administrators are editors everywhere", () => expect(allows({ ...otto, admin: true }, "other", "editor")).toBe(true));
});

describe("parameters of a run", () => {
  const parameters = [{ name: "MARKET", defaultValue: "de" }, { name: "EMPTY" }, { name: "TOKEN", defaultFromSecret: "token" },
    { name: "KEY", defaultSecretKeyRef: { name: "keys", key: "a" } }];
  it("are sent if they differ from their defaults", () => {
    expect(overridesOf(parameters, { MARKET: "es", EMPTY: "", TOKEN: "other", KEY: "mine/a" })).toEqual([
      { name: "MARKET", value: "es" }, { name: "TOKEN", fromSecret: "other" }, { name: "KEY", secretKeyRef: { name: "mine", key: "a" } },
    ]);
    expect(overridesOf(parameters, { MARKET: "de", KEY: "keys/a", TOKEN: "" })).toEqual([]);
  });
  it("an empty value is a value if the default is not empty", () => expect(overridesOf(parameters, { MARKET: "" })).toEqual([{ name: "MARKET", value: "" }]));
  it("are taken from an earlier run, but those that the DAG no longer has", () => {
    expect(valuesOfRun(parameters, [{ name: "MARKET", value: "it" }, { name: "GONE", value: "x" }, { name: "TOKEN", secret: "token", key: "secret" }, { name: "KEY", secret: "mine", key: "a" }]))
      .toEqual({ MARKET: "it", KEY: "mine/a" });
  });
  it("name the same Secret and key again, whichever the earlier run had", () => {
    const had = [{ name: "TOKEN", secret: "vault", key: "b" }, { name: "KEY", secret: "keys", key: "secret" }];
    expect(overridesOf(parameters, valuesOfRun(parameters, had))).toEqual([
      { name: "TOKEN", secretKeyRef: { name: "vault", key: "b" } }, { name: "KEY", fromSecret: "keys" },
    ]);
  });
  it("that are wrong are found by their place among those that were sent", () => {
    const problem = new Problem("invalid", { errors: [{ pointer: "/parameters/1/fromSecret", detail: "is no name" }] });
    const verdict = { of: overridesOf(parameters, { MARKET: "es", KEY: "B" }), isOfCheck: true, problem };
    expect([faultOf(verdict, "KEY"), faultOf(verdict, "MARKET"), faultOf(verdict, "TOKEN"), faultOf(undefined, "KEY")])
      .toEqual(["is no name", undefined, undefined, undefined]);
  });
});

describe("a task in the graph", () => {
  const task = { startedAt: "2025-11-26T12:00:00Z", finishedAt: "2025-11-26T12:00:08Z" } as Task;
  const last = { number: 1, phase: "Succeeded" as const, reason: undefined, startedAt: "2025-11-26T12:00:03Z", finishedAt: task.finishedAt };
  it("says how long its last attempt ran, as the timeline does", () => {
    expect(whyOf(task, "Succeeded", "", 0, last)).toBe("5s");
    expect(whyOf(task, "Succeeded", "", 0, undefined)).toBe("8s");
  });
  it("that waits for its Pod does not run", () => {
    expect(whyOf(task, "Active", "", 0, { ...last, phase: "Pending", startedAt: undefined })).toBe("its Pod starts");
  });
});

describe("what needs attention", () => {
  const waiting = (task: string, reason: string) => ({ runUID: "u", runName: "r", namespace: "n", dag: "d", task, phase: "Ready" as const, reason, since: "2025-11-26T12:00:00Z" });
  const attention = (items: ReturnType<typeof waiting>[]): Attention =>
    ({ failed: { items: [], hasMore: false }, waiting: { items, hasMore: false }, missed: { items: [], hasMore: false } });
  it("tasks of a run that wait for the same are one line", () => {
    const lines = concerns(attention([waiting("a", "QuotaExceeded"), waiting("b", "QuotaExceeded"), waiting("c", "Unschedulable")]));
    expect(lines.map((line) => [line.reason, line.message])).toEqual([["QuotaExceeded", "a and 1 more"], ["Unschedulable", "c"]]);
  });
  it("each due time that a DAG missed has a line with a key of its own, the newest first", () => {
    const missed = (from: string) => ({
      namespace: "n", dag: "d", from, to: from, count: 1, outcome: "Missed" as const, decidedAt: from,
    });
    const items = [missed("2025-11-26T05:00:00Z"), missed("2025-11-26T01:00:00Z")];
    const lines = concerns({ ...attention([]), missed: { items, hasMore: false } });
    expect(lines.map((line) => line.since)).toEqual(items.map((tick) => tick.decidedAt));
    expect(new Set(lines.map((line) => line.key)).size).toBe(2);
  });
  it("a run that failed names the task, and leads to it", () => {
    const run = (failed: number, failedTask?: Run["failedTask"]) => ({
      uid: "u", name: "r", namespace: "n", dag: "d", reason: "TaskFailed", message: "2 tasks failed", tasks: { failed }, failedTask,
    }) as Run;
    const items = [run(2, { name: "load", reason: "RetriesSpent", message: "exit code 2" }), run(0)];
    const lines = concerns({ ...attention([]), failed: { items, hasMore: false } });
    expect(lines.map((line) => [line.reason, line.message, line.href])).toEqual([
      ["RetriesSpent", "load and 1 more: exit code 2", "#/runs/u?task=load"], ["TaskFailed", "2 tasks failed", "#/runs/u"],
    ]);
  });
});

const task = (more: Partial<Task>): Task => ({ name: "t", phase: "Waiting", attempts: 0, retries: 0, restarts: 0, ...more });
const at = (seconds: number) => new Date(seconds * 1000).toISOString();

describe("what holds a run up", () => {
  it("is what could run and does not, not what needs others", () => {
    const tasks = [task({ name: "later", phase: "Active", reason: "Unschedulable", readyAt: at(9) }), task({ name: "waits" }),
      task({ name: "first", phase: "Ready", reason: "QuotaExceeded", readyAt: at(1) }), task({ name: "runs", phase: "Active" })];
    expect(held(tasks).map((each) => each.name)).toEqual(["first", "later"]);
  });
});

describe("a row of the timeline", () => {
  it("has a bar for each attempt, and thin ones between", () => {
    const all = attemptsByTask({
      uid: "u", hasMore: false, tasks: ["s", "t", "t"], numbers: [1, 2, 1], phases: ["Succeeded", "Running", "Lost"],
      reasons: ["", "", "NodeLost"], startedAt: [at(0), at(25), at(5)], finishedAt: [at(1), null, at(15)],
    });
    expect(all.get("s")).toEqual([{ number: 1, phase: "Succeeded", reason: "", startedAt: at(0), finishedAt: at(1) }]);
    const row = segmentsOf(task({ phase: "Active", readyAt: at(0), startedAt: at(0), attempts: 2 }), all.get("t"), 40_000);
    expect(row.map((part) => [part.look, part.isWait, part.from / 1000, part.until / 1000])).toEqual([
      ["waiting", true, 0, 5], ["lost", false, 5, 15], ["waiting", true, 15, 25], ["running", false, 25, 40],
    ]);
  });
  it("of a task that waits for its retry ends when that is due", () => {
    const row = segmentsOf(task({ phase: "Ready", reason: "BackingOff", readyAt: at(0), dueAt: at(60) }), undefined, 40_000);
    expect(row.map((part) => [part.isWait, part.until / 1000])).toEqual([[true, 60]]);
  });
  it("of a task that needs others is empty", () => expect(segmentsOf(task({}), undefined, 1)).toEqual([]));
  it("stands on an axis of round lengths that has room for the run", () => {
    for (const length of [900, 19_000, 462_000, 11_000_000]) {
      const axis = axisOf(length);
      expect(axis.length).toBeLessThanOrEqual(6);
      expect(axis[axis.length - 1]).toBeGreaterThanOrEqual(length);
    }
  });
});

describe("the grid", () => {
  const run = (uid: string, phases: (string | null)[], retried: number[] = []) =>
    ({ uid, name: uid, phase: "Succeeded" as const, admittedAt: at(0), phases, retried, restarted: [] });
  it("has the newest run last, one path for each phase, and nothing where a run has no such task", () => {
    const rows = rowsOf({ tasks: ["a", "b"], runs: [run("new", ["Failed", "Succeeded"]), run("old", ["Succeeded", null], [0])] });
    expect(rows.map((row) => row.phases)).toEqual([["Succeeded", "Failed"], [null, "Succeeded"]]);
    expect(rows[0]?.paths.map(([look]) => look)).toEqual(["succeeded", "failed"]);
    expect(rows[0]?.retried).toMatch(/^M7 /);
  });
  it("of 200 tasks and 50 runs has fewer than 2,000 paths", () => {
    const runs = Array.from({ length: 50 }, (_, index) => run(`r${index}`, Array.from({ length: 200 }, (_, at) => ["Succeeded", "Failed", "Skipped"][(at + index) % 3] ?? null)));
    const rows = rowsOf({ tasks: Array.from({ length: 200 }, (_, index) => `t${index}`), runs });
    expect(rows.reduce((sum, row) => sum + row.paths.length, 0)).toBeLessThan(2000);
  });
  it("has round marks", () => expect(ticksOf(560_000)).toEqual([300_000, 600_000]));
});

describe("YAML", () => {
  it("is laid out as kubectl does", () => {
    expect(toYAML({ kind: "DAG", spec: { task: [{ name: "a", args: ["x", "1"], script: "echo 1\necho 2\n" }], suspended: false, empty: [] } })).toBe(
      'kind: DAG\nspec:\n  task:\n  - name: a\n    args:\n    - x\n    - "1"\n    script: |\n      echo 1\n      echo 2\n  suspended: false\n  empty: []');
  });
  it("quotes what would be read as something else", () => {
    expect(["true", "1.5", "a: b", "- x", "", "null", "x #y", "2025-01-01"].map(toYAML)).toEqual(
      ['"true"', '"1.5"', '"a: b"', '"- x"', '""', '"null"', '"x #y"', '"2025-01-01"']);
  });
});
