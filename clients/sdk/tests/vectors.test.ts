/** The golden vectors that the Rust implementation is tested with too. */

import { readFileSync } from "node:fs";
import { getModelSpecEncoder, getTermsEncoder, type RulesArgs } from "@mythic/program/ai-precompiles";
import { address } from "@solana/kit";
import { describe, expect, test } from "vitest";
import { SPEC, TERMS } from "../src/generated/layouts.js";
import { base58, unbase58 } from "../src/verify/base58.js";
import { hex, unhex, utf8 } from "../src/verify/bytes.js";
import * as hashes from "../src/verify/hashes.js";
import { choose, gumbelQ16, leafFault, unreplayedFault } from "../src/verify/sampler.js";
import { sha256 } from "../src/verify/sha256.js";
import { parseJson } from "../src/wire/json.js";

interface Vector {
  fn: string;
  args: never[];
  result: unknown;
}

const file = new URL("../../../programs/interface/tests/vectors/vectors.json", import.meta.url);
const vectors = parseJson(readFileSync(file, "utf8")) as Vector[];

const bytes = (text: string): Uint8Array => unhex(text, text.length / 2)!;
const shown = (digest: Uint8Array | undefined): string | null => (digest ? hex(digest) : null);
const key = (text: string) => address(base58(bytes(text)));

/** Arguments of a vector as fields of a struct, in their order. */
const RULES = ["windowSlots", "openingsSlots", "revealSlots", "cancelGraceSlots", "prefillTokensPerSlot", "jailSlots", "closeDelaySlots", "maturitySlots",
  "validatorBps", "foundationBps", "slashBps", "bondBps", "jurySeats", "exposureBps",
  "juryStake", "jurorTariff", "tariffCap", "jurorPenalty", "answeringFee", "stakePerJob", "minStake", "noShow"] as const;

type Terms = readonly [
  owner: string, requester: string, canceller: string, nonce: string, model: string, promptHash: string, promptTokens: number, maxOutputTokens: number,
  priceIn: number, priceOut: number, seed: string, temperatureMilli: number, samplingProfile: number, optionsHash: string, promptSource: string,
  deadlineSlots: number, rules: readonly (number | bigint)[],
];

type Spec = readonly [
  weights: string, tokenizer: string, template: string, quantisation: number, kernelProfile: number, contextLength: number, maxJobTokens: number,
  errorPpm: number, missPpm: number, commitSlots: number, minVramMib: number, eosIds: readonly number[],
];

function terms(a: Terms): Uint8Array {
  const encoded = getTermsEncoder().encode({
    owner: key(a[0]),
    requester: key(a[1]),
    canceller: key(a[2]),
    nonce: bytes(a[3]),
    model: key(a[4]),
    promptHash: bytes(a[5]),
    promptTokens: a[6],
    maxOutputTokens: a[7],
    priceIn: a[8],
    priceOut: a[9],
    seed: bytes(a[10]),
    temperatureMilli: a[11],
    samplingProfile: a[12],
    optionsHash: bytes(a[13]),
    promptSource: a[14],
    deadlineSlots: a[15],
    rules: Object.fromEntries(RULES.map((name, i) => [name, a[16][i]])) as unknown as RulesArgs,
  });
  const account = new Uint8Array(TERMS.at + TERMS.bytes);
  account.set(encoded, TERMS.at);
  return account;
}

function spec(a: Spec): Uint8Array {
  const ids = a[11];
  const encoded = getModelSpecEncoder().encode({
    weightsHash: bytes(a[0]),
    tokenizerHash: bytes(a[1]),
    chatTemplateHash: bytes(a[2]),
    quantisation: a[3],
    kernelProfile: a[4],
    contextLength: a[5],
    maxJobTokens: a[6],
    errorPpm: a[7],
    missPpm: a[8],
    commitSlots: a[9],
    minVramMib: a[10],
    eosCount: ids.length,
    eosIds: Array.from({ length: 8 }, (_none, i) => ids[i] ?? 0),
  });
  const account = new Uint8Array(SPEC.at + SPEC.bytes);
  account.set(encoded, SPEC.at);
  return account;
}

const FAULTS = { repeated_id: "RepeatedId", not_ordered: "NotOrdered", not_the_choice: "NotTheChoice" } as const;

const functions: Record<string, (...args: never[]) => unknown> = {
  merkle_root: (leaves: string[]) => shown(hashes.merkleRoot(leaves.map(bytes))),
  prompt_hash: (salt: string, ids: number[]) => shown(hashes.promptHash(bytes(salt), ids)),
  stop_hash: (stops: string[]) => shown(hashes.stopHash(stops)),
  job_seed: (job: string, seed: string) => shown(hashes.jobSeed(bytes(job), bytes(seed))),
  output_root: (ids: number[]) => shown(hashes.outputRoot(ids)),
  leaf_hash: (job: string, submitter: string, position: number, token: number, top4: hashes.Top4) =>
    shown(hashes.leafHash(bytes(job), bytes(submitter), { position, token, top4 })),
  fingerprint: (root: string, count: number, terms: string, output: string) =>
    shown(hashes.fingerprint(bytes(root), count, bytes(terms), bytes(output))),
  terms_hash: (args: Terms) => shown(hashes.termsHash(terms(args))),
  model_identity: (creator: string, args: Spec) => shown(hashes.modelIdentity(spec(args), bytes(creator))),
  gumbel: (x: number) => gumbelQ16(x),
  choose: (seed: string, temperatureMilli: number, position: number, top4: hashes.Top4) =>
    choose({ seed: bytes(seed), temperatureMilli }, position, top4),
  check_leaf: (seed: string, temperatureMilli: number, position: number, token: number, top4: hashes.Top4) => {
    const fault = leafFault({ seed: bytes(seed), temperatureMilli }, { position, token, top4 });
    return fault ? FAULTS[fault] : null;
  },
  check_unreplayed: (position: number, token: number, top4: hashes.Top4) => {
    const fault = unreplayedFault({ position, token, top4 });
    return fault ? FAULTS[fault] : null;
  },
};

describe("golden vectors", () => {
  for (const [name, compute] of Object.entries(functions)) {
    const own = vectors.filter(({ fn }) => fn === name);
    test(`${name} gives what Rust gives in ${own.length} cases`, () => {
      expect(own.length).toBeGreaterThan(0);
      for (const { args, result } of own) {
        expect(compute(...args), JSON.stringify(args, (_k, v) => (typeof v === "bigint" ? String(v) : v)).slice(0, 200)).toEqual(result);
      }
    });
  }
});

test("sha256 is SHA-256", async () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1_000]) {
    const data = Uint8Array.from({ length }, (_none, i) => (i * 31) & 0xff);
    const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    expect(hex(sha256(data.subarray(0, 7), data.subarray(7)))).toBe(hex(expected));
  }
});

test("base58 leads back, and no text of another length or form is taken", () => {
  for (const digits of ["00".repeat(32), `0000${"ff".repeat(30)}`, "01".repeat(32), "ff".repeat(64)]) {
    const value = bytes(digits);
    expect(hex(unbase58(base58(value), value.length)!)).toBe(digits);
  }
  expect(base58(utf8("Hello World!"))).toBe("2NEpo7TZRRrLZSi2U");
  for (const text of ["", "0", "l", "1".repeat(31), "1".repeat(33), "z".repeat(44), "z".repeat(1_000)]) {
    expect(unbase58(text, 32), text).toBeUndefined();
  }
});
