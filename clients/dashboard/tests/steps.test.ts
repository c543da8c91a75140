import { describe, expect, test } from "vitest";
import { steps as ofCase } from "../src/pages/case";
import { totals } from "../src/pages/economics";
import { steps as ofJob } from "../src/pages/job";
import { steps as ofLease } from "../src/pages/lease";
import { steps as ofRequest } from "../src/pages/request";
import type { BurnedDay, CaseDetails, Day, JobDetails, LeaseDetails } from "../src/types";
import { votes } from "../src/ui/lists";

const states = (steps: { name: string; state: string }[]): string[] => steps.map(({ name, state }) => name + " " + state);
const transition = (status: string, slot: number) => ({ status, slot, at: null, commitment: "processed", signature: null });

describe("the way of a job", () => {
  const job = (status: string, transitions: string[]): Pick<JobDetails, "status" | "transitions"> => ({ status, transitions: transitions.map((name, place) => transition(name, place)) });
  test("shows what happened, and what is to come", () => {
    expect(states(ofJob(job("accepted", ["open", "accepted"])))).toEqual(["open done", "accepted now", "submitted later", "settled later"]);
    expect(states(ofJob(job("settled", ["open", "accepted", "submitted", "settled"])))).toEqual(["open done", "accepted done", "submitted done", "settled done"]);
  });
  test("shows an end that went wrong", () => {
    expect(states(ofJob(job("slashed", ["open", "accepted", "submitted", "disputed", "slashed"])))).toEqual(["open done", "accepted done", "submitted done", "disputed over", "slashed over"]);
    expect(states(ofJob(job("refunded", ["open", "refunded"])))).toEqual(["open done", "refunded over"]);
  });
  test("is all to come before the chain has it", () => expect(states(ofJob({ status: "pending", transitions: null }))).toEqual(["open later", "accepted later", "submitted later", "settled later"]));
});

test("the phases of a case are past, present and to come", () => {
  const found = { status: "jury", phase: "commit", opened_slot: 1, shown_slot: 6, joining_end_slot: 106, leaves_due_slot: 156, leaves_slot: 106, commit_from_slot: 126, commit_end_slot: 226, reveal_end_slot: 276, resolved_slot: null, verdict: null };
  expect(states(ofCase(found as CaseDetails))).toEqual(["opening done", "joining done", "draw done", "commit now", "reveal later", "resolved later"]);
  const over = { ...found, status: "resolved", phase: "resolved", resolved_slot: 280, verdict: "guilty" };
  expect(states(ofCase(over as CaseDetails)).at(-1)).toBe("resolved over");
});

test("the phases of a case follow each other, and end with it", () => {
  const found = { status: "resolved", phase: "resolved", opened_slot: 12_196, shown_slot: 12_202, joining_end_slot: 12_302, leaves_due_slot: 12_352, leaves_slot: 12_202, commit_from_slot: 12_322, commit_end_slot: 12_422, reveal_end_slot: 12_472, resolved_slot: 12_445, verdict: "void" };
  const notes = (found: object): unknown[] => ofCase(found as CaseDetails).map(({ note }) => note);
  expect(notes(found)).toEqual(["slot 12,196 to 12,202", "slot 12,202 to 12,302", "slot 12,302 to 12,322", "slot 12,322 to 12,422", "slot 12,422 to 12,445", "slot 12,445"]);
  expect(notes({ ...found, resolved_slot: 12_310 }).slice(2)).toEqual(["slot 12,302 to 12,310", "it did not come to this", "it did not come to this", "slot 12,310"]);
});

test("a request is open until it is taken, taken back or too late", () => {
  const request = (status: string, ended_slot: number | null) => states(ofRequest({ status, requested_slot: 5, ended_slot }));
  expect(request("open", null)).toEqual(["open now", "accepted later"]);
  expect(request("accepted", 9)).toEqual(["open done", "accepted done"]);
  expect(request("expired", 9)).toEqual(["open done", "expired over"]);
});

test("a lease waits for its next step, and ends badly by its provider's doing", () => {
  const lease = { accepted_slot: 1, started_slot: 2, acknowledged_slot: null, ended_slot: null, notice_epoch: null, epoch_slots: 150, reason: null };
  expect(states(ofLease(lease as LeaseDetails))).toEqual(["accepted done", "started done", "active now", "ended later"]);
  const over = { ...lease, ended_slot: 9, reason: "never_acknowledged" };
  expect(states(ofLease(over as LeaseDetails))).toEqual(["accepted done", "started done", "active later", "ended over"]);
});

test("seats that have not revealed have no voice", () => {
  expect(votes([{ finds_true: null }], 1)).toBeNull();
  expect(votes([{ finds_true: null }, { finds_true: [1] }, { finds_true: [] }], 1)).toBe("1 true, 1 false");
});

test("fees are split to the lamport, over the days that all sums reach", () => {
  const day = (day: string, more: Partial<Day>): Day => ({ day, fee_lamports: 100, validator_lamports: 50, foundation_lamports: 10, burned_lamports: 1_000, ...more }) as Day;
  const burned = (day: string, more: Partial<BurnedDay>): BurnedDay => ({ day, fee_lamports: 40, registration_lamports: 0, dispute_lamports: 5, lease_lamports: 1, lease_dispute_lamports: 2, lease_unserved_lamports: 3, burned_lamports: 51, ...more });
  const found = totals([day("2026-01-02", {}), day("2026-01-01", {})], [burned("2026-01-02", {}), burned("2026-01-01", {}), burned("2025-12-31", { fee_lamports: 7 })]);
  expect(found).toMatchObject({ fee: 200n, burned: 80n, left: 0n, leases: 12n, all: 102n });
  expect(totals([day("2026-01-02", { foundation_lamports: 9 })], [burned("2026-01-02", {})]).left).toBe(1n);
});
