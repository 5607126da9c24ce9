import type { Page } from "playwright-core";
import { afterAll, it } from "vitest";
import { arrive, facts, leave, settled, signIn, site, useBrowser, visit } from "./world";

useBrowser();

/** Measured is a row of the table: times in milliseconds, and what they should not exceed. */
interface Measured {
  what: string;
  times: number[];
  goal?: number;
}

const table: Measured[] = [];

afterAll(() => {
  const at = (times: number[], part: number) => times[Math.min(times.length - 1, Math.floor(part * times.length))] ?? NaN;
  console.log(`${"milliseconds".padEnd(52)}${["n", "p50", "p95", "most", "goal"].map((each) => each.padStart(8)).join("")}`);
  for (const { what, times, goal } of table) {
    times.sort((a, b) => a - b);
    const values = [times.length, at(times, 0.5), at(times, 0.95), at(times, 1)].map((each) => each.toFixed(0));
    console.log(`${what.padEnd(52)}${[...values, goal ? String(goal) : "–"].map((each) => each.padStart(8)).join("")}`);
  }
});

/**
 * watchInputs keeps for each key, click and turn of the wheel the time from the input, as the browser's process saw it, to
 * the end of the frame that shows its effect.
 */
async function watchInputs(page: Page): Promise<void> {
  await page.evaluate(() => {
    const delays: number[] = [];
    Object.assign(window, { delays });
    const channel = new MessageChannel();
    const waiting: number[] = [];
    channel.port1.onmessage = () => delays.push(...waiting.splice(0).map((began) => performance.now() - began));
    for (const name of ["keydown", "click", "wheel"]) {
      window.addEventListener(name, (event) => {
        const began = event.timeStamp;
        requestAnimationFrame(() => {
          waiting.push(began);
          channel.port2.postMessage(0); // is handled after the frame
        });
      }, { capture: true, passive: true });
    }
  });
}

/** delaysOf does something and returns the delays of its inputs. Each input comes when the page is idle. */
async function delaysOf(page: Page, inputs: (() => Promise<unknown>)[]): Promise<number[]> {
  const delays: number[] = [];
  for (const input of inputs) {
    await page.evaluate(() => {
      (window as never as { delays: number[] }).delays.length = 0;
      return new Promise((resolve) => requestIdleCallback(resolve, { timeout: 2000 }));
    });
    await input();
    await page.waitForFunction(() => (window as never as { delays: number[] }).delays.length > 0);
    delays.push(...(await page.evaluate(() => (window as never as { delays: number[] }).delays)));
  }
  return delays;
}

const repeat = (count: number, input: (index: number) => Promise<unknown>) => Array.from({ length: count }, (_, index) => () => input(index));
const keys = (page: Page, text: string) => [...text].map((key) => () => page.keyboard.press(key));

async function measure(page: Page, what: string, inputs: (() => Promise<unknown>)[]): Promise<void> {
  table.push({ what, times: await delaysOf(page, inputs), goal: 100 });
}

it("first paint", async () => {
  const cold: number[] = [], home: number[] = [];
  for (let round = 0; round < 10; round++) {
    const visitor = await visit(); // a new profile: nothing is cached
    const paint = () => visitor.page.evaluate(() => new Promise<number>((resolve) =>
      new PerformanceObserver((list) => {
        const found = list.getEntriesByName("first-contentful-paint")[0];
        if (found) resolve(found.startTime);
      }).observe({ type: "paint", buffered: true })));
    await visitor.page.goto(site);
    cold.push(await paint());
    await signIn(visitor.page, "vera");
    await visitor.page.addInitScript(() => {
      const watch = () => {
        const isThere = document.querySelector("#main h2") && !document.querySelector(".skeleton");
        requestAnimationFrame(isThere ? () => Object.assign(window, { homeAt: performance.now() }) : watch);
      };
      document.addEventListener("DOMContentLoaded", watch);
    });
    await visitor.page.reload();
    await visitor.page.waitForFunction(() => "homeAt" in window);
    home.push(await visitor.page.evaluate(() => (window as never as { homeAt: number }).homeAt));
    await leave(visitor);
  }
  table.push({ what: "first paint, nothing cached", times: cold, goal: 1000 });
  table.push({ what: "Home with what it shows, after a reload", times: home, goal: 1000 });
}, 120_000);

it("a run of 1,000 tasks", async () => {
  const visitor = await visit();
  const page = await arrive(visitor, "mia", `#/runs/${facts["layered"]}`);
  await page.getByRole("button", { name: /^step-0000, Succeeded/ }).waitFor();
  await settled(page);
  await watchInputs(page);
  await page.getByLabel("Find a task").focus();
  await measure(page, "1,000 tasks: a letter of the search", [...keys(page, "step-0777"), ...keys(page, "step")]);
  await page.getByLabel("Find a task").fill("");
  await page.getByRole("button", { name: /^step-0000, Succeeded/ }).focus();
  await measure(page, "1,000 tasks: an arrow, in the graph", repeat(20, () => page.keyboard.press("ArrowRight")));
  await measure(page, "1,000 tasks: picking a task, and letting it go", repeat(10, () => page.keyboard.press("Enter")));
  await page.locator(".canvas").hover();
  await measure(page, "1,000 tasks: panning by the wheel", repeat(20, (index) => page.mouse.wheel(index < 10 ? 400 : -400, 60)));
  await page.keyboard.down("Control");
  await measure(page, "1,000 tasks: zooming by the wheel", repeat(40, (index) => page.mouse.wheel(0, index < 20 ? 60 : -60)));
  await page.keyboard.up("Control");
  await measure(page, "1,000 tasks: a filter of phases", repeat(10, (index) =>
    page.locator(".graph-tools .seg button").nth(index % 3).click()));
  await measure(page, "1,000 tasks: a page of the timeline", repeat(4, (index) =>
    page.getByRole("button", { name: index % 2 ? "Earlier" : "Later" }).click()));
  await leave(visitor);
  const other = await visit();
  const wide = await arrive(other, "otto", `#/runs/${facts["wide"]}`);
  const group = wide.getByRole("button", { name: /^1,000 tasks, / });
  await group.waitFor();
  await watchInputs(wide);
  const close = wide.getByRole("button", { name: "Close groups" });
  await measure(wide, "1,000 siblings: opening their group", [() => group.press("Enter")]);
  await measure(wide, "1,000 siblings: closing it", [() => close.click()]);
  await leave(other);
}, 180_000);

it("a log of 100,000 lines", async () => {
  const visitor = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
  const page = await arrive(visitor, "mia", facts["long"]);
  await page.locator(".foot-bar").getByText("Stored").waitFor();
  await watchInputs(page);
  await page.keyboard.press("Home");
  await page.locator(".lines").hover();
  await measure(page, "100,000 lines: scrolling by a page", repeat(20, () => page.keyboard.press("PageDown")));
  await measure(page, "100,000 lines: scrolling by the wheel", repeat(30, (index) => page.mouse.wheel(0, 100 * 2 ** (index % 12))));
  await measure(page, "100,000 lines: to the end and back", repeat(10, (index) => page.keyboard.press(index % 2 ? "Home" : "End")));
  await page.keyboard.press("/");
  await measure(page, "100,000 lines: a letter of the search", keys(page, "order 43210"));
  await page.keyboard.press("Escape");
  await measure(page, "100,000 lines: the next hit", repeat(10, () => page.keyboard.press("n")));
  await measure(page, "100,000 lines: selecting all", repeat(5, () => page.keyboard.press("Control+a")));
  await measure(page, "100,000 lines: to wrap them or not", repeat(4, () => page.getByRole("button", { name: "Wrap" }).click()));
  await leave(visitor);
}, 180_000);

it("a grid of 200 tasks and 50 runs", async () => {
  const visitor = await visit();
  const page = await arrive(visitor, "mia", `#/dags/${facts["many"]}/grid-0001`);
  await page.locator(".cells li").first().waitFor();
  await watchInputs(page);
  await page.getByRole("group", { name: /^Grid of runs and tasks/ }).focus();
  await measure(page, "200 × 50: an arrow, down", repeat(20, () => page.keyboard.press("ArrowDown")));
  await measure(page, "200 × 50: an arrow, left", repeat(20, () => page.keyboard.press("ArrowLeft")));
  await measure(page, "200 × 50: a filter of phases", repeat(10, (index) =>
    page.getByRole("group", { name: "All tasks" }).getByRole("button").nth(index % 2).click()));
  await page.locator(".cells").hover();
  await measure(page, "200 × 50: scrolling", repeat(20, () => page.mouse.wheel(0, 120)));
  await measure(page, "200 × 50: to a table and back", repeat(4, () => page.getByRole("button", { name: "As a table" }).click()));
  await leave(visitor);
}, 180_000);
