// Makes the pictures of the README from a running demo: node scripts/pictures.mjs ADDRESS PASSWORD
import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

const [address, password] = process.argv.slice(2);
if (!password) throw new Error("usage: node scripts/pictures.mjs ADDRESS PASSWORD, as the demo prints them");
const folder = new URL("../pictures/", import.meta.url).pathname;
mkdirSync(folder, { recursive: true });

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 760 }, colorScheme: "light" });
// The font of a desktop (Debian's fonts-inter). What a server has for its system font flatters nothing.
await page.addInitScript(() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(":root { --sans: Inter, sans-serif }");
  document.adoptedStyleSheets = [sheet];
});
await page.goto(address);
await page.getByLabel("User").fill("admin");
await page.getByLabel("Password").fill(password);
await page.keyboard.press("Enter");
await page.getByRole("navigation", { name: "Main" }).waitFor();

/** start starts a run of orders in which a shop does not answer, or none. It returns its name. */
const start = (broken) => page.evaluate(async (value) => {
  const answer = await fetch("api/v1/namespaces/demo/dags/orders/runs", {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ parameters: [{ name: "BREAK", value }] }),
  });
  return (await answer.json()).name;
}, broken);

/** live counts the runs of orders that have not ended. */
const live = () => page.evaluate(async () =>
  (await (await fetch("api/v1/runs?namespace=demo&dag=orders&phase=Live")).json()).items.length);

// A history. Two runs at a time take different times.
for (const broken of ["none", "none", "none", "shop-5", "none", "none", "none", "none", "none", "none"]) {
  while (await live() > 1) await page.waitForTimeout(1000);
  await start(broken);
}
while (await live() > 0) await page.waitForTimeout(1000);

// A run while shops are read, one of which has failed.
await page.goto(`${address}#/pending/demo/${await start("shop-3")}`);
await page.getByRole("button", { name: /^shop-3, Failed/ }).click();
await page.getByText("Started container").or(page.getByText("Container started")).first().waitFor();
await page.mouse.move(0, 0); // no tip over the graph
const uid = /runs\/([^?]+)/.exec(page.url())[1];
await page.screenshot({ path: `${folder}run.png` });

// Its DAG, with the run in the grid.
while (await live() > 0) await page.waitForTimeout(1000);
await start("none");
await page.goto(`${address}#/dags/demo/orders?task=shop-3&run=${uid}`);
await page.getByRole("link", { name: "Open run" }).waitFor();
await page.screenshot({ path: `${folder}dag.png` });
await browser.close();
