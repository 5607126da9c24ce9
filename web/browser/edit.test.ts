import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { correct, keyboard } from "./hands";
import { arrive, facts, leave, pictures, settled, signIn, site, useBrowser, visit } from "./world";

useBrowser();
const namespace = facts["namespace"] ?? "";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** ask sends a request with the session of the page. */
function ask(
  page: Page,
  method: string,
  path: string,
  body = "",
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  return page.evaluate(
    async ([url, method, body, headers]) => {
      const response = await fetch(url, {
        method,
        headers: { "Content-Type": "application/yaml", ...headers },
        ...(body ? { body } : {}),
      });
      return { status: response.status, text: await response.text() };
    },
    [`${site}api/v1/namespaces/${namespace}/${path}`, method, body, headers] as const,
  );
}

const manifest = (name: string, command = "[a]") => `apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: ${name}}
spec:
  task:
    - {name: extract, image: "busybox:1.36", command: ${command}}
    - {name: load, image: "busybox:1.36", command: [b], runAfter: [extract]}
`;

/** made creates a DAG of the test and opens its editor. */
async function made(page: Page, name: string): Promise<void> {
  expect((await ask(page, "POST", "dags", manifest(name))).status).toBe(201);
  await page.goto(`${site}#/dags/${namespace}/${name}/edit`);
  await box(page).waitFor();
}

const box = (page: Page, label = "The DAG as YAML") => page.getByRole("textbox", { name: label });

/** written is the text of the editor. Texts of these tests are short enough to be drawn as a whole. */
const written = (page: Page, label?: string) =>
  box(page, label)
    .locator(".cm-line")
    .allInnerTexts()
    .then((lines) => lines.join("\n").replaceAll("\u00a0", " "));

/** end puts the cursor at the end of the text. */
async function end(page: Page): Promise<void> {
  await box(page).focus();
  await page.keyboard.press("Control+End");
}

const checked = (page: Page) => page.getByText("Checked by the server").waitFor();

describe("the editor", () => {
  it("completes fields, and explains them, by keyboard alone", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-complete");
    await end(page);
    await page.keyboard.type("    - na");
    await page.getByRole("option", { name: /^name/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.keyboard.type("check\n");
    await page.keyboard.type("back");
    await page.getByRole("option", { name: "backoff" }).waitFor();
    await page.getByText("Backoff is how often and after what delay").first().waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("option", { name: "limit" }).waitFor();
    await page.keyboard.type("lim");
    await page.keyboard.press("Enter");
    await page.keyboard.type("3");
    expect(await written(page)).toMatch(/\n {4}- name: check\n {6}backoff:\n {8}limit: 3$/);
    await leave(visitor);
  });

  it("offers the tasks of the DAG for runAfter", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-names");
    await end(page);
    await page.keyboard.type("    - name: check\nrunA");
    await page.getByRole("option", { name: /^runAfter/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("option", { name: "load" }).waitFor();
    expect(await page.getByRole("option").allInnerTexts()).toEqual(["extract", "load"]);
    await page.keyboard.type("lo");
    await page.keyboard.press("Enter");
    expect(await written(page)).toMatch(/ {6}runAfter: \[load\]$/);
    await page.getByRole("region", { name: "Graph" }).getByRole("button", { name: "check" }).waitFor();
    await leave(visitor);
  });

  it("says what is wrong in its line, in the graph and in a list that leads there, and fixes a name", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-fault");
    await end(page);
    await page.keyboard.insertText("    - {name: check, image: x, runAfter: [lod]}\n");
    await page.getByText('Not found: "lod"').first().waitFor();
    await page.getByRole("button", { name: /^check, needs lod\?/ }).waitFor();
    await page.keyboard.press("Control+Home");
    await page
      .getByRole("list", { name: "Faults" })
      .getByRole("button", { name: /^line \d+$/ })
      .click();
    expect(await page.evaluate(() => document.activeElement?.className)).toBe("manifest");
    await page.getByRole("button", { name: "Use load" }).click();
    await page.getByText("No faults").waitFor();
    expect(await written(page)).toContain("runAfter: [load]");
    await leave(visitor);
  });

  it("finds a syntax error by itself, and keeps the last graph", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-syntax");
    await checked(page);
    await end(page);
    await page.keyboard.insertText("    - {name: check\n");
    await page.getByText("1 fault").waitFor();
    await page.getByText("The graph is that of the last text that could be read.").waitFor();
    await page.getByRole("button", { name: /^load/ }).waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    expect(await page.getByRole("dialog").count()).toBe(0);
    await leave(visitor);
  });

  it("lets the keyboard leave, and keeps its letters from the keys of the page", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-keys");
    await end(page);
    await page.keyboard.type("# g d ? / t");
    expect(page.url()).toContain("zz-keys/edit");
    expect(await page.getByRole("dialog").count()).toBe(0);
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.className)).not.toBe("manifest");
    await leave(visitor);
  });

  it("shows the characters that would hide or reorder what stands beside them", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-hostile");
    await end(page);
    await page.keyboard.insertText("  maxParallel: 1 # \u202etxt <img src=x onerror=alert(1)>\n");
    await page.keyboard.press("Control+s");
    await page.getByRole("dialog").locator(".diff .add").first().waitFor();
    expect(await page.getByRole("dialog").textContent()).not.toContain("\u202e");
    expect(await box(page).locator(".cm-specialChar").count()).toBe(1);
    expect(await page.locator("#main img[src]").count()).toBe(0);
    await leave(visitor);
  });

  it("adds a task by a form, and keeps the comments", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-add");
    await end(page);
    await page.keyboard.insertText("  # when\n  schedule: '@daily'\n");
    await page.getByRole("button", { name: "Add task" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("report");
    await dialog.getByLabel("Image").fill("busybox:1.36");
    await dialog.getByLabel("Command").fill(`sh -c 'echo "two words"'`);
    await dialog.getByLabel("Retries").fill("2");
    await dialog.getByRole("checkbox", { name: "extract" }).check();
    await dialog.getByRole("button", { name: "Add task" }).click();
    expect(await written(page)).toContain(`    - name: report
      image: busybox:1.36
      command: [sh, -c, echo "two words"]
      backoff:
        limit: 2
      runAfter: [extract, load]
  # when
  schedule: '@daily'`);
    await page.getByText("No faults").waitFor();
    await leave(visitor);
  });

  it("keeps the form of a task until a click begins and ends outside of it", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", `#/dags/${namespace}/orders-hourly/edit`);
    await page.getByRole("button", { name: "Add task" }).click();
    const dialog = page.getByRole("dialog");
    const name = dialog.getByLabel("Name");
    await name.fill("report");
    const outer = await dialog.boundingBox(), inner = await name.boundingBox();
    if (!outer || !inner) throw new Error("the dialog is not shown");
    const outside = [outer.x - 40, outer.y + 40] as const;
    await page.mouse.move(inner.x + 60, inner.y + 10);
    await page.mouse.down();
    await page.mouse.move(...outside, { steps: 5 }); // selects the text from right to left
    await page.mouse.up();
    expect(await name.inputValue()).toBe("report");
    await page.mouse.click(outer.x + 10, outer.y + 10);
    expect(await name.inputValue()).toBe("report");
    await page.mouse.click(...outside);
    await dialog.waitFor({ state: "detached" });
    await leave(visitor);
  });
});

describe("saving", () => {
  it("shows what changes, and what that means, before it is done", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-save");
    await end(page);
    await page.keyboard.type("  maxParallel: 1");
    await page.keyboard.press("Control+s");
    const dialog = page.getByRole("dialog", { name: "Save zz-save?" });
    await dialog.getByText("The next run takes it.").waitFor();
    expect(
      await dialog
        .locator(".diff .add")
        .allInnerTexts()
        .then((lines) => lines.map((line) => line.replace(/\s+/g, " ").trim())),
    ).toEqual([expect.stringMatching(/added \+ maxParallel: 1$/)]);
    expect(await dialog.locator(".diff .del").count()).toBe(0);
    expect((await ask(page, "GET", "dags/zz-save")).text).not.toContain("maxParallel");
    await page.keyboard.press("Enter");
    await page.getByText("zz-save is saved.").waitFor();
    expect((await ask(page, "GET", "dags/zz-save")).text).toContain('"maxParallel":1');
    await leave(visitor);
  });

  it("loses nothing in a conflict: the difference is then to what is there now, and the person chooses", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-conflict");
    await end(page);
    await page.keyboard.type("  maxParallel: 1");
    expect(
      (await ask(page, "PUT", "dags/zz-conflict", manifest("zz-conflict", "[changed]"), { "If-Match": '"1"' })).status,
    ).toBe(200);
    await page.getByRole("button", { name: "Save" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("Somebody changed it since you began.").waitFor();
    await dialog.locator(".diff .del").getByText("command: [changed]").waitFor();
    await dialog.getByRole("button", { name: "Go on editing" }).click();
    expect(await written(page)).toContain("maxParallel: 1");
    await page.reload();
    await page.getByText("Somebody changed it since you began.").waitFor();
    expect(await written(page)).toContain("maxParallel: 1");
    await page.getByRole("button", { name: "Save" }).click();
    await dialog.getByRole("button", { name: "Save over it" }).click();
    await page.getByText("zz-conflict is saved.").waitFor();
    const { spec } = (
      JSON.parse((await ask(page, "GET", "dags/zz-conflict")).text) as {
        manifest: { spec: { maxParallel: number; task: { command: string[] }[] } };
      }
    ).manifest;
    expect([spec.maxParallel, spec.task[0]?.command]).toEqual([1, ["a"]]);
    await leave(visitor);
  });

  it("names another manager, and writes over it only if told to", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", `#/dags/${namespace}/etl-059/edit`);
    await end(page);
    await page.keyboard.type("  maxParallel: 1");
    await page.getByRole("button", { name: "Save" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("kubectl wrote the spec").waitFor();
    expect((await ask(page, "GET", "dags/etl-059")).text).not.toContain("maxParallel");
    await dialog.getByRole("button", { name: "Save all the same" }).click();
    await page.getByText("etl-059 is saved.").waitFor();
    await leave(visitor);
  });
});

it("is used with the keyboard alone, and the focus is always seen", async () => {
  const visitor = await visit();
  const page = await arrive(visitor, "edda");
  const hand = keyboard(page);
  await made(page, "zz-hands");
  await page.goto(`${site}#/dags/${namespace}/zz-hands`);
  await hand.press(page.getByRole("link", { name: "Edit", exact: true }));
  await hand.enter(box(page));
  await correct(page, "1.36", "1.37");
  await correct(page, "[b]", "[c]");
  await hand.press(page.getByRole("button", { name: "Save" }));
  await hand.press(page.getByRole("dialog").getByRole("button", { name: "Save" }));
  await page.getByText("zz-hands is saved.").waitFor();
  const { manifest } = JSON.parse((await ask(page, "GET", "dags/zz-hands")).text) as {
    manifest: { spec: { task: unknown } };
  };
  expect(manifest.spec.task).toMatchObject([{ image: "busybox:1.37" }, { command: ["c"] }]);
  await leave(visitor);
});

describe("what is typed", () => {
  it("survives a reload, and a link away says where it is", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda");
    await made(page, "zz-draft");
    await end(page);
    await page.keyboard.type("  maxParallel: 7");
    await page.reload();
    await page.getByText("This is what you typed before.").waitFor();
    expect(await written(page)).toContain("maxParallel: 7");
    await page.getByRole("link", { name: "Runs" }).click();
    await page.getByText("What you typed in zz-draft is kept in this tab.").waitFor();
    await page.getByRole("button", { name: "Go on typing" }).click();
    await box(page).waitFor();
    expect(await written(page)).toContain("maxParallel: 7");
    await page.getByRole("button", { name: "Discard" }).click();
    expect(await written(page)).not.toContain("maxParallel");
    await page.reload();
    await box(page).waitFor();
    expect(await page.getByText("This is what you typed before.").count()).toBe(0);
    await leave(visitor);
  });

  it("in the forms of a new DAG and of a task is there again after the session has ended", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", `#/dags/new?namespace=${namespace}`);
    const other = await visitor.context.newPage();
    await other.goto(`${site}#/runs`);
    /** comeBack ends the session, of which the other tab learns by its next request, and signs in again. */
    const comeBack = async (next: string) => {
      await other.getByRole("navigation", { name: "Main" }).waitFor();
      await visitor.context.clearCookies();
      await other.goto(site + next);
      await page.getByText("Your session has ended.").waitFor();
      await signIn(page, "edda");
    };
    await page.getByLabel("Schedule").fill("@daily");
    await page.getByRole("button", { name: "Add parameter" }).click();
    await page.getByLabel("Parameter", { exact: true }).fill("DAY");
    await comeBack("#/dags");
    await page.getByLabel("Schedule").waitFor();
    expect(await page.getByLabel("Schedule").inputValue()).toBe("@daily");
    expect(await page.getByLabel("Parameter", { exact: true }).inputValue()).toBe("DAY");

    await page.goto(`${site}#/dags/${namespace}/etl-010/edit`);
    await page.getByRole("button", { name: "Add task" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("check");
    await comeBack("#/runs");
    await dialog.waitFor();
    expect(await dialog.getByLabel("Name").inputValue()).toBe("check");
    await dialog.getByLabel("Image").fill("busybox:1.36");
    await dialog.getByRole("button", { name: "Add task" }).click();
    await dialog.waitFor({ state: "detached" });
    expect(await written(page)).toContain("name: check");
    await page.getByRole("button", { name: "Discard" }).click();
    await leave(visitor);
  });
});

describe("a new object", () => {
  it("begins with an example, and is deleted only by its name", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", "#/dags");
    await page.getByRole("link", { name: "New DAG" }).click();
    await page.getByRole("link", { name: "hello", exact: true }).click();
    await box(page).waitFor();
    expect(await written(page)).toContain("# The smallest DAG");
    await page.getByText("No faults").waitFor();
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("hello is created.").waitFor();
    await page.getByRole("heading", { name: `${namespace} / hello` }).waitFor();
    await page.getByRole("link", { name: "Definition" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    const dialog = page.getByRole("dialog");
    expect(await dialog.getByRole("button", { name: "Delete" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Type hello to confirm").fill("hello");
    await page.keyboard.press("Enter");
    await page.getByText("hello is deleted.").waitFor();
    expect((await ask(page, "GET", "dags/hello")).status).toBe(404);
    await leave(visitor);
  });

  it("begins with a form, and a name that is taken is a fault in its line", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", "#/dags/new");
    await page.getByLabel("Name", { exact: true }).fill("orders-hourly");
    await page.getByLabel("Schedule").fill("0 3 * * *");
    await page.getByRole("button", { name: "Add parameter" }).click();
    await page.getByLabel("Parameter", { exact: true }).fill("DAY");
    await page.getByLabel("Default value").fill("yes");
    await page.getByLabel("Name of the task").fill("work");
    await page.getByLabel("Image").fill("busybox:1.36");
    await page.getByRole("button", { name: "Script" }).click();
    await page.getByLabel("Script").fill('echo "$DAY"');
    await page.getByRole("button", { name: "Write it as YAML" }).click();
    await box(page).waitFor();
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("There is already one of the name orders-hourly.").first().waitFor();
    await page.getByRole("button", { name: "line 4" }).click();
    await page.keyboard.press("End");
    await page.keyboard.type("-too");
    await page.reload();
    await box(page).waitFor();
    await page.getByText("No faults").waitFor();
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("orders-hourly-too is created.").waitFor();
    const { spec } = (
      JSON.parse((await ask(page, "GET", "dags/orders-hourly-too")).text) as {
        manifest: { spec: Record<string, unknown> };
      }
    ).manifest;
    expect(spec).toMatchObject({
      schedule: "0 3 * * *",
      parameters: [{ name: "DAY", defaultValue: "yes" }],
      task: [{ name: "work", image: "busybox:1.36", script: 'echo "$DAY"\n', parameters: ["DAY"] }],
    });
    await leave(visitor);
  });

  it("begins with a copy", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", `#/dags/${namespace}/price-feed-import/definition`);
    await page.getByRole("link", { name: "Copy as new" }).click();
    await box(page).waitFor();
    expect(await written(page)).toContain("name: price-feed-import-copy");
    await page.getByText("No faults").waitFor();
    await leave(visitor);
  });

  it("may be a DagTask, which is edited, and deleted only by its name, with its users named", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "edda", "#/dagtasks");
    const label = "The DagTask as YAML";
    await page.getByRole("link", { name: "New DagTask" }).first().click();
    await page.getByRole("link", { name: "greet", exact: true }).click();
    await box(page, label).waitFor();
    await page.getByText("No faults").waitFor();
    expect(await page.getByRole("region", { name: "Graph" }).count()).toBe(0);
    await page.getByRole("button", { name: "Create" }).click();
    await page.getByText("greet is created.").waitFor();
    expect(
      (
        await ask(
          page,
          "POST",
          "dags",
          `apiVersion: kontroler.greedykomodo/v1alpha1
kind: DAG
metadata: {name: zz-user}
spec: {parameters: [{name: WHO, defaultValue: x}], task: [{name: a, taskRef: {name: greet}}]}
`,
        )
      ).status,
    ).toBe(201);
    await page.reload();
    await page.getByRole("link", { name: "zz-user" }).waitFor();
    await page.getByRole("link", { name: "Edit", exact: true }).click();
    await box(page, label).focus();
    await page.keyboard.press("Control+End");
    await page.keyboard.type("  timeoutSeconds: 60");
    await page.getByText("a version is immutable").first().waitFor();
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("End");
    await page.keyboard.press("Backspace");
    await page.keyboard.type("2");
    await page.getByRole("button", { name: "Save" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("Used by zz-user.").waitFor();
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("greet is saved.").waitFor();
    await page.getByText("timeoutSeconds: 60").waitFor();
    await page.getByRole("button", { name: "Delete" }).click();
    await dialog.getByRole("listitem").getByText("zz-user").waitFor();
    expect(await dialog.getByRole("button", { name: "Delete" }).isDisabled()).toBe(true);
    await dialog.getByLabel("Type greet to confirm").fill("greet");
    await dialog.getByRole("button", { name: "Delete" }).click();
    await page.getByText("greet is deleted.").waitFor();
    expect((await ask(page, "GET", "dagtasks/greet")).status).toBe(404);
    await leave(visitor);
  });
});

it("is offered to editors only", async () => {
  for (const user of ["vera", "otto"] as const) {
    const visitor = await visit();
    const page = await arrive(visitor, user, `#/dags/${namespace}/orders-hourly/definition`);
    await page.getByText("kind: DAG").waitFor();
    expect(await page.getByRole("link", { name: /^(Edit|Copy as new)$/ }).count()).toBe(0);
    expect(await page.getByRole("button", { name: "Delete" }).count()).toBe(0);
    await page.goto(`${site}#/dags/${namespace}/orders-hourly/edit`);
    await page.getByText("Only editors of the namespace may change it.").waitFor();
    expect(await box(page).count()).toBe(0);
    await page.goto(`${site}#/dags/new`);
    await page.getByText("Only editors of a namespace may create objects there.").waitFor();
    for (const list of ["dags", "dagtasks"]) {
      await page.goto(`${site}#/${list}`);
      await settled(page);
      expect(await page.getByRole("link", { name: /^New / }).count()).toBe(0);
    }
    await leave(visitor);
  }
});

describe.each(["light", "dark"] as const)("in the %s theme", (colorScheme) => {
  it("the editor has no violations and scrolls no page sideways, and its pictures are kept", async () => {
    const visitor = await visit({ colorScheme, bypassCSP: true });
    const page = await arrive(visitor, "edda", `#/dags/${namespace}/orders-hourly/edit`);
    const found: string[] = [];
    const look = async (name: string, disabled: string[] = []) => {
      for (const width of [360, 1280, 2560]) {
        await page.setViewportSize({ width, height: width < 720 ? 780 : width > 1920 ? 1440 : 900 });
        await page.screenshot({ path: `${pictures}${name}-${width}-${colorScheme}.png` });
        const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
        if (over > 0) found.push(`${name} is ${over} pixels too wide at ${width}`);
      }
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.evaluate(axe);
      const rules = JSON.stringify(Object.fromEntries(disabled.map((rule) => [rule, { enabled: false }])));
      const violations = (await page.evaluate(
        `axe.run(document, { resultTypes: ["violations"], rules: ${rules} }).then((result) => result.violations)`,
      )) as { id: string; nodes: { target: string[]; failureSummary: string }[] }[];
      found.push(
        ...violations.map(
          (each) =>
            `${name}: ${each.id}: ${each.nodes
              .map((node) => `${node.target.join(" ")}: ${node.failureSummary}`)
              .slice(0, 3)
              .join("; ")}`,
        ),
      );
    };
    await checked(page);
    await end(page);
    await page.keyboard.insertText(
      "    - name: notify-shops\n      image: registry.internal/notify:1.4\n      runAfter: [publsh]\n",
    );
    await page.getByText('Not found: "publsh"').first().waitFor();
    await look("edit-fault");
    await page.getByRole("button", { name: "Use publish" }).click();
    await page.getByText("No faults").waitFor();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").waitFor();
    await look("edit-review");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Add task" }).click();
    await look("edit-task");
    await page.keyboard.press("Escape");
    await page.goto(`${site}#/dags/new`);
    await page.getByRole("heading", { name: "Begin with a form" }).waitFor();
    await look("new");
    await page.goto(`${site}#/dags/new?from=diamond`);
    await checked(page);
    await end(page);
    await page.keyboard.press("ArrowUp");
    await page.keyboard.press("End");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Control+Space");
    await page.getByRole("option", { name: "podTemplate" }).waitFor({ state: "attached" });
    // The arrow keys of the text box scroll the list. It has no focus of its own.
    await look("new-complete", ["scrollable-region-focusable"]);
    expect(found).toEqual([]);
    await leave(visitor);
  }, 120_000);
});
