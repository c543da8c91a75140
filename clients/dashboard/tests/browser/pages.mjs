// Every page in Chromium, against a small network: what it says, how it follows changes, what it does on bad days, and whether everybody can
// read it. MYTHIC_SCREENSHOTS=DIR keeps pictures of all of them.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";
import { launch, tooWide, until, violations, visit } from "./browser.mjs";
import { serve } from "./server.mjs";
import { CASE, HOSTILE, LEASE, PROVIDER, REQUEST, SLOT, key, running, world } from "./world.mjs";

/** A job that everybody tells the truth about, as the SDK's own tests have it. */
const SUPPORT = fileURLToPath(new URL("../../../sdk/tests/support/chain.ts", import.meta.url));
const JOB = key("job0");
const SETTLED = key("job5");
const MODEL = "smollm2-135m-instruct@0b5cf7d8";
const PAGES = [
  ["/", "Network"], ["/jobs", "Jobs"], [`/jobs/${JOB}`, "Job"], [`/jobs/${SETTLED}`, "Job"], ["/cases", "Cases"], [`/cases/${CASE}`, "Case"], ["/validators", "Validators"],
  [`/validators/${key("validator1")}`, "Validator"], ["/models", "Models"], [`/models/${encodeURIComponent(MODEL)}`, "Model"], ["/market", "Market"], ["/leases", "Leases"],
  [`/leases/${LEASE}`, "Lease"], ["/requests", "Requests"], [`/requests/${REQUEST}`, "Request"], [`/providers/${PROVIDER}`, "Provider"], ["/economics", "Economics"], ["/status", "Status"], ["/nowhere", "There is no such page"],
];
/** Colours and width have nothing to do with each other: each of them once, and all of both for pictures. */
const LOOKS = [["light", 1280], ["dark", 360], ...(process.env.MYTHIC_SCREENSHOTS ? [["dark", 1280], ["light", 360]] : [])];

let browser;
let server;
let page;
let wrong;

before(async () => {
  server = await serve();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** A new visitor, whose page has to be without errors unless a test takes them away. */
async function visitor(scheme, width) {
  await page?.context().close();
  ({ page, wrong } = await visit(browser, scheme, width));
}

/** A test that begins with the network as it was, and with a new visitor. */
const scene = (name, play) =>
  test(name, async (t) => {
    Object.assign(server.state, { all: world(), refused: null, away: false, asked: [], rpc: null });
    await visitor();
    await play(t);
  });

const open = (path) => page.goto(server.url + path);
const says = (selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor();
const ready = async (title) => {
  await says("h1", title);
  await page.getByText("Loading…").waitFor({ state: "detached" });
};
const live = () => says("#state", "live");

scene("every page says what it is, is without errors, has a look for day, night and phones, and can be read by everybody", async (t) => {
  const folder = process.env.MYTHIC_SCREENSHOTS;
  if (folder) await mkdir(folder, { recursive: true });
  for (const [scheme, width] of LOOKS) {
    await visitor(scheme, width);
    for (const [path, title] of PAGES) {
      await t.test(`${path} ${scheme} ${width}`, async () => {
        await open(path);
        await ready(title);
        if (folder) await page.screenshot({ path: join(folder, `${path.replace(/[^a-z]+/gi, "-").slice(1, 20) || "home"}-${title.toLowerCase().slice(0, 6)}-${scheme}-${width}.png`), fullPage: true });
        assert.equal(await page.evaluate(() => innerWidth), width);
        assert.equal(await page.evaluate(() => matchMedia("(prefers-color-scheme: dark)").matches), scheme === "dark");
        assert.deepEqual(await tooWide(page), []);
        assert.deepEqual(await violations(page), []);
        assert.deepEqual(wrong, []);
      });
    }
  }
});

scene("texts of strangers stay texts", async () => {
  for (const path of [`/validators/${key("validator1")}`, "/validators", "/models", "/market", "/requests", `/requests/${REQUEST}`, `/providers/${PROVIDER}`, "/status", `/models/${encodeURIComponent(HOSTILE + "@00000000")}`]) {
    await open(path);
    await live();
    await says(".foreign", "onerror");
    assert.equal(await page.locator("main img").count(), 0, path);
    assert.equal(await page.locator('a[href^="javascript:" i], a[href^="https://node"]').count(), 0, path);
    assert.ok(!(await page.title()).includes("owned"), path);
  }
  assert.deepEqual(wrong, []);
});

scene("what is not known is a dash, and amounts are in SOL and lamports", async () => {
  server.state.all.health.index_lag_slots = null;
  await open("/");
  const tile = (name) => page.locator(".tiles > div").filter({ has: page.locator("dt", { hasText: new RegExp(`^${name}$`) }) }).locator("dd");
  await tile("Index behind the chain").filter({ hasText: "–" }).waitFor();
  await tile("Staked").filter({ hasText: "30 SOL" }).filter({ hasText: "30,000,000,000 lamports" }).waitFor();
  await tile("Slot").filter({ hasText: "123,456" }).filter({ hasText: "finalized 123,424" }).waitFor();
  await says(".asof", "As of slot 123,456");
});

scene("a new job appears without loading the page again", async () => {
  await open("/jobs");
  await live();
  await page.getByLabel("Owner").fill("somebody");
  const fresh = { ...running(), id: key("fresh"), requested_slot: SLOT + 1 };
  server.state.all.jobs.unshift(fresh);
  server.tell();
  await page.locator(`a[title="${fresh.id}"]`).waitFor();
  assert.equal(await page.getByLabel("Owner").inputValue(), "somebody", "what somebody types is let be");
  assert.deepEqual(wrong, []);
});

scene("a job is seen to be slashed, and a gap in the feed loses nothing", async () => {
  await open(`/jobs/${JOB}`);
  await live();
  await says("#window", "60 of 100 slots are left");
  const [job] = server.state.all.jobs;
  job.transitions.push({ status: "slashed", slot: SLOT + 9, at: null, commitment: "processed", signature: null });
  Object.assign(job, { status: "slashed", end_reason: "guilty", ended_slot: SLOT + 9, slashed_lamports: 5_000_000_000, dispute: { id: CASE, status: "resolved", verdict: "guilty", ground: "jury" } });
  server.tell("gap");
  await says(".steps li.over", "slashed");
  await says(".list dd", "5 SOL");
  await page.getByRole("link", { name: "the case, its evidence and votes" }).click();
  await says("h1", "Case");
});

scene("a case comes to its verdict", async () => {
  await open(`/cases/${CASE}`);
  await says(".next", "commit end in 40 slots (about 16 s)");
  await says("pre", `mythic verify ${key("job3")} --gateway ${server.url}`);
  Object.assign(server.state.all.cases[0], { status: "resolved", phase: "resolved", next: null, verdict: "guilty", ground: "jury", resolved_slot: SLOT + 90, slashed_lamports: 5_000_000_000, reward_lamports: 2_000_000_000, burned_lamports: 2_900_000_000 });
  server.tell();
  await says(".next", "guilty");
  await says(".list dd", "2 SOL");
});

scene("a lease's epochs are a strip that grows", async () => {
  await open(`/leases/${LEASE}`);
  await live();
  assert.equal(await page.locator(".strip .epoch-missed").count(), 1);
  const [newest] = server.state.all.epochs;
  server.state.all.epochs.unshift({ ...newest, epoch: newest.epoch + 1 });
  server.state.all.leases[0].epoch = newest.epoch + 1;
  server.tell();
  await page.locator(`.strip i[title^="epoch ${(newest.epoch + 1).toLocaleString("en")}"]`).waitFor();
});

scene("a request is followed until a provider takes it, and leads to its lease", async () => {
  await open("/requests");
  await page.locator("tbody a").first().click();
  await says("h1", "Request");
  await live();
  await says(".next", "Any provider of its class may take it, for 400 slots more");
  const [request] = server.state.all.requests;
  Object.assign(request, { status: "accepted", lease: LEASE, escrow_lamports: 0, ended_slot: SLOT + 1 });
  server.tell();
  await says(".next", "Accepted");
  await says(".steps li.done", "accepted");
  await page.getByRole("link", { name: LEASE }).click();
  await says("h1", "Lease");
  assert.deepEqual(wrong, []);
});

scene("a connection that breaks is said, and comes back by itself", async () => {
  await open("/jobs");
  await live();
  server.cut();
  await says("#state", "reconnecting, as of");
  await live();
});

scene("a feed that refuses is followed anew later", async () => {
  server.state.refused = 410;
  await open("/jobs");
  await says("#state", "reconnecting");
  server.state.refused = null;
  await live();
});

scene("a gateway that fails leaves what was read, and says so", async () => {
  await open("/jobs");
  await live();
  server.state.away = true;
  server.tell();
  await says('[role="alert"]', "the database is away What is shown is what was read before.");
  await says("#state", "not up to date, as of");
  assert.ok((await page.locator("tbody tr").count()) > 10);
  server.state.away = false;
  server.tell();
  await live();
});

/** A tab beside the first one, of the same browser; `look` says whether somebody looks at it. */
async function tab(context) {
  const opened = await context.newPage();
  opened.setDefaultTimeout(15_000);
  // A browser without a screen shows all its tabs at once.
  await opened.addInitScript(() => {
    let hidden = sessionStorage.getItem("hidden") !== null;
    Object.defineProperty(document, "hidden", { get: () => hidden });
    globalThis.look = (seen) => {
      hidden = !seen;
      document.dispatchEvent(new Event("visibilitychange"));
    };
  });
  return { page: opened, look: (seen) => opened.evaluate((seen) => globalThis.look(seen), seen), live: () => opened.locator("#state").filter({ hasText: "live" }).waitFor() };
}

scene("seven tabs are one connection of the feed, and the one that is looked at is live", async () => {
  const context = page.context();
  const tabs = [];
  for (let number = 0; number < 7; number++) {
    await tabs.at(-1)?.look(false);
    tabs.push(await tab(context));
    await tabs.at(-1).page.goto(server.url + "/jobs");
    await tabs.at(-1).live();
    await until("one follows", () => server.state.streams.size === 1);
  }
  const fresh = { ...running(), id: key("while nobody looked"), requested_slot: SLOT + 1 };
  server.state.all.jobs.unshift(fresh);
  server.tell();
  const row = (of) => of.page.locator(`a[title="${fresh.id}"]`);
  await row(tabs[6]).waitFor();
  assert.equal(await row(tabs[0]).count(), 0, "a tab that nobody looks at reads nothing");
  await tabs[6].look(false);
  await until("nobody follows", () => server.state.streams.size === 0);
  await tabs[0].look(true);
  await tabs[0].live();
  await row(tabs[0]).waitFor();
  await until("one follows again", () => server.state.streams.size === 1);
});

scene("a page that is opened behind another one is filled, and follows when somebody looks", async () => {
  const behind = await tab(page.context());
  await behind.page.goto(server.url + "/livez");
  await behind.page.evaluate(() => sessionStorage.setItem("hidden", ""));
  await behind.page.goto(server.url + "/jobs");
  await behind.page.locator("tbody tr").first().waitFor();
  assert.equal(server.state.streams.size, 0);
  await behind.look(true);
  await behind.live();
});

scene("two tabs follow the same job, and one may leave", async () => {
  const tabs = [await tab(page.context()), await tab(page.context())];
  for (const { page, live } of tabs) {
    await page.goto(server.url + `/jobs/${JOB}`);
    await live();
  }
  const [job] = server.state.all.jobs;
  const window = (of) => of.page.locator("#window");
  job.window_end_slot += 10;
  server.tell();
  for (const each of tabs) await window(each).filter({ hasText: "70 of 110 slots are left" }).waitFor();
  await tabs[0].page.close();
  await until("one follows", () => server.state.streams.size === 1);
  job.window_end_slot += 10;
  server.tell();
  await window(tabs[1]).filter({ hasText: "80 of 120 slots are left" }).waitFor();
});

/** Heights of a chart's bars, from the left: its columns of pixels that have the colour, bar by bar. */
const bars = (chart, color) =>
  chart.locator("canvas").evaluate((canvas, name) => {
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
    probe.fillRect(0, 0, 1, 1);
    const wanted = probe.getImageData(0, 0, 1, 1).data;
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const is = (at) => [0, 1, 2].every((part) => Math.abs(data[at + part] - wanted[part]) < 3) && data[at + 3] > 250;
    const columns = Array.from({ length: width }, (_none, x) => Array.from({ length: height }, (_none, y) => (is(4 * (y * width + x)) ? 1 : 0)).reduce((sum, one) => sum + one, 0));
    return columns.reduce((found, tall, x) => {
      if (tall && !columns[x - 1]) found.push(0);
      if (tall) found.push(Math.max(found.pop(), tall));
      return found;
    }, []);
  }, color);

scene("a chart is drawn from its JSON, and anew when that changes", async () => {
  const day = (number, proved) => ({ ...server.state.all.days[0], day: `2026-01-0${number}`, epochs_proved: proved });
  // The newest first, as the API has them.
  server.state.all.marketDays = [day(3, 20), day(2, 40), day(1, 10)];
  await open("/market");
  await live();
  const chart = page.locator("figure.chart").filter({ hasText: "Epochs proved a day" });
  const drawn = async () => {
    const response = await page.request.get(server.url + (await chart.locator('.source a[href^="/"]').first().getAttribute("href")));
    const values = (await response.json()).data.map(({ epochs_proved }) => epochs_proved).reverse();
    const most = Math.max(...values);
    await until(`bars as high as ${values}`, async () => {
      const heights = await bars(chart, "foundation");
      const highest = Math.max(...heights);
      return heights.length === values.length && heights.every((height, place) => Math.abs(height / highest - values[place] / most) < 0.04);
    });
    await chart.locator("summary").first().click();
    assert.deepEqual(await chart.locator("tbody tr td:last-child").allInnerTexts(), values.map(String).reverse());
    await chart.locator("summary").first().click();
  };
  await drawn();
  server.state.all.marketDays.unshift(day(4, 80));
  server.tell();
  await until("the new day", async () => (await bars(chart, "foundation")).length === 4);
  await drawn();
  assert.deepEqual(wrong, []);
});

scene("addresses lead somewhere, unknown ones to a page that says so", async () => {
  await open(`/disputes/${CASE}`);
  await says("h1", "Case");
  await open(`/jobs/chatcmpl-${JOB}`);
  await says("h1", "Job");
  await says(".heading", JOB);
  await open(`/jobs/${key("nobody")}`);
  await says("main", "No job with this address is indexed");
  await open("/jobs/x");
  await says("h1", "There is no such page");
});

scene("a keyboard is enough", async () => {
  await open("/");
  await ready("Network");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.textContent), "to the content");
  for (const _ of ["brand", "network", "jobs"]) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await ready("Jobs");
  await page.getByLabel("Status").focus();
  await page.keyboard.type("dis");
  await page.getByLabel("Owner").focus();
  await page.keyboard.press("Enter");
  await page.waitForURL("**/jobs?status=disputed");
  await page.locator("tbody tr").nth(0).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length > 10);
  assert.deepEqual(wrong, []);
});

scene("an address is found, whatever it is of", async () => {
  await open("/");
  await ready("Network");
  await page.getByLabel("Find a job").fill(LEASE);
  await page.getByRole("button", { name: "Find" }).click();
  await says("h1", "Lease");
});

scene("an answer is checked in the page: what can't be checked is named, and what differs", async () => {
  await open(`/jobs/${SETTLED}`);
  await ready("Job");
  await page.getByLabel("RPC of the chain").fill("");
  await page.getByRole("button", { name: "Check this answer yourself" }).click();
  await says(".verdict", "not everything could be checked");
  await says(".checks li", "the evidence is not to be had");
  server.state.all.evidence = {
    job: SETTLED, submitter: key("validator2"), terms_hash: "00".repeat(32), salt: "00".repeat(16), prompt_ids: [1], output_ids: [5], leaves: [[[5, 40], [4, 30], [3, 20], [2, 10]]], seed: "00".repeat(32), temperature_milli: 0, fingerprint: "11".repeat(32),
  };
  await page.getByRole("button", { name: "Check this answer yourself" }).click();
  await says(".verdict", "Something differs.");
  await says(".checks li.bad", "fingerprint");
  // Refusals of evidence are the browser's to tell.
  assert.deepEqual(wrong.filter((text) => !text.includes("403")), []);
});

scene("an answer whose evidence is true is verified in the page, and one lamport that is not is named", async () => {
  const { story, rpc } = (await runnerImport(SUPPORT)).module;
  const told = story();
  const [job] = server.state.all.jobs;
  Object.assign(job, { id: told.jobId });
  Object.assign(server.state.all, { receipt: told.receipt, evidence: told.evidence });
  server.state.rpc = rpc({ [told.jobId]: told.jobBytes, [told.modelAddress]: told.modelBytes });
  await open(`/jobs/${told.jobId}`);
  await ready("Job");
  await page.getByLabel("RPC of the chain").fill(server.url + "/rpc");
  await page.getByRole("button", { name: "Check this answer yourself" }).click();
  await says(".verdict.good", "The tokens of prompt and answer, the choice of each, the receipt and the chain's accounts agree. The chain was read at slot 1,050.");
  for (const name of ["fingerprint", "output root", "terms hash", "sampler"]) await says(".checks li.good", name);
  assert.equal(await page.locator(".checks li:not(.good)").count(), 0);
  await says("main", "that they spell the text above, and that the model gives them, is not checked here");
  told.receipt.fee_lamports += 1;
  await page.getByRole("button", { name: "Check this answer yourself" }).click();
  await says(".verdict.bad", "Something differs.");
  assert.deepEqual(await page.locator(".checks li.bad b").allInnerTexts(), ["receipt.fee"]);
  assert.deepEqual(wrong, []);
});

scene("each figure has its JSON and its SQL", async () => {
  for (const [path, title] of PAGES.filter(([path]) => path !== "/nowhere")) {
    await open(path);
    await ready(title);
    assert.ok((await page.locator('.source a[href^="/"]').count()) > 0, path);
    await page.locator(".source summary").first().click();
    await says(".source pre", "FROM analytics.");
    for (const link of await page.locator(".source a").all()) {
      const address = await link.getAttribute("href");
      const response = await page.request.get(server.url + address);
      assert.ok(response.ok() || (response.status() === 403 && address.endsWith("/evidence")) || address === "/openapi.json", address);
    }
  }
});
