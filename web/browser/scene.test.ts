import { describe, expect, it } from "vitest";
import type { Page } from "playwright-core";
import { correct, keyboard, mouse, type Hand } from "./hands";
import { arrive, facts, leave, password, pictures, site, useBrowser, visit } from "./world";
import { text } from "../src/text";

useBrowser();
const namespace = facts["namespace"] ?? "";
/** Pods start and images are looked for. */
const patience = { timeout: 60_000 };

/** play is the scene. The DAG is one of manifests/examples/invoices.yaml: an image and a currency in it are wrong. */
async function play(page: Page, hand: Hand, dag: string): Promise<void> {
  const link = (name: string | RegExp) => page.getByRole("link", { name, exact: typeof name === "string" });
  const button = (name: string) => page.getByRole("button", { name, exact: true });
  const main = page.getByRole("navigation", { name: text.shell.main });
  const task = (name: string) => page.getByRole("region", { name: text.run.timeline }).getByRole("link", { name });

  await page.goto(site);
  await hand.fill(page.getByLabel(text.signIn.user), "edda");
  await hand.fill(page.getByLabel(text.signIn.password), password);
  await hand.press(button(text.signIn.submit));

  await hand.press(main.getByRole("link", { name: text.shell.dags }));
  await hand.press(link(dag));
  await hand.press(link(text.dag.trigger));
  await hand.fill(page.getByLabel("MONTH"), "2026-09");
  await page.getByText(text.trigger.right).waitFor();
  await hand.press(button(text.trigger.submit));

  // Why a task waits: an image that is not there, and a parent that has not succeeded.
  await page.getByRole("heading", { name: new RegExp(`${dag}-`) }).waitFor(patience);
  await page.getByText(/is (ErrImagePull|ImagePullBackOff)/).waitFor(patience);
  await page.getByText(/busybox:1\.63.*not found/).first().waitFor(patience);
  await hand.press(task("pack"));
  const panel = page.getByRole("complementary");
  await panel.getByText("needs labels", { exact: true }).waitFor();
  await hand.press(task("labels"));
  await panel.getByText(/busybox:1\.63.*not found/).first().waitFor();

  // What failed, and its log.
  await hand.press(task("write"));
  await panel.getByText("exit code 1").first().waitFor(patience);
  await page.screenshot({ path: `${pictures}scene-${dag}.png` });
  await hand.press(panel.getByRole("link", { name: text.run.openLog }));
  await page.getByText("ERROR: there is no currency EURO.").waitFor(patience);
  const log = page.url();

  await hand.press(page.getByRole("heading", { level: 1 }).getByRole("link", { name: new RegExp(`^${dag}-`) }));
  await hand.press(link(text.run.editDag));
  await hand.enter(page.getByRole("textbox", { name: text.edit.label }));
  await correct(page, "1.63", "1.36");
  await correct(page, "EURO", "EUR");
  await hand.press(button(text.edit.save));
  await hand.press(page.getByRole("dialog").getByRole("button", { name: text.edit.save, exact: true }));
  await page.getByText(text.edit.saved(dag)).waitFor();

  // Again, with the values of the run that failed.
  await hand.press(link(text.dag.trigger));
  await hand.chooseNext(page.getByLabel(text.trigger.from));
  await page.waitForFunction(() => [...document.querySelectorAll("input")].some((field) => field.value === "2026-09"));
  await hand.press(button(text.trigger.submit));
  await page.locator(".head").getByText(text.phase.succeeded, { exact: true }).waitFor(patience);
  await hand.press(task("send"));
  await hand.press(panel.getByRole("link", { name: text.run.openLog }));
  await page.getByText("38 invoices for 2026-09 sent").waitFor(patience);

  // The log of the first run is kept although its Pod is gone.
  await page.goto(log);
  await page.getByText("ERROR: there is no currency EURO.").waitFor();
}

describe("somebody who has never seen kubectl corrects a DAG until it succeeds", () => {
  const ways = [["with a mouse", "invoices", mouse], ["with the keyboard alone", "receipts", keyboard]] as const;
  for (const [name, dag, use] of ways) {
    it(name, async () => {
      const visitor = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
      await play(visitor.page, use(visitor.page), dag);
      await leave(visitor);
    }, 180_000);
  }
});

describe("of the run that waits", () => {
  const run = async (page: Page) => {
    await page.goto(`${site}#/runs?namespace=${namespace}&dag=invoices&phase=Live`);
    await page.getByRole("link", { name: /^invoices-/ }).click();
    await page.getByText(/is (ErrImagePull|ImagePullBackOff)/).waitFor(patience);
  };

  it("a viewer sees why, and changes nothing", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera");
    await run(page);
    expect(await page.getByRole("button", { name: /Run again|Cancel run|Delete/ }).count()).toBe(0);
    expect(await page.getByRole("link", { name: text.run.editDag }).count()).toBe(0);
    await page.goto(`${site}#/dags/${namespace}/invoices`);
    await page.getByRole("heading", { name: /invoices/ }).waitFor();
    expect(await page.getByRole("link", { name: text.dag.trigger, exact: true }).count()).toBe(0);
    await leave(visitor);
  });

  it("two tabs sign out together", async () => {
    const visitor = await visit();
    const first = await arrive(visitor, "otto");
    await run(first);
    const second = await visitor.context.newPage();
    await second.goto(first.url());
    await second.getByText(/is (ErrImagePull|ImagePullBackOff)/).waitFor(patience);
    await first.goto(`${site}#/account`);
    await first.getByRole("button", { name: text.account.signOut }).click();
    await first.getByText(text.signIn.left).waitFor();
    // Its own next request may learn it before the first page tells.
    await second.getByText(text.signIn.left).or(second.getByText(text.signIn.ended)).waitFor();
    expect(await second.getByText(/ErrImagePull|ImagePullBackOff/).count()).toBe(0);
    await leave(visitor);
  });

  it("an operator does not edit, and cancels; an editor deletes it then", async () => {
    const operator = await visit(), editor = await visit();
    const page = await arrive(operator, "otto");
    await run(page);
    const other = await arrive(editor, "edda", new URL(page.url()).hash);
    await other.getByRole("link", { name: text.run.editDag }).waitFor();
    expect(await page.getByRole("link", { name: text.run.editDag }).count()).toBe(0);
    await page.getByRole("button", { name: text.run.cancel }).click();
    await page.getByRole("dialog").getByRole("button", { name: text.run.cancel }).click();
    await page.getByText("UserCancelled").first().waitFor(patience);
    expect(await page.getByRole("button", { name: text.run.remove }).count()).toBe(0);
    await other.getByText("UserCancelled").first().waitFor(patience);
    await other.getByRole("button", { name: text.run.remove }).click();
    await other.getByRole("dialog").getByRole("button", { name: text.run.remove }).click();
    await other.getByText(text.run.removed).waitFor();
    await leave(operator);
    await leave(editor);
  });
});
