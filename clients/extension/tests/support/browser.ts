/** Chromium with the unpacked build. MYTHIC_SCREENSHOTS=DIR keeps pictures. */

import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { PASSWORD, PHRASE } from "./world";

const BUILD = fileURLToPath(new URL("../../dist/chrome-mv3", import.meta.url));
export const CHROMIUM = process.env["CHROMIUM"] ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
/** Of the manifest's key. */
export const ID = "impaicdpliecjpibppgeibmpehabgkdg";
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

export class Browser {
  readonly context: BrowserContext;
  /** What pages complained of. */
  readonly wrong: string[] = [];
  readonly #profile: string;

  private constructor(context: BrowserContext, profile: string) {
    this.context = context;
    this.#profile = profile;
    context.setDefaultTimeout(60_000);
    context.on("weberror", (error) => this.wrong.push(String(error.error())));
    context.on("console", (message) => {
      if (message.type() === "error") this.wrong.push(message.text());
    });
  }

  static async open(scheme: "light" | "dark" = "light"): Promise<Browser> {
    if (!existsSync(join(BUILD, "manifest.json"))) throw new Error("build the extension first: npm run build --workspace extension");
    const profile = await mkdtemp(join(tmpdir(), "mythic-wallet-"));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM!,
      colorScheme: scheme,
      viewport: { width: 360, height: 640 },
      args: ["--no-sandbox", "--headless=new", "--disable-dev-shm-usage", `--disable-extensions-except=${BUILD}`, `--load-extension=${BUILD}`],
      ignoreDefaultArgs: ["--disable-extensions"],
    });
    return new Browser(context, profile);
  }

  async close(): Promise<void> {
    await this.context.close();
    await rm(this.#profile, { recursive: true, force: true });
  }

  /** The wallet's page, in a tab. */
  async popup(hash = ""): Promise<Page> {
    const page = await this.context.newPage();
    await page.goto(`chrome-extension://${ID}/popup.html#${hash}`);
    return page;
  }

  /** The approval window that comes next. */
  async approval(ask: () => Promise<unknown>): Promise<Page> {
    const [page] = await Promise.all([this.context.waitForEvent("page", { predicate: (one) => one.url().includes("approval.html") }), ask()]);
    await page.setViewportSize({ width: 360, height: 640 });
    return page;
  }

  /** Ends the worker, as the browser does with one that is idle. */
  async killWorker(): Promise<void> {
    const page = await this.popup();
    const session = await this.context.newCDPSession(page);
    await session.send("ServiceWorker.enable");
    await session.send("ServiceWorker.stopAllWorkers");
    await session.detach();
    await page.close();
  }

  /** A picture, and whether everybody can read what is on it. */
  async look(page: Page, name: string): Promise<void> {
    const width = page.viewportSize()?.width ?? 0;
    const widest = await page.evaluate(() => Math.max(document.documentElement.scrollWidth, document.querySelector("main")?.scrollWidth ?? 0));
    expect(widest, name).toBeLessThanOrEqual(width);
    const folder = process.env["MYTHIC_SCREENSHOTS"];
    if (folder) {
      await mkdir(folder, { recursive: true });
      await page.screenshot({ path: join(folder, `wallet-${name}.png`), fullPage: true });
    }
    await page.evaluate(AXE);
    const violations = await page.evaluate(async (rules) => {
      const { axe } = globalThis as unknown as { axe: { run(of: Document, options: unknown): Promise<{ violations: { id: string; nodes: { target: unknown; failureSummary: string }[] }[] }> } };
      const found = await axe.run(document, { runOnly: rules });
      return found.violations.map(({ id, nodes }) => [id, nodes.map(({ target, failureSummary }) => [target, failureSummary])]);
    }, RULES);
    expect(violations, name).toEqual([]);
  }
}

/** Makes the wallet of the test's phrase, as a person does. */
export async function restore(page: Page): Promise<void> {
  await page.getByRole("button", { name: "I have a recovery phrase" }).click();
  await page.getByLabel("Recovery phrase").fill(PHRASE);
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Password, at least 8 characters").fill(PASSWORD);
  await page.getByLabel("The same again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the wallet" }).click();
  await page.locator("#balance").waitFor();
}

/** Tells the wallet of another gateway and chain on this machine. */
export async function network(page: Page, gatewayUrl: string, rpcUrl: string): Promise<void> {
  await page.goto(`chrome-extension://${ID}/popup.html#settings`);
  await page.getByRole("button", { name: "Change", exact: true }).click();
  await page.getByLabel("Gateway").fill(gatewayUrl);
  await page.getByLabel("RPC of the chain").fill(rpcUrl);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText(rpcUrl).first().waitFor();
}

export async function goTo(page: Page, tab: string): Promise<void> {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: tab }).click();
}

/** Approves what the wallet itself proposes, and waits for the chain. */
export async function approve(page: Page): Promise<void> {
  await page.locator("#forecast").filter({ hasText: "it would work" }).waitFor();
  await page.getByRole("button", { name: "Sign and send" }).click();
  await page.getByText("Confirmed by the chain.").waitFor();
}
