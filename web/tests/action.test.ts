import { describe, expect, it } from "vitest";
import { createAction } from "../src/action";
import "../src/keys";

describe("an action", () => {
  it("ignores calls while it runs, and can be called again afterwards, also after a failure", async () => {
    const ends: (() => void)[] = [], fails: ((error: Error) => void)[] = [];
    const [run, isRunning] = createAction(() => new Promise<void>((end, fail) => { ends.push(end); fails.push(fail); }));
    const first = run();
    await run();
    expect([ends.length, isRunning()]).toEqual([1, true]);
    ends[0]?.();
    await first;
    expect(isRunning()).toBe(false);
    const second = run();
    fails[1]?.(new Error("no"));
    await expect(second).rejects.toThrow("no");
    expect(isRunning()).toBe(false);
  });
});

describe("an Enter that is held", () => {
  const isIgnored = (on: Element, repeat: boolean) => {
    document.body.replaceChildren(on);
    return !on.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", repeat, bubbles: true, cancelable: true }));
  };
  it("presses a button once", () => {
    expect([false, true].map((repeat) => isIgnored(document.createElement("button"), repeat))).toEqual([false, true]);
  });
  it("sends a form once", () => expect(isIgnored(document.createElement("input"), true)).toBe(true));
  it("writes lines in a text", () => expect(isIgnored(document.createElement("textarea"), true)).toBe(false));
});
