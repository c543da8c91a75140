// The network page.
import { $, cell, facts, get, jobsTable, linked, live, rows, show, sol } from "./page.js";

const fill = async () => {
  const [now, jobs, validators, models] = await Promise.all([
    get("/v1/network"), get("/v1/jobs?limit=20"), get("/v1/validators?limit=100"), get("/v1/models"),
  ]);
  const speed = now.capacity_tokens_per_second;
  facts($("facts"), [
    ["Active validators", now.active_validators, { note: now.registered_validators !== null && "of " + now.registered_validators + " registered" }],
    ["Capacity, tokens/s", speed && Math.round(speed), { note: now.gpus === 0 ? "on CPUs, no GPU registered" : now.gpus && now.gpus + " GPUs" }],
    ["Jobs", now.jobs, { note: now.jobs_settled !== null && show(now.jobs_settled) + " settled" }],
    ["Cases", now.disputes, { note: now.disputes_open !== null && show(now.disputes_open) + " open, " + sol(now.slashed_lamports) + " SOL slashed" }],
    ["Burned, SOL", sol(now.burned_lamports)],
    ["Staked, SOL", sol(now.staked_lamports)],
    ["Slot", now.slot, { note: now.finalized_slot !== null && "finalized " + show(now.finalized_slot) }],
  ]);
  jobsTable("jobs", jobs.data, "no job yet");
  rows($("validators"), validators.data.map((v) => [
    linked("validators", v.authority), cell(v.live?.draining ? "draining" : v.status, { pill: true }),
    cell(v.gpu_name || "CPU only"), cell(sol(v.stake), { number: true }), cell(v.open_jobs, { number: true }),
    cell(v.live?.queued, { number: true }), cell(v.live?.tokens_per_second && Math.round(v.live.tokens_per_second), { number: true }),
    cell(v.jobs_settled, { number: true }), cell(v.jobs_missed, { number: true }), cell(sol(v.earned), { number: true }),
  ]), "no validator is registered");
  const model = models.data[0]?.id ?? "MODEL";
  $("ask").textContent = "curl " + location.origin + "/v1/chat/completions -H 'content-type: application/json' \\\n  -d '" +
    JSON.stringify({ model, messages: [{ role: "user", content: "Why is the sky blue?" }] }) + "'";
  rows($("models"), models.data.map((m) => [
    cell(m.id, { title: m.identity }), cell(m.kernel_profile), cell(m.context_length, { number: true }), cell(m.price_in_lamports_per_1k, { number: true }),
    cell(m.price_out_lamports_per_1k, { number: true }), cell(m.validators, { number: true }),
  ]), "this gateway serves no model");
};

const refresh = live(fill);
// Slots, speeds and ages change without an event.
setInterval(refresh, 5000);
