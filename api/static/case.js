// The page of one case.
import {
  $, SAMPLE, anchor, at, cell, claimsTable, column, countdown, element, facts, finding, get, lamports, linked, live, number, outOf, show, subject, table, time, verdict, words,
} from "./page.js";

const id = subject();
const FRACTION = 2 ** 16;

const ASKED = { sample: () => "drawn", claim: (opening) => "named by claim " + opening.claim_place, fault: () => "the proven fault" };

const OPENINGS = [
  number("Position", (opening) => opening.position),
  column("Why", (opening) => cell(ASKED[opening.asked_by]?.(opening))),
  column("Shown", (opening) => cell(opening.shown ? "yes" : "no")),
  number("Token", (opening) => opening.token),
  column("Likeliest ids", (opening) => cell(opening.ids && opening.ids.join(", "))),
  column("Their logits", (opening) => cell(opening.logits && opening.logits.map((logit) => (logit / FRACTION).toFixed(3)).join(", "))),
];

const openings = table(OPENINGS);

// A column for each thing that is judged beside those of every seat.
const jury = (box, found) => {
  const judged = [[SAMPLE, "Sample"], ...found.all_claims.filter((claim) => claim.digest_place !== null).map((claim) => [claim.digest_place, "Claim " + claim.place])];
  const agreeing = (seat) => (seat.agrees === null ? null : seat.agrees[found.exact_profile ? 0 : SAMPLE]);
  $(box).replaceChildren();
  table([
    number("Seat", (seat) => seat.seat),
    column("Juror", (seat) => linked("validators", seat.juror)),
    number("Committed, slot", (seat) => seat.committed_slot),
    number("Revealed, slot", (seat) => seat.revealed_slot),
    ...judged.map(([place, name]) => column(name, (seat) => cell(finding(seat, place)))),
    column("Same work as seats", (seat) => cell(agreeing(seat) ? (agreeing(seat).length ? agreeing(seat).join(", ") : "none") : null)),
    column("Outcome", (seat) => cell(seat.outcome)),
    number("Reward, lamports", (seat) => seat.reward_lamports),
    number("Penalty, lamports", (seat) => seat.penalty_lamports),
  ])(box, found.jurors, "no seat is taken");
};

const steps = (found) => {
  const plan = [
    ["opening", found.opened_slot, found.shown_slot ?? (found.resolved_slot === null ? found.leaves_due_slot : null)],
    ["joining", found.shown_slot, found.joining_end_slot], ["showing", found.joining_end_slot, found.leaves_due_slot],
    ["draw", found.leaves_slot, found.commit_from_slot], ["commit", found.commit_from_slot, found.commit_end_slot],
    ["reveal", found.commit_end_slot, found.reveal_end_slot], ["resolved", found.resolved_slot, null],
  ].filter(([name]) => name !== "showing" || found.phase === "showing");
  const over = found.resolved_slot !== null;
  const now = plan.findIndex(([name]) => name === found.phase);
  $("steps").replaceChildren(...plan.map(([name, from, until], index) => {
    const past = from !== null && (over ? from <= found.resolved_slot : index < now || found.phase === "due");
    const li = element("li", undefined, index === now && !over ? "now" : past ? (name === "resolved" && found.slashed_lamports > 0 ? "over" : "done") : "");
    li.append(element("b", name));
    const span = from === null ? (over ? "did not come to it" : "later") : "slot " + show(from) + (until !== null && until !== from ? " to " + show(until) : "");
    li.append(element("small", span));
    return li;
  }));
};

const fill = async () => {
  const path = "/v1/cases/" + encodeURIComponent(id);
  const found = await get(path);
  $("id").textContent = found.id;
  document.title = (found.verdict ? words(found.verdict) : found.phase ?? found.status) + " · Mythic case " + found.id.slice(0, 4);
  steps(found);
  $("next").textContent = found.verdict ? "Verdict: " + verdict(found) + "." : "Next: " + (countdown(found) ?? "not known") + ".";
  facts($("sides"), [
    ["Job", found.job, { hash: true, link: at("jobs", found.job), note: found.job_status }],
    ["Model", found.model],
    ["Result of", found.submitter, { hash: true, link: at("validators", found.submitter) }],
    [found.prover ? "Fault proved by" : found.reward_lamports > 0 ? "Rewarded" : "Opened by", found.prover ?? found.challenger, { hash: true, link: (found.prover ?? found.challenger) && at("validators", found.prover ?? found.challenger) }],
    ["Fingerprint", found.fingerprint, { hash: true }],
    ["Shown", outOf(found.opened_positions, found.sampled_positions + found.named_positions), { note: "positions" }],
    ["Arithmetic", found.exact_profile ? "exact: the same bits on every machine" : "calibrated: within the model's thresholds"],
    ["Opened", found.opened_at && time(found.opened_at), { note: "slot " + show(found.opened_slot) }],
    ["Resolved", found.resolved_at ? time(found.resolved_at) : found.resolved_slot === null ? "not yet" : null, { note: found.resolved_slot !== null && "slot " + show(found.resolved_slot) }],
  ]);
  claimsTable("claims", found);
  const settled = found.resolved_slot !== null;
  facts($("money"), [
    ["Bonds of all claims", lamports(found.bonds_lamports)],
    ["Stake of who committed to the jury", lamports(found.committed_stake_lamports), { note: "the most that it can take" }],
    ["Slashed", settled ? lamports(found.slashed_lamports) : "decided by the verdict"],
    ...(settled ? [
      ["Reward", lamports(found.reward_lamports), { note: "to the earliest right claim, or to who proved the fault" }],
      ["To claimants", lamports(found.claimants_lamports), { note: "bonds that returned included" }], ["To jurors", lamports(found.jurors_lamports)],
      ["To the validator", lamports(found.submitter_lamports)], ["Burned", lamports(found.burned_lamports)],
      ["Lost by jurors", lamports(found.penalties_lamports)],
    ] : []),
  ]);
  jury("jury", found);
  openings("openings", found.openings, "no position yet");
  $("links").replaceChildren("– means not known. ", anchor("JSON", path), " · ", anchor("its job", at("jobs", found.job)));
  $("body").hidden = false;
};

$("id").textContent = id;
const refresh = live(fill);
// The countdown moves without an event.
setInterval(refresh, 2000);
