import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { arrive, facts, leave, pictures, settled, site, useBrowser, visit, type Visitor } from "./world";

useBrowser();
const lines = 100_000;

/** line is a line of the long log, as e2e/web writes it and without its colours. */
function line(i: number): string {
  if (i % 10 === 3) return `INFO  order ${i}: 250 rows`;
  if (i % 10 === 7) return `order ${i}: <b>größer</b> & 中文`;
  return `order ${i} is imported from /var/lib/orders/${i % 977}.json`;
}

const region = (page: Page) => page.getByRole("region", { name: "Lines of the log" });
const row = (page: Page, i: number) => region(page).locator(`[data-row="${i}"] > span`);
const copied = (page: Page) => page.evaluate(() => navigator.clipboard.readText());

async function openLog(place = ""): Promise<{ visitor: Visitor; page: Page }> {
  const visitor = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
  const page = await arrive(visitor, "mia", facts["long"] + place);
  await page.getByText("100,000 lines").first().waitFor();
  await page.locator(".foot-bar").getByText("Stored").waitFor();
  return { visitor, page };
}

/** range is the lines from one to another. */
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => line(from + index));

/** expectSame compares a text with lines. It shows the ends and what differs first, not all of a text of megabytes. */
function expectSame(text: string, wanted: string[]): void {
  const got = text.split("\n");
  const at = wanted.findIndex((each, index) => got[index] !== each);
  expect({ lines: got.length, first: got[0], last: got[got.length - 1], differs: at < 0 ? "" : got[at] })
    .toEqual({ lines: wanted.length, first: wanted[0], last: wanted[wanted.length - 1], differs: "" });
}

describe("a log of one line that does not end", () => {
  /** stalls begins to measure how long the page draws nothing, in milliseconds. */
  const stalls = (page: Page) => page.evaluate(() => {
    let last = performance.now();
    const measured = window as unknown as { longestStall: number };
    measured.longestStall = 0;
    const frame = (now: number) => {
      measured.longestStall = Math.max(measured.longestStall, now - last);
      last = now;
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const longestStall = (page: Page) => page.evaluate(() => (window as unknown as { longestStall: number }).longestStall);

  it("is shown in rows, of which few are in the document, and does not freeze the page", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "mia", "#/account");
    await stalls(page);
    await page.goto(site + (facts["endless"] ?? ""));
    await page.locator(".foot-bar").getByText("Stored").waitFor();
    await page.locator(".foot-bar").getByText("1 line", { exact: true }).waitFor();
    const shown = () => region(page).locator("ol").evaluate((list) => list.textContent?.length ?? 0);
    for (const isWrapped of [true, false]) {
      await page.getByRole("button", { name: "Wrap", pressed: isWrapped }).waitFor();
      await page.keyboard.press("End");
      await region(page).getByTitle("Line 1 goes on").last().waitFor();
      expect(await shown()).toBeLessThan(500_000);
      await page.keyboard.press("Home");
      await page.getByText(/ MiB before this are no longer kept in this page\./).waitFor();
      expect(await shown()).toBeLessThan(500_000);
      await page.screenshot({ path: `${pictures}endless-${isWrapped ? "wrapped" : "wide"}.png` });
      await page.getByRole("button", { name: "Wrap" }).click();
    }
    expect(await longestStall(page)).toBeLessThan(5000);
    await leave(visitor);
  });
});

describe("a log of 100,000 lines", () => {
  it("has few of them in the document, wherever page keys, Home and End lead", async () => {
    const { visitor, page } = await openLog();
    const count = () => region(page).locator("li").count();
    await page.keyboard.press("Home");
    await row(page, 0).waitFor();
    expect(await count()).toBeLessThanOrEqual(500);
    await page.keyboard.press("PageDown");
    await page.keyboard.press("PageDown");
    await row(page, 60).waitFor();
    await row(page, 0).waitFor({ state: "detached" });
    await page.keyboard.press("PageUp");
    await page.keyboard.press("PageUp");
    await row(page, 0).waitFor();
    await page.keyboard.press("End");
    await row(page, lines - 1).waitFor();
    expect(await row(page, lines - 1).textContent()).toBe(line(lines - 1));
    expect(await count()).toBeLessThanOrEqual(500);
    await leave(visitor);
  });

  it("is copied whole by Ctrl-A, exactly", async () => {
    const { visitor, page } = await openLog();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Control+c");
    expectSame(await copied(page), range(0, lines - 1));
    await leave(visitor);
  });

  it("is copied from where a selection began, far from what is in the document, to where it ends", async () => {
    const { visitor, page } = await openLog();
    await page.keyboard.press("Home");
    await row(page, 2).click({ position: { x: 1, y: 10 } });
    await page.keyboard.press("End");
    await row(page, lines - 2).waitFor();
    const last = await row(page, lines - 2).boundingBox();
    await row(page, lines - 2).click({ modifiers: ["Shift"], position: { x: (last?.width ?? 0) - 1, y: 10 } });
    await page.keyboard.press("Control+c");
    expectSame(await copied(page), range(2, lines - 2));
    await leave(visitor);
  });

  it("keeps a selection while it is scrolled away and back, and while the mouse drags", async () => {
    const { visitor, page } = await openLog();
    await page.keyboard.press("Home");
    const from = await row(page, 4).boundingBox();
    await page.mouse.move((from?.x ?? 0) + 1, (from?.y ?? 0) + 10);
    await page.mouse.down();
    await page.mouse.move((from?.x ?? 0) + 60, (from?.y ?? 0) + 50);
    await page.mouse.wheel(0, 40_000); // with the button held
    await row(page, 2010).waitFor();
    const to = await row(page, 2010).boundingBox();
    await page.mouse.move((to?.x ?? 0) + (to?.width ?? 0) - 1, (to?.y ?? 0) + 10, { steps: 3 });
    await page.mouse.up();
    await page.mouse.wheel(0, -40_000);
    await row(page, 4).waitFor();
    await page.mouse.wheel(0, 200_000);
    await row(page, 4).waitFor({ state: "detached" });
    await page.keyboard.press("Control+c");
    expectSame(await copied(page), range(4, 2010));
    await leave(visitor);
  });

  it("is found in by its own search on Ctrl-F, forwards and backwards, and is linked by line", async () => {
    const { visitor, page } = await openLog("?line=77777");
    await row(page, 77_776).waitFor();
    expect(await region(page).locator("li.on").count()).toBe(1);
    await page.keyboard.press("Control+f");
    await page.keyboard.type("Order 4321");
    await page.getByText("of 11", { exact: false }).first().waitFor();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("GRÖSSER</b> & 中文");
    await page.getByText("none", { exact: true }).waitFor();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("GRÖẞER</B> & 中");
    await page.getByText("of 10,000").waitFor();
    await page.keyboard.press("Shift+Enter");
    await page.locator("mark.at").first().waitFor();
    await leave(visitor);
  });
});

describe("lists of 3,000", () => {
  it.each(["#/dags", "#/runs"])("%s come a page at a time", async (place) => {
    const visitor = await visit();
    const page = await arrive(visitor, "mia", place);
    await settled(page);
    expect(await page.locator("#main tr, #main li").count()).toBeLessThanOrEqual(500);
    await page.getByRole("button", { name: /^(More|Older)$/ }).click();
    await page.waitForURL(/cursor=/);
    await settled(page);
    await page.getByRole("button", { name: /^(Before|Newer)$/ }).click();
    await leave(visitor);
  });
});

describe("a grid of 200 tasks and 50 runs", () => {
  it("has a row a task, is walked with arrows, narrowed to what failed, and read as a table", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "mia", `#/dags/${facts["many"]}/grid-0001`);
    const rows = page.locator(".cells li");
    await rows.first().waitFor();
    expect(await rows.count()).toBe(200);
    expect(await page.locator(".cells *").count()).toBeLessThan(3000);
    await page.getByRole("group", { name: /^Grid of runs and tasks/ }).focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowLeft");
    await page.getByRole("complementary").getByRole("heading", { name: "step-0000" }).waitFor();
    await page.keyboard.press("ArrowDown");
    await page.getByRole("complementary").getByRole("heading", { name: "step-0001" }).waitFor();
    await page.getByRole("button", { name: /^Failed/ }).click();
    await page.locator(".cells").getByText("step-0198").waitFor();
    expect(await rows.count()).toBe(1);
    await page.getByRole("button", { name: "As a table" }).click();
    await page.getByRole("table", { name: "Tasks by run" }).getByRole("rowheader", { name: "step-0198" }).waitFor();
    await leave(visitor);
  });
});

describe("a run of 1,000 tasks", () => {
  const place = `#/runs/${facts["layered"]}`;
  const canvas = (page: Page) => page.getByRole("region", { name: "Graph of the run" });
  const scrolled = (page: Page) => canvas(page).evaluate((element) => [element.scrollLeft, element.scrollTop]);

  it("is searched, and Enter picks the task", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "mia", place);
    await page.getByRole("button", { name: /^step-0000, Succeeded/ }).waitFor();
    await page.getByLabel("Find a task").fill("step-0777");
    await page.waitForFunction(() => document.querySelector(".canvas")!.scrollLeft > 1000);
    await page.keyboard.press("Enter");
    await page.waitForURL(/task=step-0777/);
    await page.getByRole("complementary").getByRole("heading", { name: "step-0777" }).waitFor();
    await leave(visitor);
  });

  it("is panned by dragging, and zoomed at the pointer", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "mia", place);
    await page.getByRole("button", { name: /^step-0000, Succeeded/ }).waitFor();
    const box = await canvas(page).boundingBox();
    const [x, y] = [(box?.x ?? 0) + 400, (box?.y ?? 0) + 300];
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x - 300, y - 200, { steps: 4 });
    await page.mouse.up();
    expect(await scrolled(page)).toEqual([300, 200]);
    expect(page.url()).not.toContain("task="); // a drag picks nothing
    const width = await page.locator("svg.graph").evaluate((svg) => svg.getBoundingClientRect().width);
    await page.keyboard.down("Control");
    await page.mouse.wheel(0, 100);
    await page.keyboard.up("Control");
    await page.waitForFunction((before) => document.querySelector("svg.graph")!.getBoundingClientRect().width < before, width);
    await leave(visitor);
  });

  it("of siblings is one node until it is opened, and again when it is closed", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", `#/runs/${facts["wide"]}`);
    const group = page.getByRole("button", { name: /^1,000 tasks, / });
    await group.press("Enter");
    await page.getByRole("button", { name: /^part-0000, / }).waitFor();
    await page.getByRole("button", { name: "Close groups" }).click();
    await group.waitFor();
    expect(await page.getByRole("button", { name: /^part-0000, / }).count()).toBe(0);
    await leave(visitor);
  });
});
