// The list of jobs, by what the address asks for.
import type { JSX } from "preact";
import { get } from "../api";
import { query } from "../router";
import { question } from "../sql";
import type { Job, List, Network } from "../types";
import { Source } from "../ui/basics";
import { Jobs as Listed } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Field } from "../ui/table";
import { Filter, Pager, asked } from "../ui/table";

export const COMMITMENTS = ["processed", "confirmed", "finalized"];
const PAGE = 50;
const FIELDS: Field[] = [
  { name: "status", label: "Status", options: ["open", "accepted", "submitted", "disputed", "settled", "refunded", "slashed"] },
  { name: "commitment", label: "Held at", options: COMMITMENTS },
  { name: "validator", label: "Validator" },
  { name: "owner", label: "Owner" },
  { name: "model", label: "Model" },
];

export function Jobs({ search }: { search: string }): JSX.Element {
  const { filter, after } = asked(search, FIELDS);
  const path = "/v1/jobs" + query({ ...filter, after, limit: PAGE });
  const loaded = useLive(
    path,
    async (signal) => {
      const [jobs, network] = await Promise.all([get<List<Job>>(path, signal), get<Network>("/v1/network", signal)]);
      return { jobs, network };
    },
    { feed: "?topics=jobs,results,settlements,disputes", every: 10 },
  );
  return (
    <>
      <Heading title="Jobs" />
      <Filter path="/jobs" fields={FIELDS} filter={filter} />
      <Body loaded={loaded}>
        {({ jobs, network }) => (
          <>
            <AsOf slot={network.slot} finalized={network.finalized_slot} />
            <Listed rows={jobs.data} none={Object.keys(filter).length ? "No job is like this." : "No job yet."} />
            <Pager path="/jobs" filter={filter} after={after} next={jobs.has_more ? (jobs.data.at(-1)?.id ?? null) : null} />
            <Source json={[path]} sql={[question("newest-jobs"), question("jobs-of-an-owner")]} />
          </>
        )}
      </Body>
    </>
  );
}
