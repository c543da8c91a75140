// The pages on a real network: MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL of a running `mythic dev`. MYTHIC_SCREENSHOTS=DIR keeps pictures.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { launch, tooWide, until, violations, visit } from "./browser.mjs";
import { before as inFront } from "./server.mjs";

const { MYTHIC_GATEWAY_URL: gateway = "", MYTHIC_RPC_URL: rpcUrl = "", MYTHIC_SCREENSHOTS: folder } = process.env;
const skip = gateway && rpcUrl ? false : "MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL name no running network";
const LOOKS = [["light", 1280], ["dark", 360], ["dark", 1280], ["light", 360]];
const SDK = fileURLToPath(new URL("../../../sdk/src/wallet/index.ts", import.meta.url));

let browser;
let pages;
let page;
let wrong;
/** A job that has its answer. */
let job;

const get = async (path) => {
  const response = await fetch(gateway + path);
  assert.ok(response.ok, `${path}: ${response.status}`);
  return response.json();
};

/** Asks for an answer through the API; its job. */
async function ask(content) {
  const body = JSON.stringify({ messages: [{ role: "user", content }], max_tokens: 12, temperature: 0 });
  const response = await fetch(gateway + "/v1/chat/completions", { method: "POST", headers: { "content-type": "application/json" }, body });
  const answered = await response.json();
  assert.equal(response.status, 200, JSON.stringify(answered));
  return answered.id.replace(/^chatcmpl-/, "");
}

before(async () => {
  if (skip) return;
  pages = await inFront(gateway);
  browser = await launch();
  job = await ask("Why is the sky blue?");
  await until("the job in the index", async () => (await get(`/v1/jobs/${job}`)).status !== "pending");
});

after(async () => {
  await browser?.close();
  pages?.close();
});

async function visitor(scheme, width) {
  await page?.context().close();
  ({ page, wrong } = await visit(browser, scheme, width));
  // A network computes beside the browser.
  page.setDefaultTimeout(45_000);
}
const scene = (name, play) =>
  test(name, { skip }, async (t) => {
    if (!pages.isOwn) t.diagnostic("this gateway has other pages than those that are built here, which stand in front of its API");
    await visitor();
    await play(t);
  });
const open = (path) => page.goto(pages.url + path);
const says = (selector, text, timeout) => page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout });
const live = () => says("#state", "live");

/** Every page, and those of the newest of each kind of account. */
async function addresses() {
  const found = [["/", "Network"], ["/jobs", "Jobs"], [`/jobs/${job}`, "Job"], ["/cases", "Cases"], ["/validators", "Validators"], ["/models", "Models"], ["/market", "Market"], ["/leases", "Leases"], ["/requests", "Requests"], ["/economics", "Economics"], ["/status", "Status"]];
  for (const [kind, title] of [["cases", "Case"], ["validators", "Validator"], ["models", "Model"], ["leases", "Lease"], ["requests", "Request"], ["providers", "Provider"]]) {
    const [newest] = (await get(`/v1/${kind}?limit=1`)).data;
    if (newest) found.push([`/${kind}/${encodeURIComponent(newest.authority ?? newest.id)}`, title]);
  }
  return found;
}

scene("a lease is seen from its request to its end", async () => {
  const { keyWallet } = (await runnerImport(SDK)).module;
  const wallet = await keyWallet(crypto.getRandomValues(new Uint8Array(32)), { rpcUrl });
  const rpc = async (method, ...params) =>
    (await (await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }) })).json()).result;
  await rpc("requestAirdrop", wallet.address, 1_000_000_000);
  await until("the airdrop", async () => (await rpc("getBalance", wallet.address, { commitment: "confirmed" }))?.value > 0, 45);
  const [model] = (await get("/v1/models")).data;
  await open(`/leases?tenant=${wallet.address}`);
  await live();
  const { lease } = await wallet.leases.request({ model: model.address, seconds: 600 });
  await page.locator(`a[title="${lease}"]`).click({ timeout: 45_000 });
  await says("h1", "Lease");
  await says(".steps li.now, .steps li.done", "active", 45_000);
  await live();
  await wallet.leases.close(lease);
  await says(".next", "Ended", 45_000);
  assert.deepEqual(wrong, []);
});

scene("every page is without errors, wide enough for phones, and readable by everybody", async (t) => {
  if (folder) await mkdir(folder, { recursive: true });
  const all = await addresses();
  for (const [scheme, width] of folder ? LOOKS : LOOKS.slice(0, 2)) {
    await visitor(scheme, width);
    for (const [path, title] of all) {
      await t.test(`${path} ${scheme} ${width}`, async () => {
        wrong.length = 0;
        await open(path);
        await says("h1", title);
        await page.getByText("Loading…").waitFor({ state: "detached" });
        await live();
        if (folder) await page.screenshot({ path: join(folder, `${title}-${scheme}-${width}.png`), fullPage: true });
        assert.deepEqual(await tooWide(page), []);
        assert.equal(await page.locator('[role="alert"]').count(), 0);
        assert.deepEqual(await violations(page), []);
        assert.deepEqual(wrong, []);
      });
    }
  }
});

scene("a job that is asked for through the API appears by itself, and its answer is verified in the page", async () => {
  await open("/jobs");
  await live();
  const fresh = await ask("Name a fish.");
  await page.locator(`a[title="${fresh}"]`).click();
  await says("h1", "Job");
  await says(".steps li", "submitted", 45_000);
  await page.getByLabel("RPC of the chain").fill(rpcUrl);
  await page.getByRole("button", { name: "Check this answer yourself" }).click();
  await says(".verdict", "", 45_000);
  assert.deepEqual(await page.locator(".checks li:not(.good)").allInnerTexts(), []);
  await says(".verdict.good", "The tokens of prompt and answer");
  if (folder) await page.screenshot({ path: join(folder, "Verified-light-1280.png"), fullPage: true });
  assert.deepEqual(wrong, []);
});
