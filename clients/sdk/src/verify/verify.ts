/**
 * Whether a receipt holds: what the gateway says, what the evidence gives, what the chain holds and what was asked for are held against
 * each other. Everything here is computed. Three things can't be said without the model's files: that the logits are the model's (`mythic
 * verify` says it, and validators are paid for it), that the text is these tokens, and that the prompt's tokens are the words that were sent.
 */

import { FINISH_REASON, JOB_STATUS, type ModelSpec, PROGRAM, SAMPLING_PROFILE } from "../generated/layouts.js";
import type { Evidence, Receipt } from "../wire/types.js";
import { type JobAccount, jobAccount, type ModelAccount, modelAccount } from "./accounts.js";
import { base58, unbase58 } from "./base58.js";
import { equal, hex, utf8 } from "./bytes.js";
import { type Digests, digestsOf, type ReadEvidence, readEvidence } from "./evidence.js";
import { gatewaySeed, jobSeed, MODEL_DIGITS, modelIdentity, ownSeed, programAddress, stopHash, termsHash, thousandths } from "./hashes.js";
import type { AccountData } from "./rpc.js";
import { leafFault, unreplayedFault } from "./sampler.js";

/** One thing that was checked. */
export interface Check {
  /** Stable word, for example `fingerprint`. */
  name: string;
  /** Null: it could not be checked, and `says` tells why. */
  ok: boolean | null;
  /** In words: what holds, what differs, or what is missing. */
  says: string;
  /** It could not be checked yet: what is missing is on its way. */
  pending?: true;
}

/** What a verification came to. */
export interface Verification {
  /**
   * `verified`: everything holds. `mismatch`: something differs. `incomplete`: nothing differs, but not everything could be checked:
   * no chain was asked, or the job's account is closed, or the evidence is not to be had.
   */
  verdict: "verified" | "mismatch" | "incomplete";
  /** Whether everything holds. */
  ok: boolean;
  jobId: string;
  checks: Check[];
  /** What differs, in words. */
  differences: string[];
  /** What is missing may still come: ask again. */
  pending: boolean;
  /** Slot at which the chain was read; null where it was not. */
  slot: number | null;
  /** Whether a case can still be opened about the result at that slot; null where that is not known. */
  windowOpen: boolean | null;
}

/** What whoever asked for an answer knows of its job without being told. What is left out is not compared. */
export interface Expected {
  /** Whose vault pays, base58. */
  owner?: string;
  /** An id, `name@` and digits of the identity; the whole identity in hex; or the address of the model's account. Names are anybody's. */
  model?: string;
  temperature?: number;
  /** Most tokens of the answer. */
  maxTokens?: number;
  /** Texts that end the answer; an empty list for none. */
  stop?: readonly string[];
  seed?: number;
}

/** What is held against each other. Null is what was not to be had. */
export interface Subject {
  jobId: string;
  /** What the gateway says. */
  receipt: Receipt;
  evidence: Evidence | null;
  /** The gateway has no evidence yet. */
  evidencePending?: boolean;
  /** The job's account; null where there is none, `undefined` where no chain was asked. */
  job: AccountData | null | undefined;
  model: AccountData | null | undefined;
  expected?: Expected;
}

class Checks {
  readonly all: Check[] = [];

  add(name: string, ok: boolean | null, says: string): void {
    this.all.push({ name, ok, says });
  }

  /** What is missing and on its way. */
  wait(name: string, says: string): void {
    this.all.push({ name, ok: null, says, pending: true });
  }

  /** Two values that have to be the same. */
  same(name: string, found: string | number | bigint, wanted: string | number | bigint, whose: string): void {
    const ok = String(found) === String(wanted);
    this.add(name, ok, ok ? `${name} is ${whose}` : `${name} is ${found}, and ${whose} is ${wanted}`);
  }
}

/** Checks a receipt. */
export function verify(subject: Subject): Verification {
  const checks = new Checks();
  const job = onChain(subject, checks);
  const model = job && modelOf(subject, job, checks);
  if (job) {
    receiptAgainstChain(subject.receipt, job, checks);
    modelNamed("receipt.model", subject.receipt.model, job, model, checks);
    asked(subject, job, model, checks);
  }
  const evidence = evidenceOf(subject, checks);
  if (evidence) {
    const digests = digestsOf(evidence);
    checks.same("evidence.job", base58(evidence.job), subject.jobId, "the job asked about");
    checks.same("evidence.fingerprint", hex(digests.fingerprint), hex(evidence.fingerprint), "the one that the evidence names");
    if (job) evidenceAgainstChain(evidence, digests, job, checks);
    else evidenceAgainstReceipt(evidence, digests, subject.receipt, checks);
    replay(evidence, job, checks);
    if (job) end(evidence, job, model, checks);
  }
  return sum(subject, job, checks.all);
}

function sum(subject: Subject, job: JobAccount | undefined, checks: Check[]): Verification {
  const differences = checks.filter(({ ok }) => ok === false).map(({ says }) => says);
  const isWhole = checks.every(({ ok }) => ok !== null);
  const verdict = differences.length > 0 ? "mismatch" : isWhole ? "verified" : "incomplete";
  const slot = subject.job?.slot ?? null;
  const submitted = job?.state.submittedSlot ?? 0n;
  const windowOpen =
    job && slot !== null && submitted > 0n ? BigInt(slot) < submitted + BigInt(job.state.terms.rules.windowSlots) : null;
  const pending = checks.some((check) => check.pending);
  return { verdict, ok: verdict === "verified", jobId: subject.jobId, checks, differences, pending, slot, windowOpen };
}

/** Ends of a job after which its account may be closed. */
const ENDED: ReadonlySet<string> = new Set(["settled", "refunded", "slashed", "unpaid"]);

function onChain({ job, jobId, receipt }: Subject, checks: Checks): JobAccount | undefined {
  if (job === undefined) {
    checks.add("chain", null, "no chain was asked: name one with rpcUrl");
    return undefined;
  }
  if (job === null) {
    if (ENDED.has(receipt.status)) checks.add("chain", null, "the chain has no account of this job any more: it was closed after its end");
    else checks.wait("chain", "the chain has no account of this job yet");
    return undefined;
  }
  const account = jobAccount(job);
  if (typeof account === "string") {
    checks.add("chain", false, `what the chain has at ${jobId} is no job: ${account}`);
    return undefined;
  }
  checks.add("chain", true, `read from the chain at slot ${job.slot}`);
  const { header, terms } = account.state;
  status(header.status, checks);
  const owner = unbase58(terms.owner, 32);
  const address = owner && programAddress(PROGRAM, [utf8("job"), owner, terms.nonce], header.bump);
  const ok = address !== undefined && equal(address, unbase58(jobId, 32) ?? new Uint8Array());
  checks.add("address", ok, ok ? "the address is that of its owner and nonce" : "the address is not that of its owner and nonce");
  checks.same("terms_hash", hex(termsHash(account.bytes)), hex(account.state.termsHash), "the one in the account");
  return account;
}

/** What became of the result: one that a case found false proves nothing, however well its hashes fit. */
function status(code: number, checks: Checks): void {
  const name = JOB_STATUS[code] ?? String(code);
  if (name === "slashed") checks.add("status", false, "the result was found false: the job was refunded and its validator slashed");
  else if (name === "disputed") checks.add("status", null, "there is a case about the result, and it is not decided");
  else checks.add("status", true, `the job is ${name}`);
}

function modelOf({ model }: Subject, job: JobAccount, checks: Checks): ModelAccount | undefined {
  if (!model) {
    checks.add("model", null, `the model's account ${job.state.terms.model} was not read`);
    return undefined;
  }
  const account = modelAccount(model);
  if (typeof account === "string") {
    checks.add("model", false, `what the chain has at ${job.state.terms.model} is no model: ${account}`);
    return undefined;
  }
  const { header, identity, creator } = account.state;
  checks.same("model.identity", hex(modelIdentity(account.bytes, unbase58(creator, 32)!)), hex(identity), "the one in its account");
  const address = programAddress(PROGRAM, [utf8("model"), identity], header.bump);
  const ok = equal(address, unbase58(job.state.terms.model, 32)!);
  checks.add("model", ok, ok ? "the model is the one in the terms" : "the model's address is not that of its identity");
  return account;
}

/** Of the receipt, what it says of money and hashes. */
function receiptAgainstChain(receipt: Receipt, { state }: JobAccount, checks: Checks): void {
  const said: [name: string, found: string | number | bigint | null | undefined, wanted: string | number | bigint][] = [
    ["receipt.owner", receipt.owner, state.terms.owner],
    ["receipt.prompt_hash", receipt.promptHash, hex(state.terms.promptHash)],
    ["receipt.terms_hash", receipt.termsHash, hex(state.termsHash)],
    ["receipt.prompt_tokens", receipt.promptTokens, state.terms.promptTokens],
    ["receipt.price_in", receipt.priceInLamportsPer1k, state.terms.priceIn],
    ["receipt.price_out", receipt.priceOutLamportsPer1k, state.terms.priceOut],
    ["receipt.ceiling", receipt.ceilingLamports, state.ceiling],
  ];
  if (state.submittedSlot > 0n) {
    said.push(
      ["receipt.validator", receipt.validator, state.validator],
      ["receipt.output_tokens", receipt.outputTokens, state.outputTokens],
      ["receipt.output_root", receipt.outputRoot, hex(state.outputRoot)],
      ["receipt.fingerprint", receipt.fingerprint, hex(state.fingerprint)],
    );
  }
  if (state.endedSlot > 0n) {
    said.push(
      ["receipt.fee", receipt.feeLamports, state.fee],
      ["receipt.refunded", receipt.refundedLamports, state.refundedAmount],
      ["receipt.split.validator", receipt.split?.validatorLamports, state.validatorAmount],
      ["receipt.split.foundation", receipt.split?.foundationLamports, state.foundationAmount],
      ["receipt.split.burned", receipt.split?.burnedLamports, state.burnedAmount],
    );
  }
  for (const [name, found, wanted] of said) {
    // What the index does not know yet is no lie.
    if (found != null) checks.same(name, found, wanted, "the chain's");
  }
  const fee = due(state);
  if (state.endedSlot > 0n && state.fee > 0n) {
    checks.same("fee", state.fee, fee, "what these tokens cost at these prices");
  }
}

/** Compares what names a model with the one in the terms: an address, an identity, or an id that ends with digits of it. */
function modelNamed(name: string, said: string, { state }: JobAccount, model: ModelAccount | undefined, checks: Checks): void {
  const { model: address } = state.terms;
  if (said === address) {
    checks.same(name, said, address, "the one in the terms");
    return;
  }
  if (!model) {
    checks.add(name, null, `${name} is ${said}, and the model's account was not read`);
    return;
  }
  const identity = hex(model.state.identity);
  const digits = said.slice(said.lastIndexOf("@") + 1).toLowerCase();
  const ok = digits.length >= MODEL_DIGITS && identity.startsWith(digits);
  const is = `${model.state.name}@${identity.slice(0, MODEL_DIGITS)} (${address})`;
  checks.add(name, ok, ok ? `${name} is the model in the terms` : `${name} is ${said}, and the model in the terms is ${is}`);
}

/** Whether tokens are chosen by options over all logits: sampling profile 2. */
const isByOptions = ({ state }: JobAccount): boolean => SAMPLING_PROFILE[state.terms.samplingProfile] === "seededFull";

/** What was asked for is what the terms say. */
function asked({ jobId, expected = {} }: Subject, job: JobAccount, model: ModelAccount | undefined, checks: Checks): void {
  const { terms } = job.state;
  const { owner, model: wanted, temperature, maxTokens, stop, seed } = expected;
  if (owner !== undefined) checks.same("asked.owner", owner, terms.owner, "the one in the terms");
  if (wanted !== undefined) modelNamed("asked.model", wanted, job, model, checks);
  if (temperature !== undefined) checks.same("asked.temperature", thousandths(temperature), terms.temperatureMilli, "the one in the terms, in thousandths");
  if (maxTokens !== undefined) checks.same("asked.max_tokens", maxTokens, terms.maxOutputTokens, "the number in the terms");
  // Zeroes: there are no options, so nothing ends the answer early.
  const isHidden = isByOptions(job) && terms.optionsHash.some((byte) => byte !== 0);
  if (stop !== undefined && isHidden) checks.add("asked.stop", null, "what ends the answer is bound with its other options, under a salt");
  else if (stop !== undefined) checks.same("asked.stop", hex(stopHash(stop)), hex(terms.optionsHash), "the hash in the terms");
  if (seed !== undefined) {
    const id = unbase58(jobId, 32)!;
    const ok = [gatewaySeed(seed), ownSeed(seed)].some((user) => equal(jobSeed(id, user), terms.seed));
    checks.add("asked.seed", ok, ok ? "the seed in the terms is made of the one asked for" : `the seed in the terms is not made of ${seed}`);
  }
}

/** Lamports that the result costs: rounded up once, at most the ceiling. */
function due({ terms, outputTokens, ceiling }: JobAccount["state"]): bigint {
  const milli = BigInt(terms.promptTokens) * BigInt(terms.priceIn) + BigInt(outputTokens) * BigInt(terms.priceOut);
  const price = (milli + 999n) / 1_000n;
  return price < ceiling ? price : ceiling;
}

function evidenceOf({ evidence, evidencePending }: Subject, checks: Checks): ReadEvidence | undefined {
  if (!evidence && evidencePending) {
    checks.wait("evidence", "no evidence has come yet");
    return undefined;
  }
  if (!evidence) {
    checks.add("evidence", null, "the evidence is not to be had: it is for the key that paid, and for the job's owner");
    return undefined;
  }
  const read = readEvidence(evidence);
  if (typeof read === "string") {
    checks.add("evidence", false, `the evidence is none: ${read}`);
    return undefined;
  }
  checks.add("evidence", true, `the evidence has ${read.leaves.length} tokens`);
  return read;
}

function evidenceAgainstChain(evidence: ReadEvidence, digests: Digests, { state }: JobAccount, checks: Checks): void {
  const { terms } = state;
  if (state.submittedSlot === 0n) {
    checks.wait("result", "the chain has no result yet");
    return;
  }
  checks.same("evidence.submitter", hex(evidence.submitter), hex(unbase58(state.validator, 32)!), "the validator on chain");
  checks.same("evidence.terms_hash", hex(evidence.termsHash), hex(state.termsHash), "the one on chain");
  checks.same("evidence.seed", hex(evidence.seed), hex(terms.seed), "the one in the terms");
  checks.same("evidence.temperature", evidence.temperatureMilli, terms.temperatureMilli, "the one in the terms");
  checks.same("prompt_hash", hex(digests.promptHash), hex(terms.promptHash), "the one in the terms");
  checks.same("output_tokens", digests.count, state.outputTokens, "the number on chain");
  checks.same("output_root", hex(digests.outputRoot), hex(state.outputRoot), "the one on chain");
  checks.same("fingerprint", hex(digests.fingerprint), hex(state.fingerprint), "the one on chain");
}

/** Without the chain's account the gateway's word is all there is: it may still contradict its own evidence. */
function evidenceAgainstReceipt(evidence: ReadEvidence, digests: Digests, receipt: Receipt, checks: Checks): void {
  const said: [name: string, found: string | number, wanted: string | number | null | undefined][] = [
    ["prompt_hash", hex(digests.promptHash), receipt.promptHash],
    ["evidence.terms_hash", hex(evidence.termsHash), receipt.termsHash],
    ["output_tokens", digests.count, receipt.outputTokens],
    ["output_root", hex(digests.outputRoot), receipt.outputRoot],
    ["fingerprint", hex(digests.fingerprint), receipt.fingerprint],
  ];
  for (const [name, found, wanted] of said) {
    if (wanted != null) checks.same(name, found, wanted, "the one in the receipt");
  }
}

/**
 * Chooses every token again, where the four logits are what it was chosen from. The sampler is that of the terms: what the evidence says
 * of it does not count.
 */
function replay(evidence: ReadEvidence, job: JobAccount | undefined, checks: Checks): void {
  const sampling = job
    ? { seed: job.state.terms.seed, temperatureMilli: job.state.terms.temperatureMilli }
    : { seed: evidence.seed, temperatureMilli: evidence.temperatureMilli };
  const anyToken = job !== undefined && isByOptions(job);
  for (const leaf of evidence.leaves) {
    const fault = anyToken ? unreplayedFault(leaf) : leafFault(sampling, leaf);
    if (fault) {
      checks.add("sampler", false, `position ${leaf.position}: ${FAULTS[fault]}`);
      return;
    }
  }
  if (anyToken) {
    checks.add("sampler", null, "the tokens were chosen by options over all logits, of which four are kept: only who computes them again can tell");
    return;
  }
  checks.add("sampler", true, `every one of ${evidence.leaves.length} tokens is the one that the seeded sampler chooses`);
}

const FAULTS = {
  repeated_id: "an id stands twice among the four largest logits",
  not_ordered: "the four largest logits are out of order",
  not_the_choice: "the token is not the one that the seeded sampler chooses",
} as const;

/** An answer ends where the model ends it, and nowhere before. */
function end(evidence: ReadEvidence, { state }: JobAccount, model: ModelAccount | undefined, checks: Checks): void {
  if (!model || state.submittedSlot === 0n) return;
  const ends = eosIds(model.state.spec);
  const inside = evidence.leaves.slice(0, -1).find(({ token }) => ends.has(token));
  const last = evidence.leaves.at(-1);
  if (inside) {
    checks.add("end", false, `position ${inside.position}: an end-of-sequence id stands before the end`);
  } else if (FINISH_REASON[state.finishReason] === "eos" && last && !ends.has(last.token)) {
    checks.add("end", false, "the result says that the model ended it, and its last token is no end-of-sequence id");
  } else {
    checks.add("end", true, "the answer ends as its result says");
  }
}

function eosIds(spec: ModelSpec): ReadonlySet<number> {
  return new Set(spec.eosIds.slice(0, spec.eosCount));
}
