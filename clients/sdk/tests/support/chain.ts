/** A job with its result as the chain, its evidence and its receipt have them: all true, for tests to make a lie of. */

import { getJobEncoder, getModelEncoder, type JobArgs, type ModelArgs } from "@mythic/program/ai-precompiles";
import { address } from "@solana/kit";
import { LAYOUT_VERSION, PROGRAM } from "../../src/generated/layouts.js";
import { base58, unbase58 } from "../../src/verify/base58.js";
import { base64, hex, utf8 } from "../../src/verify/bytes.js";
import { digestsOf, readEvidence } from "../../src/verify/evidence.js";
import { gatewaySeed, jobSeed, modelIdentity, programAddress, promptHash, termsHash, type Top4 } from "../../src/verify/hashes.js";
import { choose } from "../../src/verify/sampler.js";
import type { Evidence, Schemas } from "../../src/wire/types.js";
import type { Handler } from "./faults.js";

const key = (byte: number): string => base58(new Uint8Array(32).fill(byte));
const OWNER = key(1);
const VALIDATOR = key(2);
const BUMP = 250;
const NONCE = new Uint8Array(16).fill(3);
/** The number that the request asked for. */
export const SEED = 7;
const SALT = new Uint8Array(16).fill(5);
const CREATOR = key(6);
/** Of requests that name none. */
const TEMPERATURE_MILLI = 1_000;
const EOS = 2;
const SLOT = 1_050;
const [PROMPT_TOKENS, OUTPUT_TOKENS, PRICE_IN, PRICE_OUT] = [3, 300, 25_000, 50_000];

const header = (discriminator: number, status: number, bump: number) => ({
  discriminator,
  version: LAYOUT_VERSION,
  bump,
  status,
  reserved: new Uint8Array(4),
  seq: 3n,
});

const RULES = {
  windowSlots: 100, openingsSlots: 1, revealSlots: 1, cancelGraceSlots: 1, prefillTokensPerSlot: 1, jailSlots: 1, closeDelaySlots: 1,
  maturitySlots: 1, validatorBps: 5_000, foundationBps: 1_000, slashBps: 1, bondBps: 1, jurySeats: 3, exposureBps: 1, juryStake: 1n,
  jurorTariff: 1n, tariffCap: 1n, jurorPenalty: 1n, answeringFee: 1n, stakePerJob: 1n, minStake: 1n, noShow: 1n,
};

const MODEL: ModelArgs = {
  header: header(3, 1, BUMP),
  identity: new Uint8Array(32),
  creator: address(CREATOR),
  registrant: address(CREATOR),
  pendingRegistrant: address(CREATOR),
  rentPayer: address(CREATOR),
  name: "tiny",
  priceIn: PRICE_IN,
  priceOut: PRICE_OUT,
  feeBurned: 0n,
  registeredSlot: 1n,
  updatedSlot: 1n,
  retiredSlot: 0n,
  spec: {
    weightsHash: new Uint8Array(32), tokenizerHash: new Uint8Array(32), chatTemplateHash: new Uint8Array(32), quantisation: 3, kernelProfile: 3,
    contextLength: 2_048, maxJobTokens: 4_096, errorPpm: 0, missPpm: 0, commitSlots: 100, minVramMib: 0, eosCount: 1,
    eosIds: [EOS, 0, 0, 0, 0, 0, 0, 0],
  },
};

/** A model's account whose identity is that of what it says. */
function model(): { bytes: Uint8Array; address: string; id: string } {
  const encode = (args: ModelArgs): Uint8Array => new Uint8Array(getModelEncoder().encode(args));
  const identity = modelIdentity(encode(MODEL), unbase58(CREATOR, 32)!);
  return {
    bytes: encode({ ...MODEL, identity }),
    address: base58(programAddress(PROGRAM, [utf8("model"), identity], BUMP)),
    id: `tiny@${hex(identity).slice(0, 8)}`,
  };
}

/** Four candidates of each position, and what the sampler chooses of them; the last one ends the answer. */
function leaves(): Top4[] {
  const four = (p: number): Top4 => [[900 + p, 90_000 + p], [EOS + 1, 40_000], [700, 30_000], [3_000 + p, -200_000]];
  const last: Top4 = [[EOS, 9_000_000], [7, 500], [8, 400], [9, 300]];
  return Array.from({ length: OUTPUT_TOKENS }, (_none, p) => (p === OUTPUT_TOKENS - 1 ? last : four(p)));
}

export interface Story {
  jobId: string;
  evidence: Evidence;
  receipt: Schemas["Receipt"];
  job: JobArgs;
  jobBytes: Uint8Array;
  modelAddress: string;
  modelId: string;
  modelBytes: Uint8Array;
}

export const encodeJob = (job: JobArgs): Uint8Array => new Uint8Array(getJobEncoder().encode(job));

/** A settled job that everybody tells the truth about; of sampling profile 2 with tokens that are none of the four. */
export function story(samplingProfile = 1, temperatureMilli = TEMPERATURE_MILLI, owner = OWNER): Story {
  const { bytes: modelBytes, address: modelAddress, id: modelId } = model();
  const address32 = programAddress(PROGRAM, [utf8("job"), unbase58(owner, 32)!, NONCE], BUMP);
  const jobId = base58(address32);
  const seed = jobSeed(address32, gatewaySeed(SEED));
  const promptIds = Array.from({ length: PROMPT_TOKENS }, (_none, i) => i + 10);
  const sampling = { seed, temperatureMilli };
  const top4 = leaves();
  const fee = 15_075n;
  const blank: JobArgs = {
    header: header(7, 5, BUMP),
    terms: {
      owner: address(owner), requester: address(owner), canceller: address(key(7)), nonce: NONCE, model: address(modelAddress),
      promptHash: promptHash(SALT, promptIds), promptTokens: PROMPT_TOKENS, maxOutputTokens: 512, priceIn: PRICE_IN, priceOut: PRICE_OUT,
      seed, temperatureMilli, samplingProfile, optionsHash: new Uint8Array(32), promptSource: "http://g", deadlineSlots: 100, rules: RULES,
    },
    termsHash: new Uint8Array(32), rentPayer: address(owner), grant: address(key(0)), grantWindowStart: 0n, validator: address(VALIDATOR),
    requestedSlot: 900n, acceptedSlot: 900n, deadlineSlot: 1_400n, cancelSlot: 0n, submittedSlot: 1_000n, caseSlot: 0n, endedSlot: 1_040n, open: 0,
    endReason: 1, finishReason: 1, outputTokens: OUTPUT_TOKENS, outputRoot: new Uint8Array(32), fingerprint: new Uint8Array(32), stakeAtResult: 1n,
    ceiling: 25_675n, escrow: 0n, fee, validatorAmount: 7_537n, foundationAmount: 1_507n, burnedAmount: 6_031n, refundedAmount: 10_600n,
    slashedAmount: 0n, noShowAmount: 0n,
  };
  const terms = termsHash(encodeJob(blank));
  const unsealed: Evidence = {
    job: jobId, submitter: VALIDATOR, terms_hash: hex(terms), salt: hex(SALT), prompt_ids: promptIds,
    output_ids: top4.map((four, position) =>
      samplingProfile === 1 || position === OUTPUT_TOKENS - 1 ? choose(sampling, position, four) : 5_000 + position,
    ),
    leaves: top4.map((four) => four.map(([id, logit]) => [id, logit])), seed: hex(seed), temperature_milli: temperatureMilli, fingerprint: "00".repeat(32),
  };
  const read = readEvidence(unsealed);
  if (typeof read === "string") throw new Error(read);
  const { outputRoot, fingerprint } = digestsOf(read);
  const job = { ...blank, termsHash: terms, outputRoot, fingerprint };
  const receipt: Schemas["Receipt"] = {
    object: "receipt", job: jobId, status: "settled", commitment: "finalized", model: modelId, owner, validator: VALIDATOR,
    prompt_tokens: PROMPT_TOKENS, output_tokens: OUTPUT_TOKENS, price_in_lamports_per_1k: PRICE_IN, price_out_lamports_per_1k: PRICE_OUT,
    ceiling_lamports: 25_675, fee_lamports: Number(fee), split: { validator_lamports: 7_537, foundation_lamports: 1_507, burned_lamports: 6_031 },
    refunded_lamports: 10_600, prompt_hash: hex(promptHash(SALT, promptIds)), terms_hash: hex(terms), output_root: hex(outputRoot),
    fingerprint: hex(fingerprint), sampling_profile: samplingProfile, window_end_slot: 1_100, transitions: [], attempts: [],
  };
  return { jobId, evidence: { ...unsealed, fingerprint: hex(fingerprint) }, receipt, job, jobBytes: encodeJob(job), modelAddress, modelId, modelBytes };
}

/** A chain's RPC that has these accounts. */
export const rpc =
  (accounts: Record<string, Uint8Array | null>, owner = PROGRAM): Handler =>
  (response, asked) => {
    const [name] = asked.body["params"] as [string];
    const bytes = accounts[name];
    const value = bytes ? { owner, lamports: 1, data: [base64(bytes), "base64"], executable: false, space: bytes.length } : null;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ jsonrpc: "2.0", id: 1, result: { context: { slot: SLOT }, value } }));
  };
