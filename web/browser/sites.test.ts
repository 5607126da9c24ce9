import { describe, expect, it } from "vitest";
import { arrive, facts, leave, site, useBrowser, visit } from "./world";

useBrowser();
const run = `#/runs/${facts["live"]}`;
const log = `${run}/log/import-es/1`;
const graph = `#/dags/${facts["namespace"]}/orders-hourly/graph`;

/** pair returns the files of a certificate and its key. */
const pair = (name: string) => ({ certPath: `${facts[name]}.crt`, keyPath: `${facts[name]}.key` });

describe.each([
  ["as the image serves it", site], ["under a sub-path of a static file server", facts["subPath"] ?? ""],
])("the page %s", (_, at) => {
  it("opens each lazy part, has a policy, receives changes, and stays signed in over a reload", async () => {
    const visitor = await visit();
    const page = await arrive(visitor, "otto", run, at);
    await page.getByRole("heading", { name: facts["liveName"] ?? "" }).waitFor();
    await page.getByText("Live", { exact: true }).first().waitFor();
    await page.getByRole("button", { name: /^extract-orders, Succeeded/ }).waitFor();
    await page.goto(at + log);
    await page.getByText("5,000 lines").waitFor();
    await page.goto(at + graph);
    await page.getByRole("button", { name: /^extract-orders/ }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: /^extract-orders/ }).waitFor();
    expect(page.url()).toBe(at + graph);
    expect(visitor.faults).toEqual([]);
    // The policy holds: a script that comes as markup does not run.
    await page.evaluate(() => document.body.append(document.createRange().createContextualFragment("<script>window.ran = 1</script>")));
    expect(await page.evaluate(() => "ran" in window)).toBe(false);
    const refusals = visitor.faults.splice(0);
    expect(refusals).not.toEqual([]);
    for (const refusal of refusals) expect(refusal).toContain("Content Security Policy");
    await leave(visitor);
  });
});

it("behind a proxy that ends TLS the session is Secure, and the server knows who the user is", async () => {
  const at = facts["proxied"] ?? "";
  const visitor = await visit({ ignoreHTTPSErrors: true });
  const page = await arrive(visitor, "root", "#/runs", at);
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  await page.getByText("Live", { exact: true }).first().waitFor();
  const cookies = await visitor.context.cookies();
  expect(cookies.map(({ name, secure, httpOnly, path }) => ({ isHost: name.startsWith("__Host-"), secure, httpOnly, path })))
    .toEqual([{ isHost: true, secure: true, httpOnly: true, path: "/" }]);
  const audit = await page.evaluate(() => fetch("api/v1/audit").then((answer) => answer.json())) as { items: { address: string }[] };
  expect(audit.items[0]?.address).toBe("127.0.0.1");
  expect(facts["proxy"]).not.toBe("127.0.0.1");
  await leave(visitor);
});

describe("a site that asks browsers for a certificate", () => {
  const at = facts["mutual"] ?? "";
  const origin = new URL(at).origin;

  it("serves a browser that has one, its streams too", async () => {
    const visitor = await visit({ ignoreHTTPSErrors: true, clientCertificates: [{ origin, ...pair("certificate") }] });
    const page = await arrive(visitor, "vera", run, at);
    await page.getByRole("heading", { name: facts["liveName"] ?? "" }).waitFor();
    await page.getByText("Live", { exact: true }).first().waitFor();
    await leave(visitor);
  });

  it.each([
    ["none", []], ["one of another authority", [{ origin, ...pair("wrongCertificate") }]],
  ])("refuses a browser that has %s", async (_, clientCertificates) => {
    const visitor = await visit({ ignoreHTTPSErrors: true, clientCertificates });
    const answer = await visitor.page.goto(at);
    expect(answer?.status()).toBe(400);
    expect(await visitor.page.getByLabel("User").count()).toBe(0);
    const api = await visitor.page.goto(`${at}api/v1/auth/me`);
    expect(api?.status()).toBe(400);
    await leave(visitor);
  });
});
