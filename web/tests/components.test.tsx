import { readFileSync } from "node:fs";
import { cleanup, fireEvent, render, screen } from "@solidjs/testing-library";
import { createSignal } from "solid-js";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Problem } from "../src/api/problem";
import Graph, { kinOf } from "../src/graph/graph";
import { Bars, Progress } from "../src/parts/bars";
import { Dialog } from "../src/parts/dialog";
import { Keyed } from "../src/parts/keyed";
import { Code, Lacks, ProblemNotice } from "../src/parts/states";
import { sayProblem, Toasts } from "../src/parts/toasts";
import { Said } from "../src/parts/values";
import { draftOf } from "../src/editor/write";
import { text } from "../src/text";

afterEach(cleanup);

describe("a problem", () => {
  it("says what failed, where, and by which id the server knows it", () => {
    const problem = new Problem("invalid", { title: "Values are not valid.", status: 422, requestId: "abc123",
      errors: [{ pointer: "/spec/task/0/name", detail: "must consist of a-z" }] });
    render(() => <ProblemNotice problem={problem} isWrite />);
    const alert = screen.getByRole("alert").textContent;
    for (const part of ["Values are not valid.", "/spec/task/0/name", "must consist of a-z", "Request abc123", "Nothing was changed."]) {
      expect(alert).toContain(part);
    }
  });

  it.each([
    ["unreachable", 0], ["unavailable", 503], ["internal", 500], ["unexpected", 524], ["unexpected", 200],
  ] as const)("of a write that may have been done (%s, %d) does not claim that nothing was changed", (kind, status) => {
    const problem = new Problem(kind, { status });
    render(() => <ProblemNotice problem={problem} isWrite />);
    sayProblem(problem);
    render(() => <Toasts />);
    for (const element of [screen.getByRole("alert"), screen.getByRole("status")]) {
      expect(element.textContent).toContain(text.problem.unknownOutcome);
      expect(element.textContent).not.toContain(text.problem.nothingSaved);
    }
    fireEvent.click(screen.getByLabelText(text.shell.close));
  });
});

describe("a text to copy on plain HTTP", () => {
  const press = async (isCopied: boolean) => {
    let selected = "";
    document.execCommand = () => {
      selected = (document.activeElement as HTMLTextAreaElement).value;
      return isCopied;
    };
    render(() => <Code value="kontroler_secret" />);
    fireEvent.click(screen.getByRole("button"));
    return { said: (await screen.findByRole("status")).textContent, selected };
  };

  it("is copied all the same", async () => {
    expect(await press(true)).toEqual({ said: text.dag.definition.copied, selected: "kontroler_secret" });
    expect(document.activeElement).toBe(screen.getByRole("button"));
  });

  it("that cannot be copied says so", async () => {
    expect((await press(false)).said).toBe(text.dag.definition.notCopied);
  });
});

it("a page whose script is not there any more says so, and offers to reload", () => {
  new Function(readFileSync("public/unloaded.js", "utf8"))();
  for (let scripts = 0; scripts < 2; scripts++) {
    const script = document.createElement("script");
    document.head.append(script);
    script.dispatchEvent(new Event("error"));
  }
  expect(document.querySelectorAll("[data-unloaded]")).toHaveLength(1);
  expect(document.querySelector("[data-unloaded] button")?.textContent).toBe("Reload");
  document.querySelector("[data-unloaded]")?.remove();
});

it("lists name each namespace that they lack once, with the reason", () => {
  const one = { namespace: "a", detail: "It is gone." }, other = { namespace: "b", detail: "It forbids." };
  render(() => <Lacks lists={[{ unavailableNamespaces: [one, other] }, undefined, {}, { unavailableNamespaces: [one] }]} />);
  expect(screen.getAllByRole("status").map((notice) => notice.textContent)).toEqual([
    "Not all of namespace a is shownIt is gone.", "Not all of namespace b is shownIt forbids.",
  ]);
});

it("a text of somebody else is text, and cannot reorder what stands beside it", () => {
  const { container } = render(() => <Said text={"<b>\u202eabc"} />);
  expect(container.innerHTML).toBe("<bdi>&lt;b&gt;\ufffdabc</bdi>");
});

it("a list that is read again keeps the elements of what is still there, and the focus in them", () => {
  const [runs, setRuns] = createSignal([{ name: "a", phase: "Running" }, { name: "b", phase: "Running" }]);
  render(() => <Keyed each={runs()} by={(run) => run.name}>{(run) => <button>{run().name} {run().phase}</button>}</Keyed>);
  screen.getByText("b Running").focus();
  setRuns([{ name: "c", phase: "Running" }, { name: "b", phase: "Failed" }]);
  expect(document.activeElement?.textContent).toBe("b Failed");
  expect(screen.getAllByRole("button").map((button) => button.textContent)).toEqual(["c Running", "b Failed"]);
});

describe("a dialog", () => {
  const show = () => {
    HTMLDialogElement.prototype.showModal = () => {}; // jsdom has no modal dialogs.
    const close = (HTMLDialogElement.prototype.close = vi.fn());
    const { container } = render(() => <Dialog title="Add" close={() => {}}><input /></Dialog>);
    const dialog = container.querySelector("dialog") as HTMLDialogElement;
    dialog.getBoundingClientRect = () => ({ left: 100, right: 500, top: 100, bottom: 400 }) as DOMRect;
    const field = container.querySelector("input") as HTMLInputElement;
    /** click presses at one point and releases at another. The browser sends the click to what both are in. */
    const click = (pressed: Element, from: number, to: number) => {
      fireEvent(pressed, new MouseEvent("pointerdown", { bubbles: true, clientX: from, clientY: 200 }));
      fireEvent(dialog, new MouseEvent("click", { bubbles: true, clientX: to, clientY: 200 }));
    };
    return { dialog, field, click, close };
  };

  it("closes by a click outside of it", () => {
    const { dialog, click, close } = show();
    click(dialog, 50, 50);
    expect(close).toHaveBeenCalledOnce();
  });

  it("stays when a selection that began in a field ends outside of it", () => {
    const { field, click, close } = show();
    click(field, 200, 50);
    expect(close).not.toHaveBeenCalled();
  });

  it("stays when a click is beside a field, or is released inside", () => {
    const { dialog, click, close } = show();
    click(dialog, 110, 110);
    click(dialog, 50, 110);
    expect(close).not.toHaveBeenCalled();
  });
});

describe("bars", () => {
  const run = (phase: "Succeeded" | "Failed", seconds: number) => ({
    uid: phase, name: phase, phase, createdAt: "2025-01-01T00:00:00Z", startedAt: "2025-01-01T00:00:00Z",
    finishedAt: new Date(Date.parse("2025-01-01T00:00:00Z") + seconds * 1000).toISOString(),
  });
  it("say the same in words, and give what failed a foot below the line", () => {
    const { container } = render(() => <Bars name="etl" runs={[run("Failed", 5), run("Succeeded", 10)]} />);
    expect(screen.getByRole("img").getAttribute("aria-label")).toBe("Last runs of etl: 1 Failed, 1 Succeeded");
    expect(container.querySelector('[data-phase="failed"]')?.getAttribute("d")).toBe("M155 29V13");
    expect(container.querySelector('[data-phase="succeeded"]')?.getAttribute("d")).toBe("M147 24V2");
  });
  it("of progress add up to the tasks that have ended or run", () => {
    const tasks = { total: 10, waiting: 4, ready: 1, active: 2, succeeded: 2, failed: 1, skipped: 0, cancelled: 0 };
    const { container } = render(() => <Progress tasks={tasks} />);
    expect([...container.querySelectorAll("rect")].map((rect) => rect.getAttribute("width"))).toEqual(["20%", "10%", "20%"]);
    expect(screen.getByRole("img").getAttribute("aria-label")).toBe("3 of 10 tasks");
  });
});

describe("the graph", () => {
  it("is walked with arrows, and a task is picked with Enter", async () => {
    const select = vi.fn();
    const { container } = render(() => (
      <Graph names={["a", "b"]} parents={[[], [0]]} name="Graph" select={select} task={(position) => ({ sub: `${position}s`, look: "succeeded" })} />
    ));
    const [first, second] = [...container.querySelectorAll<SVGGElement>(".node")] as [SVGGElement, SVGGElement];
    expect(first.querySelector("title")?.textContent).toBe("a, Succeeded, 0s");
    first.focus();
    await fireEvent.keyDown(first, { key: "ArrowRight" });
    expect(document.activeElement).toBe(second);
    await fireEvent.keyDown(document.activeElement as Element, { key: "Enter" });
    expect(select).toHaveBeenCalledWith("b");
  });
  it("keeps ancestors and descendants of a node bright, not its siblings", () => {
    expect([...kinOf([{ from: 0, to: 1 }, { from: 0, to: 2 }, { from: 1, to: 3 }, { from: 2, to: 3 }], 1)].sort()).toEqual([0, 1, 3]);
  });
});

it("a draft has what somebody may write, not what Kubernetes keeps", () => {
  const yaml = draftOf({ apiVersion: "v1", kind: "DAG", status: { phase: "x" },
    metadata: { name: "etl", namespace: "shop", uid: "x", resourceVersion: "7", annotations: { "kubectl.kubernetes.io/last-applied-configuration": "{}" } },
    spec: { task: [{ command: ["a", "b"], name: "a" }], schedule: "@daily" } as never });
  expect(yaml).toBe("apiVersion: v1\nkind: DAG\nmetadata:\n  name: etl\n  namespace: shop\nspec:\n  schedule: \"@daily\"\n  task:\n    - name: a\n      command: [a, b]\n");
});
