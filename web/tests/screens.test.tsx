import { cleanup, fireEvent, render, screen, within } from "@solidjs/testing-library";
import type { JSX } from "solid-js";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { App } from "../src/app";
import { configure } from "../src/api/client";
import { draftAt, draftsBelow, keepDraft } from "../src/drafts";
import { start } from "../src/live";
import { Search } from "../src/parts/search";
import { Toasts } from "../src/parts/toasts";
import { go } from "../src/router";
import { ended, restore, signIn, signOut, state } from "../src/session";
import Account from "../src/screens/account";
import DAG from "../src/screens/dag";
import DAGs from "../src/screens/dags";
import Home from "../src/screens/home";
import LogScreen from "../src/screens/log";
import Pending from "../src/screens/pending";
import RunScreen from "../src/screens/run";
import Runs from "../src/screens/runs";
import "../src/screens/trigger";
import Users from "../src/screens/users";
import { text } from "../src/text";
import { toggleZone, zone } from "../src/time";

// Before time.ts reads it.
vi.hoisted(() => (process.env["TZ"] = "Europe/Berlin"));

/** Request is one that a screen has sent. Its path is below /api/v1/. */
interface Request {
  to: string;
  query: string;
  headers: Record<string, string>;
}

const json = (body: unknown, status = 200) => new Response(JSON.stringify(body), { status });
const problem = (kind: string, status: number, more = {}) => new Response(
  JSON.stringify({ type: `urn:kontroler:problem:${kind}`, title: "Title.", status, ...more }),
  { status, headers: { "Content-Type": "application/problem+json" } });

/** serve answers requests by method and path. It returns the requests that were sent. */
function serve(answers: Record<string, (query: string) => Response | Promise<Response>>): Request[] {
  const sent: Request[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    const { pathname, search } = new URL(url);
    const to = `${init.method} ${pathname.replace("/api/v1/", "")}`;
    sent.push({ to, query: search, headers: init.headers as Record<string, string> });
    return Promise.resolve(answers[to]?.(search) ?? problem("not-found", 404));
  });
  return sent;
}

/** isSent finds the requests to a route. */
const isSent = (to: string) => (request: Request) => request.to === to;

const root = () => json({ user: { name: "root", admin: true, grants: [] }, expiresAt: "2099-01-01T00:00:00Z" });

beforeEach(async () => {
  // jsdom has no modal dialogs.
  HTMLDialogElement.prototype.showModal = function () { this.open = true; };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
  serve({ "GET auth/me": root });
  await restore();
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** announcedBy returns what live regions announce when only the clock goes on. */
function announcedBy(seconds: number): string[] {
  const tick = () => document.dispatchEvent(new Event("visibilitychange")); // sets the clock of the page
  tick();
  const announced: string[] = [], before = document.body.textContent;
  const observer = new MutationObserver(() => {});
  for (const region of document.querySelectorAll('[aria-live="polite"], [role="status"]')) {
    observer.observe(region, { subtree: true, childList: true, characterData: true });
  }
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + seconds * 1000 });
  tick();
  for (const { target } of observer.takeRecords()) {
    const element = target instanceof Element ? target : target.parentElement;
    if (!element?.closest('[aria-live="off"]')) announced.push(element?.textContent ?? "");
  }
  expect(document.body.textContent).not.toBe(before);
  return announced;
}

const dialog = () => within(screen.getByRole("dialog", { hidden: true }));

const none = { total: 0, waiting: 0, ready: 0, active: 0, succeeded: 0, failed: 0, skipped: 0, cancelled: 0 };
const run = {
  uid: "u", name: "etl-1", namespace: "shop", dag: "etl", phase: "Failed", tasks: none, parameters: [],
  createdAt: "2026-07-01T12:00:00Z",
};

describe("a run", () => {
  it("is started again once, however often the button is pressed, and with the same key after a failure", async () => {
    const answers: ((answer: Response) => void)[] = [];
    const sent = serve({
      "GET runs/u": () => json(run), "POST runs/u/again": () => new Promise((answer) => answers.push(answer)),
    });
    const starts = () => sent.filter(isSent("POST runs/u/again"));
    go("#/runs/u");
    render(() => <RunScreen />);
    fireEvent.click(await screen.findByText(text.run.again));
    const start = dialog().getByText(text.run.again);
    fireEvent.click(start);
    fireEvent.click(start);
    expect(starts()).toHaveLength(1);
    answers[0]?.(problem("unavailable", 503));
    await vi.waitFor(() => expect(start).toHaveProperty("disabled", false));
    fireEvent.click(start);
    answers[1]?.(json({ namespace: "shop", name: "etl-2" }, 201));
    await vi.waitFor(() => expect(location.hash).toBe("#/pending/shop/etl-2"));
    const keys = starts().map((request) => request.headers["Idempotency-Key"]);
    expect(keys).toEqual([expect.stringMatching(/^[!-~]{16,}$/), keys[0]]);
  });
});

it("an API token has the rights that its maker chooses, is no administrator unless asked, and the list says so", async () => {
  const bodies: unknown[] = [];
  const tokens = [{ id: 1, name: "nightly", admin: true, grants: [{ namespace: "shop", role: "editor" }],
    createdAt: "2026-07-01T12:00:00Z", expiresAt: "2099-01-01T00:00:00Z" }];
  serve({ "GET auth/tokens": () => json({ items: tokens }) });
  const read = fetch;
  vi.stubGlobal("fetch", (url: string, init: RequestInit) => {
    if (init.method !== "POST") return read(url, init);
    bodies.push(JSON.parse(String(init.body)));
    return Promise.resolve(json({ ...tokens[0], token: "kontroler_x" }, 201));
  });
  const create = async () => {
    const count = bodies.length;
    fireEvent.input(screen.getByLabelText(text.account.tokenName), { target: { value: "ci" } });
    fireEvent.submit(screen.getByText(text.account.create).closest("form") as HTMLFormElement);
    await vi.waitFor(() => expect(bodies).toHaveLength(count + 1));
    await vi.waitFor(() => expect(screen.getByText(text.account.create)).toHaveProperty("disabled", false));
    return bodies.at(-1);
  };
  render(() => <Account />);
  await screen.findByText("Administrator, shop: editor");
  expect(await create()).toMatchObject({ name: "ci", admin: false, grants: [{ namespace: "*", role: "viewer" }] });
  fireEvent.input(screen.getByLabelText(text.users.namespace), { target: { value: "shop" } });
  fireEvent.change(screen.getByLabelText(text.users.role), { target: { value: "operator" } });
  fireEvent.click(screen.getByLabelText(text.users.admin));
  expect(await create()).toMatchObject({ admin: true, grants: [{ namespace: "shop", role: "operator" }] });
  expect(await create()).toMatchObject({ admin: false });
});

describe("a search", () => {
  const search = async () => {
    render(() => <Search />);
    screen.getByRole("combobox").focus();
    fireEvent.input(screen.getByRole("combobox"), { target: { value: "etl" } });
    await vi.waitFor(() => expect(document.querySelector(".hits:not([hidden])")).not.toBeNull());
    return document.querySelector(".hits")?.textContent ?? "";
  };

  it("that the server refused does not say that there is nothing", async () => {
    const refuse = () => problem("internal", 500);
    serve({ "GET dags": refuse, "GET runs": refuse });
    expect(await search()).toBe(text.search.failed("Title"));
  });

  it("that found a part shows it, and says that more may be missing", async () => {
    serve({ "GET dags": () => problem("internal", 500), "GET runs": () => json({ items: [run] }) });
    const said = await search();
    expect(said).toContain("etl-1");
    expect(said).toContain(text.search.failed("Title"));
  });

  it("that found nothing says so", async () => {
    const none = () => json({ items: [] });
    serve({ "GET dags": none, "GET runs": none });
    expect(await search()).toBe(text.search.none);
  });
});

it("the log page lists the tasks around its own, says that there are more, and shows the newest attempt", async () => {
  vi.stubGlobal("ResizeObserver", class { observe() {} disconnect() {} });
  vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
  const names = Array.from({ length: 500 }, (_, at) => `t${at}`);
  const attempt = (number: number) => ({ number, phase: "Failed", decidedAt: "2026-07-01T12:00:00Z" });
  serve({
    "GET runs/u": () => json(run), "GET runs/u/graph": () => json({ names, phases: names.map(() => "Failed"), reasons: [] }),
    "GET runs/u/tasks/t300/attempts": () => json({ items: [attempt(3), attempt(2), attempt(1)] }),
  });
  go("#/runs/u/log/t300");
  render(() => <LogScreen />);
  await screen.findByText(text.log.moreTasks(300));
  const links = [...document.querySelectorAll<HTMLAnchorElement>(".siblings a")];
  expect(links.find((link) => link.ariaCurrent ?? link.getAttribute("aria-current"))?.textContent).toContain("t300");
  expect(links[0]?.getAttribute("href")).toBe("#/runs/u/log/t200");
  await vi.waitFor(() => expect(location.hash).toBe("#/runs/u/log/t300/3"));
});

it("a suspension that somebody may undo says so until it is closed, and another one does not", async () => {
  const dag = { namespace: "shop", name: "etl", uid: "d", runs: [], suspended: false };
  const warning = "spec.suspended: argocd wrote it, and its next sync may undo this. Change it there, too.";
  const answers = [json({ ...dag, warnings: [warning] }), json(dag)];
  serve({
    "GET dags": () => json({ items: [dag] }), "POST namespaces/shop/dags/etl/suspend": () => answers.shift() as Response,
  });
  go("#/dags");
  render(() => <><DAGs /><Toasts /></>);
  const suspend = await screen.findByRole("button", { name: text.dags.suspendOf("etl") });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const press = async () => {
    fireEvent.click(suspend);
    const said = await vi.waitFor(() => screen.getByText(text.dags.suspendDone("etl")));
    vi.advanceTimersByTime(60_000);
    return said.closest<HTMLElement>(".toast") as HTMLElement;
  };
  const warned = await press();
  expect(warned.isConnected && within(warned).getByText(warning)).toBeTruthy();
  within(warned).getByRole("img", { name: text.shell.warning });
  fireEvent.click(within(warned).getByLabelText(text.shell.close));
  expect((await press()).isConnected).toBe(false);
});

describe("what was typed", () => {
  const user = { name: "", admin: false, disabled: false, grants: [], generation: 7, createdAt: "2026-07-01T12:00:00Z" };
  const routes = {
    "GET auth/me": root, "POST auth/logout": () => new Response(null, { status: 204 }),
    "GET namespaces/shop/dags/etl": () =>
      json({ name: "etl", manifest: { spec: { parameters: [{ name: "DAY", defaultValue: "today" }], task: [] } } }),
    "GET runs": () => json({ items: [] }), "POST namespaces/shop/dags/etl/runs": () => new Response(null, { status: 204 }),
    "GET namespaces": () => json({ items: [] }), "GET auth/tokens": () => json({ items: [] }),
    "GET users": () => json({ items: [{ ...user, name: "bob" }] }),
  };
  const login = (name: string) => () =>
    json({ user: { name, admin: true, grants: [] }, expiresAt: "2099-01-01T00:00:00Z" });
  const day = () => screen.findByLabelText<HTMLInputElement>("DAY", {}, { timeout: 4000 }); // loads the screen
  const type = async () => {
    serve(routes);
    vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
    go("#/dags/shop/etl/trigger");
    render(() => <App />);
    fireEvent.input(await day(), { target: { value: "monday" } });
    await vi.waitFor(() => expect(sessionStorage.length).toBe(1));
    keepDraft("DAG shop/etl", { text: "kind: DAG", generation: 1 });
  };
  const enter = async (name: string) => {
    serve({ ...routes, "POST auth/login": login(name) });
    await signIn(name, "");
  };
  const arrive = async (name: string) => {
    await enter(name);
    return [(await day()).value, draftAt("DAG shop/etl")?.text];
  };
  afterEach(() => {
    cleanup();
    sessionStorage.clear();
  });

  it("is there again after the session has ended, for the same user", async () => {
    await type();
    ended();
    expect(await arrive("bob")).toEqual(["today", undefined]);
    ended();
    expect(await arrive("root")).toEqual(["monday", "kind: DAG"]);
  });

  it("is gone after the user has signed out", async () => {
    await type();
    await signOut();
    expect(sessionStorage.length).toBe(0);
    expect(await arrive("root")).toEqual(["today", undefined]);
  });

  it("in the form of a trigger is gone when the user leaves it", async () => {
    await type();
    go("#/nowhere");
    await screen.findByText(text.shell.noScreen);
    go("#/dags/shop/etl/trigger");
    expect((await day()).value).toBe("today");
  });

  it.each([["#/dags/new", text.create.schedule], ["#/account", text.account.tokenName]])(
    "in the form at %s is there again after the session has ended, and gone when the user leaves it", async (place, label) => {
      const field = () => screen.findByLabelText<HTMLInputElement>(label, {}, { timeout: 10_000 }); // loads the screen
      serve(routes);
      vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
      go(place);
      render(() => <App />);
      fireEvent.input(await field(), { target: { value: "typed" } });
      ended();
      await enter("bob");
      expect((await field()).value).toBe("");
      ended();
      await enter("root");
      expect((await field()).value).toBe("typed");
      go("#/nowhere");
      await screen.findByText(text.shell.noScreen);
      go(place);
      expect((await field()).value).toBe("");
    }, 20_000);

  it.each(["bob", ""])("in the dialog of the user \"%s\" is there again, but for the password", async (name) => {
    const submit = () => fireEvent.submit(document.querySelector("dialog form") as HTMLFormElement);
    serve(routes);
    vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
    go("#/users");
    render(() => <App />);
    const button = name ? `${text.users.edit} ${name}` : text.users.add;
    fireEvent.click(await screen.findByRole("button", { name: button }, { timeout: 4000 }));
    const password = () =>
      dialog().getByLabelText<HTMLInputElement>(name ? text.users.setPassword : text.users.password);
    fireEvent.input(password(), { target: { value: "trombone zebra lantern" } });
    fireEvent.click(dialog().getByText(text.users.addGrant));
    fireEvent.input(dialog().getByLabelText(text.users.namespace), { target: { value: "shop" } });
    ended();
    expect(screen.queryByRole("dialog", { hidden: true })).toBeNull();
    expect(JSON.stringify({ ...sessionStorage })).not.toContain("zebra");
    await enter("root");
    await screen.findByRole("dialog", { hidden: true }, { timeout: 4000 });
    expect(dialog().getByLabelText<HTMLInputElement>(text.users.namespace).value).toBe("shop");
    expect(password().value).toBe("");
    const sent = serve({ ...routes, "PUT users/bob": () => json({ ...user, name, generation: 8 }), "POST users": () => json(user) });
    submit();
    await vi.waitFor(() => expect(document.querySelector("dialog")).toBeNull());
    const write = sent.find((request) => !request.to.startsWith("GET"));
    expect([write?.to, write?.headers["If-Match"]]).toEqual(name ? ["PUT users/bob", '"7"'] : ["POST users", undefined]);
    expect(draftsBelow("")).toEqual([]);
  });
});

describe("the form of a trigger", () => {
  const route = "POST namespaces/shop/dags/etl/runs";
  const day = () => screen.findByLabelText<HTMLInputElement>("DAY", {}, { timeout: 4000 }); // loads the screen
  /** open shows the form. check answers dry runs, start all others. */
  const open = async (check: () => Response, start: () => Response) => {
    vi.stubGlobal("EventSource", class extends EventTarget { close() {} });
    const sent = serve({
      "GET auth/me": root, "POST auth/login": root, "GET runs": () => json({ items: [] }),
      "GET namespaces/shop/dags/etl": () =>
        json({ name: "etl", manifest: { spec: { parameters: [{ name: "DAY", defaultValue: "today" }], task: [] } } }),
      [route]: (query) => (query.includes("dryRun") ? check() : start()),
    });
    go("#/dags/shop/etl/trigger");
    render(() => <App />);
    await day();
    return () => sent.filter((request) => request.to === route && !request.query.includes("dryRun"))
      .map((request) => request.headers["Idempotency-Key"]);
  };
  const submit = async () => {
    const button = screen.getByRole<HTMLButtonElement>("button", { name: text.trigger.submit });
    fireEvent.submit(button.closest("form") as HTMLFormElement);
    await vi.waitFor(() => expect(!button.isConnected || !button.disabled).toBe(true));
  };
  const fill = async (value: string) => fireEvent.input(await day(), { target: { value } });
  const checked = () => new Response(null, { status: 204 });
  afterEach(() => {
    cleanup();
    sessionStorage.clear();
  });

  it("starts one run of the same values, also after the session has ended, and another of others", async () => {
    configure("api/v1", ended);
    const refusals = [problem("unavailable", 503), problem("too-many-requests", 429), problem("unauthenticated", 401)];
    const keys = await open(checked, () => refusals.shift() ?? problem("unavailable", 503));
    await fill("monday");
    await submit();
    expect(screen.getByRole("alert").textContent).toContain(text.problem.unknownStart);
    await submit();
    expect(screen.getByRole("alert").textContent).toContain(text.problem.unknownStart);
    await submit();
    await vi.waitFor(() => expect(state().is).toBe("signed-out"));
    await signIn("root", "");
    expect((await day()).value).toBe("monday");
    await submit();
    await fill("tuesday");
    await submit();
    const [first, ...others] = keys();
    expect(others).toEqual([first, first, first, expect.not.stringMatching(first as string)]);
  });

  it("does not say that a run may have been started when only a check has failed", async () => {
    const keys = await open(() => problem("unavailable", 503, { detail: "Kubernetes is away." }), checked);
    const notice = (await screen.findByText("Kubernetes is away.", {}, { timeout: 2000 })).closest('[role="alert"]');
    expect(keys()).toEqual([]);
    expect(notice?.textContent).not.toContain(text.problem.unknownStart);
    expect(screen.queryByText(text.trigger.refused)).toBeNull();
  });
});

describe("a list beside a write that may have been done is read again", () => {
  const createdAt = "2026-07-01T12:00:00Z";
  const token = { id: 1, name: "ci", admin: false, grants: [], createdAt, expiresAt: "2099-01-01T00:00:00Z" };
  const user = { name: "bob", admin: false, disabled: false, grants: [], generation: 1, createdAt };
  const dag = { namespace: "shop", name: "etl", uid: "d", runs: [], suspended: false };
  const unknown = () => problem("unavailable", 503);
  const press = async (name: string) => fireEvent.click(await screen.findByRole("button", { name }));
  const confirm = (name: string) => fireEvent.click(dialog().getByText(name));
  const submit = () => fireEvent.submit(document.querySelector("form") as HTMLFormElement);
  afterEach(() => go("#/"));

  it.each<[string, string, unknown, string, () => JSX.Element, () => Promise<unknown>]>([
    ["a new token", "auth/tokens", token, "POST auth/tokens", Account, async () => {
      await screen.findByText("ci");
      fireEvent.submit(screen.getByText(text.account.create).closest("form") as HTMLFormElement);
    }],
    ["a token", "auth/tokens", token, "DELETE auth/tokens/1", Account, async () => {
      await press(text.account.remove);
      confirm(text.account.remove);
    }],
    ["a new user", "users", user, "POST users", Users, async () => {
      await screen.findByText("bob");
      await press(text.users.add);
      submit();
    }],
    ["a user", "users", user, "DELETE users/bob", Users, async () => {
      await press(`${text.users.remove} bob`);
      confirm(text.users.remove);
    }],
    ["a DAG", "dags", dag, "POST namespaces/shop/dags/etl/suspend", DAGs, () => press(text.dags.suspendOf("etl"))],
  ])("%s", async (_, list, item, write, Screen, act) => {
    const sent = serve({ [`GET ${list}`]: () => json({ items: [item] }), [write]: unknown });
    render(() => <Screen />);
    await act();
    await vi.waitFor(() => expect(sent.map((request) => request.to).slice(-2)).toEqual([write, `GET ${list}`]));
  });

  it("a run", async () => {
    const sent = serve({ "GET runs/u": () => json({ ...run, phase: "Running" }), "POST runs/u/cancel": unknown });
    const reads = () => sent.filter(isSent("GET runs/u")).length;
    go("#/runs/u");
    render(() => <RunScreen />);
    await press(text.run.cancel);
    const before = reads();
    confirm(text.run.cancel);
    await vi.waitFor(() => expect(reads()).toBe(before + 1));
  });
});

it("runs that may have been started again stay selected, and another try starts the same", async () => {
  const answers = [problem("unavailable", 503), json({ namespace: "shop", name: "etl-2" }, 201), problem("conflict", 409)];
  const sent = serve({
    "GET runs": () => json({ items: [run] }), "POST runs/u/again": () => answers.shift() as Response,
  });
  go("#/runs");
  render(() => <Runs />);
  const isSelected = () => screen.getByRole<HTMLInputElement>("checkbox", { name: text.runs.select("etl-1") }).checked;
  const startAgain = async (said: string) => {
    fireEvent.click(screen.getByRole("button", { name: text.runs.again }));
    fireEvent.click(dialog().getByText(text.runs.again));
    const results = (await screen.findByText(text.runs.results)).parentElement as HTMLElement;
    await vi.waitFor(() => expect(results.textContent).toContain(said));
    fireEvent.click(screen.getByText(text.shell.close));
  };
  fireEvent.click(await screen.findByRole("checkbox", { name: text.runs.select("etl-1") }));
  await startAgain(text.problem.unknownStart);
  expect(isSelected()).toBe(true);
  await startAgain("etl-1");
  expect(isSelected()).toBe(false);
  fireEvent.click(screen.getByRole("checkbox", { name: text.runs.select("etl-1") }));
  await startAgain(text.problem.nothingSaved);
  const keys = sent.filter(isSent("POST runs/u/again")).map((request) => request.headers["Idempotency-Key"]);
  expect(keys[1]).toBe(keys[0]);
  expect(keys[2]).not.toBe(keys[0]);
});

it("a run in a hidden tab says in its title how it is, without being read again", async () => {
  class Stream extends EventTarget {
    static opened: Stream;
    onopen?: () => void;
    constructor() {
      super();
      Stream.opened = this;
    }
    close(): void {}
  }
  vi.stubGlobal("EventSource", Stream);
  const sent = serve({ "GET runs/u": () => json({ ...run, phase: "Running" }) });
  const stop = start();
  go("#/runs/u");
  render(() => <RunScreen />);
  await vi.waitFor(() => expect(document.title).toBe(`Running – ${text.shell.title("etl-1")}`));
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  const change = { kind: "run", namespace: "shop", dag: "etl", run: "u", phase: "Succeeded" };
  Stream.opened.dispatchEvent(new MessageEvent("change", { data: JSON.stringify(change) }));
  expect(document.title).toBe(`Succeeded – ${text.shell.title("etl-1")}`);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  expect(sent.filter(isSent("GET runs/u"))).toHaveLength(1);
  stop();
});

it("a task that runs is announced when it is picked, and not each second", async () => {
  const startedAt = new Date().toISOString();
  serve({
    "GET runs/u": () => json({ ...run, phase: "Running", startedAt }),
    "GET runs/u/tasks": () => json({ items: [{ name: "load", phase: "Active", attempts: 1, retries: 0, restarts: 0, readyAt: startedAt }] }),
    "GET runs/u/tasks/load/attempts": () => json({ items: [{ number: 1, phase: "Running", decidedAt: startedAt, startedAt, podName: "etl-1-load" }] }),
  });
  go("#/runs/u?task=load");
  render(() => <RunScreen />);
  await screen.findByText("etl-1-load");
  expect(screen.getAllByRole("status").map((region) => region.textContent)).toContain("load, Active");
  expect(announcedBy(5)).toEqual([]);
});

describe("a run that is not admitted", () => {
  const route = "GET namespaces/shop/runs/etl-2";
  const pending = {
    uid: "p", name: "etl-2", namespace: "shop", dag: "etl", admitted: false, reason: "DagNotFound",
    message: "There is no DAG etl.", createdAt: new Date().toISOString(),
  };
  const later = (answer: () => Response) => () =>
    new Promise<Response>((resolve) => setTimeout(() => resolve(answer()), 1500));

  it("is shown although each answer takes longer than the interval", async () => {
    vi.useFakeTimers();
    const sent = serve({ [route]: later(() => json(pending)) });
    go("#/pending/shop/etl-2");
    render(() => <Pending />);
    await vi.advanceTimersByTimeAsync(1600);
    expect(screen.getByText(pending.reason)).toBeTruthy();
    await vi.advanceTimersByTimeAsync(4000);
    expect(sent.filter(isSent(route)).length).toBeGreaterThan(1);
  });

  it("does not announce its age each second", async () => {
    serve({ [route]: () => json(pending) });
    go("#/pending/shop/etl-2");
    render(() => <Pending />);
    await screen.findByText(pending.reason);
    expect(announcedBy(5)).toEqual([]);
  });

  it("says why it cannot be read", async () => {
    vi.useFakeTimers();
    serve({ [route]: later(() => problem("unavailable", 503, { detail: "Kubernetes is away." })) });
    go("#/pending/shop/etl-2");
    render(() => <Pending />);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(screen.getByText("Kubernetes is away.")).toBeTruthy();
  });
});

it("Home lists each due time that a DAG missed, the newest first", async () => {
  const missed = (from: string) =>
    ({ namespace: "shop", dag: "etl", from, to: from, count: 1, outcome: "Missed", decidedAt: from });
  const none = { items: [], hasMore: false };
  serve({ "GET attention": () => json({
    failed: none, waiting: none, missed: { items: [missed("2026-07-01T05:00:00Z"), missed("2026-07-01T01:00:00Z")], hasMore: false },
  }) });
  go("#/");
  render(() => <Home />);
  const panel = within(await screen.findByRole("region", { name: text.home.attention }));
  const times = (await panel.findAllByRole("listitem")).map((line) => line.querySelector("time")?.dateTime);
  expect(times).toEqual(["2026-07-01T05:00:00Z", "2026-07-01T01:00:00Z"]);
});

describe("a version of a DAG", () => {
  const dag = "GET namespaces/shop/dags/etl";
  const page = { items: [60, 59, 58].map((version) => ({ version, createdAt: "2026-07-01T12:00:00Z", tasks: 1 })), next: "c" };
  const show = (place: string, diff: () => Response) => {
    const sent = serve({ [`${dag}/versions`]: () => json(page), [`${dag}/diff`]: diff });
    go(`#/dags/shop/etl/versions${place}`);
    render(() => <DAG />);
    return sent;
  };

  it("is compared with the one before, also if the list is on another page", async () => {
    const sent = show("?version=3", () => json({ from: 2, to: 3, changes: [] }));
    await screen.findByText(text.dag.versions.same);
    expect(sent.filter(isSent(`${dag}/diff`)).map((request) => request.query)).toEqual(["?to=3"]);
    const select = screen.getByRole<HTMLSelectElement>("combobox");
    expect([select.value, [...select.options].map((option) => option.value)]).toEqual(["2", ["60", "59", "58", "2"]]);
  });

  it("is compared with the one before, also if it is the last of its page", async () => {
    show("?version=58", () => json({ from: 57, to: 58, changes: [] }));
    await screen.findByText(text.dag.versions.same);
    expect(screen.getByRole<HTMLSelectElement>("combobox").value).toBe("57");
  });

  it("that is the first says so", async () => {
    const detail = "Version 1 is the first version that is kept.";
    show("?version=1", () => problem("not-found", 404, { detail }));
    await screen.findByText(detail);
    expect(screen.queryByRole("combobox")).toBeNull();
    expect(screen.queryByRole("alert")).toBeNull();
  });
});

it("a user whose password was refused after the roles were saved is saved by another try", async () => {
  const user = { name: "bob", admin: false, disabled: false, grants: [], generation: 1, createdAt: "2026-07-01T12:00:00Z" };
  const answers = [problem("invalid", 422, { detail: "The password is too simple." }), new Response(null, { status: 204 })];
  const sent: Request[] = serve({
    "GET users": () => json({ items: [user] }), "PUT users/bob/password": () => answers.shift() as Response,
    "PUT users/bob": () => json({ ...user, generation: sent.filter(isSent("PUT users/bob")).length + 1 }),
  });
  go("#/users");
  render(() => <Users />);
  fireEvent.click(await screen.findByRole("button", { name: `${text.users.edit} bob` }));
  fireEvent.input(dialog().getByLabelText(text.users.setPassword), { target: { value: "aaaaaaaaaaaa" } });
  fireEvent.submit(document.querySelector("form") as HTMLFormElement);
  const notice = (await screen.findByText("The password is too simple.")).closest('[role="alert"]');
  expect(notice?.textContent).toContain(text.users.noPassword);
  expect(notice?.textContent).not.toContain(text.problem.nothingSaved);
  expect(sent.filter(isSent("GET users"))).toHaveLength(2);
  fireEvent.submit(document.querySelector("form") as HTMLFormElement);
  await vi.waitFor(() => expect(document.querySelector("dialog")).toBeNull());
  expect(sent.filter(isSent("PUT users/bob")).map((request) => request.headers["If-Match"])).toEqual(['"1"', '"2"']);
});

it("runs are filtered by times in the zone that is shown, which the fields name", async () => {
  const sent = serve({ "GET runs": () => json({ items: [] }) });
  const from = () => new URLSearchParams(sent.filter(isSent("GET runs")).at(-1)?.query).get("from");
  go("#/runs?from=2026-07-01T12:00");
  render(() => <Runs />);
  if (zone() === "UTC") toggleZone();
  await vi.waitFor(() => expect(from()).toBe("2026-07-01T10:00:00.000Z"));
  toggleZone();
  await vi.waitFor(() => expect(from()).toBe("2026-07-01T12:00:00.000Z"));
  expect(screen.getByLabelText(text.runs.from("UTC"))).toHaveProperty("value", "2026-07-01T12:00");
  toggleZone();
});
