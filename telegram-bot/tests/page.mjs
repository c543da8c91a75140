// The wallet page in a browser: a wallet by Wallet Standard, whose key is here, links and allows. Arguments: the page's address, the wallet's
// address, its seed in hex. With MYTHIC_SCREENSHOTS=DIR pictures of the page are kept there.
import assert from "node:assert/strict";
import { createPrivateKey, sign } from "node:crypto";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(new URL("../../clients/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = require("axe-core");

const [url, address, seed] = process.argv.slice(2);
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex");
const key = createPrivateKey({ key: Buffer.concat([PKCS8, Buffer.from(seed, "hex")]), format: "der", type: "pkcs8" });
const pictures = process.env.MYTHIC_SCREENSHOTS;
const asked = [];

/** The signature of a message, and a transaction with it: both as base64. */
const signMessage = (message) => sign(null, Buffer.from(message, "base64"), key).toString("base64");
const signTransaction = (text) => {
  const bytes = Buffer.from(text, "base64");
  const message = bytes.subarray(1 + 64 * bytes[0]);
  sign(null, message, key).copy(bytes, 1);
  return bytes.toString("base64");
};

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const page = await browser.newPage({ viewport: { width: 360, height: 900 } });
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("request", (request) => asked.push(new URL(request.url()).origin));
  await page.exposeFunction("walletSign", signMessage);
  await page.exposeFunction("walletPay", signTransaction);
  await page.addInitScript((address) => {
    const encode = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const account = { address, chains: ["solana:localnet"] };
    const features = {
      "standard:connect": { connect: async () => ({ accounts: [account] }) },
      "solana:signMessage": { signMessage: async ({ message }) => [{ signedMessage: message, signature: decode(await window.walletSign(encode(message))) }] },
      "solana:signTransaction": { signTransaction: async ({ transaction }) => [{ signedTransaction: decode(await window.walletPay(encode(transaction))) }] },
    };
    // One that comes after the page, as extensions may.
    window.addEventListener("load", () => {
      const event = new CustomEvent("wallet-standard:register-wallet", { detail: ({ register }) => register({ name: "Test wallet", features }) });
      window.dispatchEvent(event);
    });
  }, address);
  const shot = async (name) => {
    if (!pictures) return;
    mkdirSync(pictures, { recursive: true });
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  };
  const check = async (name) => {
    await shot(name);
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.map(({ id }) => id), [], name);
    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= room, `${name} is ${wide} wide`);
  };

  await page.goto(url);
  await page.getByRole("button", { name: "Test wallet" }).waitFor();
  await check("telegram-sign-in");
  await page.getByRole("button", { name: "Test wallet" }).click();
  // Whoever confirms may be quicker than the page.
  const waits = await page.locator("#confirm").waitFor({ timeout: 1500 }).then(() => true, () => false);
  if (waits) await check("telegram-confirm");
  await page.getByText("Signed in.").waitFor();
  const allow = page.getByRole("button", { name: "Allow with the wallet" });
  await page.locator("input[name=per_job]").fill("a lot");
  await allow.click();
  await page.getByText("write an amount in SOL").waitFor();
  await page.locator("input[name=per_job]").fill("0.002");
  await allow.click();
  await page.getByText("Go back to Telegram").waitFor();
  assert.match(await page.locator("#grant").innerText(), /0\.002 SOL .* for one question/);
  assert.equal(await page.locator("input[name=deposit]").inputValue(), "0");
  await check("telegram-allowed");
  await page.emulateMedia({ colorScheme: "dark" });
  await check("telegram-allowed-dark");
  assert.deepEqual(faults, []);
  assert.deepEqual([...new Set(asked)], [new URL(url).origin], "the page asks its own server alone");
} finally {
  await browser.close();
}
