// The page of the Compute Market.
import { $, ago, cell, column, facts, get, lamports, leasesTable, linked, live, number, short, show, sol, table } from "./page.js";

const providers = table([
  column("Provider", (p) => linked("providers", p.authority)),
  column("Status", (p) => cell(p.status, { pill: true })),
  column("Class", (p) => cell(p.class_name ?? short(p.class), { title: p.class })),
  number("Free units", (p) => show(p.free_units) + " of " + show(p.units)),
  number("Lamports/s a unit", (p) => p.price_lamports),
  column("Region", (p) => cell(p.region || "not said")),
  column("Isolation", (p) => cell(p.isolation, { title: "as it says" })),
  number("Stake, SOL", (p) => sol(p.stake_lamports)),
  number("Leases", (p) => p.leases),
  number("Proved", (p) => p.epochs_proved),
  number("Missed", (p) => p.epochs_missed),
  number("Refuted", (p) => p.proofs_refuted),
  number("Earned, SOL", (p) => sol(p.earned_lamports)),
]);

const requests = table([
  column("Request", (r) => cell(short(r.id), { title: r.id })),
  column("Status", (r) => cell(r.status, { pill: true })),
  column("Lease", (r) => (r.lease ? linked("leases", r.lease) : cell("none"))),
  column("Tenant", (r) => cell(short(r.tenant), { title: r.tenant })),
  column("Class", (r) => cell(r.class_name ?? short(r.class), { title: r.class })),
  column("Kind", (r) => cell(r.kind)),
  number("Units", (r) => r.units),
  number("Seconds", (r) => r.seconds),
  number("Most lamports/s a unit", (r) => r.price_lamports),
  column("Asked", (r) => cell(ago(r.requested_at), { title: r.requested_at ?? "" })),
]);

const classes = table([
  column("Class", (k) => cell(k.name, { title: k.id })),
  column("Status", (k) => cell(k.retired ? "retired" : "active", { pill: true })),
  column("Probe", (k) => cell(show(k.rounds) + " products of " + show(k.matrix_side) + " × " + show(k.matrix_side))),
  number("Slots for a proof", (k) => k.proof_slots),
  number("Stake a unit, SOL", (k) => sol(k.stake_per_unit_lamports)),
  number("GPU memory, MiB", (k) => (k.vram_mib === 0 ? "CPU only" : k.vram_mib)),
  column("Measured", (k) => cell(k.calibrated ? "on its device" : "not on the device that it is named after")),
]);

const fill = async () => {
  const [now, offers, leases, asked, known] = await Promise.all([
    get("/v1/market"), get("/v1/providers?limit=50"), get("/v1/leases?limit=20"), get("/v1/requests?limit=20"), get("/v1/classes?limit=50"),
  ]);
  facts($("facts"), [
    ["Providers", now.registered_providers, { note: now.paused === null ? "no market on this network" : now.paused && "paused: no new requests" }],
    ["Units leased", now.leased_units, { note: "of " + show(now.offered_units) }],
    ["Leases", now.leases, { note: show(now.running_leases) + " run" }],
    ["Open requests", now.open_requests],
    ["Epochs proved", now.epochs_proved, { note: show(now.epochs_missed) + " missed" }],
    ["Disputes", now.disputes, { note: show(now.open_disputes) + " open" }],
    ["Staked, SOL", sol(now.staked_lamports), { note: sol(now.slashed_lamports) + " slashed" }],
    ["Slot", now.slot, { note: now.finalized_slot !== null && "finalized " + show(now.finalized_slot) }],
  ]);
  facts($("money"), [
    ["Paid in by tenants", lamports(now.deposited_lamports)], ["Out of providers' stake, for tenants", lamports(now.compensated_lamports)],
    ["For seconds to come", lamports(now.escrow_lamports)], ["Can still be disputed", lamports(now.pending_lamports)],
    ["To providers", lamports(now.paid_lamports)], ["To the foundation", lamports(now.foundation_lamports)],
    ["Burned", lamports(now.burned_lamports)], ["Back to tenants", lamports(now.refunded_lamports)],
    ["Without a name", lamports(now.astray_lamports), { note: "always 0" }],
  ]);
  providers("providers", offers.data, "no provider is registered");
  leasesTable("leases", leases.data, "no lease yet");
  requests("requests", asked.data, "no request yet");
  classes("classes", known.data, "no class is registered");
};

const refresh = live(fill, "", "leases,network");
// Slots and ages change without an event.
setInterval(refresh, 5000);
