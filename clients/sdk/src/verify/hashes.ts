/** Every hash that a receipt rests on, each with its own domain tag; integers are little-endian (docs/protocol.md, Hashes). */

import { SPEC, TERMS } from "../generated/layouts.js";
import { unbase58 } from "./base58.js";
import { concat, hex, u32le, u32sLe, u64le, utf8 } from "./bytes.js";
import { sha256 } from "./sha256.js";

const tag = {
  terms: utf8("mythic/terms/v1"),
  model: utf8("mythic/model/v2"),
  prompt: utf8("mythic/prompt/v1"),
  seed: utf8("mythic/seed/v1"),
  gatewaySeed: utf8("mythic/gateway-seed/v1"),
  stop: utf8("mythic/stop/v1"),
  options: utf8("mythic/options/v1"),
  gumbel: utf8("mythic/gumbel/v1"),
  fingerprint: utf8("mythic/fp/v1"),
  pda: utf8("ProgramDerivedAddress"),
  leaf: Uint8Array.of(0),
  node: Uint8Array.of(1),
  outputLeaf: Uint8Array.of(2),
} as const;

/** Hex digits of a model's identity in its id, `name@01234567`. */
export const MODEL_DIGITS = 8;

/** Token ids in one leaf of the output's tree. */
const OUTPUT_CHUNK = 128;

/** Four `[token id, logit in Q16.16]`, the largest logit first. */
export type Top4 = readonly (readonly [id: number, logit: number])[];

/** What the fingerprint commits to at one position of the output. */
export interface Leaf {
  position: number;
  token: number;
  top4: Top4;
}

/** Commits to a prompt: its token ids under a salt. */
export function promptHash(salt: Uint8Array, ids: readonly number[]): Uint8Array {
  return sha256(tag.prompt, salt, u32le(ids.length), u32sLe(ids));
}

/** Commits to stop strings, in their order; zeroes where there are none. */
export function stopHash(stops: readonly string[]): Uint8Array {
  if (stops.length === 0) return new Uint8Array(32);
  const texts = stops.map(utf8).flatMap((text) => [u32le(text.length), text]);
  return sha256(tag.stop, u32le(stops.length), ...texts);
}

/** Version 1; no `top_k`, all of `top_p`, no `min_p`; no penalties of presence and frequency, none of repetition; no biases. */
const NEUTRAL = Uint8Array.of(1, 0, 0x40, 0x42, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xe8, 0x03, 0, 0);

/** Commits to options that say nothing but where an answer ends, under the prompt's salt; zeroes where they don't say that either. */
export function stopOptionsHash(salt: Uint8Array, stops: readonly string[]): Uint8Array {
  if (stops.length === 0) return new Uint8Array(32);
  // By their bytes, each once.
  const texts = [...new Map(stops.map((stop) => [hex(utf8(stop)), utf8(stop)]))].sort(([a], [b]) => (a < b ? -1 : 1));
  const lengthened = texts.flatMap(([, text]) => [u32le(text.length).subarray(0, 2), text]);
  return sha256(tag.options, salt, NEUTRAL, Uint8Array.of(texts.length), ...lengthened, u32le(0));
}

/** The seed of a job's sampling: what the requester chose, under the job's address. */
export function jobSeed(job: Uint8Array, userSeed: Uint8Array): Uint8Array {
  return sha256(tag.seed, job, userSeed);
}

/** What a wallet that signs its own job puts into its seed for a number. */
export const ownSeed = (seed: number): Uint8Array => concat([u64le(BigInt.asUintN(64, BigInt(seed))), new Uint8Array(24)]);

/** What a gateway that pays by key puts into it for a number, of a request's first choice. */
export const gatewaySeed = (seed: number): Uint8Array => sha256(tag.gatewaySeed, u64le(BigInt.asUintN(64, BigInt(seed))), u32le(0));

/** A temperature as terms have it. */
export const thousandths = (temperature: number): number => Math.round(temperature * 1_000);

/** The terms of a job as they lie in its account: the prompt source is hashed without its padding. */
export function termsHash(account: Uint8Array): Uint8Array {
  const terms = account.subarray(TERMS.at, TERMS.at + TERMS.bytes);
  const sourceEnd = TERMS.promptSource + 1 + (terms[TERMS.promptSource] ?? 0);
  return sha256(tag.terms, terms.subarray(0, Math.min(sourceEnd, TERMS.deadlineSlots)), terms.subarray(TERMS.deadlineSlots));
}

/** The identity of a model: its immutable part and who registered it. */
export function modelIdentity(account: Uint8Array, creator: Uint8Array): Uint8Array {
  return sha256(tag.model, creator, account.subarray(SPEC.at, SPEC.at + SPEC.bytes));
}

/** A leaf's hash, bound to the job and to the validator that submits it. */
export function leafHash(job: Uint8Array, submitter: Uint8Array, leaf: Leaf): Uint8Array {
  const content = new DataView(new ArrayBuffer(8 + 8 * leaf.top4.length));
  content.setUint32(0, leaf.position, true);
  content.setUint32(4, leaf.token, true);
  leaf.top4.forEach(([id, logit], i) => {
    content.setUint32(8 + 8 * i, id, true);
    content.setInt32(12 + 8 * i, logit, true);
  });
  return sha256(tag.leaf, job, submitter, new Uint8Array(content.buffer));
}

/** The root of a tree: pairs from the left, an odd last node goes up unchanged. `undefined` without leaves. */
export function merkleRoot(leaves: readonly Uint8Array[]): Uint8Array | undefined {
  let level = leaves;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [left, right] = [level[i]!, level[i + 1]];
      above.push(right ? sha256(tag.node, left, right) : left);
    }
    level = above;
  }
  return level[0];
}

/** The root over an output's token ids. */
export function outputRoot(ids: readonly number[]): Uint8Array | undefined {
  const leaves: Uint8Array[] = [];
  for (let at = 0; at < ids.length; at += OUTPUT_CHUNK) {
    leaves.push(sha256(tag.outputLeaf, u32le(at / OUTPUT_CHUNK), u32sLe(ids.slice(at, at + OUTPUT_CHUNK))));
  }
  return merkleRoot(leaves);
}

/** The 32 bytes on chain: logits and tokens of every position, under these terms. */
export function fingerprint(leafRoot: Uint8Array, count: number, terms: Uint8Array, root: Uint8Array): Uint8Array {
  return sha256(tag.fingerprint, leafRoot, u32le(count), terms, root);
}

/** The uniform number of one token at one position: the noise that the sampler adds to its logit. */
export function tokenUniform(seed: Uint8Array, position: number, id: number): number {
  const digest = sha256(tag.gumbel, seed, u32le(position), u32le(id));
  return new DataView(digest.buffer).getUint32(0, true);
}

/** The address that seeds and a bump give under a program. Whether it is off the curve the chain has checked. */
export function programAddress(program: string, seeds: readonly Uint8Array[], bump: number): Uint8Array {
  const id = unbase58(program, 32);
  if (!id) throw new TypeError(`${program} is no program's address`);
  return sha256(concat(seeds), Uint8Array.of(bump), id, tag.pda);
}
