/** The whole extension in Chromium, on a gateway and a chain of the test's own. */

import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { accountKey } from "../../src/crypto/phrase";
import { approve, Browser, CHROMIUM, goTo, network, restore } from "../support/browser";
import { FakeGateway, told } from "../support/gateway";
import { call, find, flood } from "../support/site";
import { PASSWORD, PHRASE } from "../support/world";

const ME = accountKey(PHRASE, 0).address;
const OTHER = accountKey(PHRASE, 7).address;
const SOL = 1_000_000_000n;

describe.skipIf(CHROMIUM === undefined)("in Chromium", () => {
  let browser: Browser;
  let gateway: FakeGateway;
  let page: Page;
  let site: Page;

  beforeAll(async () => {
    gateway = new FakeGateway();
    await gateway.start();
    browser = await Browser.open();
    page = await browser.popup();
  });
  afterAll(async () => {
    await browser?.close();
    gateway?.stop();
  });
  afterEach(() => {
    // Refusals of HTTP are the browser's to tell.
    expect(browser.wrong.splice(0).filter((text) => !/status of 40[23]/.test(text))).toEqual([]);
  });

  test("a new wallet's words are shown, asked for, and hidden when nobody looks", async () => {
    await page.getByRole("heading", { name: "Mythic Wallet" }).waitFor();
    await browser.look(page, "welcome");
    await page.getByRole("button", { name: "Create a wallet" }).click();
    await page.getByRole("button", { name: "Show the words" }).click();
    expect(await page.locator(".phrase li").count()).toBe(12);
    // Neither marked nor copied: a clipboard is everybody's.
    expect(await page.locator(".phrase").evaluate((list) => getComputedStyle(list).userSelect)).toBe("none");
    expect(await page.getByRole("button", { name: /copy/i }).count()).toBe(0);
    await page.evaluate(() => dispatchEvent(new Event("blur")));
    expect(await page.locator(".phrase li").count()).toBe(0);
    await page.getByRole("button", { name: "I wrote them down" }).click();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByRole("alert").filter({ hasText: "Word 2" }).waitFor();
  });

  test("a phrase with a fault is refused with the fault, and a right one makes the wallet", async () => {
    await page.reload();
    await page.getByRole("button", { name: "I have a recovery phrase" }).click();
    await page.getByLabel("Recovery phrase").fill(PHRASE.replace("about", "abandon"));
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByRole("alert").filter({ hasText: "check sum" }).waitFor();
    await page.reload();
    await restore(page);
    expect(await page.locator("#address").textContent()).toBe(ME);
    await network(page, gateway.url, `${gateway.url}/rpc`);
    gateway.chain.fund(ME, 5n * SOL);
    await goTo(page, "Wallet");
    await page.locator("#balance").filter({ hasText: "5 SOL" }).waitFor();
    // Until here there was no chain at the address that the wallet comes with.
    browser.wrong.splice(0);
    await browser.look(page, "home");
  });

  test("what is sent is looked at, tried and confirmed", async () => {
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByLabel("To").fill("nobody");
    await page.getByLabel("SOL").fill("1");
    await page.getByRole("button", { name: "Look at it" }).click();
    await page.getByRole("alert").filter({ hasText: "not the address" }).waitFor();
    await page.getByLabel("To").fill(OTHER);
    await page.getByRole("button", { name: "Look at it" }).click();
    await page.getByText(`Sends 1 SOL from HAgk…Kpqk to ${OTHER}.`).waitFor();
    await page.locator("#forecast").filter({ hasText: "You pay 1.000005 SOL" }).waitFor();
    await browser.look(page, "send");
    await approve(page);
    expect(gateway.chain.ledger.lamports.get(OTHER)).toBe(SOL);
  });

  test("what can't be paid is known before it is signed", async () => {
    await goTo(page, "Wallet");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByLabel("To").fill(OTHER);
    await page.getByLabel("SOL").fill("100");
    await page.getByRole("button", { name: "Look at it" }).click();
    await page.locator("#forecast").filter({ hasText: "it would fail" }).waitFor();
    expect(await page.getByRole("button", { name: "Sign and send" }).isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Refuse" }).click();
    await page.getByText("Refused.").waitFor();
  });

  test("an address is received as a code", async () => {
    await goTo(page, "Wallet");
    await page.getByRole("button", { name: "Receive" }).click();
    await page.getByRole("img", { name: `QR code of ${ME}` }).waitFor();
    await browser.look(page, "receive");
  });

  test("without a limit the chat says so; with one the chain lets the session key spend", async () => {
    await goTo(page, "Chat");
    await page.getByLabel("Your question").fill("Why is the sky blue?");
    await page.locator("#estimate").filter({ hasText: "There is no spending limit" }).waitFor();
    await goTo(page, "Limits");
    await page.getByText("Nothing may be spent without asking.").waitFor();
    await page.getByRole("button", { name: "Allow spending" }).click();
    await page.getByLabel("A job, at most").fill("0.00005");
    await browser.look(page, "limit-form");
    await page.getByRole("button", { name: "Look at it" }).click();
    await page.getByText("at most 0.00005 SOL a job").waitFor();
    await page.locator("#forecast").filter({ hasText: "it would work" }).waitFor();
    await browser.look(page, "limit-approval");
    await approve(page);
    await goTo(page, "Limits");
    await page.locator("#limit").filter({ hasText: "active" }).filter({ hasText: "0.00005 SOL" }).waitFor();
    await browser.look(page, "limit");
  });

  test("an answer streams, costs what its receipt says, and is verified here", async () => {
    await goTo(page, "Chat");
    await page.getByLabel("Your question").fill("Why is the sky blue?");
    await page.locator("#estimate").filter({ hasText: "at most" }).waitFor();
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "The sky is blue." }).waitFor();
    await page.locator(".receipt").filter({ hasText: "0.000015075 SOL" }).waitFor();
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator(".verdict").filter({ hasText: "Verified here" }).waitFor();
    await browser.look(page, "chat");
    const paid = gateway.asked.filter(({ path }) => path === "/v1/chat/completions");
    expect(paid).toHaveLength(1);
    expect(paid[0]?.headers["authorization"]).toBeUndefined();
  });

  test("of an answer whose tokens are chosen by options the wallet says what it can't tell", async () => {
    gateway.tell(told(2));
    await page.getByRole("button", { name: "Verify" }).click();
    await page.locator(".verdict").filter({ hasText: "only validators can tell" }).waitFor();
    gateway.tell(told());
  });

  test("a job that somebody else paid for is none of this wallet's, however true its receipt is", async () => {
    gateway.tell(told(1, OTHER));
    await page.getByLabel("Your question").fill("Whose is it?");
    await page.getByRole("button", { name: "Ask" }).click();
    const receipt = page.locator(".turn").filter({ hasText: "Whose is it?" }).locator(".receipt");
    await receipt.getByRole("button", { name: "Verify" }).click();
    await receipt.locator(".verdict").filter({ hasText: "Something differs." }).waitFor();
    expect(await receipt.locator(".checks .bad").allTextContents()).toEqual([expect.stringContaining(`asked.owner is ${ME}, and the one in the terms is ${OTHER}`)]);
    gateway.tell(told());
  });

  test("what the browser sends to a gateway on this machine is of the wallet's origin", () => {
    const { headers } = gateway.asked.find(({ path }) => path === "/v1/estimate")!;
    expect([headers.origin, headers["sec-fetch-site"]]).toEqual(["chrome-extension://impaicdpliecjpibppgeibmpehabgkdg", "none"]);
  });

  test("a model's name is text, whoever wrote it", async () => {
    expect(await page.locator("select option").filter({ hasText: "large-<b>model</b>" }).count()).toBe(1);
    expect(await page.locator("main b", { hasText: /^model$/ }).count()).toBe(0);
  });

  test("a limit that bites is the chain's refusal, with the transaction, and nothing is paid", async () => {
    const before = gateway.chain.ledger.vaults.get(ME)?.spent;
    await page.getByLabel("Model").selectOption({ index: 1 });
    await page.getByLabel("Your question").fill("A dear question");
    await page.locator("#estimate").filter({ hasText: "the chain will refuse it" }).waitFor();
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByRole("alert").filter({ hasText: "Refused by the chain: the job's ceiling exceeds the grant's limit per job (608)" }).waitFor();
    await browser.look(page, "chat-refused");
    expect(gateway.chain.ledger.vaults.get(ME)?.spent).toBe(before);
    await page.getByLabel("Model").selectOption({ index: 0 });
  });

  test("a stopped answer keeps what came and says what it cost", async () => {
    Object.assign(gateway, { words: Array.from({ length: 400 }, (_none, i) => ` w${i}`), pauseMs: 50 });
    await page.getByLabel("Your question").fill("Count");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "w5" }).waitFor();
    // By the keyboard: the page moves while the answer comes.
    await page.getByRole("button", { name: "Stop" }).press("Enter");
    await page.locator(".receipt").filter({ hasText: "what was handed out until then is paid" }).filter({ hasText: "0.000015075 SOL" }).waitFor();
  });

  test("a page that is closed in the middle of an answer goes on where it was, paid once", async () => {
    Object.assign(gateway, { words: Array.from({ length: 60 }, (_none, i) => ` v${i}`), pauseMs: 50 });
    const landed = gateway.chain.landed.size;
    await page.getByLabel("Your question").fill("Go on");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "v3" }).waitFor();
    await page.close();
    await browser.killWorker();
    gateway.pauseMs = 0;
    page = await browser.popup("chat");
    await page.locator(".said").filter({ hasText: "v59" }).waitFor();
    expect(gateway.chain.landed.size).toBe(landed + 1);
  });

  test("a question that is left for another page goes on when somebody comes back, paid once", async () => {
    Object.assign(gateway, { words: Array.from({ length: 60 }, (_none, i) => ` u${i}`), pauseMs: 50 });
    const landed = gateway.chain.landed.size;
    await page.getByLabel("Your question").fill("Wait for me");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "u3" }).waitFor();
    await goTo(page, "Limits");
    await page.locator("#limit").waitFor();
    gateway.pauseMs = 0;
    await goTo(page, "Chat");
    await page.locator(".said").filter({ hasText: "u59" }).waitFor();
    expect(gateway.chain.landed.size).toBe(landed + 1);
  });

  test("two pages that show one conversation answer a question once", async () => {
    Object.assign(gateway, { words: Array.from({ length: 60 }, (_none, i) => ` t${i}`), pauseMs: 50 });
    const landed = gateway.chain.landed.size;
    await page.getByLabel("Your question").fill("Twice seen");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "t3" }).waitFor();
    const second = await browser.popup("chat");
    await second.getByText("Twice seen").waitFor();
    gateway.pauseMs = 0;
    await second.locator(".said").filter({ hasText: "t59" }).waitFor();
    await page.locator(".said").filter({ hasText: "t59" }).waitFor();
    await second.close();
    expect(gateway.chain.landed.size).toBe(landed + 1);
    expect(gateway.asked.filter(({ body }) => body.includes("Twice seen") && body.includes("transaction"))).toHaveLength(1);
  });

  test("a line that breaks is joined again", async () => {
    Object.assign(gateway, { words: ["one", " two", " three"], pauseMs: 0, cuts: 1 });
    await page.getByLabel("Your question").fill("Break");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".said").filter({ hasText: "one two three" }).waitFor();
    expect(browser.wrong.splice(0)).toEqual(["Failed to load resource: net::ERR_INCOMPLETE_CHUNKED_ENCODING"]);
  });

  test("the history says what happened and what answers cost", async () => {
    await goTo(page, "History");
    await page.locator("#jobs li").filter({ hasText: "0.000015075 SOL" }).first().waitFor();
    await page.locator("#transactions li").filter({ hasText: "Transfer" }).filter({ hasText: "−1.000005 SOL" }).first().waitFor();
    await page.locator("#transactions li").filter({ hasText: "Grant spend" }).first().waitFor();
    await browser.look(page, "history");
  });

  test("a site finds the wallet, asks to see an account, and is let in by a person alone", async () => {
    site = await browser.context.newPage();
    await site.goto(`${gateway.url}/page`);
    expect(await site.evaluate(find)).toBe("Mythic");
    expect(await site.evaluate(call, { feature: "standard:connect", method: "connect", input: { silent: true } })).toBe("accounts ");
    let answer!: Promise<string>;
    const window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "standard:connect", method: "connect", input: {} }); });
    await window.getByText("wants to see your address").waitFor();
    // What is pressed as the window comes in front was meant for something else.
    const isPressable = await window.evaluate(() => {
      dispatchEvent(new Event("focus"));
      return new Promise((resolve) => setTimeout(() => resolve(document.querySelector("button.main:enabled") !== null), 50));
    });
    expect(isPressable).toBe(false);
    await browser.look(window, "connect");
    await window.getByRole("button", { name: "Connect" }).click();
    expect(await answer).toBe(`accounts ${ME}`);
    await window.waitForEvent("close");
    expect(await site.evaluate(call, { feature: "standard:connect", method: "connect", input: { silent: true } })).toBe(`accounts ${ME}`);
  });

  test("a text is shown before it is signed; refused, the site is told", async () => {
    const message = [...new TextEncoder().encode("Sign in to the site")];
    let answer!: Promise<string>;
    let window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "solana:signMessage", method: "signMessage", input: { message } }); });
    await window.getByText("Sign in to the site").waitFor();
    await browser.look(window, "message");
    await window.getByRole("button", { name: "Sign" }).click();
    expect(await answer).toBe("bytes 64");
    await window.waitForEvent("close");
    window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "solana:signMessage", method: "signMessage", input: { message } }); });
    await window.getByRole("button", { name: "Refuse", exact: true }).click();
    expect(await answer).toBe("refused: refused in the wallet");
    await window.waitForEvent("close");
  });

  test("a transaction is said in words and tried; the worker may die while it waits, and it is sent once", async () => {
    const { compile, transfer } = await import("../../src/chain/build");
    const transaction = [...compile(ME, [transfer(ME, OTHER, 250_000_000n)], { blockhash: gateway.chain.blockhash(), lastValidBlockHeight: 1 })];
    const before = gateway.chain.ledger.lamports.get(OTHER) ?? 0n;
    let answer!: Promise<string>;
    const window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "solana:signAndSendTransaction", method: "signAndSendTransaction", input: { transaction, chain: "solana:localnet" } }); });
    await window.getByText(`Sends 0.25 SOL from HAgk…Kpqk to ${OTHER}.`).waitFor();
    await window.locator("#forecast").filter({ hasText: "You pay 0.250005 SOL" }).waitFor();
    await browser.look(window, "approval");
    await browser.killWorker();
    await window.getByRole("button", { name: "Sign and send" }).click();
    expect(await answer).toBe("bytes 64");
    await expect.poll(() => gateway.chain.ledger.lamports.get(OTHER)).toBe(before + 250_000_000n);
    await window.waitForEvent("close");
  });

  test("a program that nobody knows is not signed", async () => {
    const { compile } = await import("../../src/chain/build");
    const { address } = await import("@solana/kit");
    const strange = { programAddress: address(OTHER), accounts: [], data: Uint8Array.of(1, 2, 3) };
    const transaction = [...compile(ME, [strange], { blockhash: gateway.chain.blockhash(), lastValidBlockHeight: 1 })];
    let answer!: Promise<string>;
    const window = await browser.approval(async () => { answer = site.evaluate(call, { feature: "solana:signTransaction", method: "signTransaction", input: { transaction } }); });
    await window.getByRole("alert").filter({ hasText: "refuses to sign what nobody can read" }).waitFor();
    expect(await window.getByRole("button", { name: "Sign", exact: true }).isDisabled()).toBe(true);
    await browser.look(window, "blind");
    await window.getByRole("button", { name: "Refuse", exact: true }).click();
    expect(await answer).toContain("refused");
    await window.waitForEvent("close");
  });

  test("a site is revoked by one tap, and sees nothing any more", async () => {
    await page.bringToFront();
    await goTo(page, "Settings");
    await page.locator("#sites li").filter({ hasText: gateway.url }).waitFor();
    await browser.look(page, "settings");
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.locator("#sites li").filter({ hasText: "not connected" }).waitFor();
    expect(await site.evaluate(call, { feature: "standard:connect", method: "connect", input: { silent: true } })).toBe("accounts ");
  });

  test("a page that floods the wallet has one window, and blocked it is not heard, whatever it says", async () => {
    let answer!: Promise<Record<string, number>>;
    const window = await browser.approval(async () => { answer = site.evaluate(flood, 40); });
    await window.getByRole("button", { name: "Refuse, and never listen to this site again" }).click();
    expect(await answer).toEqual({ "refused in the wallet": 16, "too many questions to the wallet at once": 24 });
    await window.waitForEvent("close");
    const connect = { feature: "standard:connect", method: "connect", input: {} };
    expect(await site.evaluate(call, connect)).toBe("refused: this site is blocked in the wallet");
    // A blocked site that leaves is blocked as before.
    await site.evaluate(call, { feature: "standard:disconnect", method: "disconnect", input: {} }).catch(() => undefined);
    expect(await site.evaluate(call, connect)).toBe("refused: this site is blocked in the wallet");
  });

  test("a limit that is revoked lets nothing more be spent", async () => {
    await goTo(page, "Limits");
    await page.getByRole("button", { name: "Revoke" }).click();
    await page.getByText("Ends a spending limit").waitFor();
    await approve(page);
    await goTo(page, "Limits");
    await page.locator("#limit").filter({ hasText: "revoked" }).waitFor();
    await page.getByRole("button", { name: "Take it back into the wallet" }).click();
    await page.getByText("On its way back").waitFor();
    await goTo(page, "Chat");
    await page.getByLabel("Your question").fill("Once more");
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator(".turn").last().getByRole("alert").filter({ hasText: /Refused by the chain/ }).waitFor();
  });

  test("locked, it shows and signs nothing; a wrong password is said", async () => {
    await page.getByRole("button", { name: "Lock", exact: true }).click();
    await page.getByRole("heading", { name: "The wallet is locked" }).waitFor();
    await browser.look(page, "locked");
    await page.getByLabel("Password").fill("wrong password");
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("alert").filter({ hasText: "the password is wrong" }).waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("navigation", { name: "Pages" }).waitFor();
  });

  test("a chain that is away leaves what was read, and says so", async () => {
    await goTo(page, "Wallet");
    await page.locator("#balance").filter({ hasText: "SOL" }).waitFor();
    gateway.chain.isAway = true;
    await page.getByRole("alert").filter({ hasText: "What is shown is what was read before." }).waitFor();
    expect(await page.locator("#balance").textContent()).toContain("SOL");
    gateway.chain.isAway = false;
  });

  test("in the dark everybody can read it too", async () => {
    await page.emulateMedia({ colorScheme: "dark" });
    for (const tab of ["Wallet", "Chat", "Limits", "History", "Settings"]) {
      await goTo(page, tab);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await browser.look(page, `dark-${tab.toLowerCase()}`);
    }
  });

  test("a forgotten password is mended by the phrase alone: the wallet is removed, and restored", async () => {
    await goTo(page, "Wallet");
    await page.getByRole("button", { name: "Lock", exact: true }).click();
    await page.getByRole("button", { name: "I forgot the password" }).click();
    const remove = page.getByRole("button", { name: "Remove the wallet from this browser" });
    expect(await remove.isDisabled()).toBe(true);
    await page.getByLabel("I have the recovery phrase, or nothing to lose.").check();
    await browser.look(page, "forgotten");
    await remove.click();
    await page.getByRole("heading", { name: "Mythic Wallet" }).waitFor();
    const kept = await page.evaluate(() => (globalThis as unknown as { chrome: { storage: { local: { get(): Promise<object> } } } }).chrome.storage.local.get());
    expect(Object.keys(kept)).toEqual([]);
    await restore(page);
    expect(await page.locator("#address").textContent()).toBe(ME);
    expect(await site.evaluate(call, { feature: "standard:connect", method: "connect", input: { silent: true } })).toBe("accounts ");
    // There is no chain at the address that a wallet comes with.
    browser.wrong.splice(0);
  });
});
