/** Jobs of the chat, paid by the session key: once, within what was shown, and only where the chain agrees. */

import { type Estimate, MythicAI } from "@mythic/ai-sdk";
import { base64 } from "@scure/base";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Core } from "../src/core/core";
import { WalletError } from "../src/core/error";
import type { PaymentAsked } from "../src/core/payments";
import { readTransaction, type ReadTransaction } from "../src/decode/message";
import { signedBytes } from "../../sdk/src/http/signed";
import { Killed } from "./support/area";
import { FakeGateway } from "./support/gateway";
import { World } from "./support/world";

const SOL = 1_000_000_000n;
const JOB = "BKcaJL1qvrzzCMZPuY2rTZnpyTD3KHGBKqrYQ5Zn5THs";

describe("payments", () => {
  let gateway: FakeGateway;
  let estimate: Estimate;

  beforeAll(async () => {
    gateway = new FakeGateway();
    await gateway.start();
    estimate = await new MythicAI({ gatewayUrl: gateway.url }).estimate("Why?", 100);
  });
  afterAll(() => gateway.stop());

  /** A wallet with a limit of so many lamports a job. */
  async function limited(perJob: bigint): Promise<{ world: World; core: Core; delegate: string }> {
    const world = new World(gateway.chain);
    const { core, address: me } = await world.open();
    await core.setNetwork({ id: "local", name: "Test", gatewayUrl: gateway.url, rpcUrl: `${gateway.url}/rpc`, chain: "solana:localnet", genesis: null });
    gateway.chain.ledger = { lamports: new Map([[me, 5n * SOL]]), vaults: new Map(), grants: new Map() };
    const delegate = await core.delegate();
    const limit = { delegate, perJob, perWindow: SOL, windowSlots: 1_000, lifetime: SOL, validSlots: 1_000_000n, models: [], deposit: SOL, float: SOL };
    const { id } = await core.propose("Allow", { kind: "limit", limit });
    await core.decide({ id, yes: true });
    while ((await core.request(id)).state === "signed");
    return { world, core, delegate };
  }

  const asked = (id: string, most = SOL): PaymentAsked => ({ id, by: "limit", estimate, seed: undefined, most });
  const failure = (work: Promise<unknown>): Promise<WalletError> => work.then(() => { throw new Error("it did not fail"); }, (error: WalletError) => error);

  test("the session key signs and pays fees, the owner's vault pays the answer", async () => {
    const { core, delegate } = await limited(SOL);
    const { transaction } = await core.pay(asked("question-1"));
    const read = readTransaction(base64.decode(transaction)) as ReadTransaction;
    expect([read.feePayer, read.signed, read.signers.length]).toEqual([delegate, [delegate], 2]);
    expect(await gateway.chain.land(base64.decode(transaction))).toBeNull();
  });

  test("a question has one payment, whoever asks for it again", async () => {
    const { core } = await limited(SOL);
    const [one, two] = [await core.pay(asked("question-1")), await core.pay(asked("question-1"))];
    expect(two).toEqual(one);
    await core.forgetPayment("question-1");
    expect(await core.pay(asked("question-1"))).not.toEqual(one);
  });

  test("more than what was shown is not signed", async () => {
    const { core } = await limited(SOL);
    expect((await failure(core.pay(asked("question-1", 100n)))).code).toBe("limit");
  });

  test("what is above the limit is the chain's refusal, with the transaction that it refuses", async () => {
    const { core } = await limited(1_000n);
    const error = await failure(core.pay(asked("question-1")));
    expect([error.code, error.message, error.signature?.length]).toEqual(["limit", "the job's ceiling exceeds the grant's limit per job (608)", expect.any(Number)]);
  });

  test("a session key without lamports says what it lacks", async () => {
    const { core, delegate } = await limited(SOL);
    gateway.chain.ledger.lamports.set(delegate, 6_000n);
    expect((await failure(core.pay(asked("question-1")))).message).toContain("may need more lamports");
  });

  test("a worker that is killed at any await pays a question once", async () => {
    let steps = 0;
    for (let isKilled = true; isKilled; ) {
      steps++;
      const { world } = await limited(SOL);
      const first = await world.core(steps).pay(asked("question-1")).catch((error: unknown) => {
        if (!(error instanceof Killed)) throw error;
        return null;
      });
      isKilled = first === null;
      const again = await world.core().pay(asked("question-1"));
      if (first) expect(again).toEqual(first);
      expect(await world.core().pay(asked("question-1"))).toEqual(again);
    }
    expect(steps).toBeGreaterThan(8);
  });

  test("of requests only those for a job's evidence at this gateway are signed", async () => {
    const { core } = await limited(SOL);
    const of = (change: Partial<Parameters<typeof signedBytes>[0]>): Uint8Array =>
      signedBytes({ gatewayUrl: gateway.url, method: "GET", path: `/v1/jobs/${JOB}/evidence`, purpose: `evidence:${JOB}`, body: "", ...change }, 5, new Uint8Array(16));
    expect((await core.signEvidence("limit", of({}))).length).toBe(64);
    for (const change of [{ gatewayUrl: "https://evil.example" }, { method: "POST" }, { purpose: "keys" }, { purpose: "credit" }]) {
      expect((await failure(core.signEvidence("account", of(change)))).code).toBe("refused");
    }
  });
});
