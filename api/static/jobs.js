// The list of jobs, by what the address asks for.
import { $, element, get, jobsTable, live } from "./page.js";

const STATUSES = ["open", "accepted", "submitted", "disputed", "settled", "refunded", "slashed"];
const FIELDS = ["status", "commitment", "validator", "owner", "model"];
const PAGE = 50;

const asked = new URLSearchParams(location.search);
const form = $("filter");
form.elements.status.append(...STATUSES.map((status) => element("option", status)));
for (const field of FIELDS) form.elements[field].value = asked.get(field) ?? "";

// The address of the same jobs, after the one named.
const address = (after) => {
  const query = new URLSearchParams();
  for (const field of FIELDS) if (form.elements[field].value.trim()) query.set(field, form.elements[field].value.trim());
  if (after) query.set("after", after);
  return query.size ? "?" + query : location.pathname;
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  location.assign(address());
});

const fill = async () => {
  const query = new URLSearchParams(asked);
  query.set("limit", PAGE);
  const jobs = await get("/v1/jobs?" + query);
  jobsTable("jobs", jobs.data, asked.size ? "no job is like this" : "no job yet");
  $("older").hidden = !jobs.has_more;
  if (jobs.has_more) $("older").href = address(jobs.data.at(-1).id);
  $("newest").hidden = !asked.has("after");
  $("newest").href = address();
};

live(fill);
