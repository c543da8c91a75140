// The page of one lease.
import {
  $, anchor, at, cell, column, copyable, countdown, element, facts, get, lamports, live, number, short, show, sol, subject, table, time, words,
} from "./page.js";

const id = subject();

const epochs = table([
  number("Epoch", (epoch) => epoch.epoch),
  column("Status", (epoch) => cell(epoch.status, { pill: true })),
  column("Proof", (epoch) => (epoch.proved ? copyable(epoch.proof) : cell("behind the last proof"))),
  number("Seconds", (epoch) => epoch.seconds),
  number("Lamports", (epoch) => epoch.amount_lamports),
  number("Provider", (epoch) => epoch.provider_lamports),
  number("Foundation", (epoch) => epoch.foundation_lamports),
  number("Burned", (epoch) => epoch.burned_lamports),
  number("Refunded", (epoch) => epoch.refunded_lamports),
  number("Metered in slot", (epoch) => epoch.metered_slot),
  number("Disputable until slot", (epoch) => epoch.dispute_end_slot),
  column("Held at", (epoch) => cell(epoch.commitment)),
]);

const disputes = table([
  number("No.", (dispute) => dispute.number),
  number("Epoch", (dispute) => dispute.epoch),
  column("Status", (dispute) => cell(dispute.outcome ?? dispute.status, { pill: true })),
  column("Disputer", (dispute) => cell(short(dispute.disputer), { title: dispute.disputer })),
  number("Elements shown", (dispute) => show(dispute.opened_elements) + " of " + show(dispute.named_elements)),
  number("Bond, SOL", (dispute) => sol(dispute.bond_lamports)),
  number("Returned, SOL", (dispute) => sol(dispute.returned_lamports)),
  number("Reward, SOL", (dispute) => sol(dispute.reward_lamports)),
  number("Slashed, SOL", (dispute) => sol(dispute.slashed_lamports)),
  number("Opened in slot", (dispute) => dispute.opened_slot),
  number("Openings end in slot", (dispute) => dispute.openings_end_slot),
  number("Decided in slot", (dispute) => dispute.resolved_slot),
]);

const events = table([
  column("What", (event) => cell(event.event + (event.epoch === null ? "" : " epoch " + show(event.epoch)))),
  column("How", (event) => cell(event.detail === null ? "" : words(event.detail), { title: " " })),
  number("Slot", (event) => event.slot),
  column("Time", (event) => cell(time(event.at), { title: event.at ?? "" })),
  column("Held at", (event) => cell(event.commitment)),
  column("Transaction", (event) => copyable(event.signature)),
]);

const steps = (lease) => {
  const plan = [
    ["accepted", lease.accepted_slot], ["started", lease.started_slot], ["active", lease.acknowledged_slot], ["ended", lease.ended_slot],
  ];
  if (lease.notice_epoch !== null) plan.splice(-1, 0, ["closing", lease.notice_epoch * lease.epoch_slots]);
  const reached = plan.map(([, slot]) => slot !== null);
  const next = lease.ended_slot === null ? reached.indexOf(false) : -1;
  $("steps").replaceChildren(...plan.map(([name, slot], index) => {
    const bad = name === "ended" && ["never_started", "never_acknowledged", "missed_proofs", "proof_refuted"].includes(lease.reason);
    const li = element("li", undefined, reached[index] ? (bad ? "over" : "done") : index === next ? "now" : "");
    li.append(element("b", name));
    const from = name === "closing" ? "from epoch " + show(lease.notice_epoch) : "slot " + show(slot);
    li.append(element("small", reached[index] ? from : lease.ended_slot !== null ? "did not come to it" : index === next ? "awaited" : "later"));
    return li;
  }));
};

const money = (lease) => {
  const parts = [
    ["escrow", "Lies here for seconds to come", lease.escrow_lamports], ["pending", "Lies here while it can be disputed", lease.pending_lamports],
    ["validator", "To the provider", lease.paid_lamports], ["foundation", "To the foundation", lease.foundation_lamports],
    ["burned", "Burned", lease.burned_lamports], ["refunded", "Back to the tenant", lease.refunded_lamports],
  ];
  $("sum").textContent = "Paid in " + lamports(lease.deposited_lamports) +
    (lease.compensated_lamports > 0 ? ", and out of the provider's stake " + lamports(lease.compensated_lamports) : "") + ".";
  const shown = parts.filter(([, , amount]) => amount > 0);
  $("split").hidden = shown.length === 0;
  $("split").replaceChildren(...shown.map(([name, , amount]) => {
    const part = element("i", undefined, name);
    part.style.flexGrow = amount;
    return part;
  }));
  facts($("money"), [
    ...parts.map(([, label, amount]) => [label, lamports(amount)]),
    ["Of that lies here for the tenant", lamports(lease.tenant_due_lamports)],
    ["Lies here in all", lamports(lease.held_lamports)],
    ["The provider's stake that it cost", lamports(lease.slashed_lamports)],
    ["Without a name", lamports(lease.astray_lamports), { note: "always 0" }],
  ]);
};

const fill = async () => {
  const path = "/v1/leases/" + encodeURIComponent(id);
  const [lease, said] = await Promise.all([get(path), get(path + "/disputes?limit=50")]);
  $("id").textContent = lease.id;
  document.title = lease.status + " · Mythic lease " + short(lease.id);
  $("inexact").hidden = lease.exact;
  steps(lease);
  $("next").textContent = lease.status === "ended"
    ? "Ended: " + (words(lease.reason) ?? "not known why") + "."
    : "Next: " + (countdown(lease) ?? "not known") + ".";
  money(lease);
  const seconds = (from, to) => (from && to ? Math.max(0, Math.round((new Date(to) - new Date(from)) / 1000)) : null);
  facts($("meter"), [
    ["Started", time(lease.started_at)], ["Metered until", time(lease.metered_at)], ["Ends", time(lease.ends_at)],
    ["Seconds metered", seconds(lease.started_at, lease.metered_at), { note: "of " + show(seconds(lease.started_at, lease.ends_at)) }],
    ["Epochs proved", lease.epochs_proved], ["Epochs missed", lease.epochs_missed],
    ["Last proof", lease.last_proved_epoch, { note: "epoch; now is epoch " + show(lease.epoch) }],
    ["Epoch", show(lease.epoch_seconds) + " s", { note: show(lease.epoch_slots) + " slots; proofs in the first " + show(lease.proof_slots) }],
  ]);
  epochs("epochs", lease.epochs, "nothing is metered yet");
  disputes("disputes", said.data, "nobody disputes its proofs");
  events("events", lease.events, "not known");
  facts($("terms"), [
    ["Provider", lease.provider, { hash: true, link: at("providers", lease.provider) }], ["Tenant", lease.tenant, { hash: true }],
    ["Kind", lease.kind], ["Model", lease.kind === "container" ? "none" : lease.model],
    ["Class", lease.class_name ?? lease.class, { note: show(lease.rounds) + " products of " + show(lease.matrix_side) + " × " + show(lease.matrix_side) + " an epoch and unit" }],
    ["Units", lease.units], ["Price", show(lease.price_lamports) + " lamports", { note: "a second and unit" }],
    ["Stake behind a unit", lamports(lease.stake_per_unit_lamports)],
    ["Request", lease.request, { hash: true }], ["Terms hash", lease.terms_hash, { hash: true }], ["Access hash", lease.access_hash, { hash: true }],
    ["Held at", lease.commitment], ["Account closed", lease.closed_slot === null ? "no" : "in slot " + show(lease.closed_slot)],
  ]);
  $("links").replaceChildren("– means not known. ", anchor("JSON", path), " · ", anchor("all epochs", path + "/epochs"), " · ", anchor("disputes", path + "/disputes"));
  $("body").hidden = false;
};

$("id").textContent = id;
const refresh = live(fill, "&lease=" + encodeURIComponent(id), "leases");
// The countdown and the commitment move without an event of this lease.
setInterval(refresh, 2000);
