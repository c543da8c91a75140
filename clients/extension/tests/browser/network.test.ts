/** The extension in Chromium against a real network: MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL of a running `mythic dev`. */

import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compile, latest, transfer } from "../../src/chain/build";
import { at, rpcOf } from "../../src/chain/rpc";
import { accountKey } from "../../src/crypto/phrase";
import { approve, Browser, CHROMIUM, goTo, network } from "../support/browser";
import { call, find } from "../support/site";
import { PASSWORD, PHRASE } from "../support/world";

const { MYTHIC_GATEWAY_URL: gatewayUrl = "", MYTHIC_RPC_URL: rpcUrl = "" } = process.env;
/** What a job comes to in the end. */
const ENDS: readonly unknown[] = ["settled", "refunded", "slashed", "unpaid"];

/** As a person does who writes the words down. Resolves with them. */
async function create(page: Page): Promise<string> {
  await page.getByRole("button", { name: "Create a wallet" }).click();
  await page.getByRole("button", { name: "Show the words" }).click();
  const words = await page.locator(".phrase li").allTextContents();
  await page.getByRole("button", { name: "I wrote them down" }).click();
  for (const place of [2, 6, 11]) await page.getByLabel(`Word ${place}`, { exact: true }).fill(words[place - 1] ?? "");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Password, at least 8 characters").fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the wallet" }).click();
  await page.locator("#address").waitFor();
  return words.join(" ");
}

describe.skipIf(CHROMIUM === undefined || gatewayUrl === "" || rpcUrl === "")("on a real network", () => {
  let browser: Browser;
  let page: Page;
  let me = "";
  const rpc = rpcOf(rpcUrl);

  beforeAll(async () => {
    browser = await Browser.open();
    page = await browser.popup();
  });
  afterAll(() => browser?.close());

  const balance = async (key: string): Promise<number> => Number(at(await rpc("getBalance", [key, { commitment: "confirmed" }]), "value"));

  /** Jobs of the wallet, as the index has them. */
  const jobs = async (): Promise<unknown[]> => {
    const response = await fetch(`${gatewayUrl}/v1/jobs?owner=${me}&limit=100`);
    return at(await response.json(), "data") as unknown[];
  };
  const count = async (): Promise<number> => (await jobs()).length;
  const running = async (): Promise<unknown[]> => (await jobs()).map((job) => at(job, "status")).filter((status) => !ENDS.includes(status));

  const limit = async (job: string): Promise<void> => {
    // What a job gives back at its end changes what a limit has spent, which a change of it states.
    await expect.poll(running, { timeout: 120_000, interval: 500 }).toEqual([]);
    await goTo(page, "Limits");
    await page.getByRole("button", { name: /Allow spending|Change it/ }).click();
    await page.getByLabel("A job, at most").fill(job);
    await page.getByRole("button", { name: "Look at it" }).click();
    await approve(page);
  };

  const ask = async (question: string): Promise<void> => {
    await goTo(page, "Chat");
    await page.getByLabel("Answer, at most").selectOption("64");
    await page.getByLabel("Your question").fill(question);
    await page.locator("#estimate").filter({ hasText: "at most" }).waitFor();
    await page.getByRole("button", { name: "Ask", exact: true }).click();
  };

  test("a wallet is made and funded", async () => {
    me = accountKey(await create(page), 0).address;
    await network(page, gatewayUrl, rpcUrl);
    await rpc("requestAirdrop", [me, 2_000_000_000]);
    await goTo(page, "Wallet");
    await page.locator("#balance").filter({ hasText: "2 SOL" }).waitFor();
  });

  test("within a limit an answer is bought, and checked in the extension", async () => {
    await limit("0.01");
    await ask("Why is the sky blue?");
    await page.locator(".receipt").filter({ hasText: "lamports" }).waitFor();
    await page.getByRole("button", { name: "Verify" }).click();
    // The network's model is exact: above temperature 0 its tokens are chosen among all.
    await page.locator(".verdict").filter({ hasText: "only validators can tell" }).waitFor();
    await goTo(page, "History");
    await page.locator("#jobs li").first().waitFor();
    await page.locator("#transactions li").filter({ hasText: "Grant spend" }).first().waitFor();
  });

  test("an answer is paid by the account itself, this once", async () => {
    await goTo(page, "Chat");
    await page.getByLabel("Paid by").selectOption("account");
    await page.getByLabel("Answer, at most").selectOption("64");
    await page.getByLabel("Your question").fill("And at night?");
    await page.getByRole("button", { name: /Pay at most/ }).click();
    await expect.poll(() => page.locator(".receipt").count(), { timeout: 60_000 }).toBe(2);
    await page.getByLabel("Paid by").selectOption("limit");
  });

  test("a page that is closed and a worker that is killed in an answer lose nothing", async () => {
    await expect.poll(count, { timeout: 60_000 }).toBe(2);
    await ask("Count to twenty.");
    await page.locator(".turn").nth(2).waitFor();
    await page.close();
    await browser.killWorker();
    page = await browser.popup("chat");
    await page.locator(".turn").nth(2).locator(".receipt").waitFor();
    await expect.poll(count, { timeout: 60_000 }).toBe(3);
  });

  test("the chain refuses what is above the limit, and what comes after it is revoked", async () => {
    await limit("0.000000001");
    await ask("A question above the limit");
    await page.locator(".turn").last().getByRole("alert").filter({ hasText: /Refused by the chain: .*\(608\)/ }).waitFor();
    await goTo(page, "Limits");
    await page.getByRole("button", { name: "Revoke" }).click();
    await approve(page);
    await goTo(page, "Limits");
    await page.locator("#limit").filter({ hasText: "revoked" }).waitFor();
    await ask("A question without a limit");
    await page.locator(".turn").last().getByRole("alert").filter({ hasText: /Refused by the chain: .*\(603\)/ }).waitFor();
    await page.getByRole("link", { name: "Limits" }).click();
    await page.getByRole("button", { name: "Take it back into the wallet" }).click();
    await page.getByText("On its way back").waitFor();
  });

  test("a site is let in, sends what is approved, is told what is refused, and is shut out", async () => {
    const to = accountKey(PHRASE, 7).address;
    const got = await balance(to);
    // The gateway's own pages are a site like any other.
    const site = await browser.context.newPage();
    await site.goto(gatewayUrl);
    expect(await site.evaluate(find)).toBe("Mythic");
    let answer!: Promise<string>;
    let window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "standard:connect", method: "connect", input: {} }); });
    await window.getByRole("button", { name: "Connect" }).click();
    expect(await answer).toBe(`accounts ${me}`);
    await window.waitForEvent("close");
    const transaction = [...compile(me, [transfer(me, to, 1_000_000n)], await latest(rpc))];
    const send = { feature: "solana:signAndSendTransaction", method: "signAndSendTransaction", input: { transaction, chain: "solana:localnet" } };
    window = await browser.approval(async () => { answer = site.evaluate(call, send); });
    await window.locator("#forecast").filter({ hasText: "it would work" }).waitFor();
    await browser.killWorker();
    await window.getByRole("button", { name: "Sign and send" }).click();
    expect(await answer).toBe("bytes 64");
    await expect.poll(() => balance(to), { timeout: 60_000 }).toBe(got + 1_000_000);
    await window.waitForEvent("close");
    window = await browser.approval(async () => { answer = site.evaluate(call, send); });
    await window.getByRole("button", { name: "Refuse", exact: true }).click();
    expect(await answer).toBe("refused: refused in the wallet");
    await page.bringToFront();
    await goTo(page, "Settings");
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.locator("#sites li").filter({ hasText: "not connected" }).waitFor();
    expect(await site.evaluate(call, { feature: "standard:connect", method: "connect", input: { silent: true } })).toBe("accounts ");
    await site.close();
  });

  test("what is taken out of the vault comes back to the wallet", async () => {
    await goTo(page, "Wallet");
    const before = await balance(me);
    await page.getByRole("button", { name: "Withdraw" }).click();
    await page.getByLabel("SOL").fill("0.01");
    await page.getByRole("button", { name: "Look at it" }).click();
    await approve(page);
    // Less the fee; rent of closed jobs may come back meanwhile.
    expect(await balance(me)).toBeGreaterThanOrEqual(before + 10_000_000 - 5_000);
  });

  test("locked, it opens with its password alone", async () => {
    await page.getByRole("button", { name: "Lock", exact: true }).click();
    await page.getByLabel("Password").fill("wrong password");
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("alert").filter({ hasText: "the password is wrong" }).waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("navigation", { name: "Pages" }).waitFor();
  });
});
