/** Every example of the pages is a file that compiles, and runs here against a gateway that answers. */

import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { rpc, story } from "./support/chain.js";
import { answerEvents, faultServer, type FaultServer, type Handler, json, MYTHIC, stream, USAGE } from "./support/faults.js";

const clients = new URL("../../", import.meta.url);
const PAGES = ["sdk/README.md", "ai-provider/README.md", "../docs/sdk.md"];
const EXAMPLES = ["sdk/examples/", "ai-provider/examples/"];

const read = (path: string): Promise<string> => readFile(new URL(path, clients), "utf8");

test("the code on every page is that of an example, and every example is on a page", async () => {
  const examples = new Map<string, string>();
  for (const folder of EXAMPLES) {
    for (const name of await readdir(new URL(folder, clients))) examples.set((await read(folder + name)).trim(), folder + name);
  }
  const shown = new Set<string>();
  for (const page of PAGES) {
    for (const [, code = ""] of (await read(page)).matchAll(/```ts\n([^]*?)```/g)) {
      const name = examples.get(code.trim());
      expect(name, `${page}:\n${code}`).toBeDefined();
      shown.add(name!);
    }
  }
  expect([...examples.values()].filter((name) => !shown.has(name))).toEqual([]);
});

describe("examples", () => {
  const told = story(1, 0);
  const mythic = { ...MYTHIC, job: told.jobId };
  let server: FaultServer;
  let said: string[];

  const completion: Handler = (response, asked) => {
    if (asked.body["stream"]) return stream(answerEvents(["It is", " blue."], mythic, told.modelId))(response, asked);
    const choices = [{ index: 0, message: { role: "assistant", content: "It is blue." }, finish_reason: "stop" }];
    return json({ id: `chatcmpl-${told.jobId}`, object: "chat.completion", created: 1, model: "tiny", choices, usage: USAGE, mythic })(response, asked);
  };

  beforeEach(async () => {
    server = await faultServer();
    said = [];
    vi.spyOn(console, "log").mockImplementation((...parts: unknown[]) => void said.push(parts.join(" ")));
    vi.stubEnv("MYTHIC_GATEWAY_URL", server.url);
    vi.stubEnv("MYTHIC_RPC_URL", `${server.url}/rpc`);
    server.on("POST /v1/chat/completions", completion);
    server.on("GET /v1/models", json({ object: "list", data: [{ id: "tiny@00000000", is_default: true }], has_more: false }));
    server.on("GET /v1/network", json({ active_validators: 5 }));
    server.on("POST /v1/estimate", json({ estimated_cost_sol: 0.5, terms: {} }));
    server.on(`GET /v1/jobs/${told.jobId}/receipt`, json(told.receipt));
    server.on(`GET /v1/jobs/chatcmpl-${told.jobId}/receipt`, json(told.receipt));
    server.on(`GET /v1/jobs/${told.jobId}/evidence`, json(told.evidence));
    server.on("POST /rpc", rpc({ [told.jobId]: told.jobBytes, [told.modelAddress]: told.modelBytes }));
  });

  afterEach(async () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    await server.close();
  });

  test("first", async () => {
    await import("../examples/first.js");
    expect(said).toEqual(["It is blue.", "It is blue.", "0.5", "5"]);
  });

  test("quickstart", async () => {
    await import("../examples/quickstart.js");
    expect(said).toContain("verified");
    expect(said.filter((line) => line.startsWith("  ")).every((line) => line.startsWith("  holds: "))).toBe(true);
  });

  test("stream", async () => {
    vi.spyOn(process.stdout, "write").mockImplementation((text) => said.push(String(text)) > 0);
    await import("../examples/stream.js");
    expect(said).toEqual(["It is", " blue.", "\nstop, 1650 lamports"]);
  });

  test("abort", async () => {
    server.on("POST /v1/chat/completions", stream(answerEvents(["one"], mythic).slice(0, 2), "stall"));
    server.on(`GET /v1/jobs/2b3yh5ckFyvFTN8r2bMsbNsYcYGTVYHPRiZwxvSHShtM`, json({ status: "settled", fee_lamports: 7 }));
    server.on(`GET /v1/jobs/${told.jobId}`, json({ status: "settled", fee_lamports: 7 }));
    await import("../examples/abort.js");
    expect(said).toEqual(["aborted; it cost 7 lamports"]);
  });

  test("events", async () => {
    const event = JSON.stringify({ seq: 1, topic: "jobs", op: "add", entity: "J", slot: 1, blockhash: "b", commitment: "processed", payload: {}, at: "t" });
    server.on("GET /v1/stream", stream([event], "stall"));
    await import("../examples/events.js");
    expect(said).toEqual(["add jobs J processed"]);
  });

  test("openai", async () => {
    await import("../examples/openai.js");
    expect(said).toEqual(["It is blue.", "15075"]);
  });

  test("the AI SDK's", async () => {
    await import("../../ai-provider/examples/text.js");
    expect(said).toEqual(["It is blue.", `${told.jobId} 1650`]);
  });
});

test("a key file is what the wallet's example reads", async () => {
  const folder = await mkdtemp(join(tmpdir(), "mythic-sdk-"));
  const file = join(folder, "wallet.json");
  await writeFile(file, JSON.stringify(Array.from({ length: 32 }, () => 7)));
  const { keyWallet } = await import("@mythic/ai-sdk/wallet");
  const secret = Uint8Array.from(JSON.parse(await readFile(file, "utf8")) as number[]);
  expect((await keyWallet(secret, { rpcUrl: "http://127.0.0.1:1" })).address).toMatch(/^[1-9A-HJ-NP-Za-km-z]{32,44}$/);
});
