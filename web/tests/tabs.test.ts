import { afterEach, expect, it, vi } from "vitest";

afterEach(() => {
  vi.unstubAllGlobals();
  Reflect.deleteProperty(navigator, "locks");
  history.replaceState(null, "", "/");
});

/** namesAt starts a UI at a path, and returns the names of the channel and of the lock that its tabs share. */
async function namesAt(path: string): Promise<string[]> {
  const names: string[] = [];
  class Channel extends EventTarget {
    constructor(name: string) {
      super();
      names.push(name);
    }
    postMessage() {}
  }
  vi.stubGlobal("BroadcastChannel", Channel);
  const request = (name: string) => {
    names.push(name);
    return Promise.resolve();
  };
  Object.defineProperty(navigator, "locks", { value: { request }, configurable: true });
  history.replaceState(null, "", path);
  vi.resetModules();
  const { start } = await import("../src/live");
  start()();
  return names;
}

it("tabs share a stream with those of the same UI, not with those of one under another path", async () => {
  const here = await namesAt("/a/#/runs");
  expect(here).toHaveLength(2);
  expect(await namesAt("/a/index.html#/dags")).toEqual(here);
  for (const name of await namesAt("/b/#/runs")) expect(here).not.toContain(name);
});
