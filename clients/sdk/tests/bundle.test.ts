/** What ships: the bundle runs in Chromium as a page would run it, is small, and pulls nothing else in. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { afterAll, describe, expect, test } from "vitest";
import { rpc, story } from "./support/chain.js";
import { answerEvents, faultServer, type Handler, json, MYTHIC, stream } from "./support/faults.js";

const BROWSERS = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = BROWSERS.find((path) => path && existsSync(path));
/** Where tests run unwatched, one that is skipped is one that nobody misses. */
const isRequired = !["", "0", "false", undefined].includes(process.env["CI"]);
const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function bundle(entry: string) {
  const { outputFiles, metafile } = await build({
    entryPoints: [source(entry)],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    alias: { "@mythic/ai-sdk": source("../src/index.ts") },
  });
  return { text: outputFiles[0]!.text, inputs: Object.keys(metafile.inputs) };
}

test("the client alone is small and has no dependency", async () => {
  const { text, inputs } = await bundle("../src/index.ts");
  expect(inputs.filter((path) => path.includes("node_modules"))).toEqual([]);
  expect(text.length).toBeLessThan(54_000);
});

describe.skipIf(executablePath === undefined && !isRequired)("in Chromium", () => {
  const opened: { close(): Promise<void> }[] = [];
  afterAll(async () => {
    for (const one of opened) await one.close();
  });

  test("a page streams an answer and verifies its receipt", async () => {
    expect(executablePath, `CI is set and there is no Chromium at ${BROWSERS.filter(Boolean).join(", ")}: name one with CHROMIUM`).toBeDefined();
    const told = story(1, 0);
    const server = await faultServer();
    // Another origin than the page's: what a gateway with `cors_origins` answers.
    const open =
      (answer: Handler): Handler =>
      (response, asked) => {
        response.setHeader("access-control-allow-origin", "*");
        response.setHeader("access-control-allow-headers", "*");
        response.setHeader("access-control-expose-headers", "*");
        return asked.method === "OPTIONS" ? response.end() : answer(response, asked);
      };
    const { text } = await bundle("../examples/browser.ts");
    server.on("GET /", (response) => {
      response.setHeader("content-type", "text/html");
      response.end('<!doctype html><body><script type="module" src="/page.js"></script>');
    });
    server.on("GET /page.js", (response) => {
      response.setHeader("content-type", "text/javascript");
      response.end(text);
    });
    server.on("*", open((response) => response.end()));
    server.on("POST /v1/chat/completions", open(stream(answerEvents(["It is", " blue."], { ...MYTHIC, job: told.jobId }, told.modelId))));
    server.on(`GET /v1/jobs/${told.jobId}/receipt`, open(json(told.receipt)));
    server.on(`GET /v1/jobs/${told.jobId}/evidence`, open(json(told.evidence)));
    server.on("POST /rpc", open(rpc({ [told.jobId]: told.jobBytes, [told.modelAddress]: told.modelBytes })));
    const browser = await chromium.launch({ executablePath: executablePath!, args: ["--no-sandbox"] });
    opened.push(browser);
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    const elsewhere = server.url.replace("127.0.0.1", "localhost");
    await page.goto(`${server.url}/?gateway=${elsewhere}&rpc=${elsewhere}/rpc&key=k`);
    await page.waitForFunction(() => document.querySelectorAll("p")[1]?.textContent !== "", undefined, { timeout: 30_000 });
    expect(problems).toEqual([]);
    expect(await page.locator("p").allTextContents()).toEqual(["It is blue.", "verified"]);
    expect(server.asked.find(({ method, path }) => method === "POST" && path === "/v1/chat/completions")?.headers["authorization"]).toBe("Bearer k");
  });
});
