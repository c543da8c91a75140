/** Evidence as it comes from a stranger, and what it commits to. */

import type { Evidence } from "../wire/types.js";
import { unbase58 } from "./base58.js";
import { unhex } from "./bytes.js";
import { fingerprint, type Leaf, leafHash, merkleRoot, outputRoot, promptHash, type Top4 } from "./hashes.js";

/** Most output tokens of evidence that is read. */
const MOST_TOKENS = 1 << 20;

/** Evidence whose every field has been read. */
export interface ReadEvidence {
  job: Uint8Array;
  submitter: Uint8Array;
  termsHash: Uint8Array;
  salt: Uint8Array;
  seed: Uint8Array;
  temperatureMilli: number;
  fingerprint: Uint8Array;
  promptIds: readonly number[];
  leaves: readonly Leaf[];
}

/** What evidence commits to. */
export interface Digests {
  promptHash: Uint8Array;
  outputRoot: Uint8Array;
  leafRoot: Uint8Array;
  fingerprint: Uint8Array;
  /** Output tokens. */
  count: number;
}

const isUnsigned = (value: unknown, most: number): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= most;
const isId = (value: unknown): value is number => isUnsigned(value, 0xffff_ffff);

function isTop4(value: unknown): value is Top4 {
  const isEntry = (entry: unknown): boolean =>
    Array.isArray(entry) && entry.length === 2 && isId(entry[0]) && Number.isInteger(entry[1]) && entry[1] === (entry[1] | 0);
  return Array.isArray(value) && value.length === 4 && value.every(isEntry);
}

/** The evidence, or why it is none, in words. */
export function readEvidence(evidence: Evidence): ReadEvidence | string {
  const read = {
    job: unbase58(String(evidence.job), 32),
    submitter: unbase58(String(evidence.submitter), 32),
    termsHash: unhex(String(evidence.terms_hash), 32),
    salt: unhex(String(evidence.salt), 16),
    seed: unhex(String(evidence.seed), 32),
    fingerprint: unhex(String(evidence.fingerprint), 32),
  };
  for (const [name, value] of Object.entries(read)) {
    if (value === undefined) return `its ${name} can't be read`;
  }
  const { output_ids: outputIds, prompt_ids: promptIds, leaves, temperature_milli: temperatureMilli } = evidence;
  if (!isUnsigned(temperatureMilli, 0xffff)) return "its temperature can't be read";
  if (!Array.isArray(promptIds) || !promptIds.every(isId)) return "its prompt is no list of token ids";
  if (!Array.isArray(outputIds) || !outputIds.every(isId)) return "its output is no list of token ids";
  if (outputIds.length === 0) return "it has no output tokens";
  if (outputIds.length > MOST_TOKENS) return `it has more than ${MOST_TOKENS} output tokens`;
  if (!Array.isArray(leaves) || leaves.length !== outputIds.length) {
    return `it has ${Array.isArray(leaves) ? leaves.length : "no"} leaves for ${outputIds.length} output tokens`;
  }
  const told: readonly unknown[] = leaves;
  const wrong = told.findIndex((four) => !isTop4(four));
  if (wrong >= 0) return `position ${wrong} has no four candidates`;
  return {
    ...(read as Required<{ [Name in keyof typeof read]: Uint8Array }>),
    temperatureMilli,
    promptIds,
    leaves: outputIds.map((token, position) => ({ position, token, top4: told[position] as Top4 })),
  };
}

/** What evidence commits to, whatever its leaves say. */
export function digestsOf(evidence: ReadEvidence): Digests {
  const count = evidence.leaves.length;
  const leafRoot = merkleRoot(evidence.leaves.map((leaf) => leafHash(evidence.job, evidence.submitter, leaf)));
  const root = outputRoot(evidence.leaves.map(({ token }) => token));
  if (!leafRoot || !root) throw new RangeError("evidence without output tokens");
  return {
    promptHash: promptHash(evidence.salt, evidence.promptIds),
    outputRoot: root,
    leafRoot,
    fingerprint: fingerprint(leafRoot, count, evidence.termsHash, root),
    count,
  };
}
