/** Against a real network: MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL of a running `mythic dev`. */

import { MythicAI, NotFoundError } from "@mythic/ai-sdk";
import { keyWallet } from "@mythic/ai-sdk/wallet";
import { describe, expect, test } from "vitest";

const { MYTHIC_GATEWAY_URL: gatewayUrl = "", MYTHIC_RPC_URL: rpcUrl = "" } = process.env;
const ai = new MythicAI({ gatewayUrl: gatewayUrl || "http://127.0.0.1:1", rpcUrl });
const SHORT = { maxTokens: 8 };

async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 45_000; Date.now() < end; ) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${what} did not happen`);
}

describe.skipIf(gatewayUrl === "" || rpcUrl === "")("a real network", () => {
  test("the mission's lines", async () => {
    const answer = await ai.chat("Explain gravity.", SHORT);
    expect(answer.output).not.toBe("");
    expect(answer.cost).toBeGreaterThan(0n);
    const completion = await ai.chatCompletions([{ role: "user", content: "hi" }], { max_completion_tokens: 4 });
    expect(completion.choices[0]?.message.content).toBeTypeOf("string");
    expect((await ai.estimate("My prompt", 512)).estimatedCostSol).toBeGreaterThan(0);
    expect((await ai.network()).activeValidators).toBeGreaterThan(0);
  });

  test("an answer's receipt is verified by its own computation, all but a choice among all tokens", async () => {
    for (const [temperature, open, verdict] of [[0, [], "verified"], [0.8, ["sampler"], "incomplete"]] as const) {
      const { receipt, cost, jobId } = await ai.chat("Why is the sky blue?", { maxTokens: 40, temperature });
      const found = await ai.receipts.verify(receipt);
      expect(found.checks.filter(({ ok }) => ok !== true).map(({ name }) => name)).toEqual(open);
      expect(found).toMatchObject({ differences: [], verdict });
      expect((await ai.jobs.cost(jobId)).lamports).toBe(cost);
    }
  });

  test("a stream is the text of its answer, and is verified at temperature 0 too", async () => {
    const stream = ai.stream("Count to five.", { maxTokens: 20, temperature: 0 });
    let text = "";
    for await (const part of stream) text += part;
    const answer = await stream.final();
    expect(answer.output).toBe(text);
    expect((await ai.receipts.verify(answer.receipt)).differences).toEqual([]);
  });

  test("the same request under the same key is answered and paid once", async () => {
    const options = { ...SHORT, idempotencyKey: `sdk-test-${Date.now()}` };
    const first = await ai.chat("Once only.", options);
    const again = await ai.chat("Once only.", options);
    expect([again.jobId, again.output, again.replayed]).toEqual([first.jobId, first.output, true]);
    await expect(ai.chat("Something else.", options)).rejects.toMatchObject({ status: 422, code: "idempotency_key_reused" });
  });

  test("an aborted answer has a job, and costs what was handed out", async () => {
    const stream = ai.stream("Count to a thousand, in words.", { maxTokens: 1_500, temperature: 1 });
    const read = (async () => {
      for await (const _text of stream) stream.abort();
    })();
    const error: unknown = await read.then(() => undefined, (thrown) => thrown);
    expect(stream.jobId).toBeTypeOf("string");
    expect(error).toMatchObject({ name: "AbortError", jobId: stream.jobId });
    const { lamports } = await ai.jobs.cost(stream.jobId ?? "", { timeoutMs: 45_000 });
    const { ceilingLamports } = await ai.jobs.get(stream.jobId ?? "");
    expect(lamports).toBeLessThan(ceilingLamports);
  });

  test("lists, models and pages of the network", async () => {
    expect((await ai.models()).filter((model) => model.isDefault)).toHaveLength(1);
    const { data } = await ai.jobs.list({ limit: 2 });
    expect(data.length).toBeGreaterThan(0);
    expect((await ai.jobs.get(data[0]!.id)).id).toBe(data[0]!.id);
    expect((await ai.validators.list()).data[0]?.stake).toBeTypeOf("bigint");
    expect((await ai.stats("daily")).data).toBeInstanceOf(Array);
    expect((await ai.health()).status).toBeTypeOf("string");
    await expect(ai.jobs.get("1".repeat(32))).rejects.toBeInstanceOf(NotFoundError);
  });

  test("the feed tells of a job, from its beginning on", async () => {
    const abort = new AbortController();
    const events = ai.events({ topics: ["jobs", "results"], signal: abort.signal });
    const first = events.next();
    await ai.chat("Something happens.", SHORT);
    const { value } = await first;
    expect(value).toMatchObject({ topic: expect.stringMatching(/jobs|results/) as string, seq: expect.any(Number) as number });
    abort.abort();
  });

  test("a job is watched until it has its result", async () => {
    const { jobId } = await ai.chat("Watch me.", SHORT);
    for await (const job of ai.jobs.watch(jobId)) {
      if (["submitted", "settled"].includes(job.status)) break;
    }
  });

  test("an open job is answered later", async () => {
    const job = await ai.submit("Later.", SHORT);
    const done = await until("the open job's output", async () => (await ai.jobs.get(job.id)).output ?? undefined);
    expect(done).toBeTypeOf("string");
  });

  test("a wallet deposits, makes a key with limits, and signs a job of its own", async () => {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    const wallet = await keyWallet(secret, { rpcUrl });
    const airdrop = { jsonrpc: "2.0", id: 1, method: "requestAirdrop", params: [wallet.address, 2_000_000_000] };
    await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(airdrop) });
    await until("the airdrop", () => wallet.deposit(500_000_000n).catch(() => undefined));
    const own = new MythicAI({ gatewayUrl, rpcUrl, wallet });
    const key = await own.keys.create({ name: "test" });
    await wallet.grant({ delegate: key.delegate, perJob: 1_000_000n, perWindow: 2_000_000n, lifetime: 2_000_000n, validSlots: 100_000n });
    const app = new MythicAI({ gatewayUrl, apiKey: key.key });
    const byKey = await app.chat("By key.", SHORT);
    expect((await own.jobs.get(byKey.jobId)).owner).toBe(wallet.address);
    const answer = await own.chat("By my own transaction.", { ...SHORT, pay: "wallet" });
    expect((await own.jobs.get(answer.jobId)).owner).toBe(wallet.address);
    // Its evidence is the owner's: the wallet signs for it.
    expect((await own.receipts.verify(answer.receipt)).differences).toEqual([]);
    await own.keys.revoke(key.id);
    await wallet.revokeGrant(key.delegate);
    expect((await wallet.grantOf(key.delegate))?.isActive).toBe(false);
    expect((await wallet.vault())?.spent).toBeTypeOf("bigint");
  });
});
