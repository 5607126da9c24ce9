import { mkdirSync } from "node:fs";
import { chromium, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, beforeAll, expect } from "vitest";

/** site is the address of the page. facts are what e2e/web wrote into the database, and where else the page is. */
export const site = process.env["KONTROLER_WEB"] ?? "";
export const facts = JSON.parse(process.env["KONTROLER_WEB_FACTS"] ?? "{}") as Record<string, string>;
export const password = process.env["KONTROLER_WEB_PASSWORD"] ?? "";

/** pictures is where pictures of the screens are kept. */
export const pictures = new URL("../../bin/web-pictures/", import.meta.url).pathname;

/**
 * User is somebody who may sign in: an administrator, a viewer, an operator, an editor, one without a role, and operators
 * of a namespace with nothing, of one with three things and of one with many.
 */
export type User = "root" | "vera" | "otto" | "edda" | "nils" | "ann" | "finn" | "mia";

let browser: Browser;

/** useBrowser starts a browser for the tests of a file. */
export function useBrowser(): void {
  beforeAll(async () => {
    mkdirSync(pictures, { recursive: true });
    browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  });
  afterAll(() => browser?.close());
}

/** Visitor is a browser profile. Any violation of the policy and any uncaught error in it is kept. */
export interface Visitor {
  context: BrowserContext;
  page: Page;
  faults: string[];
}

/** visit opens a new profile. */
export async function visit(options: BrowserContextOptions = {}): Promise<Visitor> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const faults: string[] = [];
  context.on("page", (page) => {
    page.on("pageerror", (error) => faults.push(`uncaught: ${error.message}`));
    page.on("console", (message) => {
      const isRequest = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isRequest) faults.push(message.text());
    });
    page.on("dialog", (dialog) => {
      faults.push(`a dialog said ${dialog.message()}`);
      void dialog.dismiss();
    });
  });
  const page = await context.newPage();
  return { context, page, faults };
}

/** leave closes a profile, and fails if something went wrong in it. */
export async function leave({ context, faults }: Visitor): Promise<void> {
  await context.close();
  expect(faults).toEqual([]);
}

/** signIn fills in the form with the keyboard. */
export async function signIn(page: Page, user: User): Promise<void> {
  await page.getByLabel("User").fill(user);
  await page.keyboard.press("Tab");
  await page.keyboard.type(password);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation", { name: "Main" }).waitFor();
}

/** arrive opens a place of a site as a user. */
export async function arrive(visitor: Visitor, user: User, place = "#/", at = site): Promise<Page> {
  await visitor.page.goto(at + place);
  await signIn(visitor.page, user);
  return visitor.page;
}

/** settled waits until nothing is loading. */
export async function settled(page: Page): Promise<void> {
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  await page.waitForFunction(() => !document.querySelector(".skeleton") && document.querySelector("#main")?.textContent);
}

/** control stops the server behind the page, starts it again, or ends the last task of the followed run. */
export async function control(act: "stop" | "start" | "end"): Promise<void> {
  const answer = await fetch(`${facts["control"]}/${act}`, { method: "POST" });
  expect(answer.status).toBe(200);
}
