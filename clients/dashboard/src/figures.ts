// Figures that pages compute of what the API says: pure functions of rows.
import type { Amount, Maybe } from "./format";
import { known } from "./format";
import type { Job, Settlement } from "./types";

/** How the network works just now, by its newest jobs. */
export interface Pace {
  jobsAMinute: number | null;
  tokensASecond: number | null;
  /** Seconds that the figures are of. */
  seconds: number | null;
}

const PACE_SECONDS = 600;
/** Below this a rate says nothing. */
const LEAST_SECONDS = 1;

const at = (job: Job): number => (known(job.requested_at) ? new Date(job.requested_at).getTime() : Number.NaN);

/**
 * Jobs a minute and output tokens a second over the last ten minutes, or over the time of the newest jobs where `more` were made in it
 * than `jobs` holds. `now` is the server's time in milliseconds.
 */
export function pace(jobs: Job[], more: boolean, now: number): Pace {
  const times = jobs.map(at).filter((time) => !Number.isNaN(time));
  if (times.length === 0) return jobs.length === 0 && !more ? { jobsAMinute: 0, tokensASecond: 0, seconds: PACE_SECONDS } : { jobsAMinute: null, tokensASecond: null, seconds: null };
  const begin = now - PACE_SECONDS * 1000;
  const oldest = Math.min(...times);
  const from = more ? Math.max(begin, oldest) : begin;
  const seconds = (now - from) / 1000;
  if (seconds < LEAST_SECONDS) return { jobsAMinute: null, tokensASecond: null, seconds: null };
  const inside = jobs.filter((job) => at(job) >= from);
  const tokens = inside.reduce((sum, job) => sum + (job.output_tokens ?? 0), 0);
  return { jobsAMinute: (inside.length * 60) / seconds, tokensASecond: tokens / seconds, seconds: Math.round(seconds) };
}

/** Jobs requested in each minute, the oldest first; the running minute is the last. Minutes that `jobs` does not reach are left out. */
export function byMinute(jobs: Job[], more: boolean, now: number, minutes: number): { minute: number; jobs: number; tokens: number }[] {
  const last = Math.floor(now / 60_000);
  const times = jobs.map(at).filter((time) => !Number.isNaN(time));
  if (times.length === 0) return [];
  const oldest = Math.floor(Math.min(...times) / 60_000);
  // The oldest minute of a cut list is not whole.
  const first = Math.max(last - minutes + 1, more ? oldest + 1 : oldest);
  const bins = [];
  for (let minute = first; minute <= last; minute++) {
    const inside = jobs.filter((job) => Math.floor(at(job) / 60_000) === minute);
    bins.push({ minute: minute * 60, jobs: inside.length, tokens: inside.reduce((sum, job) => sum + (job.output_tokens ?? 0), 0) });
  }
  return bins;
}

/** Ends that leave nothing to contest: the window passed, a jury decided, or a fault was proved. */
const STANDS = ["claimed", "not_guilty", "guilty", "fault"];

/** Of the value of results, by their ceilings, the part whose window has passed unchallenged or whose case was decided. */
export function verifiedShare(jobs: Job[]): { share: number | null; results: number } {
  const results = jobs.filter((job) => known(job.submitted_slot));
  const value = (list: Job[]): bigint => list.reduce((sum, job) => sum + BigInt(job.ceiling_lamports), 0n);
  const all = value(results);
  const verified = value(results.filter((job) => STANDS.includes(job.end_reason ?? "")));
  return { share: all === 0n ? null : Number((verified * 1_000_000n) / all) / 1_000_000, results: results.length };
}

export function sum(amounts: Maybe<Amount>[]): bigint | null {
  return amounts.every(known) ? amounts.reduce<bigint>((total, amount) => total + BigInt(amount as Amount), 0n) : null;
}

export function difference(left: Maybe<Amount>, right: Maybe<Amount>): bigint | null {
  return known(left) && known(right) ? BigInt(left) - BigInt(right) : null;
}

/** What a settlement's parts leave of its fee, and fee and refund of what was held: both are zero where the promise is kept. */
export function unaccounted(row: Pick<Settlement, "fee_lamports" | "validator_lamports" | "foundation_lamports" | "burned_lamports" | "refunded_lamports" | "ceiling_lamports">): { fee: bigint | null; held: bigint | null } {
  return {
    fee: difference(row.fee_lamports, sum([row.validator_lamports, row.foundation_lamports, row.burned_lamports])),
    held: difference(row.ceiling_lamports, sum([row.fee_lamports, row.refunded_lamports])),
  };
}

/** Amounts by name, those of nested objects under `outer inner`. */
export function amounts(value: unknown, name = ""): Map<string, Amount> {
  const found = new Map<string, Amount>();
  if (typeof value === "number" || typeof value === "bigint") return found.set(name, value);
  if (value === null || typeof value !== "object") return found;
  for (const [key, inner] of Object.entries(value)) {
    for (const [path, amount] of amounts(inner, name ? name + " " + key : key)) found.set(path, amount);
  }
  return found;
}

/** Chain and index side by side, by kind of amount. */
export function compared(chain: unknown, index: unknown): { kind: string; chain: Amount | null; index: Amount | null; difference: bigint | null }[] {
  const [left, right] = [amounts(chain), amounts(index)];
  const kinds = [...new Set([...left.keys(), ...right.keys()])].sort();
  return kinds.map((kind) => {
    const [chain, index] = [left.get(kind) ?? null, right.get(kind) ?? null];
    return { kind, chain, index, difference: difference(chain, index) };
  });
}

/** Of the jobs that a validator took and that ended by its doing, those that it answered. */
export function success(settled: Maybe<number>, missed: Maybe<number>): number | null {
  if (!known(settled) || !known(missed) || settled + missed === 0) return null;
  return settled / (settled + missed);
}

/** What one epoch of a lease shows in the strip: those without a row between the first and the last are missed. */
export function strip(epochs: { epoch: number; status: string; proved: boolean }[], now: Maybe<number>, running: boolean): { epoch: number; state: string }[] {
  if (epochs.length === 0) return [];
  const rows = new Map(epochs.map((row) => [row.epoch, row]));
  const numbers = epochs.map((row) => row.epoch);
  const [first, newest] = [Math.min(...numbers), Math.max(...numbers)];
  const last = running && known(now) ? Math.min(Math.max(newest, now), newest + 64) : newest;
  const cells = [];
  for (let epoch = Math.max(first, last - 95); epoch <= last; epoch++) {
    const row = rows.get(epoch);
    cells.push({ epoch, state: row ? (row.proved ? row.status : "metered") : epoch === now ? "current" : "missed" });
  }
  return cells;
}
