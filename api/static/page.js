// What both pages share: reading the API, writing into the page, following the feed. Text only ever goes in as text.
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
  slashed: "bad", jailed: "bad", disputed: "bad", due: "warn",
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

// Terms and values of a <dl>: [term, value, {hash, note}].
export const facts = (list, entries) => list.replaceChildren(...entries.map(([name, value, options = {}]) => {
  const box = element("div");
  const dd = missing(value) ? element("dd", "not known", "unknown") : element("dd", value, options.hash ? "hash" : "");
  if (options.note) dd.append(element("small", options.note));
  box.append(element("dt", name), dd);
  return box;
}));

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
