// Chromium, what a page did wrong, and whether everybody can read it.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });

/** A new visitor's page, and what goes wrong on it. */
export async function visit(browser, scheme = "light", width = 1280) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 900 }, bypassCSP: false });
  const page = await context.newPage();
  const wrong = [];
  // Of a machine whose interfaces come and go with its containers: pages read again.
  const isOurs = (text) => !text.includes("net::ERR_NETWORK_CHANGED");
  page.on("console", (message) => message.type() === "error" && isOurs(message.text()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("dialog", (dialog) => {
    wrong.push("a dialog: " + dialog.message());
    void dialog.dismiss();
  });
  page.setDefaultTimeout(15_000);
  return { page, wrong };
}

/** What keeps somebody from reading or using the page. */
export async function violations(page) {
  // Outside of the page's policy, as a browser's own tools are.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => [target, failureSummary])]);
}

/** What is wider than its place: the page itself, or a card. */
export const tooWide = (page) =>
  page.evaluate(() =>
    [document.documentElement, ...document.querySelectorAll(".tiles > div, .card, .steps li, .code, td")].filter((box) => box.scrollWidth > box.clientWidth + 1 && box.clientWidth > 0 && !box.closest("details:not([open])")).map((box) => [box.tagName + "." + box.className, box.scrollWidth, box.clientWidth, box.textContent.slice(0, 80)]),
  );

/** Waits for what is seen from outside of the page. */
export async function until(what, is, seconds = 15) {
  for (const end = Date.now() + seconds * 1000; ; ) {
    const found = await is();
    if (found) return found;
    if (Date.now() >= end) throw new Error(what + " did not come");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
