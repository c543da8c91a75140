/** Receipts that hold, and every lie that one could tell. */

import { assertVerified, type ChatOptions, type Expected, MythicAI, type Verification } from "@mythic/ai-sdk";
import { beforeEach, describe, expect, test } from "vitest";
import { ConnectionError, ProtocolError } from "../src/errors.js";
import { base58 } from "../src/verify/base58.js";
import { hex } from "../src/verify/bytes.js";
import { encodeJob, rpc, SEED, type Story, story } from "./support/chain.js";
import { answerEvents, faultServer, type FaultServer, json, MYTHIC, refuse, stream } from "./support/faults.js";

let server: FaultServer;
let ai: MythicAI;

beforeEach(async () => {
  server = await faultServer();
  ai = new MythicAI({ gatewayUrl: server.url, rpcUrl: `${server.url}/rpc`, maxRetries: 0 });
  return () => server.close();
});

/** Has the gateway and the chain tell a story. */
function tell({ jobId, receipt, evidence, jobBytes, modelAddress, modelBytes }: Story): string {
  server.on(`GET /v1/jobs/${jobId}/receipt`, json(receipt));
  server.on(`GET /v1/jobs/${jobId}/evidence`, json(evidence));
  server.on("POST /rpc", rpc({ [jobId]: jobBytes, [modelAddress]: modelBytes }));
  return jobId;
}

const wrong = ({ checks }: Verification): string[] => checks.filter(({ ok }) => ok === false).map(({ name }) => name);

test("a receipt that everybody tells the truth about is verified", async () => {
  const jobId = tell(story());
  const found = await ai.receipts.verify(jobId);
  expect(found.checks.filter(({ ok }) => !ok)).toEqual([]);
  expect(found).toMatchObject({ verdict: "verified", ok: true, jobId, slot: 1_050, windowOpen: true, differences: [] });
  for (const name of ["terms_hash", "fingerprint", "output_root", "prompt_hash", "sampler", "end", "fee", "model.identity"]) {
    expect(found.checks.map((check) => check.name)).toContain(name);
  }
  assertVerified(found);
  expect((await ai.receipts.verify({ jobId, url: "" })).ok).toBe(true);
  expect((await ai.receipts.verify(await ai.receipts.get(jobId))).ok).toBe(true);
  expect((await ai.receipts.verify(`chatcmpl-${jobId}`)).ok).toBe(true);
  // As `mythic.receipt` of an answer has it; the client's own gateway is asked, whatever host it names.
  expect((await ai.receipts.verify(`http://elsewhere.invalid/v1/jobs/${jobId}/receipt`)).ok).toBe(true);
});

test("of tokens that were chosen by options a receipt says that it can't tell", async () => {
  const found = await ai.receipts.verify(tell(story(2)));
  expect(found).toMatchObject({ verdict: "incomplete", ok: false, differences: [], pending: false });
  expect(found.checks.filter(({ ok }) => !ok).map(({ name }) => name)).toEqual(["sampler"]);
  for (const alter of [({ evidence }: Story) => evidence.leaves[5]!.reverse(), ({ evidence }: Story) => (evidence.output_ids[5] = 2 ** 32 - 1)]) {
    const told = story(2);
    alter(told);
    expect(wrong(await ai.receipts.verify(tell(told)))).toContain("sampler");
  }
});

const other = "11".repeat(32);

test("what was asked for is what the terms say, however a model is named", async () => {
  const told = story();
  const jobId = tell(told);
  const { modelId, modelAddress, job } = told;
  const asked = { owner: String(job.terms.owner), temperature: 1, maxTokens: 512, stop: [], seed: SEED };
  for (const model of [modelId, modelAddress, hex(new Uint8Array(Buffer.from(told.modelBytes).subarray(8 + 8, 8 + 8 + 32)))]) {
    const found = await ai.receipts.verify(jobId, { expected: { ...asked, model } });
    expect(found.differences).toEqual([]);
    expect(found.checks.filter(({ name }) => name.startsWith("asked.")).map(({ ok }) => ok)).toEqual(Array.from({ length: 6 }, () => true));
  }
});

test("a job by options that has none was asked for without stops", async () => {
  for (const [stop, ok] of [[[], true], [["x"], false]] as const) {
    const found = await ai.receipts.verify(tell(story(2)), { expected: { stop: [...stop] } });
    expect(found.checks.find(({ name }) => name === "asked.stop")?.ok).toBe(ok);
  }
});

describe("a job that is not what was asked for is named, however well its receipt holds", () => {
  const lies: [string, Expected][] = [
    ["asked.owner", { owner: base58(new Uint8Array(32).fill(9)) }],
    ["asked.model", { model: "tiny@00000000" }],
    ["asked.model", { model: "tiny" }],
    ["asked.model", { model: base58(new Uint8Array(32).fill(9)) }],
    ["asked.temperature", { temperature: 0 }],
    ["asked.max_tokens", { maxTokens: 511 }],
    ["asked.stop", { stop: ["x"] }],
    ["asked.seed", { seed: SEED + 1 }],
  ];
  for (const [name, expected] of lies) {
    test(`${name}: ${JSON.stringify(expected)}`, async () => {
      const found = await ai.receipts.verify(tell(story()), { expected });
      expect(wrong(found)).toEqual([name]);
      expect(found.verdict).toBe("mismatch");
    });
  }
});

test("an answer's receipt says what was asked for: another model's job, however true, is no proof of it", async () => {
  const told = story();
  const jobId = tell(told);
  const mythic = { ...MYTHIC, job: jobId };
  const CHAT = "POST /v1/chat/completions";
  const verified = async (model: string, options: ChatOptions = {}): Promise<Verification> => {
    server.on(CHAT, stream(answerEvents(["hi"], mythic, model)));
    return ai.receipts.verify((await ai.chat("hi", options)).receipt);
  };
  expect((await verified(told.modelId)).verdict).toBe("verified");
  expect((await verified(told.modelId, { model: "tiny", maxTokens: 512, seed: SEED })).verdict).toBe("verified");
  // The gateway answers with a job of another model, and says so or not.
  expect(wrong(await verified("large@12345678"))).toEqual(["asked.model"]);
  expect(wrong(await verified(told.modelId, { model: "large@12345678" }))).toEqual(["asked.model"]);
  expect(wrong(await verified(told.modelId, { temperature: 0.5, maxTokens: 9, stop: "x", seed: 1 }))).toEqual(["asked.temperature", "asked.max_tokens", "asked.stop", "asked.seed"]);
  server.on(CHAT, stream(answerEvents(["hi"], mythic, told.modelId)));
  const streamed = ai.stream("hi", { temperature: 0.5 });
  expect(wrong(await ai.receipts.verify((await streamed.final()).receipt))).toEqual(["asked.temperature"]);
});

describe("a lie of the gateway's receipt is named", () => {
  const lies: [string, (told: Story) => void][] = [
    ["receipt.fingerprint", ({ receipt }) => (receipt.fingerprint = other)],
    ["receipt.output_root", ({ receipt }) => (receipt.output_root = other)],
    ["receipt.terms_hash", ({ receipt }) => (receipt.terms_hash = other)],
    ["receipt.prompt_hash", ({ receipt }) => (receipt.prompt_hash = other)],
    ["receipt.model", ({ receipt }) => (receipt.model = "tiny@00000000")],
    ["receipt.owner", ({ receipt, jobId }) => (receipt.owner = jobId)],
    ["receipt.validator", ({ receipt, jobId }) => (receipt.validator = jobId)],
    ["receipt.output_tokens", ({ receipt }) => (receipt.output_tokens = 299)],
    ["receipt.prompt_tokens", ({ receipt }) => (receipt.prompt_tokens = 4)],
    ["receipt.fee", ({ receipt }) => (receipt.fee_lamports = 15_074)],
    ["receipt.ceiling", ({ receipt }) => (receipt.ceiling_lamports = 1)],
    ["receipt.price_out", ({ receipt }) => (receipt.price_out_lamports_per_1k = 1)],
    ["receipt.split.burned", ({ receipt }) => (receipt.split.burned_lamports = 0)],
  ];
  for (const [name, lie] of lies) {
    test(name, async () => {
      const told = story();
      lie(told);
      const found = await ai.receipts.verify(tell(told));
      expect(wrong(found)).toEqual([name]);
      expect(found.verdict).toBe("mismatch");
      expect(() => assertVerified(found)).toThrow(name);
    });
  }
});

describe("evidence that was altered is named", () => {
  const lies: [string, (told: Story) => void, string[]][] = [
    ["another token", ({ evidence }) => (evidence.output_ids[5] = 700), ["evidence.fingerprint", "output_root", "fingerprint", "sampler"]],
    ["another logit", ({ evidence }) => (evidence.leaves[5]![3]![1] = -199_999), ["evidence.fingerprint", "fingerprint"]],
    ["an id twice", ({ evidence }) => (evidence.leaves[5]![3]![0] = 700), ["evidence.fingerprint", "fingerprint", "sampler"]],
    ["out of order", ({ evidence }) => evidence.leaves[5]!.reverse(), ["evidence.fingerprint", "fingerprint", "sampler"]],
    ["another prompt", ({ evidence }) => (evidence.prompt_ids[0] = 11), ["prompt_hash"]],
    ["another salt", ({ evidence }) => (evidence.salt = "00".repeat(16)), ["prompt_hash"]],
    ["another seed", ({ evidence }) => (evidence.seed = other), ["evidence.seed"]],
    ["another temperature", ({ evidence }) => (evidence.temperature_milli = 0), ["evidence.temperature"]],
    ["other terms", ({ evidence }) => (evidence.terms_hash = other), ["evidence.fingerprint", "evidence.terms_hash", "fingerprint"]],
    ["another submitter", ({ evidence }) => (evidence.submitter = evidence.job), ["evidence.fingerprint", "evidence.submitter", "fingerprint"]],
    ["a token less", ({ evidence }) => (evidence.output_ids.pop(), evidence.leaves.pop()), ["evidence.fingerprint", "output_tokens", "output_root", "fingerprint", "end"]],
    ["another job", ({ evidence }) => (evidence.job = evidence.submitter), ["evidence.job", "evidence.fingerprint", "fingerprint"]],
    ["no job at all", ({ evidence }) => (evidence.job = "0"), ["evidence"]],
    ["more leaves than tokens", ({ evidence }) => evidence.output_ids.pop(), ["evidence"]],
    ["nothing", ({ evidence }) => ((evidence.output_ids = []), (evidence.leaves = [])), ["evidence"]],
    ["a leaf of three", ({ evidence }) => evidence.leaves[0]!.pop(), ["evidence"]],
    ["a logit that is none", ({ evidence }) => (evidence.leaves[0]![0]![1] = 2 ** 31), ["evidence"]],
    ["an id that is none", ({ evidence }) => (evidence.prompt_ids[0] = -1), ["evidence"]],
  ];
  for (const [what, lie, names] of lies) {
    test(what, async () => {
      const told = story();
      lie(told);
      expect(wrong(await ai.receipts.verify(tell(told)))).toEqual(names);
    });
  }
});

describe("an account that is not the job's is named", () => {
  const lies: [string, (told: Story) => void, string[]][] = [
    ["terms that do not give their hash", (told) => (told.jobBytes = encodeJob({ ...told.job, terms: { ...told.job.terms, maxOutputTokens: 9 } })), ["terms_hash"]],
    ["a fee that is not the price", (told) => ((told.jobBytes = encodeJob({ ...told.job, fee: 20_000n })), (told.receipt.fee_lamports = 20_000)), ["fee"]],
    ["another type of account", (told) => (told.jobBytes[0] = 6), ["chain"]],
    ["another layout", (told) => (told.jobBytes[1] = 9), ["chain"]],
    ["a short account", (told) => (told.jobBytes = told.jobBytes.slice(1)), ["chain"]],
    ["another model's account", (told) => (told.modelBytes[300] = 9), ["model.identity"]],
    ["an end that is none", (told) => (told.jobBytes = encodeJob({ ...told.job, header: { ...told.job.header, bump: 249 } })), ["address"]],
  ];
  for (const [what, lie, names] of lies) {
    test(what, async () => {
      const told = story();
      lie(told);
      expect(wrong(await ai.receipts.verify(tell(told)))).toEqual(names);
    });
  }

  test("a result that a case found false, however well its hashes fit", async () => {
    const told = story();
    const ends = (status: number) => encodeJob({ ...told.job, header: { ...told.job.header, status } });
    expect(wrong(await ai.receipts.verify(tell({ ...told, jobBytes: ends(7) })))).toEqual(["status"]);
    expect((await ai.receipts.verify(tell({ ...told, jobBytes: ends(4) }))).verdict).toBe("incomplete");
  });

  test("an account of another program", async () => {
    const told = story();
    tell(told);
    server.on("POST /rpc", rpc({ [told.jobId]: told.jobBytes }, "11111111111111111111111111111111"));
    expect(wrong(await ai.receipts.verify(told.jobId))).toEqual(["chain"]);
  });
});

test("without a chain nothing is verified, but what contradicts itself is named", async () => {
  const alone = new MythicAI({ gatewayUrl: server.url });
  const told = story();
  const jobId = tell(told);
  const found = await alone.receipts.verify(jobId);
  expect(found).toMatchObject({ verdict: "incomplete", ok: false, slot: null, windowOpen: null });
  expect(() => assertVerified(found)).toThrow("rpcUrl");
  told.receipt.fingerprint = other;
  expect(wrong(await alone.receipts.verify(tell(told)))).toEqual(["fingerprint"]);
});

test("a job whose account is closed is incomplete, and so is one whose evidence is not shown", async () => {
  const told = story();
  const jobId = tell(told);
  server.on("POST /rpc", rpc({}));
  expect((await ai.receipts.verify(jobId)).verdict).toBe("incomplete");
  tell(told);
  server.on(`GET /v1/jobs/${jobId}/evidence`, refuse(403, "evidence_forbidden", "not yours"));
  const found = await ai.receipts.verify(jobId);
  expect([found.verdict, found.differences]).toEqual(["incomplete", []]);
  expect((await ai.receipts.verify(jobId, { evidence: told.evidence })).verdict).toBe("verified");
});

test("right after an answer what is on its way is waited for", async () => {
  const told = story();
  told.receipt.status = "submitted";
  const jobId = tell(told);
  server.on(`GET /v1/jobs/${jobId}/evidence`, refuse(404, "evidence_not_found", "not yet"), json(told.evidence));
  server.on("POST /rpc", rpc({}), rpc({}), rpc({ [jobId]: told.jobBytes, [told.modelAddress]: told.modelBytes }));
  expect(await ai.receipts.verify(jobId, { waitMs: 0 })).toMatchObject({ verdict: "incomplete", pending: true });
  expect((await ai.receipts.verify(jobId)).verdict).toBe("verified");
  server.on("POST /rpc", rpc({}));
  await expect(ai.receipts.verify(jobId, { signal: AbortSignal.timeout(100) })).rejects.toMatchObject({ name: "AbortError" });
});

test("who gives up while the chain is asked has given up: the chain is not called away", async () => {
  const jobId = tell(story());
  const leave = new AbortController();
  server.on("POST /rpc", () => leave.abort());
  await expect(ai.receipts.verify(jobId, { signal: leave.signal })).rejects.toMatchObject({ name: "AbortError" });
});

test("a chain that is away or talks nonsense is said to be so", async () => {
  const told = story();
  tell(told);
  server.on("POST /rpc", (response) => response.end("<html>"));
  await expect(ai.receipts.verify(told.jobId)).rejects.toBeInstanceOf(ProtocolError);
  server.on("POST /rpc", json({ error: { message: "busy" } }));
  await expect(ai.receipts.verify(told.jobId)).rejects.toThrow("the chain refuses: busy");
  await expect(ai.receipts.verify(told.jobId, { rpcUrl: "http://127.0.0.1:1" })).rejects.toBeInstanceOf(ConnectionError);
});
