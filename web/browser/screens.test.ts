import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { arrive, facts, leave, pictures, settled, site, useBrowser, visit } from "./world";

useBrowser();
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const screens: Record<string, string> = {
  home: "#/", dags: "#/dags", "dag-grid": `#/dags/${facts["namespace"]}/orders-hourly?task=import-es&run=${facts["live"]}`,
  "dag-graph": `#/dags/${facts["namespace"]}/orders-hourly/graph`, "dag-runs": `#/dags/${facts["namespace"]}/orders-hourly/runs`,
  "dag-versions": `#/dags/${facts["namespace"]}/orders-hourly/versions`, "dag-ledger": `#/dags/${facts["namespace"]}/orders-hourly/ledger`,
  "dag-definition": `#/dags/${facts["namespace"]}/orders-hourly/definition`, trigger: `#/dags/${facts["namespace"]}/orders-hourly/trigger`,
  runs: "#/runs", "runs-none": "#/runs?namePrefix=nothing", run: `#/runs/${facts["live"]}?task=import-es`,
  "run-failed": `#/runs/${facts["failed:price-feed-import"]}`, "run-wide": `#/runs/${facts["wide"]}`,
  log: `#/runs/${facts["live"]}/log/import-es/2`, dagtasks: "#/dagtasks", account: "#/account", users: "#/users",
};

interface Violation {
  id: string;
  nodes: { target: string[]; failureSummary: string }[];
}

describe.each(["light", "dark"] as const)("in the %s theme", (colorScheme) => {
  it.each([360, 1280, 2560])("no screen scrolls sideways at %i pixels, and axe finds nothing", async (width) => {
    const visitor = await visit({ colorScheme, viewport: { width, height: width < 720 ? 780 : width > 1920 ? 1440 : 900 }, bypassCSP: true });
    const page = await arrive(visitor, "root");
    const found: string[] = [];
    for (const [name, place] of Object.entries(screens)) {
      await page.goto(site + place);
      await settled(page);
      await page.screenshot({ path: `${pictures}${name}-${width}-${colorScheme}.png` });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      if (over > 0) found.push(`${name} is ${over} pixels too wide`);
      if (width !== 1280) continue;
      await page.evaluate(axe);
      const violations = (await page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((result) => result.violations)")) as Violation[];
      found.push(...violations.map((each) => `${name}: ${each.id}: ${each.nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`).slice(0, 3).join("; ")}`));
    }
    expect(found).toEqual([]);
    await leave(visitor);
  }, 180_000);
});

describe.each([[0, "ann"], [3, "finn"], [3000, "mia"]] as const)("with %i things", (count, user) => {
  const namespace = facts[count === 3 ? "few" : "many"];
  const screensOf: Record<string, string> = {
    home: "#/", dags: "#/dags", runs: "#/runs", dagtasks: "#/dagtasks",
    ...(count === 3 ? { run: `#/runs/${facts["followed"]}`, grid: `#/dags/${namespace}/etl-0002` } : {}),
    ...(count === 3000 ? { run: `#/runs/${facts["layered"]}`, grid: `#/dags/${namespace}/grid-0001`,
      graph: `#/dags/${namespace}/layered-0001/graph`, log: facts["long"] ?? "" } : {}),
  };

  it.each(["light", "dark"] as const)("no screen scrolls sideways or has more than 500 rows, in the %s theme", async (colorScheme) => {
    const visitor = await visit({ colorScheme });
    const page = await arrive(visitor, user);
    const found: string[] = [];
    for (const [name, place] of Object.entries(screensOf)) {
      await page.goto(site + place);
      await settled(page);
      for (const [width, height] of [[360, 780], [1280, 900], [2560, 1440]] as const) {
        await page.setViewportSize({ width, height });
        await page.screenshot({ path: `${pictures}${count}-${name}-${width}-${colorScheme}.png` });
        const { over, rows } = await page.evaluate(() => ({
          over: document.documentElement.scrollWidth - window.innerWidth,
          rows: document.querySelectorAll("#main tr, #main li").length,
        }));
        if (over > 0) found.push(`${name} is ${over} pixels too wide at ${width}`);
        if (rows > 500) found.push(`${name} has ${rows} rows at ${width}`);
      }
    }
    expect(found).toEqual([]);
    await leave(visitor);
  }, 120_000);
});

it("the form to sign in has no violations, and respects reduced motion", async () => {
  const visitor = await visit({ bypassCSP: true, reducedMotion: "reduce" });
  await visitor.page.goto(site);
  await visitor.page.getByLabel("User").waitFor();
  await visitor.page.evaluate(axe);
  expect(await visitor.page.evaluate("axe.run().then((result) => result.violations.map((each) => each.id))")).toEqual([]);
  await leave(visitor);
});

it("the picture of a running run moves nothing under reduced motion", async () => {
  const visitor = await visit({ reducedMotion: "reduce" });
  const page = await arrive(visitor, "otto", `#/runs/${facts["live"]}`);
  await settled(page);
  const moving = await page.evaluate(() => document.getAnimations().filter((each) => each.playState === "running").length);
  expect(moving).toBe(0);
  await leave(visitor);
});
