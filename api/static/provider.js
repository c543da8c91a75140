// The page of one provider.
import { $, anchor, facts, get, lamports, leasesTable, live, show, sol, subject, time } from "./page.js";

const id = subject();

const fill = async () => {
  const path = "/v1/providers/" + encodeURIComponent(id);
  const provider = await get(path);
  const authority = encodeURIComponent(provider.authority);
  const leases = await get("/v1/leases?limit=20&provider=" + authority);
  $("id").textContent = provider.authority;
  document.title = (provider.status ?? "unknown") + " · Mythic provider " + provider.authority.slice(0, 4);
  $("inexact").hidden = provider.exact;
  facts($("record"), [
    ["Status", provider.status, { note: provider.jailed_until_slot !== null && "until slot " + show(provider.jailed_until_slot) }],
    ["Stake, SOL", sol(provider.stake_lamports)],
    ["Leases", provider.leases, { note: show(provider.open_leases) + " open" }],
    ["Epochs proved", provider.epochs_proved], ["Missed", provider.epochs_missed], ["Refuted", provider.proofs_refuted],
    ["Open disputes", provider.open_disputes],
  ]);
  facts($("offer"), [
    ["Class", provider.class_name ?? provider.class],
    ["Units free", show(provider.free_units) + " of " + show(provider.units), { note: show(provider.leased_units) + " leased, stake stands behind " + show(provider.backed_units) }],
    ["Price", show(provider.price_lamports) + " lamports", { note: "a second and unit" }],
    ["Region", provider.region || "not said"], ["Isolation", provider.isolation],
    ["Endpoint", provider.endpoint, { hash: true }], ["Operator", provider.operator, { hash: true }], ["Account", provider.id, { hash: true }],
    ["Registered", provider.registered_at && time(provider.registered_at), { note: "slot " + show(provider.registered_slot) }],
    ["Held at", provider.commitment],
  ]);
  facts($("money"), [
    ["Earned since it registered", lamports(provider.earned_lamports)], ["Slashed since it registered", lamports(provider.slashed_lamports)],
    ["To be claimed", lamports(provider.claimable_lamports)], ["Owed to the foundation", lamports(provider.owed_foundation_lamports)],
    ["Owed to burning", lamports(provider.owed_burn_lamports)], ["Stake that will count soon", lamports(provider.activating_lamports)],
    ["Stake that leaves", lamports(provider.unbonding_lamports)], ["Stake a unit", lamports(provider.stake_per_unit_lamports)],
    ["Epochs that tenants called unserved", lamports(provider.unserved_lamports)],
  ]);
  leasesTable("leases", leases.data, "no lease yet");
  $("all").href = "/leases?provider=" + authority;
  $("links").replaceChildren("– means not known. ", anchor("JSON", path));
  $("body").hidden = false;
};

$("id").textContent = id;
const refresh = live(fill, "&provider=" + encodeURIComponent(id), "leases");
// Commitments move without an event of this provider.
setInterval(refresh, 5000);
