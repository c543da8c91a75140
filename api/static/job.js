// The page of one job.
import { $, anchor, at, cell, claimsTable, copyable, countdown, element, facts, get, lamports, live, rows, short, show, sol, subject, time, verdict, words } from "./page.js";

const id = subject();
const ENDS = ["settled", "refunded", "slashed"];
let pace = null;
let seen = null;

// Milliseconds a slot takes, from two looks at the chain.
const measure = (slot) => {
  const now = performance.now();
  if (slot === null) return;
  if (seen && slot > seen.slot) pace = (now - seen.at) / (slot - seen.slot);
  if (!seen || slot > seen.slot + 20) seen = { slot, at: now };
};

const steps = (job) => {
  const reached = new Map((job.transitions ?? []).map((step) => [step.status, step]));
  const end = ENDS.includes(job.status) ? job.status : "settled";
  const plan = ["accepted", "submitted", end];
  if (reached.has("open")) plan.unshift("open");
  if (reached.has("disputed")) plan.splice(-1, 0, "disputed");
  const shown = plan.filter((name) => reached.has(name) || !ENDS.includes(job.status) || name === end);
  const next = shown.find((name) => !reached.has(name));
  $("steps").replaceChildren(...shown.map((name) => {
    const step = reached.get(name);
    const bad = step && ["refunded", "slashed", "disputed"].includes(name);
    const li = element("li", undefined, step ? (bad ? "over" : "done") : name === next ? "now" : "");
    li.append(element("b", name));
    li.append(element("small", step ? "slot " + show(step.slot) : name === next ? "awaited" : "later"));
    if (step) li.append(element("small", time(step.at), "", step.at));
    return li;
  }));
};

const challenge = (job, slot) => {
  const bar = $("bar");
  const end = job.window_end_slot;
  bar.hidden = true;
  if (ENDS.includes(job.status)) {
    $("window").textContent = end === null
      ? "There was no result to challenge."
      : "Closed. A challenge had to come before slot " + show(end) + ".";
  } else if (end === null) {
    $("window").textContent = "Opens with the result: from then on any validator can re-run the job and challenge it for 100 slots.";
  } else if (slot === null) {
    $("window").textContent = "Ends at slot " + show(end) + "; the present slot is not known.";
  } else if (slot >= end && job.open_disputes) {
    $("window").textContent = "Ended at slot " + show(end) + ". The job ends with its case.";
  } else if (slot >= end) {
    $("window").textContent = "Ended at slot " + show(end) + ". The settlement is due.";
  } else {
    const left = end - slot;
    const total = end - job.submitted_slot;
    const about = pace && " (about " + Math.ceil((left * pace) / 1000) + " s)";
    $("window").textContent = show(left) + " slots left" + (about || "") + " in which any validator can challenge this result; ends at slot " + show(end) + ".";
    bar.max = total;
    bar.value = total - left;
    bar.hidden = false;
  }
};

const money = (job) => {
  const shares = [
    ["validator", "Validator", job.validator_lamports], ["foundation", "Foundation", job.foundation_lamports],
    ["burned", "Burned", job.burned_lamports], ["refunded", "Back to the vault", job.refunded_lamports],
  ];
  const known = shares.every(([, , amount]) => amount !== null);
  const dispute = job.dispute;
  $("fee").textContent = job.status === "slashed"
    ? "The result was judged false: the validator is paid nothing, the ceiling of " + lamports(job.ceiling_lamports) + " returned to the owner's vault, and " +
      (dispute && dispute.slashed_lamports !== null ? sol(dispute.slashed_lamports) + " SOL of the validator's stake were slashed. The case above shows who got them." : "a part of the validator's stake is slashed.")
    : job.fee_lamports === null
    ? "The fee is not known yet; it is at most " + lamports(job.ceiling_lamports) + ", held in the owner's vault."
    : "Fee " + lamports(job.fee_lamports) + " of at most " + show(job.ceiling_lamports) + "." + (known ? "" : " It is split when the job ends.");
  $("split").hidden = !known;
  if (!known) return $("legend").replaceChildren();
  const bar = (name, amount) => {
    const part = element("i", undefined, name);
    part.style.flexGrow = amount;
    return part;
  };
  $("split").replaceChildren(...shares.filter(([, , amount]) => amount > 0).map(([name, , amount]) => bar(name, amount)));
  $("legend").replaceChildren(...shares.map(([name, label, amount]) => {
    const box = element("div");
    const share = job.fee_lamports > 0 && name !== "refunded" ? " · " + Math.round((amount / job.fee_lamports) * 100) + " %" : "";
    box.append(element("i", undefined, name), element("dt", label), element("dd", show(amount) + share));
    return box;
  }));
};

// What is said against the result.
const court = (found) => {
  $("court").hidden = !found;
  if (!found) return;
  $("stands").replaceChildren(
    found.verdict ? "Verdict: " + verdict(found) + ". " : words(found.phase ?? found.status) + (countdown(found) ? ": " + countdown(found) : "") + ". ",
    anchor("The whole case", at("cases", found.id)),
  );
  claimsTable("claims", found);
};

const fill = async () => {
  const path = "/v1/jobs/" + encodeURIComponent(id);
  const [job, network] = await Promise.all([get(path), get("/v1/network").catch(() => ({ slot: null }))]);
  const found = job.dispute && (await get("/v1/cases/" + encodeURIComponent(job.dispute.id)));
  measure(network.slot);
  $("id").textContent = job.id;
  document.title = job.status + " · Mythic job " + short(job.id);
  steps(job);
  challenge(job, network.slot);
  court(found);
  money(job);
  facts($("proof"), [
    ["Fingerprint", job.fingerprint, { hash: true }], ["Output root", job.output_root, { hash: true }],
    ["Prompt hash", job.prompt_hash, { hash: true }], ["Terms hash", job.terms_hash, { hash: true }],
  ]);
  const dispute = job.dispute;
  facts($("facts"), [
    ["Model", job.model], ["Validator", job.validator, { hash: true, link: job.validator && at("validators", job.validator) }], ["Owner", job.owner, { hash: true, link: job.owner && "/jobs?owner=" + encodeURIComponent(job.owner) }],
    ["Prompt tokens", job.prompt_tokens], ["Output tokens", job.output_tokens === null ? null : show(job.output_tokens) + " of at most " + show(job.max_output_tokens)],
    ["Temperature", job.temperature_milli === null ? null : job.temperature_milli / 1000], ["Ended by", job.finish_reason],
    ["Case", dispute ? dispute.status + (dispute.verdict ? ", " + dispute.verdict : "") : "none"],
  ]);
  rows($("transitions"), (job.transitions ?? []).map((step) => [
    cell(step.status, { pill: true }), cell(step.slot, { number: true }), cell(time(step.at), { title: step.at }), cell(step.commitment),
    copyable(step.signature),
  ]), "not on chain yet");
  $("links").replaceChildren("– means not known. ", anchor("JSON", path), " · ", anchor("receipt", path + "/receipt"), " · ", anchor("evidence", path + "/evidence"));
  $("body").hidden = false;
  over = ENDS.includes(job.status) && job.commitment === "finalized";
};

let over = false;
$("id").textContent = id;
const refresh = live(fill, "&job=" + encodeURIComponent(id));
// The countdown and the commitment move without an event of this job.
setInterval(() => over || refresh(), 2000);
