/** Against a real network: MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL of a running `mythic dev`. */

import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMythic, type MythicMetadata } from "@mythic/ai-provider";
import { AuthenticationError, type Message, MythicAI, NotFoundError, PaymentRequiredError, TermsRefusedError } from "@mythic/ai-sdk";
import { keyWallet, type Wallet } from "@mythic/ai-sdk/wallet";
import { generateText } from "ai";
import { describe, expect, test, vi } from "vitest";

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

/** A wallet of its own with two SOL. */
async function funded(secret = crypto.getRandomValues(new Uint8Array(32))): Promise<Wallet> {
  const wallet = await keyWallet(secret, { rpcUrl });
  const airdrop = { jsonrpc: "2.0", id: 1, method: "requestAirdrop", params: [wallet.address, 2_000_000_000] };
  const ask = async (body: object): Promise<{ result?: { value?: number } }> => {
    const response = await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return (await response.json()) as { result?: { value?: number } };
  };
  await ask(airdrop);
  const balance = { jsonrpc: "2.0", id: 2, method: "getBalance", params: [wallet.address, { commitment: "confirmed" }] };
  await until("the airdrop", async () => (await ask(balance)).result?.value || undefined);
  return wallet;
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

  test("the market and its statistics", async () => {
    const market = await ai.market.show();
    expect(market.escrowLamports).toBeTypeOf("bigint");
    const [provider] = (await ai.market.providers()).data;
    expect(await ai.market.provider(provider?.authority ?? "")).toMatchObject({ id: provider?.id, class: provider?.class });
    expect((await ai.market.classes()).data.map(({ id }) => id)).toContain(provider?.class);
    expect((await ai.market.requests({ limit: 1 })).data).toBeInstanceOf(Array);
    expect((await ai.market.leases({ limit: 1 })).data).toBeInstanceOf(Array);
    const model = (await ai.models())[0];
    expect((await ai.prices(model?.id ?? "")).data[0]?.priceInLamportsPer1k).toBe(model?.priceInLamportsPer1k);
    for (const name of ["burned", "market"] as const) {
      for await (const { day } of ai.stats(name)) expect(day).toMatch(/^\d{4}-\d\d-\d\d$/);
    }
  });

  test("the Vercel AI SDK has the text, and the receipt that verifies it", async () => {
    const { text, providerMetadata } = await generateText({ model: createMythic({ gatewayUrl })(), prompt: "Name a fish.", maxOutputTokens: 8, temperature: 0 });
    const { receipt, job } = providerMetadata?.["mythic"] as unknown as MythicMetadata;
    expect(text).not.toBe("");
    expect((await ai.jobs.get(job ?? "")).output).toBe(text);
    expect(await ai.receipts.verify(receipt ?? "")).toMatchObject({ differences: [], verdict: "verified" });
  });

  test("a wallet leases an endpoint, talks to it with any client, and has back what was not used", async () => {
    const wallet = await funded();
    const model = (await ai.models()).find(({ isDefault }) => isDefault)?.address;
    const [offer] = await wallet.leases.offers();
    const leased = await wallet.leases.request({ model: model ?? "", seconds: 600 });
    const tenant = new MythicAI({ gatewayUrl: leased.baseUrl, apiKey: leased.apiKey });
    expect((await tenant.chatCompletions([{ role: "user", content: "hi" }], { model: leased.model, max_tokens: 4 })).choices).toHaveLength(1);
    expect(await wallet.leases.get(leased.lease)).toMatchObject({ status: "active", provider: offer?.provider });
    expect((await wallet.leases.close(leased.lease)).signatures).not.toEqual([]);
    // Nothing is due any more, whoever paid it out: it is left alone.
    expect(await wallet.leases.close(leased.lease)).toEqual({ returned: 0n, signatures: [] });
    await until("its end in the gateway", async () => {
      const { status, reason } = await ai.market.lease(leased.lease);
      return status === "ended" ? reason : undefined;
    });
    expect(await ai.market.lease(leased.lease)).toMatchObject({ tenant: wallet.address, provider: offer?.provider });
    expect((await ai.market.epochs(leased.lease)).data).toBeInstanceOf(Array);
    expect((await ai.market.disputes(leased.lease)).data).toEqual([]);
  });

  test("a wallet deposits, makes a key with limits, and signs a job of its own", async () => {
    const wallet = await funded();
    await wallet.deposit(500_000_000n);
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

  test("a job that a wallet signs costs no more than it allows, and is the one that was asked for", async () => {
    const wallet = await funded();
    await wallet.deposit(100_000_000n);
    const own = new MythicAI({ gatewayUrl, rpcUrl, wallet });
    const asked = { ...SHORT, temperature: 0.3, stop: ["\n\n"], seed: 7, pay: "wallet" } as const;
    await expect(own.chat("Name a bird.", { ...asked, maxLamports: 10n })).rejects.toBeInstanceOf(TermsRefusedError);
    const { receipt } = await own.chat("Name a bird.", { ...asked, maxLamports: 100_000n });
    const found = await own.receipts.verify(receipt);
    expect(found.differences).toEqual([]);
    expect(found.checks.filter(({ name }) => name.startsWith("asked.")).map(({ name }) => name)).toEqual(
      ["owner", "model", "temperature", "max_tokens", "stop", "seed"].map((name) => `asked.${name}`),
    );
    // By key the seed is made another way.
    expect((await ai.receipts.verify((await ai.chat("Name a bird.", { ...SHORT, seed: 8 })).receipt)).differences).toEqual([]);
  });

  test("a grant that is exhausted in the middle of a conversation says so, and the conversation goes on once it is raised", async () => {
    const wallet = await funded();
    await wallet.deposit(100_000_000n);
    const own = new MythicAI({ gatewayUrl, rpcUrl, wallet });
    const key = await own.keys.create({ name: "conversation" });
    const limits = { delegate: key.delegate, perJob: 20_000n, perWindow: 1_000_000n, validSlots: 100_000n };
    await wallet.grant({ ...limits, lifetime: 6_000n });
    const app = new MythicAI({ gatewayUrl, apiKey: key.key });
    const messages: Message[] = [];
    const say = async (content: string): Promise<void> => {
      const { output } = await app.chat([...messages, { role: "user", content }], SHORT);
      messages.push({ role: "user", content }, { role: "assistant", content: output });
    };
    const refused = await until("the grant's end", () => say("And then?").then(() => undefined, (error: unknown) => error));
    expect(messages.length).toBeGreaterThan(0);
    expect(refused).toBeInstanceOf(PaymentRequiredError);
    expect(refused).toMatchObject({ code: "spend_limit_exceeded", jobId: undefined });
    expect((await wallet.grantOf(key.delegate))?.lifetimeSpent).toBeLessThanOrEqual(6_000n);
    await wallet.grant({ ...limits, lifetime: 100_000n });
    const before = messages.length;
    await until("the raised grant", () => say("Go on.").then(() => true, () => undefined));
    expect(messages).toHaveLength(before + 2);
  });

  test("a clock that is wrong is refused in words, and one that is right again is not", async () => {
    const own = new MythicAI({ gatewayUrl, rpcUrl, wallet: await keyWallet(crypto.getRandomValues(new Uint8Array(32)), { rpcUrl }) });
    for (const skew of [-120_000, 60_000]) {
      const now = Date.now();
      vi.spyOn(Date, "now").mockReturnValue(now + skew);
      const error: unknown = await own.keys.list().then(() => undefined, (thrown) => thrown);
      vi.restoreAllMocks();
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error).toMatchObject({ code: "invalid_signature", message: expect.stringContaining("check the clock") as string });
    }
    expect(await own.keys.list()).toEqual([]);
  });

  test("the wallet's example runs as it stands", async () => {
    const secret = crypto.getRandomValues(new Uint8Array(32));
    await funded(secret);
    const file = join(await mkdtemp(join(tmpdir(), "mythic-sdk-")), "wallet.json");
    await writeFile(file, JSON.stringify([...secret]));
    const said: string[] = [];
    vi.spyOn(console, "log").mockImplementation((...parts: unknown[]) => void said.push(parts.join(" ")));
    vi.stubEnv("MYTHIC_KEYPAIR", file);
    await import("../examples/wallet.js").finally(() => {
      vi.restoreAllMocks();
      vi.unstubAllEnvs();
    });
    expect(said).toHaveLength(2);
    expect(said[0]).not.toBe("");
    expect(said[1]).toMatch(/ verified$/);
  });
});
