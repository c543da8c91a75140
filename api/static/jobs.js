// The list of jobs, by what the address asks for.
import { get, jobsTable, listed, live } from "./page.js";

const STATUSES = ["open", "accepted", "submitted", "disputed", "settled", "refunded", "slashed"];
const list = listed(STATUSES, ["status", "commitment", "validator", "owner", "model"]);

const fill = async () => {
  const jobs = await get("/v1/jobs?" + list.query());
  jobsTable("jobs", jobs.data, list.asked.size ? "no job is like this" : "no job yet");
  list.turn(jobs);
};

live(fill);
