/** Wallets: what they sign, what the chain refuses, and what the gateway is told. */

import { MythicAI } from "@mythic/ai-sdk";
import { keyWallet, signerWallet, standardWallet, type StandardWallet, type Wallet } from "@mythic/ai-sdk/wallet";
import { findJobPda, findSpendGrantPda, findVaultPda, getModelDecoder, getModelEncoder, getModelSize, getSpendGrantEncoder, parseGrantSpendInstruction, parseRequestInferenceInstruction } from "@mythic/program/ai-precompiles";
import { address, decompileTransactionMessage, getCompiledTransactionMessageDecoder, getTransactionDecoder, type Transaction } from "@solana/kit";
import { beforeEach, describe, expect, test, vi } from "vitest";
import * as errors from "../src/errors.js";
import { LAYOUT_VERSION, PROGRAM } from "../src/generated/layouts.js";
import { signedBytes } from "../src/http/signed.js";
import { base58, unbase58 } from "../src/verify/base58.js";
import { base64, equal, hex, unbase64, unhex } from "../src/verify/bytes.js";
import { stopHash, stopOptionsHash } from "../src/verify/hashes.js";
import { keySigner } from "../src/wallet/signers.js";
import { answerEvents, faultServer, type FaultServer, hangUp, json, refuse, stream } from "./support/faults.js";

const SEED = new Uint8Array(32).fill(9);
const key = (byte: number): string => base58(new Uint8Array(32).fill(byte));
const DELEGATE = key(8);
const SIGNATURE = base58(new Uint8Array(64).fill(1));

let server: FaultServer;
let wallet: Wallet;
let ai: MythicAI;

beforeEach(async () => {
  server = await faultServer();
  wallet = await keyWallet(SEED, { rpcUrl: `${server.url}/rpc` });
  ai = new MythicAI({ gatewayUrl: server.url, wallet });
  return () => server.close();
});

/** A chain that answers by method; what is sent lands at once unless a method says otherwise. */
function chain(methods: Record<string, (params: readonly string[]) => unknown> = {}): { sent: Transaction[] } {
  const sent: Transaction[] = [];
  const known: Record<string, (params: readonly string[]) => unknown> = {
    getSlot: () => 1_000,
    getBlockHeight: () => 900,
    getLatestBlockhash: () => ({ context: { slot: 1_000 }, value: { blockhash: key(5), lastValidBlockHeight: 1_100 } }),
    getAccountInfo: () => ({ context: { slot: 1_000 }, value: null }),
    sendTransaction: () => SIGNATURE,
    getSignatureStatuses: () => ({ context: { slot: 1_000 }, value: [{ slot: 1_000, confirmations: 1, err: null, confirmationStatus: "confirmed", status: { Ok: null } }] }),
    ...methods,
  };
  server.on("POST /rpc", (response, asked) => {
    const { id, method, params } = asked.body as { id: unknown; method: string; params: readonly string[] };
    if (method === "sendTransaction") sent.push(getTransactionDecoder().decode(unbase64(params[0]!)));
    const result = known[method]?.(params);
    const failed = typeof result === "object" && result !== null && "error" in result;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...(failed ? result : { result }) }));
  });
  return { sent };
}

const instructionOf = (transaction: Transaction) => {
  const message = decompileTransactionMessage(getCompiledTransactionMessageDecoder().decode(transaction.messageBytes) as never);
  return message.instructions[0] as never;
};

const custom = (code: number) => ({
  error: { code: -32_002, message: `custom program error: ${code}`, data: { accounts: null, err: { InstructionError: [0, { Custom: code }] }, logs: [], unitsConsumed: 0, returnData: null } },
});

async function isSigned(publicKey: string, message: Uint8Array, signature: Uint8Array): Promise<boolean> {
  const imported = await crypto.subtle.importKey("raw", new Uint8Array(unbase58(publicKey, 32)!), "Ed25519", false, ["verify"]);
  return crypto.subtle.verify("Ed25519", imported, new Uint8Array(signature), new Uint8Array(message));
}

test("requests for keys are signed by the wallet, each attempt anew", async () => {
  const made = { object: "api_key", id: "key_1", wallet: wallet.address, delegate: DELEGATE, vault: key(1), grant: key(2), name: "app", created: 1, revoked: false, key: "mk-1" };
  server.on("POST /v1/keys", refuse(503, "database_unavailable", "away"), json(made));
  const created = await ai.keys.create({ name: "app" });
  expect([created.key, created.delegate]).toEqual(["mk-1", DELEGATE]);
  const nonces = new Set<unknown>();
  for (const { headers, text, method, path } of server.asked) {
    const sent = headers as Record<string, string>;
    const bytes = signedBytes({ gatewayUrl: server.url, method, path, purpose: "keys", body: text }, Number(sent["x-mythic-time"]), unhex(sent["x-mythic-nonce"]!, 16)!);
    expect(await isSigned(sent["x-mythic-key"]!, bytes, unbase58(sent["x-mythic-signature"]!, 64)!)).toBe(true);
    nonces.add(sent["x-mythic-nonce"]);
  }
  expect(nonces.size).toBe(2);
});

test("a clock that is wrong is said to be so, and nothing is sent again under it", async () => {
  const said = "request time 1 is more than 60 s behind the receiver's 99, or more than 5 s ahead; check the clock";
  server.on("GET /v1/keys", refuse(401, "invalid_signature", said));
  vi.spyOn(Date, "now").mockReturnValue(3_600_000);
  const error: unknown = await ai.keys.list().then(() => undefined, (thrown) => thrown);
  vi.restoreAllMocks();
  expect(error).toBeInstanceOf(errors.AuthenticationError);
  expect(error).toMatchObject({ code: "invalid_signature", message: expect.stringContaining("check the clock") as string });
  // The time is this machine's, whole seconds.
  expect(server.asked.map(({ headers }) => headers["x-mythic-time"])).toEqual(["3600"]);
});

test("a key is not made twice where nobody knows whether the first request arrived", async () => {
  server.on("POST /v1/keys", hangUp);
  await expect(ai.keys.create()).rejects.toBeInstanceOf(errors.ConnectionError);
  expect(server.asked).toHaveLength(1);
});

test("evidence that the key may not see is asked for with the owner's signature", async () => {
  server.on("GET /v1/jobs/J/evidence", refuse(403, "evidence_forbidden", "not yours"), json({ job: "J" }));
  expect(await ai.jobs.evidence("J")).toEqual({ job: "J" });
  expect(server.asked.map(({ headers }) => headers["x-mythic-purpose"])).toEqual([undefined, "evidence:J"]);
  server.on("GET /v1/jobs/J/evidence", refuse(403, "evidence_forbidden", "not yours"));
  await expect(new MythicAI({ gatewayUrl: server.url }).jobs.evidence("J")).rejects.toBeInstanceOf(errors.PermissionDeniedError);
});

const terms = {
  model: key(20), canceller: key(21), salt: "ab".repeat(16), prompt_hash: "cd".repeat(32), sampling_profile: 1, options_hash: hex(stopHash(["x"])), temperature_milli: 700,
  prompt_source: "http://g", deadline_slots: 750, rules_hash: "ef".repeat(32), validator: key(22), operator: key(23),
};
const estimate = { model: "tiny@14141414", prompt_tokens: 12, max_output_tokens: 64, price_in_lamports_per_1k: 25, price_out_lamports_per_1k: 50, terms };
const asked = { pay: "wallet", maxTokens: 64, temperature: 0.7, stop: ["x"], seed: 5, model: "tiny" } as const;

/** The model of the estimate, as the chain has it. */
function modelAccount(): unknown {
  const blank = getModelDecoder().decode(new Uint8Array(getModelSize()));
  const bytes = getModelEncoder().encode({ ...blank, identity: new Uint8Array(32).fill(20), priceIn: 25, priceOut: 50 });
  return { context: { slot: 1 }, value: { owner: PROGRAM, lamports: 1, data: [base64(new Uint8Array(bytes)), "base64"], executable: false, space: getModelSize() } };
}

test("under a grant the delegate signs and pays the rent, and another wallet's vault pays the answer", async () => {
  server.on("POST /v1/estimate", json(estimate));
  chain({ getAccountInfo: modelAccount });
  const owner = address(key(30));
  const delegate = await keySigner(SEED);
  const { transaction } = await signerWallet(delegate, { rpcUrl: `${server.url}/rpc`, owner }).pay({ estimate: await ai.estimate("hello", 64), seed: undefined });
  const { accounts, data } = parseRequestInferenceInstruction(instructionOf(getTransactionDecoder().decode(unbase64(transaction))));
  const [[vault], [grant], [job]] = await Promise.all([
    findVaultPda({ owner }), findSpendGrantPda({ owner, delegate: delegate.address }), findJobPda({ owner, nonce: data.nonce }),
  ]);
  const named = [accounts.payer, accounts.requester, accounts.vault, accounts.grant, accounts.job].map((account) => account?.address);
  expect(named).toEqual([delegate.address, delegate.address, vault, grant, job]);
});

test("an answer under a grant is expected to be of the job of the wallet whose vault paid", async () => {
  server.on("POST /v1/estimate", json(estimate));
  server.on("POST /v1/chat/completions", stream(answerEvents(["hi"])));
  chain({ getAccountInfo: modelAccount });
  const granted = signerWallet(await keySigner(SEED), { rpcUrl: `${server.url}/rpc`, owner: key(30) });
  const answer = await new MythicAI({ gatewayUrl: server.url, wallet: granted }).chat("hello", asked);
  expect(answer.receipt.expected?.owner).toBe(key(30));
});

test("an own transaction asks for exactly what the estimate says, and lacks the operator's signature alone", async () => {
  server.on("POST /v1/estimate", json(estimate));
  server.on("POST /v1/chat/completions", stream(answerEvents(["hi"]).slice(0, 2), "cut"), stream(answerEvents(["hi"])));
  chain({ getAccountInfo: modelAccount });
  const answer = await ai.chat("hello", asked);
  expect(answer.output).toBe("hi");
  expect(answer.receipt.expected).toMatchObject({ owner: wallet.address, temperature: 0.7, maxTokens: 64, stop: ["x"], seed: 5 });
  const requests = server.asked.filter(({ path }) => path.startsWith("/v1/"));
  expect(requests[0]?.body).toEqual({ model: "tiny", messages: [{ role: "user", content: "hello" }], temperature: 0.7, stop: ["x"], max_tokens: 64 });
  const [first, again] = requests.slice(1).map(({ body }) => body["mythic"] as { transaction: string; salt: string });
  expect(again).toEqual(first);
  expect(first?.salt).toBe(terms.salt);
  const transaction = getTransactionDecoder().decode(unbase64(first!.transaction));
  expect(Object.keys(transaction.signatures)).toEqual([wallet.address, terms.operator]);
  expect(transaction.signatures[address(terms.operator)]).toBeNull();
  expect(await isSigned(wallet.address, new Uint8Array(transaction.messageBytes), transaction.signatures[address(wallet.address)]!)).toBe(true);
  const { accounts, data } = parseRequestInferenceInstruction(instructionOf(transaction));
  expect(data).toMatchObject({ canceller: terms.canceller, promptTokens: 12, maxOutputTokens: 64, priceIn: 25, priceOut: 50, temperatureMilli: 700, samplingProfile: 1, promptSource: "http://g", deadlineSlots: 750 });
  expect(equal(new Uint8Array(data.promptHash), unhex(terms.prompt_hash, 32)!)).toBe(true);
  expect(new DataView(new Uint8Array(data.nonce).buffer).getBigUint64(0, true)).toBe(1_150n);
  expect(data.userSeed[0]).toBe(5);
  const [job, bump] = await findJobPda({ owner: address(wallet.address), nonce: data.nonce });
  expect([accounts.job.address, data.bump]).toEqual([job, bump]);
  expect([accounts.payer.address, accounts.requester.address, accounts.operator?.address, accounts.grant]).toEqual([wallet.address, wallet.address, terms.operator, undefined]);
});

describe("terms that are not what was asked for are not signed", () => {
  const lies: [string, unknown, Record<string, unknown>][] = [
    ["more tokens than asked for", { ...estimate, max_output_tokens: 65 }, {}],
    ["more tokens than anybody gets who names none", { ...estimate, max_output_tokens: 513 }, { maxTokens: undefined }],
    ["another temperature", { ...estimate, terms: { ...terms, temperature_milli: 0 } }, {}],
    ["other stops", { ...estimate, terms: { ...terms, options_hash: "00".repeat(32) } }, {}],
    ["other options", { ...estimate, terms: { ...terms, sampling_profile: 2 } }, {}],
    ["another model by name", { ...estimate, model: "large@14141414" }, {}],
    ["another model by id", estimate, { model: "tiny@00000000" }],
    ["an address that is another model's", { ...estimate, model: "tiny@00000000" }, {}],
    ["a price above the model's", { ...estimate, price_out_lamports_per_1k: 51 }, {}],
    ["more than was allowed", { ...estimate, prompt_tokens: 900_000 }, { maxLamports: 10_000n }],
  ];
  for (const [what, told, more] of lies) {
    test(what, async () => {
      server.on("POST /v1/estimate", json(told));
      chain({ getAccountInfo: modelAccount });
      await expect(ai.chat("hello", { ...asked, ...more })).rejects.toBeInstanceOf(errors.TermsRefusedError);
      expect(server.asked.filter(({ path }) => path === "/v1/chat/completions")).toEqual([]);
    });
  }

  test("options of stops are hashed by their bytes in order, each once", () => {
    const found = hex(stopOptionsHash(new Uint8Array(16).fill(0xab), ["b", "\u{1f600}", "\uff01", "b", "a"]));
    expect(found).toBe("f36a38c7789adf41526cc23dcc443142b733012e440255261276e2aeff93d0a3");
    expect(stopOptionsHash(new Uint8Array(16), [])).toEqual(new Uint8Array(32));
  });

  test("options of stops alone, and of more, are signed as what they are", async () => {
    const salt = unhex(terms.salt, 16)!;
    const chosen = (optionsHash: string): unknown => ({ ...estimate, terms: { ...terms, sampling_profile: 2, options_hash: optionsHash } });
    server.on("POST /v1/estimate", json(chosen(hex(stopOptionsHash(salt, ["x", "x"])))), json(chosen("11".repeat(32))));
    server.on("POST /v1/chat/completions", stream(answerEvents(["hi"])));
    chain({ getAccountInfo: modelAccount });
    expect((await ai.chat("hello", asked)).output).toBe("hi");
    const { maxTokens, ...rest } = asked;
    const sent = ai.chatCompletions([{ role: "user", content: "hello" }], { ...rest, stop: ["x"], max_tokens: maxTokens, top_k: 40, stream: true });
    await expect((async () => { for await (const _chunk of sent) { /* read to its end */ } })()).resolves.toBeUndefined();
  });

  test("tokens that are no number are the gateway's fault", async () => {
    server.on("POST /v1/estimate", json({ ...estimate, prompt_tokens: -1 }), json({ ...estimate, prompt_tokens: "12" }));
    chain({ getAccountInfo: modelAccount });
    for (const _told of [1, 2]) await expect(ai.chat("hello", { ...asked, maxLamports: 9n })).rejects.toBeInstanceOf(errors.ProtocolError);
  });

  test("a ceiling that is reached and not passed is signed", async () => {
    server.on("POST /v1/estimate", json(estimate));
    server.on("POST /v1/chat/completions", stream(answerEvents(["hi"])));
    chain({ getAccountInfo: modelAccount });
    // 12 x 25 + 64 x 50 thousandths, rounded up.
    await expect(ai.chat("hello", { ...asked, maxLamports: 3n })).rejects.toBeInstanceOf(errors.TermsRefusedError);
    expect((await ai.chat("hello", { ...asked, maxLamports: 4n })).output).toBe("hi");
    await expect(ai.chat("hello", { maxLamports: 4n })).rejects.toThrow('pay: "wallet"');
  });
});

test("an estimate is of the whole request, but for what its answer alone is made of", async () => {
  server.on("POST /v1/estimate", json({ terms: { validator: null, operator: null } }));
  chain();
  const asked = { temperature: 0.7, top_k: 4, top_p: 0.9 };
  const sent = ai.chatCompletions([{ role: "user", content: "hello" }], { ...asked, seed: 5, max_completion_tokens: 9, user: "me", pay: "wallet" });
  await expect(sent).rejects.toThrow("no validator is free");
  const [estimate] = server.asked.filter(({ path }) => path === "/v1/estimate");
  expect(estimate?.body).toEqual({ messages: [{ role: "user", content: "hello" }], ...asked, max_tokens: 9 });
});

test("without a free validator there is nothing to sign", async () => {
  server.on("POST /v1/estimate", json({ terms: { validator: null, operator: null } }));
  chain();
  await expect(ai.chat("hello", { pay: "wallet" })).rejects.toThrow("no validator is free");
  await expect(new MythicAI({ gatewayUrl: server.url }).chat("hello", { pay: "wallet" })).rejects.toThrow("needs a wallet");
});

test("a deposit is sent and waited for", async () => {
  let looks = 0;
  const { sent } = chain({
    getSignatureStatuses: () => ({ context: { slot: 1 }, value: [looks++ === 0 ? null : { slot: 1, confirmations: 1, err: null, confirmationStatus: "confirmed", status: { Ok: null } }] }),
  });
  expect(await wallet.vault()).toBeNull();
  expect(await wallet.deposit(5n)).toMatch(/^[1-9A-HJ-NP-Za-km-z]{64,88}$/);
  // Sent again while nobody has seen it.
  expect(sent).toHaveLength(2);
});

test("the chain's refusal comes in its own words, with the signature if it was sent", async () => {
  chain({ sendTransaction: () => custom(501) });
  const error = await wallet.deposit(5n).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(errors.ChainRefusedError);
  expect(error).toMatchObject({ programError: 501, signature: undefined });
  chain({
    getSignatureStatuses: () => ({ context: { slot: 1 }, value: [{ slot: 1, confirmations: 1, err: { InstructionError: [0, { Custom: 612 }] }, confirmationStatus: "confirmed", status: { Err: {} } }] }),
  });
  await expect(wallet.withdraw(5n)).rejects.toThrow("the chain refuses: the grant's spent amount is not the one stated (612)");
});

test("a transaction that does not land is given up when it can't any more", async () => {
  chain({ getSignatureStatuses: () => ({ context: { slot: 1 }, value: [null] }), getBlockHeight: () => 1_101 });
  await expect(wallet.deposit(5n)).rejects.toBeInstanceOf(errors.TimeoutError);
});

test("a grant states what was spent, and is read again if the delegate spends meanwhile", async () => {
  let spent = 40n;
  const account = (): string =>
    base64(
      new Uint8Array(
        getSpendGrantEncoder().encode({
          header: { discriminator: 6, version: LAYOUT_VERSION, bump: 1, status: 1, reserved: new Uint8Array(4), seq: 1n },
          owner: address(wallet.address), delegate: address(DELEGATE), rentPayer: address(wallet.address), perJobMax: 1n, windowMax: 2n, windowSlots: 3,
          windowStart: 4n, windowSpent: 5n, lifetimeCap: 6n, lifetimeSpent: spent, expirySlot: 7n, openJobs: 0, createdSlot: 1n, updatedSlot: 1n, revokedSlot: 0n,
          modelCount: 0, models: Array.from({ length: 4 }, () => address(key(0))),
        }),
      ),
    );
  const { sent } = chain({
    getAccountInfo: () => ({ context: { slot: 1 }, value: { owner: PROGRAM, lamports: 1, data: [account(), "base64"], executable: false, space: 329 } }),
    sendTransaction: () => (spent === 40n ? ((spent = 50n), custom(612)) : SIGNATURE),
  });
  await wallet.grant({ delegate: DELEGATE, perJob: 10n, perWindow: 100n, lifetime: 1_000n, validSlots: 500n });
  const stated = sent.map((transaction) => parseGrantSpendInstruction(instructionOf(transaction)).data);
  expect(stated.map((data) => data.spent)).toEqual([40n, 50n]);
  expect(stated[1]).toMatchObject({ perJobMax: 10n, windowMax: 100n, lifetimeCap: 1_000n, expirySlot: 1_500n, windowSlots: 216_000, modelCount: 0 });
  expect(await wallet.grantOf(DELEGATE)).toMatchObject({ isActive: true, lifetimeSpent: 50n, perJob: 1n });
});

test("a wallet of a page signs, or says no in its own words", async () => {
  const inner = await keyWallet(SEED, { rpcUrl: `${server.url}/rpc` });
  const account = { address: inner.address, chains: ["solana:localnet"] };
  const features: Record<string, unknown> = {
    "solana:signMessage": { signMessage: async ({ message }: { message: Uint8Array }) => [{ signature: await inner.signMessage(message), signedMessage: message }] },
    "solana:signTransaction": { signTransaction: async () => Promise.reject(new Error("User rejected the request")) },
  };
  const page: StandardWallet = { name: "Paper", features };
  chain();
  const own = standardWallet(page, account, { rpcUrl: `${server.url}/rpc`, chain: "solana:localnet" });
  server.on("GET /v1/keys", json({ object: "list", data: [], has_more: false }));
  expect(await new MythicAI({ gatewayUrl: server.url, wallet: own }).keys.list()).toEqual([]);
  await expect(own.deposit(5n)).rejects.toThrow("Paper refuses: User rejected the request");
  await expect(own.deposit(5n)).rejects.toBeInstanceOf(errors.WalletRefusedError);
  features["solana:signMessage"] = { signMessage: async () => [{ signature: new Uint8Array(64), signedMessage: new Uint8Array(3) }] };
  await expect(own.signMessage(new Uint8Array(2))).rejects.toThrow("signed another message");
  delete features["solana:signMessage"];
  await expect(own.signMessage(new Uint8Array(2))).rejects.toThrow("Paper can't do solana:signMessage");
});

test("the vault is where the program has it", async () => {
  const [vault] = await findVaultPda({ owner: address(wallet.address) });
  const { sent } = chain();
  await wallet.deposit(7n);
  const instruction = instructionOf(sent[0]!) as { accounts: { address: string }[] };
  expect(instruction.accounts.map((one) => one.address)).toContain(vault);
});
