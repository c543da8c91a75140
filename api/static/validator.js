// The page of one validator.
import { $, anchor, casesTable, facts, get, jobsTable, lamports, live, show, sol, subject, time } from "./page.js";

const id = subject();
const MEBIBYTES_IN_GIBIBYTE = 1024;

const fill = async () => {
  const path = "/v1/validators/" + encodeURIComponent(id);
  const validator = await get(path);
  const authority = encodeURIComponent(validator.authority);
  const [jobs, against, by] = await Promise.all([
    get("/v1/jobs?limit=20&validator=" + authority),
    get("/v1/cases?limit=20&validator=" + authority),
    get("/v1/cases?limit=20&challenger=" + authority),
  ]);
  const now = validator.live;
  $("id").textContent = validator.authority;
  document.title = (validator.status ?? "unknown") + " · Mythic validator " + validator.authority.slice(0, 4);
  $("inexact").hidden = validator.exact;
  facts($("record"), [
    ["Status", now?.draining ? "draining" : validator.status, { note: validator.jailed_until !== null && "until slot " + show(validator.jailed_until) }],
    ["Stake, SOL", sol(validator.stake)],
    ["Settled", validator.jobs_settled], ["Missed", validator.jobs_missed], ["Declined", validator.jobs_declined],
    ["Open jobs", validator.open_jobs], ["Open cases", validator.open_disputes],
  ]);
  facts($("money"), [
    ["Earned since it registered", lamports(validator.earned)], ["Slashed since it registered", lamports(validator.slashed)],
    ["To be claimed", lamports(validator.claimable)], ["Owed to the foundation", lamports(validator.owed_foundation)],
    ["Owed to burning", lamports(validator.owed_burn)], ["Stake that will count soon", lamports(validator.activating)],
    ["Stake that leaves", lamports(validator.unbonding)],
  ]);
  facts($("node"), [
    ["Announces itself here", now ? "yes, version " + now.version : "no"],
    ["Runs now", now && show(now.running) + " of at most " + show(now.max_concurrent)],
    ["Waits for a place", now && show(now.queued) + " jobs, " + show(now.queued_tokens) + " tokens"],
    ["Tokens a second, of one job", now?.tokens_per_second && Math.round(now.tokens_per_second), { note: "as it says" }],
    ["Hardware", validator.gpu_name || "CPU only", { note: validator.vram_mib > 0 && Math.round(validator.vram_mib / MEBIBYTES_IN_GIBIBYTE) + " GiB, as it says" }],
    ["Endpoint", validator.endpoint, { hash: true }], ["Operator", validator.operator, { hash: true }], ["Account", validator.id, { hash: true }],
    ["Registered", validator.registered_at && time(validator.registered_at), { note: "slot " + show(validator.registered_slot) }],
    ...validator.models.map((served) => ["Serves", served.model, { hash: true, note: "since slot " + show(served.since_slot) }]),
  ]);
  casesTable("disputes", against.data, "none");
  casesTable("challenges", by.data, "none");
  jobsTable("jobs", jobs.data, "no job yet");
  $("all").href = "/jobs?validator=" + authority;
  $("links").replaceChildren("– means not known. ", anchor("JSON", path));
  $("body").hidden = false;
};

$("id").textContent = id;
const refresh = live(fill, "&validator=" + encodeURIComponent(id));
// What its node announces changes without an event.
setInterval(refresh, 5000);
