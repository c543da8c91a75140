// The page of one dispute.
import { $, anchor, at, cell, column, countdown, element, facts, get, lamports, linked, live, number, outOf, show, subject, table, time, verdict, words } from "./page.js";

const id = subject();
const FRACTION = 2 ** 16;

const JURY = [
  number("Seat", (seat) => seat.seat),
  column("Juror", (seat) => linked("validators", seat.juror)),
  number("Committed, slot", (seat) => seat.committed_slot),
  number("Revealed, slot", (seat) => seat.revealed_slot),
  column("Found", (seat) => cell(seat.shows_fraud === null ? null : seat.shows_fraud ? "false result" : "true result")),
  column("Agrees with seats", (seat) => cell(seat.agrees === null ? null : seat.agrees.length ? seat.agrees.join(", ") : "none")),
  column("Outcome", (seat) => cell(seat.outcome)),
  number("Reward, lamports", (seat) => seat.reward_lamports),
  number("Penalty, lamports", (seat) => seat.penalty_lamports),
];

const OPENINGS = [
  number("Position", (opening) => opening.position),
  column("Why", (opening) => cell(opening.named ? "named by the challenger" : "drawn")),
  column("Shown", (opening) => cell(opening.shown ? "yes" : "no")),
  number("Token", (opening) => opening.token),
  column("Likeliest ids", (opening) => cell(opening.ids && opening.ids.join(", "))),
  column("Their logits", (opening) => cell(opening.logits && opening.logits.map((logit) => (logit / FRACTION).toFixed(3)).join(", "))),
];

const jury = table(JURY);
const openings = table(OPENINGS);

const steps = (dispute) => {
  const plan = [
    ["openings", dispute.opened_slot, dispute.openings_end_slot], ["draw", dispute.completed_slot, dispute.commit_from_slot],
    ["commit", dispute.commit_from_slot, dispute.commit_end_slot], ["reveal", dispute.commit_end_slot, dispute.reveal_end_slot],
    ["resolved", dispute.resolved_slot, null],
  ];
  const over = dispute.resolved_slot !== null;
  const now = plan.findIndex(([name]) => name === dispute.phase);
  $("steps").replaceChildren(...plan.map(([name, from, until], index) => {
    const past = from !== null && (over ? from <= dispute.resolved_slot : index < now || dispute.phase === "due");
    const li = element("li", undefined, index === now && !over ? "now" : past ? (name === "resolved" && dispute.slashed_lamports > 0 ? "over" : "done") : "");
    li.append(element("b", name));
    const span = from === null ? (over ? "did not come to it" : "later") : "slot " + show(from) + (until !== null && until !== from ? " to " + show(until) : "");
    li.append(element("small", span));
    return li;
  }));
};

const fill = async () => {
  const path = "/v1/disputes/" + encodeURIComponent(id);
  const dispute = await get(path);
  $("id").textContent = dispute.id;
  document.title = (dispute.verdict ? words(dispute.verdict) : dispute.phase ?? dispute.status) + " · Mythic dispute " + dispute.id.slice(0, 4);
  steps(dispute);
  $("next").textContent = dispute.verdict ? "Verdict: " + verdict(dispute) + "." : "Next: " + (countdown(dispute) ?? "not known") + ".";
  facts($("sides"), [
    ["Job", dispute.job, { hash: true, link: at("jobs", dispute.job), note: dispute.job_status }],
    ["Model", dispute.model],
    ["Result of", dispute.submitter, { hash: true, link: at("validators", dispute.submitter) }],
    ["Challenged by", dispute.challenger, { hash: true, link: at("validators", dispute.challenger) }],
    ["Fingerprint", dispute.fingerprint, { hash: true }],
    ["Shown", outOf(dispute.opened_positions, dispute.sampled_positions === null ? null : dispute.sampled_positions + dispute.named_positions), { note: "positions" }],
    ["Arithmetic", dispute.exact_profile === null ? null : dispute.exact_profile ? "exact: the same bits on every machine" : "calibrated: within the model's thresholds"],
    ["Opened", dispute.opened_at && time(dispute.opened_at), { note: "slot " + show(dispute.opened_slot) }],
    ["Resolved", dispute.resolved_at ? time(dispute.resolved_at) : dispute.resolved_slot === null ? "not yet" : null, { note: dispute.resolved_slot !== null && "slot " + show(dispute.resolved_slot) }],
  ]);
  const settled = dispute.resolved_slot !== null;
  facts($("money"), [
    ["Bond of the challenger", lamports(dispute.bond_lamports)],
    ["Of it lost if the result is true", lamports(dispute.at_stake_lamports)],
    ["Slashed", settled ? lamports(dispute.slashed_lamports) : "decided by the verdict"],
    ...(settled ? [
      ["To the challenger", lamports(dispute.challenger_lamports), { note: "its bond included" }], ["To jurors", lamports(dispute.jurors_lamports)],
      ["To the validator", lamports(dispute.submitter_lamports)], ["Burned", lamports(dispute.burned_lamports)],
      ["Lost by jurors", lamports(dispute.penalties_lamports)],
    ] : []),
  ]);
  jury("jury", dispute.jurors, "no seat is taken");
  openings("openings", dispute.openings, "no position yet");
  $("links").replaceChildren("– means not known. ", anchor("JSON", path), " · ", anchor("its job", at("jobs", dispute.job)));
  $("body").hidden = false;
};

$("id").textContent = id;
const refresh = live(fill);
// The countdown moves without an event.
setInterval(refresh, 2000);
