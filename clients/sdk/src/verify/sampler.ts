/** The verified sampler: which token follows from four logits, a seed and a temperature, to the bit as on chain. */

import { LN, RATIO } from "../generated/tables.js";
import { type Leaf, type Top4, tokenUniform } from "./hashes.js";

/** ln 2 in units of 2^-32. */
const LN2 = LN[128]!;

/** How a job samples. */
export interface Sampling {
  seed: Uint8Array;
  /** Thousandths; 0 takes the largest logit. */
  temperatureMilli: number;
}

/** ln(n) in units of 2^-32, for 1 ≤ n < 2^53. Every product stays below 2^53, so that doubles are exact. */
function lnQ32(n: number): number {
  const exponent = n >= 2 ** 32 ? 63 - Math.clz32(Math.floor(n / 2 ** 32)) : 31 - Math.clz32(n);
  const mantissa = Math.floor((n / 2 ** exponent - 1) * 2 ** 32);
  const index = Math.floor(mantissa / 2 ** 25);
  return exponent * LN2 + between(LN, index, mantissa - index * 2 ** 25, 2 ** 25);
}

/** ln(-ln(1 - v) / v) in units of 2^-32, for v = units / 2^33 ≤ 1/2. */
function ratioQ32(units: number): number {
  const index = Math.floor(units / 2 ** 26) % 64;
  return between(RATIO, index, units % 2 ** 26, 2 ** 26);
}

function between(table: readonly number[], index: number, fraction: number, whole: number): number {
  const low = table[index]!;
  return low + Math.floor(((table[index + 1]! - low) * fraction) / whole);
}

const roundToQ16 = (q32: number): number => Math.floor((q32 + 2 ** 15) / 2 ** 16);

/** `-ln(-ln u)` with `u = (x + ½) / 2^32`, in Q16.16. */
export function gumbelQ16(x: number): number {
  // u = odd / 2^33
  const odd = 2 * x + 1;
  if (odd < 2 ** 32) return roundToQ16(32 * LN2 - lnQ32(33 * LN2 - lnQ32(odd)));
  // Near u = 1 work in v = 1 - u, where -ln u = v · ratio(v).
  const rest = 2 ** 33 - odd;
  return roundToQ16(33 * LN2 - (lnQ32(rest) + ratioQ32(rest)));
}

function score(sampling: Sampling, position: number, [id, logit]: Top4[number]): number {
  if (sampling.temperatureMilli === 0) return logit;
  // Below 2^31 · 1000, and the quotient of two such is exact before it is rounded towards zero.
  const scaled = Math.trunc((logit * 1_000) / sampling.temperatureMilli);
  return scaled + gumbelQ16(tokenUniform(sampling.seed, position, id));
}

/** The token chosen at a position: the largest `logit / temperature + noise`, ties to the lower id. */
export function choose(sampling: Sampling, position: number, top4: Top4): number {
  let [best, bestScore] = [-1, Number.NEGATIVE_INFINITY];
  for (const entry of top4) {
    const own = score(sampling, position, entry);
    if (own > bestScore || (own === bestScore && entry[0] < best)) [best, bestScore] = [entry[0], own];
  }
  return best;
}

/** What can be wrong with a leaf by itself. */
export type LeafFault = "repeated_id" | "not_ordered" | "not_the_choice";

/** What jurors write for the token where none may stand: no answer holds it. */
const NO_TOKEN = 0xffff_ffff;

/** Checks what a leaf must satisfy whatever the model: distinct ids, their order, the choice. */
export function leafFault(sampling: Sampling, leaf: Leaf): LeafFault | undefined {
  return fourFault(leaf.top4) ?? (choose(sampling, leaf.position, leaf.top4) === leaf.token ? undefined : "not_the_choice");
}

/** The same under a sampling profile whose choice needs more than a leaf shows. */
export function unreplayedFault(leaf: Leaf): LeafFault | undefined {
  return fourFault(leaf.top4) ?? (leaf.token === NO_TOKEN ? "not_the_choice" : undefined);
}

function fourFault(top4: Top4): LeafFault | undefined {
  if (new Set(top4.map(([id]) => id)).size < top4.length) return "repeated_id";
  const isOrdered = top4.every(([id, logit], i) => {
    const before = top4[i - 1];
    return !before || before[1] > logit || (before[1] === logit && before[0] < id);
  });
  return isOrdered ? undefined : "not_ordered";
}
