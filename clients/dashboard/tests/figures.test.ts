import { describe, expect, test } from "vitest";
import { amounts, byMinute, compared, pace, strip, success, unaccounted, verifiedShare } from "../src/figures";
import type { Job } from "../src/types";

const NOW = Date.parse("2026-03-01T12:10:00Z");
const before = (seconds: number): string => new Date(NOW - seconds * 1000).toISOString();
const job = (row: Partial<Job>): Job => ({ ceiling_lamports: 100, output_tokens: null, requested_at: null, submitted_slot: null, end_reason: null, ...row }) as Job;

describe("the pace of the network", () => {
  test("is that of the last ten minutes", () => {
    const jobs = [job({ requested_at: before(10), output_tokens: 300 }), job({ requested_at: before(500), output_tokens: 300 }), job({ requested_at: before(700), output_tokens: 999 })];
    expect(pace(jobs, true, NOW)).toEqual({ jobsAMinute: 0.2, tokensASecond: 1, seconds: 600 });
  });
  test("is that of the newest jobs where more were made than are listed", () => {
    const jobs = Array.from({ length: 100 }, (_, place) => job({ requested_at: before(place), output_tokens: 10 }));
    const found = pace(jobs, true, NOW);
    expect(found.seconds).toBe(99);
    expect(found.jobsAMinute).toBeCloseTo(60.6, 1);
    expect(found.tokensASecond).toBeCloseTo(10.1, 1);
  });
  test("is zero where there was none, and unknown where no time is", () => {
    expect(pace([], false, NOW)).toEqual({ jobsAMinute: 0, tokensASecond: 0, seconds: 600 });
    expect(pace([job({})], false, NOW).jobsAMinute).toBeNull();
    expect(pace([job({ requested_at: before(0) })], true, NOW).jobsAMinute).toBeNull();
  });
  test("by minute has no minute that the list does not reach", () => {
    const jobs = [job({ requested_at: before(30) }), job({ requested_at: before(130) })];
    expect(byMinute(jobs, false, NOW, 30).map(({ jobs }) => jobs)).toEqual([1, 0, 1, 0]);
    expect(byMinute(jobs, true, NOW, 30).map(({ jobs }) => jobs)).toEqual([0, 1, 0]);
    expect(byMinute([], false, NOW, 30)).toEqual([]);
  });
});

describe("the verified share", () => {
  test("is by value, of results alone, and a void case verifies nothing", () => {
    const jobs = [
      job({ submitted_slot: 1, end_reason: "claimed", ceiling_lamports: 300 }), job({ submitted_slot: 1, end_reason: "guilty", ceiling_lamports: 100 }),
      job({ submitted_slot: 1, end_reason: "void", ceiling_lamports: 200 }), job({ submitted_slot: 1, ceiling_lamports: 200 }),
      job({ end_reason: "expired", ceiling_lamports: 5_000 }),
    ];
    expect(verifiedShare(jobs)).toEqual({ share: 0.5, results: 4 });
  });
  test("is unknown before the first result", () => expect(verifiedShare([job({})])).toEqual({ share: null, results: 0 }));
});

describe("money reconciles", () => {
  const row = { fee_lamports: 100, validator_lamports: 50, foundation_lamports: 10, burned_lamports: 40, refunded_lamports: 20, ceiling_lamports: 120 };
  test("where nothing is left over", () => expect(unaccounted(row)).toEqual({ fee: 0n, held: 0n }));
  test("and what is left over is shown", () => expect(unaccounted({ ...row, burned_lamports: 39, refunded_lamports: 21 })).toEqual({ fee: 1n, held: -1n }));
  test("and what is unknown is not a difference", () => expect(unaccounted({ ...row, fee_lamports: null })).toEqual({ fee: null, held: null }));
  test("chain and index stand side by side, also what one of them lacks", () => {
    expect(compared({ vault: 5, market: { lease: 9_007_199_254_740_993n } }, { vault: 4, market: { lease: 9_007_199_254_740_992n }, job: 1 })).toEqual([
      { kind: "job", chain: null, index: 1, difference: null },
      { kind: "market lease", chain: 9_007_199_254_740_993n, index: 9_007_199_254_740_992n, difference: 1n },
      { kind: "vault", chain: 5, index: 4, difference: 1n },
    ]);
    expect(amounts("text").size).toBe(0);
  });
});

test("success is of jobs that were settled or missed", () => {
  expect(success(3, 1)).toBe(0.75);
  expect(success(0, 0)).toBeNull();
});

describe("the strip of epochs", () => {
  const row = (epoch: number, status = "released", proved = true) => ({ epoch, status, proved });
  test("shows what is missing between the first and the last", () => {
    expect(strip([row(9, "pending"), row(7)], 9, false)).toEqual([{ epoch: 7, state: "released" }, { epoch: 8, state: "missed" }, { epoch: 9, state: "pending" }]);
  });
  test("of a running lease goes on to now", () => {
    expect(strip([row(7)], 9, true).map(({ state }) => state)).toEqual(["released", "missed", "current"]);
    expect(strip([row(7, "released", false)], 7, true)).toEqual([{ epoch: 7, state: "metered" }]);
  });
  test("has an end, whatever epoch it is said to be", () => expect(strip([row(1)], 1e12, true).length).toBeLessThan(100));
  test("is empty before the first", () => expect(strip([], 5, true)).toEqual([]));
});
