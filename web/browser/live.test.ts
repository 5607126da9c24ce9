import { describe, expect, it } from "vitest";
import { arrive, facts, leave, pictures, site, useBrowser, visit } from "./world";

useBrowser();
const namespace = facts["namespace"] ?? "";
const dag = `#/dags/${namespace}/orders-hourly`;
const log = `#/runs/${facts["live"]}/log/import-es/1`;

describe("DAGs", () => {
  it("are found by a part of their name, and the address says so", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", "#/dags");
    await page.getByLabel("Name contains").fill("feed-imp");
    await page.waitForURL(/search=feed-imp/);
    await page.getByRole("link", { name: "price-feed-import" }).waitFor();
    await page.getByRole("link", { name: "orders-hourly" }).waitFor({ state: "detached" });
    await leave(visitor);
  });

  it("that are not valid say why, as text", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", "#/dags?show=invalid");
    await page.getByText('spec.task[2].runAfter[0]: Not found: "featurize"').waitFor();
    expect(await page.locator("tbody tr").count()).toBe(1);
    await leave(visitor);
  });

  it("whose last run is live are found by a press", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", "#/dags");
    await page.getByRole("link", { name: "churn-model-train" }).waitFor();
    await page.getByRole("button", { name: "Running", exact: true }).click();
    await page.getByRole("link", { name: "churn-model-train" }).waitFor({ state: "detached" });
    await page.getByRole("link", { name: "orders-hourly" }).waitFor();
    await leave(visitor);
  });

  it("come a page at a time", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", "#/dags");
    await page.getByRole("button", { name: "More" }).click();
    await page.getByRole("link", { name: "price-feed-import" }).waitFor();
    await page.getByRole("button", { name: "Before" }).click();
    await page.getByRole("link", { name: "churn-model-train" }).waitFor();
    await leave(visitor);
  });

  it("are suspended by a double click, not suspended and resumed", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", "#/dags?search=etl-002");
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(request.url().split("/").pop() ?? ""));
    await page.getByRole("button", { name: "Suspend etl-002" }).dblclick({ delay: 200 });
    await page.getByRole("button", { name: "Resume etl-002" }).click();
    await page.getByRole("button", { name: "Suspend etl-002" }).waitFor();
    expect(sent).toEqual(["suspend", "resume"]);
    await leave(visitor);
  });

  it("are suspended by one press, which can be undone, and other browsers see it", async () => {
    const visitor = await visit(), other = await visit();
    const watching = await arrive(other, "vera", "#/dags?search=etl-001");
    const page = await arrive(visitor, "otto", "#/dags?search=etl-001");
    await page.getByRole("button", { name: "Suspend etl-001" }).click();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("button", { name: "Suspend etl-001" }).click();
    await page.getByRole("button", { name: "Resume etl-001" }).waitFor();
    await watching.getByText("suspended", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Resume etl-001" }).click();
    await page.getByRole("button", { name: "Suspend etl-001" }).waitFor();
    expect(await watching.getByRole("button", { name: /Suspend/ }).count()).toBe(1); // the filter, not the action
    await leave(visitor);
    await leave(other);
  });
});

describe("a DAG that another tool suspends", () => {
  it("is resumed all the same, and the page says until it is closed that the tool may undo that", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", `#/dags/${namespace}/etl-003`);
    await page.getByRole("button", { name: "Resume" }).click();
    const toast = page.locator(".toast", { hasText: "etl-003 runs on its schedule again." });
    await toast.getByText("spec.suspended: argocd-controller wrote it, and its next sync may undo this.").waitFor();
    await page.getByRole("button", { name: "Suspend" }).waitFor();
    await page.screenshot({ path: `${pictures}warning.png` });
    await page.setViewportSize({ width: 360, height: 740 });
    await page.screenshot({ path: `${pictures}warning-360.png` });
    await toast.getByRole("button", { name: "Close" }).click();
    await toast.waitFor({ state: "detached" });
    await leave(visitor);
  });
});

describe("a run", () => {
  it("is started again once by a double click or a held Enter, and only from its dialog", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", `#/runs/${facts["failed:price-feed-import"]}`);
    const keys: (string | undefined)[] = [];
    await page.route("**/again", async (route) => {
      keys.push(route.request().headers()["idempotency-key"]);
      await new Promise((resolve) => setTimeout(resolve, 500));
      await route.fulfill({ status: 503, contentType: "application/problem+json",
        body: JSON.stringify({ type: "urn:kontroler:problem:unavailable", title: "The server is away.", status: 503 }) });
    });
    const hold = async () => {
      for (let press = 0; press < 5; press++) await page.keyboard.down("Enter");
      await page.keyboard.up("Enter");
    };
    const failures = page.locator(".toast").getByText("The server is away.");
    const ask = page.getByRole("button", { name: "Run again" });
    const start = page.getByRole("dialog").getByRole("button", { name: "Run again" });
    await ask.focus();
    await hold(); // opens the dialog, in which the button to start has the focus
    await start.waitFor();
    expect(keys).toEqual([]);
    await start.dblclick();
    await expect.poll(() => failures.count()).toBe(1);
    await start.focus();
    await hold();
    await expect.poll(() => failures.count()).toBe(2);
    expect(keys).toEqual([expect.stringMatching(/./), keys[0]]);
    await page.keyboard.press("Escape");
    await ask.click();
    await start.click();
    await expect.poll(() => failures.count()).toBe(3);
    expect(keys[2]).toBe(keys[0]); // the run may have begun
    await leave(visitor);
  });

  it("is triggered with the keyboard alone, prefilled from an earlier one, and says what it waits for", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", dag);
    await page.getByRole("link", { name: "Trigger" }).waitFor();
    await page.keyboard.press("t");
    await page.getByLabel("MARKET").waitFor();
    expect(await page.getByLabel("TOKEN").count()).toBe(0); // secret ones are for editors
    await page.getByLabel("Take values from").selectOption(facts["live"] ?? "");
    await page.waitForFunction(() => document.querySelector<HTMLInputElement>("#p-0")?.value === "es");
    await page.getByLabel("MARKET").focus();
    await page.keyboard.press("Enter");
    await page.getByText("The controller has not admitted this run yet.").waitFor();
    expect(page.url()).toContain(`#/pending/${namespace}/`);
    await leave(visitor);
  });

  it("is checked by the server while its form is filled in, each fault at its field", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", `${dag}/trigger`);
    const sent: string[] = [];
    page.on("request", (request) => request.method() === "POST" && sent.push(new URL(request.url()).search));
    await page.getByText("Checked. It can start.").waitFor();
    const token = page.getByLabel("TOKEN");
    expect(await token.inputValue()).toBe("market-es");
    await token.fill("No Secret");
    await page.getByText("Checked. It cannot start like this.").waitFor();
    expect(await token.getAttribute("aria-invalid")).toBe("true");
    await page.locator(`#${await token.getAttribute("aria-describedby")}`).getByText(/RFC 1123/).waitFor();
    expect(await page.getByLabel("MARKET").getAttribute("aria-invalid")).toBeNull();
    expect(await page.getByRole("alert").count()).toBe(0); // nothing says it twice
    await page.getByRole("button", { name: "Default" }).click();
    await page.getByText("Checked. It can start.").waitFor();
    expect(new Set(sent)).toEqual(new Set(["?dryRun=true"]));
    await leave(visitor);
  });

  it("is selected with others, and each has a result of its own", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", "#/runs?dag=orders-hourly&phase=Succeeded");
    const select = (number: string) => page.getByRole("checkbox", { name: `Select orders-hourly-${number}` }).check();
    const results = page.getByRole("status").getByRole("listitem");
    await select("0022");
    await select("0021");
    await page.getByRole("toolbar", { name: "2 selected" }).getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog", { name: "Cancel 2 runs?" }).getByRole("button", { name: "Cancel", exact: true }).click();
    for (const number of ["0022", "0021"]) {
      await results.filter({ hasText: `orders-hourly-${number}` }).getByText("The run has ended: Succeeded.").waitFor();
    }
    await select("0022");
    await page.getByRole("toolbar", { name: "1 selected" }).getByRole("button", { name: "Run again" }).click();
    const answered = page.waitForResponse((response) => response.url().endsWith("/again"));
    await page.getByRole("dialog").getByRole("button", { name: "Run again" }).click();
    const { name } = await (await answered).json() as { name: string };
    await results.getByRole("img", { name: "done" }).waitFor();
    expect(await results.count()).toBe(1);

    await page.goto(`${site}#/runs`); // No controller admits it. The server has made its name of the Idempotency-Key.
    expect(name).toMatch(/^orders-hourly-[a-z0-9]{10,}$/);
    await page.getByRole("region", { name: "Not admitted yet" }).getByRole("link", { name, exact: true }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("The DagRun is deleted.").waitFor();
    await leave(visitor);
  });

  it("that waits for a DAG which does not exist is on the list of runs, and an editor deletes it", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", "#/runs");
    await page.getByRole("link", { name: "route-planning-again" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("The DagRun is deleted.").waitFor();
    await page.getByRole("link", { name: "route-planning-again" }).waitFor({ state: "detached" });
    await leave(visitor);
  });
});

describe("a log", () => {
  it("of 5,000 lines has few of them in the document, in each place of it", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", log);
    await page.getByText("5,000 lines").waitFor();
    const region = page.getByRole("region", { name: "Lines of the log" });
    await region.focus();
    await page.keyboard.press("End");
    await region.getByText("ERROR", { exact: true }).waitFor();
    expect(await region.locator("li").count()).toBeLessThan(200);
    await page.keyboard.press("Home");
    await region.getByText("page=0 ").waitFor();
    await leave(visitor);
  });

  it("is searched by its own search on Ctrl-F, and shows its first error", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "vera", log);
    await page.getByText("5,000 lines").waitFor();
    await page.keyboard.press("Control+f");
    await page.keyboard.type("page=4321 ");
    await page.getByText("1 of 1").waitFor();
    await page.locator("mark.at").getByText("page=4321").waitFor();
    await page.getByRole("button", { name: "First error" }).click();
    await page.getByRole("region", { name: "Lines of the log" }).getByText("ERROR", { exact: true }).waitFor();
    await leave(visitor);
  });

  it("is linked by line, and copied whole with Ctrl-A", async () => {
    const visitor = await visit({ permissions: ["clipboard-read", "clipboard-write"] });
    const page = await arrive(visitor, "vera", `${log}?line=2500-2502`);
    await page.locator("li.on").first().waitFor();
    expect(await page.locator("li.on").count()).toBe(3);
    await page.getByRole("region", { name: "Lines of the log" }).focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.press("Control+c");
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied.split("\n")).toHaveLength(5000);
    expect(copied).not.toContain("\x1b");
    await leave(visitor);
  });
});
