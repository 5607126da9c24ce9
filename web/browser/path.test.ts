import { describe, expect, it } from "vitest";
import { arrive, facts, leave, settled, signIn, site, useBrowser, visit } from "./world";

useBrowser();
const run = `#/runs/${facts["live"]}`, liveName = facts["liveName"] ?? "";

describe("a session", () => {
  it("begins where the address points, and a reload keeps it", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", run);
    await page.getByRole("heading", { name: facts["liveName"] ?? "" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: facts["liveName"] ?? "" }).waitFor();
    expect(page.url()).toBe(site + run);
    await leave(visitor);
  });

  it("does not begin with a wrong password, and says so", async () => {
    const visitor = await visit();
    await visitor.page.goto(site);
    await visitor.page.getByLabel("User").fill("otto");
    await visitor.page.getByLabel("Password").fill("a wrong password");
    await visitor.page.keyboard.press("Enter");
    await visitor.page.getByRole("alert").getByText("User or password is wrong.").waitFor();
    expect(await visitor.page.getByLabel("Password").inputValue()).toBe("");
    await leave(visitor);
  });

  it("ends in all tabs, and signing in returns each to its place", async () => {
    const visitor = await visit();
    const first = await arrive(visitor, "otto", run);
    const second = await visitor.context.newPage();
    await second.goto(`${site}#/runs?phase=Failed`);
    await second.getByRole("heading", { name: "Runs" }).waitFor();
    await first.goto(`${site}#/account`);
    await first.getByRole("button", { name: "Sign out" }).click();
    await first.getByText("You are signed out.").waitFor();
    // Its own next request may learn it before the first page tells.
    await second.getByText(/^(You are signed out|Your session has ended)\.$/).waitFor();
    await signIn(second, "otto");
    expect(second.url()).toBe(`${site}#/runs?phase=Failed`);
    await first.getByRole("heading", { name: "otto" }).waitFor();
    await leave(visitor);
  });

  it("that the server has ended shows the form once, and nothing loops", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", run);
    await visitor.context.clearCookies();
    await page.goto(`${site}#/runs`);
    await page.getByText("Your session has ended.").waitFor();
    const before: string[] = [];
    page.on("request", (request) => before.push(request.url()));
    await signIn(page, "otto");
    await page.getByRole("heading", { name: "Runs" }).waitFor();
    expect(before.filter((url) => url.endsWith("auth/login"))).toHaveLength(1);
    await leave(visitor);
  });
});

describe("from what is wrong to its log, without a mouse", () => {
  it("goes from Home to the run that failed", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto");
    await page.getByRole("heading", { name: "Needs attention" }).waitFor();
    await page.getByRole("link", { name: "price-feed-import" }).first().waitFor();
    await page.keyboard.press("j");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("price-feed-import");
    await page.keyboard.press("Enter");
    await page.getByText("RetriesSpent").first().waitFor();
    expect(page.url()).toContain(facts["failed:price-feed-import"]);
    await leave(visitor);
  });

  it("finds a run by the beginning of its name and by its UID, and a task by arrows", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto");
    await page.keyboard.press("/");
    await page.keyboard.type(liveName);
    await page.getByRole("option", { name: liveName }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: liveName }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("r");
    await page.getByRole("heading", { name: "Runs" }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type(`run=${facts["live"]} started`);
    await page.getByRole("option", { name: liveName }).waitFor();
    await page.keyboard.press("Enter");
    const node = page.getByRole("button", { name: /^extract-orders, Succeeded/ });
    await node.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.waitForURL(/task=import-/);
    await leave(visitor);
  });

  it("says why each task waits, where it waits", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", `${run}?task=import-pl`);
    await page.getByText("2 tasks hold it up.").waitFor();
    const panel = page.getByRole("complementary");
    await panel.getByText("Unschedulable").first().waitFor();
    await panel.getByText("0/12 nodes are available: 12 Insufficient memory.").first().waitFor();
    await panel.getByText("FailedScheduling").waitFor();
    await page.getByRole("button", { name: /^join-orders, Waiting, needs 4 more/ }).waitFor();
    await leave(visitor);
  });

  it("lets screen readers be silent while a task runs and nothing else happens", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", `${run}?task=import-it`);
    await page.getByRole("status").getByText("import-it, Active", { exact: true }).waitFor();
    await settled(page);
    const took = page.getByRole("complementary").locator("tr", { hasText: "Running" }).locator("td").nth(3);
    const before = await took.textContent();
    const announced = await page.evaluate(async () => {
      const changes: string[] = [];
      const observer = new MutationObserver((records) => {
        for (const { target } of records) {
          const element = target instanceof Element ? target : target.parentElement;
          if (!element?.closest('[aria-live="off"]')) changes.push(element?.textContent ?? "");
        }
      });
      for (const region of document.querySelectorAll('[aria-live="polite"], [role="status"]')) {
        observer.observe(region, { subtree: true, childList: true, characterData: true });
      }
      await new Promise((resolve) => setTimeout(resolve, 3000));
      return changes;
    });
    expect(announced).toEqual([]);
    expect(await took.textContent()).not.toBe(before);
    await leave(visitor);
  });
});

describe("a role", () => {
  it("viewer has no buttons that change something", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", run);
    await settled(page);
    expect(await page.getByRole("button", { name: /Cancel run|Run again|Delete/ }).count()).toBe(0);
    expect(await page.getByRole("link", { name: "Users" }).count()).toBe(0);
    await page.goto(`${site}#/runs`);
    await page.getByRole("link", { name: "orders-hourly-0022" }).waitFor();
    expect(await page.getByRole("checkbox").count()).toBe(0);
    await leave(visitor);
  });

  it("operator may cancel, and only an editor may delete", async () => {
    for (const [user, deletes] of [["otto", 0], ["edda", 1]] as const) {
      const visitor = await visit();
      const page = await arrive(visitor, user, `#/runs/${facts["failed:price-feed-import"]}`);
      await page.getByRole("button", { name: "Run again" }).waitFor();
      expect(await page.getByRole("button", { name: "Delete" }).count()).toBe(deletes);
      await page.goto(site + run);
      await page.getByRole("button", { name: "Cancel run" }).waitFor();
      await leave(visitor);
    }
  });

  it("none sees that a run exists", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "nils", run);
    await page.getByText("There is no such object.").waitFor();
    await leave(visitor);
  });

  it("administrator adds a user, who may then sign in", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "root", "#/users");
    await page.getByRole("button", { name: "Add user" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("new.user");
    await dialog.getByLabel("Password").fill("correct horse battery staple");
    await dialog.getByRole("button", { name: "Add role" }).click();
    await dialog.getByLabel("Namespace, or * for all").fill(facts["namespace"] ?? "");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("new.user is saved.").waitFor();
    await page.getByRole("cell", { name: `${facts["namespace"]}: viewer` }).first().waitFor();
    await leave(visitor);
    const other = await visit();
    await arrive(other, "new.user" as never, run);
    await other.page.getByRole("heading", { name: facts["liveName"] ?? "" }).waitFor();
    await leave(other);
  });

  it("anybody makes an API token, which programs use until it is deleted", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", "#/account");
    await page.getByLabel("Name", { exact: true }).fill("reports");
    await page.getByRole("button", { name: "Create token" }).click();
    const token = await page.getByRole("status").filter({ hasText: "Copy the token now." }).locator("code, pre").first().textContent();
    const api = new URL("api/v1/runs?limit=1", site).href;
    const status = async () => (await fetch(api, { headers: { Authorization: `Bearer ${token?.trim()}` } })).status;
    expect(await status()).toBe(200);
    await page.getByRole("row", { name: /reports/ }).getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("You have no API tokens.").waitFor();
    await expect.poll(status, { timeout: 20_000 }).toBe(401);
    await leave(visitor);
  });
});

describe("what others wrote", () => {
  it("is text wherever it is shown", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto");
    const dag = `#/dags/${facts["namespace"]}/orders-hourly`;
    const places = ["#/", "#/runs", "#/dags?show=invalid", `${run}?task=import-es`, `${run}?task=import-pl`,
      `#/runs/${facts["failed:orders-hourly"]}`, `${dag}?task=import-es&run=${facts["live"]}`, `${dag}/graph`, `${dag}/runs`,
      `${dag}/versions`, `${dag}/definition`, `${dag}/trigger?from=${facts["live"]}`, `${run}/log/import-es/1`,
      `#/dags/${facts["namespace"]}/${facts["longName"]}`, `#/dags/${facts["namespace"]}/churn-model-train`];
    for (const place of places) {
      await page.goto(site + place);
      await settled(page);
      expect(await page.locator("#main img, #main script").count(), place).toBe(0);
      const shown = await page.locator("#main").textContent();
      expect(shown, place).not.toMatch(/[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f]/);
    }
    await page.goto(site + `#/runs/${facts["failed:orders-hourly"]}`);
    await page.getByText("<img src=x onerror=alert(1)>").first().waitFor();
    await page.goto(site + `${run}/log/import-es/1`);
    await page.getByText("5,000 lines").first().waitFor();
    await page.keyboard.press("Home");
    await page.getByText("all of it", { exact: true }).first().waitFor(); // what a terminal shows after carriage returns
    await leave(visitor);
  });

  it("may be a thousand tasks: the page has few elements, and each can be found", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", `#/runs/${facts["wide"]}`);
    await page.getByRole("button", { name: /^1,000 tasks, / }).waitFor();
    await page.getByText("1 to 200 of 1,002 tasks").waitFor();
    expect(await page.locator("#main li, #main tr").count()).toBeLessThanOrEqual(500);
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByText("201 to 400 of 1,002 tasks").waitFor();
    await page.getByRole("button", { name: /^1,000 tasks, / }).press("Enter");
    await page.getByRole("button", { name: /^part-0000, / }).waitFor();
    expect(await page.locator("g.node").count()).toBeLessThan(200);
    await page.getByLabel("Find a task").fill("part-0999");
    await page.getByRole("button", { name: /^part-0999, / }).waitFor();
    await leave(visitor);
  });
});
