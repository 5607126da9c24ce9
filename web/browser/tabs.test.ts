import type { BrowserContext, Page, Request } from "playwright-core";
import { afterEach, describe, expect, it } from "vitest";
import { arrive, control, facts, leave, settled, site, useBrowser, visit } from "./world";

useBrowser();
afterEach(() => control("start")); // which does nothing while the server runs
const logOf = (task: string) => `#/runs/${facts["followed"]}/log/${task}/1`;
const foot = (page: Page, text: string) => page.locator(".foot-bar").getByText(text, { exact: true });
const mark = (page: Page, text: string) => page.locator("header.top").getByText(text, { exact: true });

/** streamsOf counts the streams of a browser that are open, by the end of their path. */
function streamsOf(context: BrowserContext): () => Record<string, number> {
  const open = new Set<Request>();
  const isStream = (request: Request) => request.headers()["accept"] === "text/event-stream";
  context.on("request", (request) => isStream(request) && open.add(request));
  context.on("requestfailed", (request) => open.delete(request));
  context.on("requestfinished", (request) => open.delete(request));
  return () => {
    const counts: Record<string, number> = {};
    for (const request of open) {
      const name = request.url().endsWith("/events") ? "events" : "logs";
      counts[name] = (counts[name] ?? 0) + 1;
    }
    return counts;
  };
}

/** streamsOfServer is how many streams of events the server has. */
async function streamsOfServer(): Promise<number> {
  const text = await (await fetch(facts["metrics"] ?? "")).text();
  return Number(/^kontroler_event_streams (\d+)/m.exec(text)?.[1]);
}

describe("nine tabs over HTTP/1.1, three of which follow a log,", () => {
  it("share one stream of events, can all be used, and recover when the server comes back", async () => {
    const visitor = await visit();
    const streams = streamsOf(visitor.context);
    const first = await arrive(visitor, "finn");
    await mark(first, "Live").waitFor();
    const others = await streamsOfServer();
    const tabs = [first];
    const places = [logOf("extract"), logOf("load"), logOf("report"), "#/runs", "#/dags", `#/runs/${facts["followed"]}`,
      `#/dags/${facts["few"]}/etl-0001`, "#/account"];
    for (const place of places) {
      const page = await visitor.context.newPage();
      await page.goto(site + place);
      await mark(page, "Live").waitFor();
      if (place.includes("/log/")) await foot(page, "Live").waitFor();
      else await settled(page);
      tabs.push(page);
    }
    expect(streams()).toEqual({ events: 1, logs: 3 });
    expect(await streamsOfServer()).toBe(others);

    // One more follows no stream, asks, and is no less usable.
    const asks = await visitor.context.newPage();
    await asks.goto(site + logOf("load"));
    await asks.locator(".foot-bar").getByText("Three other logs follow already.").waitFor();
    expect(streams()).toEqual({ events: 1, logs: 3 });
    await asks.close();

    await control("stop");
    for (const page of tabs) await mark(page, "Not live").waitFor();
    const requests: string[] = [];
    visitor.context.on("request", (request) => requests.push(new URL(request.url()).pathname));
    for (const page of tabs.slice(1, 4)) await foot(page, "The stream was lost. It is opened again.").waitFor();
    await new Promise((resolve) => setTimeout(resolve, 5000));
    for (const page of tabs) {
      expect(await page.locator(".sign-in").count(), page.url()).toBe(0);
      expect(await page.locator(".toast").count(), page.url()).toBe(0);
      expect(await page.getByRole("alert").count(), page.url()).toBeLessThanOrEqual(1);
    }
    // Nothing loops: each tab asks a few times in these seconds, not again and again.
    expect(requests.length).toBeLessThan(150);

    // A tab that is opened now says so, and begins by itself when the server is back.
    const late = await visitor.context.newPage();
    await late.goto(`${site}#/runs`);
    await late.getByText("The server cannot do this now.").waitFor();

    await control("start");
    await late.getByRole("heading", { name: "Runs" }).waitFor();
    await late.close();
    for (const page of tabs) await mark(page, "Live").waitFor();
    for (const page of tabs.slice(1, 4)) await foot(page, "Live").waitFor();
    expect(streams()).toEqual({ events: 1, logs: 3 });
    for (const page of tabs) {
      expect(await page.getByRole("alert").count(), page.url()).toBe(0);
      expect(await page.locator(".sign-in").count(), page.url()).toBe(0);
    }

    // What happens now arrives in all of them.
    await control("end");
    await (tabs[3] as Page).getByText("300 lines").first().waitFor();
    await (tabs[6] as Page).getByRole("button", { name: /^report, Succeeded/ }).waitFor();
    await leave(visitor);
  }, 120_000);

  it("hand the stream of events on when the tab that has it is closed", async () => {
    const visitor = await visit();
    const streams = streamsOf(visitor.context);
    const first = await arrive(visitor, "finn");
    await mark(first, "Live").waitFor();
    const second = await visitor.context.newPage();
    await second.goto(`${site}#/runs`);
    await mark(second, "Live").waitFor();
    expect(streams()).toEqual({ events: 1 });
    const opened = visitor.context.waitForEvent("request", (request) => request.url().endsWith("/events"));
    await first.close();
    await opened;
    await mark(second, "Live").waitFor();
    await leave(visitor);
  });
});
