// What the pages share: reading the API, writing into the page, following the feed. Text only ever goes in as text.
export const $ = (id) => document.getElementById(id);

export const get = async (path) => {
  const response = await fetch(path);
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? response.statusText);
  return body;
};

const missing = (value) => value === null || value === undefined || value === "";
export const show = (value) => (missing(value) ? "–" : typeof value === "number" ? value.toLocaleString("en") : String(value));
export const short = (key) => (key ? key.slice(0, 4) + "…" + key.slice(-4) : null);
export const sol = (lamports) => (missing(lamports) ? null : (lamports / 1e9).toLocaleString("en", { maximumFractionDigits: 9 }));

export const time = (at) => (at ? new Date(at).toLocaleString([], {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
}) : null);

// A cell whose whole value a click copies.
export const copyable = (value) => {
  const td = cell(null);
  if (missing(value)) return td;
  const button = element("button", short(value), "copy", value);
  button.type = "button";
  button.setAttribute("aria-label", "Copy " + value);
  button.onclick = async () => {
    await navigator.clipboard?.writeText(value);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = short(value)), 1500);
  };
  td.replaceChildren(button);
  td.title = value;
  return td;
};
export const ago = (at) => {
  if (!at) return null;
  const seconds = Math.max(0, Math.round((Date.now() - new Date(at)) / 1000));
  const [size, unit] = seconds < 90 ? [1, "s"] : seconds < 5400 ? [60, "min"] : seconds < 129600 ? [3600, "h"] : [86400, "days"];
  return Math.round(seconds / size) + " " + unit + " ago";
};

const TONES = {
  settled: "good", active: "good", finalized: "good", ok: "good",
  refunded: "warn", unbonding: "warn", draining: "warn", processed: "warn",
  slashed: "bad", jailed: "bad", disputed: "bad", due: "warn", right: "good", wrong: "bad", undecided: "warn",
};
export const tone = (word) => TONES[word] ?? "wait";

export const element = (tag, text, className, title) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = show(text);
  if (className) made.className = className;
  if (title) made.title = title;
  return made;
};

export const cell = (value, options = {}) => {
  const td = element("td", undefined, options.number ? "n" : "");
  let inside = options.pill && !missing(value) ? element("span", value, "pill " + tone(value)) : document.createTextNode(show(value));
  if (options.link) {
    const a = element("a");
    a.href = options.link;
    a.append(inside);
    inside = a;
  }
  td.append(inside);
  const title = options.title ?? (missing(value) ? "not known" : "");
  if (title) td.title = title;
  return td;
};

// Rows of a table; `none` is said where there is none.
export const rows = (body, list, none) => {
  const lines = list.map((cells) => {
    const tr = element("tr");
    tr.append(...cells);
    return tr;
  });
  if (!lines.length) {
    const td = element("td", none, "none");
    td.colSpan = body.parentElement.querySelectorAll("th").length;
    const tr = element("tr");
    tr.append(td);
    lines.push(tr);
  }
  body.replaceChildren(...lines);
};

export const lamports = (amount) => (missing(amount) ? null : show(amount) + " lamports (" + sol(amount) + " SOL)");

// Terms and values of a <dl>: [term, value, {hash, note, link}].
export const facts = (list, entries) => list.replaceChildren(...entries.map(([name, value, options = {}]) => {
  const box = element("div");
  const dd = missing(value) ? element("dd", "not known", "unknown") : element("dd", value, options.hash ? "hash" : "");
  if (options.link && !missing(value)) dd.replaceChildren(anchor(value, options.link));
  if (options.note) dd.append(element("small", options.note));
  box.append(element("dt", name), dd);
  return box;
}));

export const at = (kind, key) => "/" + kind + "/" + encodeURIComponent(key);

// A cell with a key that leads to its page.
export const linked = (kind, key) => cell(short(key), { link: key && at(kind, key), title: key });

export const anchor = (text, path) => {
  const a = element("a", text);
  a.href = path;
  return a;
};

// The last part of the page's address: the key of what it shows.
export const subject = () => decodeURIComponent(location.pathname.split("/").pop());

// Columns of a table: [name, row => cell, class of the name].
export const column = (name, of) => [name, of, ""];
export const number = (name, of) => [name, (row) => cell(of(row), { number: true }), "n"];

const JOBS = [
  column("Job", (job) => linked("jobs", job.id)),
  column("Status", (job) => cell(job.status, { pill: true })),
  column("Held at", (job) => cell(job.commitment)),
  column("Model", (job) => cell(job.model)),
  column("Validator", (job) => linked("validators", job.validator)),
  number("Tokens in", (job) => job.prompt_tokens),
  number("Tokens out", (job) => job.output_tokens),
  number("Fee, lamports", (job) => job.fee_lamports),
  number("Burned", (job) => job.burned_lamports),
  column("Requested", (job) => cell(ago(job.requested_at), { title: job.requested_at })),
];

export const words = (name) => (missing(name) ? null : name.replaceAll("_", " "));

// "commit end in 12 slots (about 5 s)"
export const countdown = (found) => {
  const next = found.next;
  if (!next) return found.phase === "due" ? "the verdict is due" : null;
  const about = missing(next.seconds_left) ? "" : " (about " + show(next.seconds_left) + " s)";
  return words(next.event) + " in " + show(next.slots_left) + " slots" + about;
};

export const verdict = (found) => found.verdict && words(found.verdict) + " (" + words(found.ground) + ")";
export const outOf = (some, all) => (missing(some) || missing(all) ? null : show(some) + " of " + show(all));

const CASES = [
  column("Case", (d) => linked("cases", d.id)),
  column("Job", (d) => linked("jobs", d.job)),
  column("Result of", (d) => linked("validators", d.submitter)),
  column("Challenger", (d) => linked("validators", d.challenger)),
  column("Phase", (d) => cell(d.phase, { pill: true })),
  column("Next", (d) => cell(countdown(d), { title: d.next && "slot " + show(d.next.slot) })),
  column("Verdict", (d) => cell(verdict(d))),
  number("Claims", (d) => d.claims),
  number("Shown", (d) => outOf(d.opened_positions, d.sampled_positions + d.named_positions)),
  number("Seats revealed", (d) => outOf(d.revealed_seats, d.jury_seats)),
  number("Bonds, SOL", (d) => sol(d.bonds_lamports)),
  number("Slashed, SOL", (d) => sol(d.slashed_lamports)),
];

// Puts a table of `list` into the box `id`; `none` is said where it is empty.
export const table = (columns) => (id, list, none) => {
  let body = $(id).querySelector("tbody");
  if (!body) {
    const head = element("tr");
    head.append(...columns.map(([name, , kind]) => {
      const th = element("th", name, kind);
      th.scope = "col";
      return th;
    }));
    const made = element("table");
    made.createTHead().append(head);
    body = made.createTBody();
    $(id).append(made);
  }
  rows(body, list.map((row) => columns.map(([, of]) => of(row))), none);
};
export const jobsTable = table(JOBS);
export const casesTable = table(CASES);

// Place of the sample's digest in a vote; those of claims follow.
export const SAMPLE = 1;

// What a seat finds of one digest.
export const finding = (seat, place) => (seat.finds_true === null ? null : seat.finds_true.includes(place) ? "true" : "false");

const seats = (list, place, finds) => list.filter((seat) => finding(seat, place) === finds).length;

// How the seats that revealed stand to a claim: to the sample and to what it names.
const votes = (list, place) => (list.some((seat) => seat.finds_true !== null) ? seats(list, place, "true") + " true, " + seats(list, place, "false") + " false" : null);

// The claims side by side: a column each, a row for what is known of them. A vote of a calibrated profile is about the sample alone.
export const claimsTable = (box, found) => {
  const list = found.all_claims;
  const money = (of) => (claim) => { const amount = of(claim); return cell(sol(amount), { number: true, title: amount === null ? "" : show(amount) + " lamports" }); };
  const lines = [
    ["By", (claim) => linked("validators", claim.claimant)],
    ["Says", (claim) => cell(claim.kind, { pill: true })],
    ["Outcome", (claim) => cell(claim.outcome ?? (found.verdict ? null : "open"), { pill: true })],
    ["Claimed in slot", (claim) => cell(claim.claimed_slot, { number: true })],
    ["Names positions", (claim) => cell(claim.positions ? claim.positions.join(", ") : "none")],
    ["Seats on the sample", (claim) => cell(claim.kind === "false" ? votes(found.jurors, SAMPLE) : "–")],
    ["Seats on its positions", (claim) => cell(claim.digest_place === null ? "–" : votes(found.jurors, claim.digest_place))],
    ["At stake, SOL", money((claim) => claim.at_stake_lamports)],
    ["Answering fee, SOL", money((claim) => claim.answering_fee_lamports)],
    ["For the jury, SOL", money((claim) => claim.tariffs_lamports)],
    ["Gets, SOL", money((claim) => claim.amount_lamports)],
    ["Reward in it, SOL", money((claim) => claim.reward_lamports)],
  ];
  const head = element("tr");
  head.append(element("td"), ...list.map((claim) => {
    const th = element("th", "Claim " + claim.place);
    th.scope = "col";
    return th;
  }));
  const made = element("table");
  made.createTHead().append(head);
  const body = made.createTBody();
  for (const [name, of] of list.length ? lines : []) {
    const tr = element("tr");
    const th = element("th", name);
    th.scope = "row";
    tr.append(th, ...list.map(of));
    body.append(tr);
  }
  $(box).replaceChildren(list.length ? made : element("p", "nobody claimed anything: the fault was proved", "none"));
};

// Fills the page now and after every event of the feed, at most twice a second, and says whether it is up to date.
export const live = (fill, filter = "") => {
  let due = false;
  let busy = false;
  let at = null;
  const state = (word, kind) => {
    $("state").textContent = word;
    $("state").className = "pill " + kind;
  };
  const refresh = async () => {
    due = true;
    if (busy) return;
    busy = true;
    while (due) {
      due = false;
      try {
        await fill();
        at = new Date();
        $("problem").hidden = true;
        state("live", "good");
      } catch (error) {
        $("problem").textContent = error.message;
        $("problem").hidden = false;
        state(at ? "as of " + time(at) : "no data", "bad");
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    busy = false;
  };
  state("loading", "wait");
  refresh();
  const feed = new EventSource("/v1/stream?topics=jobs,results,disputes,validators,settlements" + filter);
  feed.onopen = refresh;
  feed.onmessage = refresh;
  feed.addEventListener("gap", refresh);
  feed.onerror = () => state(at ? "connection lost, as of " + time(at) : "connection lost", "bad");
  return refresh;
};
