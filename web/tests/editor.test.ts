import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { complete } from "../src/editor/complete";
import { differenceOf } from "../src/editor/diff";
import { schemaAt } from "../src/editor/crd";
import { examplesOf } from "../src/editor/examples";
import { lineOf, nearest, serverFaults, serverWarnings, syntaxFaults } from "../src/editor/faults";
import { difference, outlineOf } from "../src/editor/outline";
import { locate, pathAt, pathOfField, pathOfPointer, read } from "../src/editor/source";
import { emptyTask, objectOf, taskInsertion, words, type TaskForm } from "../src/editor/write";

const demo = readFileSync("../manifests/examples/demo.yaml", "utf8").split(/^---\n/m)[2] ?? "";

/** at returns a text without its cursor |, and where the cursor was. */
function at(text: string): [string, number] {
  return [text.replace("|", ""), text.indexOf("|")];
}

function labels(text: string, dagTasks: string[] = []): string[] {
  return complete("DAG", ...at(text), dagTasks)?.candidates.map((candidate) => candidate.label) ?? [];
}

/** accepted returns a text after a candidate was taken. */
function accepted(text: string, label: string): string {
  const [plain, offset] = at(text);
  const found = complete("DAG", plain, offset, []);
  const apply = found?.candidates.find((candidate) => candidate.label === label)?.apply ?? "";
  return plain.slice(0, found?.from) + apply + plain.slice(offset);
}

describe("completion", () => {
  it("knows the fields of the place, and leaves out those that are there", () => {
    expect(labels("|")).toEqual(["apiVersion", "kind", "metadata", "spec"]);
    expect(labels("kind: DAG\nm|")).toEqual(["apiVersion", "metadata", "spec"]);
    expect(
      labels("spec:\n  task:\n    - name: a\n      backoff:\n        limit: 3\n        |\n    - name: b\n"),
    ).toEqual(["duration", "factor", "maxDuration"]);
  });
  it("knows an empty line by its indentation", () => {
    expect(labels("spec:\n  task:\n    - name: a\n      |\n    - name: b\n")).toContain("runAfter");
    expect(labels("spec:\n  task:\n    - name: a\n  |\n")).toContain("schedule");
  });
  it("begins an element, also in a list that is the last of the text", () => {
    expect(labels("spec:\n  task:\n    - name: a\n    - |")).toContain("image");
    expect(labels("spec:\n  task:\n    - |\n  schedule: '@daily'")).toContain("name");
  });
  it("works between braces and brackets", () => {
    expect(labels("spec:\n  task:\n    - {name: a, backoff: {l|}}")).toContain("limit");
    expect(labels("spec:\n  task:\n    - name: a\n    - name: b\n    - name: c\n      runAfter: [a, |]")).toEqual([
      "b",
    ]);
  });
  it("knows the values of an enumeration and of a boolean", () => {
    expect(labels("spec:\n  concurrencyPolicy: |")).toEqual(["Allow", "Forbid", "Replace"]);
    expect(labels("spec:\n  suspended: t|")).toEqual(["true", "false"]);
    expect(labels("kind: |")).toEqual(["DAG"]);
  });
  it("knows the names of tasks, parameters and DagTasks", () => {
    expect(labels("spec:\n  task:\n    - name: a\n    - name: b\n      runAfter:\n        - |")).toEqual(["a"]);
    expect(labels("spec:\n  parameters:\n    - name: DAY\n  task:\n    - name: a\n      parameters: [|]")).toEqual([
      "DAY",
    ]);
    expect(labels("spec:\n  task:\n    - name: a\n      taskRef: {name: |}", ["greet"])).toEqual(["greet"]);
    expect(labels("spec:\n  task:\n    - name: a\n      taskRef:\n        name: g|", ["greet"])).toEqual(["greet"]);
  });
  it("is silent in a script and in a comment", () => {
    expect(labels("spec:\n  task:\n    - script: |-\n        echo x|".replace("|-", ">-"))).toEqual([]);
    expect(labels("spec:\n  # sus|\n")).toEqual([]);
  });
  it("writes what belongs to a field: its list, its map, or a place for its value", () => {
    expect(accepted("spec:\n  ta|", "task")).toBe("spec:\n  task:\n    - |");
    expect(accepted("spec:\n  task:\n    - ba|", "backoff")).toBe("spec:\n  task:\n    - backoff:\n        |");
    expect(accepted("spec:\n  task:\n    - name: a\n      ru|", "runAfter")).toBe(
      "spec:\n  task:\n    - name: a\n      runAfter: [|]",
    );
    expect(accepted("spec:\n  sche|: x", "schedule")).toBe("spec:\n  schedule: x");
  });
});

describe("the schema", () => {
  it("explains the fields of Kubernetes' own types with those of Kontroler", () => {
    expect(schemaAt("DAG", ["spec", "schedule"])?.description).toContain("cron");
    expect(schemaAt("DAG", ["spec", "task", 0, "podTemplate", "env", 0, "name"])?.type).toBe("string");
    expect(schemaAt("DAG", ["spec", "task", 0, "podTemplate", "nodeSelector", "zone"])?.type).toBe("string");
    expect(schemaAt("DagTask", ["spec", "task"])).toBeUndefined();
  });
});

describe("a place", () => {
  const source = read(
    "spec:\n  task:\n    - name: a\n      runAfter: [x,\n        y]\n      script: |\n        one\n        two\n" +
      "    - {name: b}\n",
  );
  const text = (pointer: string) => {
    const { from, to } = locate(source, pathOfPointer(pointer));
    return `${lineOf(source.text, from)} ${source.text.slice(from, to)}`;
  };
  it("is found by a JSON pointer: a value, a name of a field, or the beginning of an element", () => {
    expect(text("/spec/task/0/name")).toBe("3 a");
    expect(text("/spec/task/0/runAfter/1")).toBe("5 y");
    expect(text("/spec/task/0/runAfter")).toBe("4 runAfter");
    expect(text("/spec/task/0/script")).toBe("6 script");
    expect(text("/spec/task/1")).toBe("9 {name: b}");
  });
  it("that is missing is the nearest around it", () => {
    expect(text("/spec/task/0/image")).toBe("3 name: a");
    expect(text("/metadata/name")).toBe("1 spec:");
    expect(text("")).toBe("1 spec:");
  });
  it("of Kubernetes is a path too", () => {
    expect(pathOfField("spec.task[3].podTemplate.labels[a.b/c].x")).toEqual([
      "spec",
      "task",
      "3",
      "podTemplate",
      "labels",
      "a.b/c",
      "x",
    ]);
    expect(pathOfPointer("/metadata/annotations/a~1b~0c")).toEqual(["metadata", "annotations", "a/b~c"]);
  });
  it("has a path back", () => {
    expect(pathAt(source, source.text.indexOf("script"))?.path).toEqual(["spec", "task", 0, "script"]);
    expect(pathAt(source, source.text.indexOf("y]"))?.path).toEqual(["spec", "task", 0, "runAfter", 1]);
    expect(pathAt(source, 0)?.path).toEqual(["spec"]);
  });
  it("of an alias is in what it stands for", () => {
    const aliased = read("a: &x {b: 1}\nc: *x\n");
    expect(locate(aliased, ["c", "b"])).toEqual({ from: 10, to: 11 });
  });
});

describe("faults", () => {
  it("of the syntax have their line", () => {
    const [fault] = syntaxFaults(read("spec:\n  a: [1,\n  b: 2\n"));
    expect(fault?.range && lineOf("spec:\n  a: [1,\n  b: 2\n", fault.range.from)).toBeGreaterThan(1);
    expect(syntaxFaults(read(demo))).toEqual([]);
    expect(syntaxFaults(read("a: &a {x: 1}\nb: {<<: *a, y: 2}\n"))).toEqual([]);
  });
  it("of the server are placed by pointer, else by line, else nowhere", () => {
    const source = read("spec:\n  task:\n    - name: a\n");
    const [first, second, third] = serverFaults("DAG", source, [
      { pointer: "/spec/task/0/name", detail: "x" },
      { pointer: "", line: 2, detail: "y" },
      { pointer: "", detail: "z" },
    ]);
    expect(first?.range).toEqual({ from: 26, to: 27 });
    expect(second?.range).toEqual({ from: 8, to: 13 });
    expect(third?.range).toBeUndefined();
  });
  it("that are warnings begin with the name of their field", () => {
    const [warning] = serverWarnings(read("spec:\n  task:\n    - name: a\n"), [
      "spec.task[0].scriptInjectorImage: has no effect",
    ]);
    expect(warning).toEqual({ detail: "has no effect", isWarning: true, range: { from: 20, to: 27 } });
  });
  it("find the name that was meant", () => {
    const source = read(
      "spec:\n  task:\n    - name: check-prices\n    - name: b\n      comand: [x]\n      runAfter: [check-price]\n",
    );
    const found = serverFaults("DAG", source, [
      { pointer: "/spec/task/1/runAfter/0", detail: "" },
      { pointer: "/spec/task/1/comand", detail: "" },
      { pointer: "/spec/task/1/name", detail: "" },
    ]);
    expect(found.map((fault) => fault.fix?.insert)).toEqual(["check-prices", "command", undefined]);
    expect(nearest("check-price", ["fetch-feed", "check-prices"])).toBe("check-prices");
    expect(nearest("a", ["zebra"])).toBeUndefined();
  });
});

describe("an outline", () => {
  it("has the tasks, and what they run after", () => {
    const outline = outlineOf(read(demo));
    expect(outline?.tasks.map((task) => task.name).slice(0, 3)).toEqual(["extract", "rates", "shop-1"]);
    expect(outline?.parents[2]).toEqual([0]);
    expect(outline?.parameters).toEqual(["ORDERS", "BREAK", "TOKEN"]);
  });
  it("names parents that are missing, and cycles, and draws neither", () => {
    const outline = outlineOf(
      read("spec: {task: [{name: a, runAfter: [c, x]}, {name: b, runAfter: [a]}, {name: c, runAfter: [b]}]}"),
    );
    expect(outline?.tasks[0]?.missing).toEqual(["x"]);
    expect(outline?.cycle).toEqual(["b", "c", "a"]);
    expect(outline?.parents.flat()).toHaveLength(2);
  });
  it("is nothing while the text is no YAML", () => {
    expect(outlineOf(read("spec: [a"))).toBeUndefined();
    expect(outlineOf(read("a: *nothing"))).toBeUndefined();
  });
  it("counts what is new, changed and gone", () => {
    const before = read("spec: {task: [{name: a}, {name: b}, {name: c}]}");
    expect(difference(before, read("spec: {task: [{name: a}, {name: b, image: x}, {name: d}]}"))).toEqual({
      added: 1,
      changed: 1,
      removed: 1,
    });
  });
});

describe("a form", () => {
  const task = (change: Partial<TaskForm>): TaskForm => ({ ...emptyTask, name: "t", image: "busybox:1.36", ...change });
  it("is split as a shell does", () => {
    expect(words(`sh -c 'echo "hi" $X' a\\ b "c \\" d" ''`)).toEqual(["sh", "-c", 'echo "hi" $X', "a b", 'c " d', ""]);
  });
  it("writes a DAG, and nothing for what was left empty", () => {
    const text = objectOf("DAG", {
      name: "nightly",
      schedule: "0 3 * * *",
      parameters: [
        { name: "DAY", value: "yes" },
        { name: "", value: "" },
      ],
      task: task({ command: "echo $DAY", retries: "2" }),
    });
    expect(text).toBe(`apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata:
  name: nightly
spec:
  schedule: 0 3 * * *
  parameters:
    - name: DAY
      defaultValue: "yes"
  task:
    - name: t
      image: busybox:1.36
      command: [echo, $DAY]
      backoff:
        limit: 2
      parameters: [DAY]
`);
  });
  it("writes a DagTask with a script", () => {
    const text = objectOf("DagTask", {
      name: "greet",
      schedule: "",
      parameters: [],
      task: task({ isScript: true, script: "echo a\necho b" }),
    });
    expect(parse(text)).toEqual({
      apiVersion: "kontroler.greedykomodo/v1alpha1",
      kind: "DagTask",
      metadata: { name: "greet" },
      spec: { image: "busybox:1.36", script: "echo a\necho b\n" },
    });
    expect(text).toContain("script: |\n");
  });
});

describe("adding a task", () => {
  const added = (text: string) => {
    const { at, insert } = taskInsertion(text, { ...emptyTask, name: "new", image: "busybox", runAfter: ["a"] });
    return text.slice(0, at) + insert + text.slice(at);
  };
  const written = (text: string) =>
    (parse(added(text), { version: "1.1" }) as { spec: { task: { name: string }[] } }).spec;
  it("goes after the last one, with its indentation, and keeps every comment", () => {
    const text =
      "# about\nspec:\n  task:   # the work\n  - name: a  # first\n    image: x # why\n  # end\n  schedule: '@daily'\n";
    expect(added(text)).toBe(
      "# about\nspec:\n  task:   # the work\n  - name: a  # first\n    image: x # why\n" +
        "  - name: new\n    image: busybox\n    runAfter: [a]\n  # end\n  schedule: '@daily'\n",
    );
  });
  it("changes nothing else of a long DAG", () => {
    const text = added(demo);
    expect(text.replace(/ {4}- name: new\n.*\n.*\n/, "")).toBe(demo);
    expect(written(demo).task.map((task) => task.name)).toEqual([
      ...written(demo)
        .task.slice(0, -1)
        .map((task) => task.name),
      "new",
    ]);
    expect(written(demo).task).toHaveLength(13);
  });
  it("begins the list if there is none", () => {
    for (const text of [
      "",
      "spec:\n",
      "spec:\n  task:\n",
      "spec:\n  task: []\n",
      "spec:\n  schedule: x\n",
      "spec:\n    schedule: x",
      "spec:\n  task: [{name: a}]\n",
      "spec:\n  task:\n    - name: a\n      script: |\n        x\n\n",
      "spec:\n  task:\n    - name: a",
    ]) {
      expect(written(text).task.at(-1), JSON.stringify(text)).toEqual({
        name: "new",
        image: "busybox",
        runAfter: ["a"],
      });
    }
  });
});

describe("examples", () => {
  it("are the DAGs and DagTasks of the manifests, without a namespace", () => {
    const dags = examplesOf("DAG");
    expect(dags[0]?.id).toBe("hello");
    expect(dags.map((example) => example.id)).toEqual(expect.arrayContaining(["dagtask", "demo", "demo/heartbeat"]));
    const written = readdirSync("../manifests/examples").map((file) =>
      readFileSync(`../manifests/examples/${file}`, "utf8"),
    );
    expect(dags).toHaveLength(written.flatMap((text) => text.match(/^kind: DAG$/gm) ?? []).length);
    expect(dags.every((example) => !example.text.includes("namespace:"))).toBe(true);
    expect(dags.find((example) => example.id === "hello")?.about).toMatch(/^The smallest DAG/);
    expect(examplesOf("DagTask").map((example) => example.name)).toEqual(["greet"]);
  });
});

describe("a difference", () => {
  const shown = (before: string, after: string) =>
    differenceOf(before, after).map((hunk) => [
      hunk.place,
      ...hunk.lines.map((line) => `${line.before ?? ""}|${line.after ?? ""}${line.sign}${line.text}`),
    ]);
  it("has the lines that changed, some around them, and what they belong to", () => {
    const before = [
      "spec:",
      "  a: 1",
      "  b: 2",
      "  c: 3",
      "  d: 4",
      "  e: 5",
      "  f: 6",
      "  g: 7",
      "  h: 8",
      "  task:",
      "    - name: x",
      "      image: y",
      "",
    ];
    const after = before.map((line) =>
      line === "  a: 1" ? "  a: 9" : line === "      image: y" ? "      image: z" : line,
    );
    expect(shown(before.join("\n"), after.join("\n"))).toEqual([
      ["spec.a", "1|1 spec:", "2|-  a: 1", "|2+  a: 9", "3|3   b: 2", "4|4   c: 3", "5|5   d: 4"],
      [
        "spec.task, x",
        "9|9   h: 8",
        "10|10   task:",
        "11|11     - name: x",
        "12|-      image: y",
        "|12+      image: z",
      ],
    ]);
  });
  it("is exact at both ends, and empty between equal texts", () => {
    expect(shown("a\n", "a\n")).toEqual([]);
    expect(shown("a", "b")).toEqual([["", "1|-a", "|1+b"]]);
    expect(shown("a\nb", "a")).toEqual([["", "1|1 a", "2|-b"]]);
    expect(shown("a", "a\nb")).toEqual([["", "1|1 a", "|2+b"]]);
    expect(shown("b", "a\nb")).toEqual([["", "|1+a", "1|2 b"]]);
  });
});
