import { afterEach, describe, expect, it, vi } from "vitest";
import { backoff, call, configure, path, read, send, startIsOpen, startOnce } from "../src/api/client";
import { Problem } from "../src/api/problem";

function answer(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers: {
    "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers } });
}

const problem = (kind: string, status: number, more = {}) =>
  answer(status, { type: `urn:kontroler:problem:${kind}`, title: "Title.", status, requestId: "abc", ...more });

/** fetches answers requests one after the other, and remembers them. */
function fetches(...answers: (Response | Error)[]) {
  const mock = vi.fn<typeof fetch>(async () => {
    const next = answers.shift();
    if (next instanceof Error) throw next;
    return next as Response;
  });
  vi.stubGlobal("fetch", mock);
  return mock;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe("a request", () => {
  it("goes to the API relative to the page, with the cookie and without empty parameters", async () => {
    configure("api/v1", () => {});
    const mock = fetches(answer(200, { items: [] }));
    await call("GET", "runs", { query: { dag: "a b", phase: "", cursor: undefined } });
    const [url, init] = mock.mock.calls[0]!;
    expect(String(url)).toBe("http://localhost:3000/api/v1/runs?dag=a+b");
    expect(init).toMatchObject({ credentials: "same-origin", redirect: "error" });
  });

  it("may have no answer but its status", async () => {
    fetches(new Response(null, { status: 202 }), new Response(null, { status: 204 }));
    await expect(call("POST", "runs/u/cancel")).resolves.toBeUndefined();
    await expect(call("DELETE", "runs/u")).resolves.toBeUndefined();
  });

  it("whose answer breaks off is not answered", async () => {
    const broken = new ReadableStream({ start: (controller) => controller.error(new TypeError("network error")) });
    fetches(new Response(broken, { status: 200 }));
    await expect(call("POST", "runs")).rejects.toMatchObject({ kind: "unreachable" });
  });

  it("that is not answered is given up after a time, and may have been done", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) =>
      new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason))));
    const result = expect(call("POST", "runs/u/again")).rejects.toMatchObject({ kind: "unreachable", isOutcomeUnknown: true });
    await vi.advanceTimersByTimeAsync(60_000);
    await result;
  });

  it("says that nobody uses the page, until somebody touches it", async () => {
    vi.useFakeTimers();
    const mock = fetches(...Array.from({ length: 4 }, () => answer(200, {})));
    const sent = async () => {
      await call("GET", "attention");
      return (mock.mock.lastCall?.[1]?.headers as Record<string, string>)["Kontroler-Unattended"];
    };
    window.dispatchEvent(new Event("keydown"));
    vi.setSystemTime(Date.now() + 59_000);
    expect(await sent()).toBeUndefined();
    vi.setSystemTime(Date.now() + 1000);
    expect(await sent()).toBe("true");
    document.body.dispatchEvent(new Event("pointermove", { bubbles: true }));
    expect(await sent()).toBeUndefined();
  });

  it("escapes what stands in a path", () => expect(path("runs", "../users", "a/b")).toBe("runs/..%2Fusers/a%2Fb"));

  it("throws the problem that the server describes", async () => {
    fetches(problem("invalid", 422, { detail: "Two values.", errors: [{ pointer: "/parameters/0/value", detail: "no" }] }));
    await expect(call("POST", "runs")).rejects.toMatchObject({
      kind: "invalid", status: 422, message: "Title.", detail: "Two values.", requestId: "abc",
      faults: [{ pointer: "/parameters/0/value", detail: "no" }],
    });
  });

  it("throws a problem of its own for the page of a proxy", async () => {
    fetches(new Response("<html>", { status: 502, headers: { "Content-Type": "text/html" } }));
    await expect(call("GET", "runs")).rejects.toMatchObject({ kind: "unavailable", status: 502 });
  });

  it("throws a problem of its own for a page with the status of a success", async () => {
    fetches(new Response("<html>", { status: 200, headers: { "Content-Type": "text/html" } }));
    await expect(call("GET", "runs")).rejects.toMatchObject({ kind: "unexpected", status: 200 });
  });

  it("ends the session of the page on a 401, but not if a password was wrong", async () => {
    const ended = vi.fn();
    configure("api/v1", ended);
    fetches(problem("unauthenticated", 401), problem("unauthenticated", 401));
    await expect(send("POST", "auth/login")).rejects.toBeInstanceOf(Problem);
    expect(ended).not.toHaveBeenCalled();
    await expect(send("GET", "runs")).rejects.toBeInstanceOf(Problem);
    expect(ended).toHaveBeenCalledOnce();
  });
});

describe("a read", () => {
  it("is repeated while the server is not available", async () => {
    vi.useFakeTimers();
    const mock = fetches(problem("unavailable", 503, {}), new TypeError("network"), answer(200, { ok: true }));
    const result = read("runs");
    await vi.runAllTimersAsync();
    expect(await result).toEqual({ ok: true });
    expect(mock).toHaveBeenCalledTimes(3);
  });

  it("gives up after four attempts", async () => {
    vi.useFakeTimers();
    const mock = fetches(...Array.from({ length: 4 }, () => problem("unavailable", 503)));
    const result = expect(read("runs")).rejects.toMatchObject({ kind: "unavailable" });
    await vi.runAllTimersAsync();
    await result;
    expect(mock).toHaveBeenCalledTimes(4);
  });

  it("is not repeated after another problem", async () => {
    const mock = fetches(problem("not-found", 404));
    await expect(read("runs/1")).rejects.toMatchObject({ kind: "not-found" });
    expect(mock).toHaveBeenCalledOnce();
  });
});

it("a write is not repeated, because it may have been done", async () => {
  const mock = fetches(new TypeError("network"));
  await expect(call("POST", "runs/1/cancel")).rejects.toMatchObject({ kind: "unreachable" });
  expect(mock).toHaveBeenCalledOnce();
});

describe("a start", () => {
  type Start = typeof startOnce;
  /** tried starts something, and returns the key and the problem, if there is one. */
  const tried = async (problem?: Problem, what = "a", start: Start = startOnce) => {
    let sent = "";
    const error = await start(what, (key) => {
      sent = key;
      return problem ? Promise.reject(problem) : Promise.resolve();
    }).catch((error: unknown) => error);
    expect(error).toBe(problem);
    return sent;
  };
  const unknown = () => new Problem("unavailable", { status: 503 });
  afterEach(() => sessionStorage.clear());

  it("keeps its key until its outcome is known", async () => {
    const key = await tried(unknown());
    expect(await tried(new Problem("unreachable", {}))).toBe(key);
    expect(await tried()).toBe(key);
    expect(await tried()).not.toBe(key);
  });

  it.each([["unauthenticated", 401], ["forbidden", 403], ["not-found", 404], ["too-many-requests", 429]] as const)(
    "may have been done before a try that is refused by %s, and keeps its key", async (kind, status) => {
      const key = await tried(unknown());
      const refused = new Problem(kind, { status });
      expect(await tried(refused)).toBe(key);
      expect(refused.isOutcomeUnknown).toBe(true);
      expect(await tried()).toBe(key);
    });

  it.each([["conflict", 409], ["invalid", 422]] as const)(
    "that is refused by %s was not done before, because the server has looked", async (kind, status) => {
      const key = await tried(unknown());
      const refused = new Problem(kind, { status });
      expect(await tried(refused)).toBe(key);
      expect(refused.isOutcomeUnknown).toBe(false);
      expect(await tried()).not.toBe(key);
    });

  it("whose first try is refused has a new key on the next", async () => {
    const refused = new Problem("too-many-requests", { status: 429 });
    const key = await tried(refused);
    expect(refused.isOutcomeUnknown).toBe(false);
    expect(await tried()).not.toBe(key);
  });

  it("of something else has another key", async () => {
    expect(await tried(unknown(), "b")).not.toBe(await tried(unknown()));
  });

  it("has the same key after a reload, but not long after its last try", async () => {
    vi.useFakeTimers();
    const key = await tried(unknown());
    vi.resetModules();
    const reloaded = (await import("../src/api/client")).startOnce;
    const later = () => vi.setSystemTime(Date.now() + startIsOpen - 1);
    later();
    expect(await tried(unknown(), "a", reloaded)).toBe(key);
    later();
    expect(await tried(unknown(), "a", reloaded)).toBe(key);
    vi.setSystemTime(Date.now() + startIsOpen);
    expect(await tried(unknown(), "a", reloaded)).not.toBe(key);
  });
});

it("a pause grows, has jitter, and is at least what the server asks for", () => {
  expect([1, 2, 3, 10].map((attempt) => backoff(attempt, undefined, 1))).toEqual([500, 1000, 2000, 10_000]);
  expect(backoff(1, undefined, 0)).toBe(250);
  expect(backoff(1, 3000, 0)).toBe(3250);
});
