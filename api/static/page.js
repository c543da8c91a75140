// Fills the two pages from the API and follows the feed. Text only ever goes in as text.
const $ = (id) => document.getElementById(id);
const unknown = "not known yet";
const get = async (path) => {
  const response = await fetch(path);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? response.statusText);
  return body;
};
const show = (value) => (value === null || value === undefined || value === "" ? "–" : typeof value === "number" ? value.toLocaleString() : String(value));
const short = (key) => (key ? key.slice(0, 4) + "…" + key.slice(-4) : "–");
const sol = (lamports) => (lamports === null || lamports === undefined ? null : lamports / 1e9);
const cell = (value, options = {}) => {
  const td = document.createElement("td");
  if (options.number) td.className = "n";
  if (options.link) {
    const a = document.createElement("a");
    a.href = options.link;
    a.textContent = show(value);
    if (options.title) a.title = options.title;
    td.append(a);
  } else {
    td.textContent = show(value);
    if (options.title) td.title = options.title;
  }
  return td;
};
const rows = (body, list) => body.replaceChildren(...list.map((cells) => {
  const tr = document.createElement("tr");
  tr.append(...cells);
  return tr;
}));
const facts = (list) => $("facts").replaceChildren(...list.map(([name, value]) => {
  const box = document.createElement("div");
  const dt = document.createElement("dt");
  const dd = document.createElement("dd");
  dt.textContent = name;
  dd.textContent = value === null || value === undefined || value === "" ? unknown : show(value);
  box.append(dt, dd);
  return box;
}));

const network = async () => {
  const [now, jobs, validators] = await Promise.all([get("/v1/network"), get("/v1/jobs?limit=20"), get("/v1/validators?limit=100")]);
  facts([
    ["Slot", now.slot], ["Active validators", now.active_validators], ["GPUs", now.gpus],
    ["Capacity (tokens/s)", now.capacity_tokens_per_second && Math.round(now.capacity_tokens_per_second)],
    ["Jobs", now.jobs], ["Settled", now.jobs_settled], ["Staked (SOL)", sol(now.staked_lamports)], ["Burned (SOL)", sol(now.burned_lamports)],
  ]);
  rows($("jobs"), jobs.data.map((job) => [
    cell(short(job.id), { link: "/jobs/" + encodeURIComponent(job.id), title: job.id }), cell(job.status), cell(job.commitment), cell(job.model),
    cell(job.prompt_tokens, { number: true }), cell(job.output_tokens, { number: true }), cell(job.fee_lamports, { number: true }),
    cell(job.burned_lamports, { number: true }),
  ]));
  rows($("validators"), validators.data.map((v) => [
    cell(short(v.authority), { title: v.authority }), cell(v.gpu_name || "CPU only"), cell(sol(v.stake), { number: true }),
    cell(v.open_jobs, { number: true }), cell(v.live?.tokens_per_second && Math.round(v.live.tokens_per_second), { number: true }),
    cell(v.live?.queued, { number: true }),
  ]));
};

const id = decodeURIComponent(location.pathname.split("/").pop());
const job = async () => {
  const it = await get("/v1/jobs/" + encodeURIComponent(id));
  $("id").textContent = it.id;
  document.title = it.status + " · Mythic job";
  facts([
    ["Status", it.status], ["Commitment", it.commitment], ["Model", it.model], ["Validator", it.validator], ["Owner", it.owner],
    ["Prompt tokens", it.prompt_tokens], ["Output tokens", it.output_tokens], ["Finish", it.finish_reason],
    ["Ceiling (lamports)", it.ceiling_lamports], ["Fee (lamports)", it.fee_lamports], ["To the validator", it.validator_lamports],
    ["To the foundation", it.foundation_lamports], ["Burned", it.burned_lamports], ["Refunded", it.refunded_lamports],
    ["Window ends at slot", it.window_end_slot], ["Fingerprint", it.fingerprint], ["Output root", it.output_root],
  ]);
  rows($("transitions"), (it.transitions ?? []).map((step) => [
    cell(step.status), cell(step.slot, { number: true }), cell(step.at), cell(step.commitment), cell(short(step.signature), { title: step.signature }),
  ]));
};

const fill = document.body.dataset.page === "job" ? job : network;
let due = false;
let busy = false;
const refresh = async () => {
  due = true;
  if (busy) return;
  busy = true;
  while (due) {
    due = false;
    try {
      await fill();
      $("state").textContent = "live";
    } catch (error) {
      $("state").textContent = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  busy = false;
};
refresh();
const filter = document.body.dataset.page === "job" ? "&entity=" + encodeURIComponent(id) : "";
const feed = new EventSource("/v1/stream?topics=jobs,results,disputes,validators,settlements" + filter);
feed.onmessage = refresh;
feed.addEventListener("gap", refresh);
feed.onerror = () => { $("state").textContent = "connection lost, trying again…"; };
