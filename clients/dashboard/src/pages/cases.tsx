// The list of cases, by what the address asks for.
import type { JSX } from "preact";
import { get } from "../api";
import { query } from "../router";
import { question } from "../sql";
import type { Case, List, Network } from "../types";
import { Source } from "../ui/basics";
import { Cases as Listed } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Field } from "../ui/table";
import { Filter, Pager, asked } from "../ui/table";
import { COMMITMENTS } from "./jobs";

const PAGE = 50;
const FIELDS: Field[] = [
  { name: "status", label: "Status", options: ["opening", "joining", "jury", "resolved"] },
  { name: "commitment", label: "Held at", options: COMMITMENTS },
  { name: "validator", label: "Result of" },
  { name: "challenger", label: "Challenger" },
  { name: "job", label: "Job" },
];

export function CasesPage({ search }: { search: string }): JSX.Element {
  const { filter, after } = asked(search, FIELDS);
  const path = "/v1/cases" + query({ ...filter, after, limit: PAGE });
  const loaded = useLive(
    path,
    async (signal) => {
      const [cases, network] = await Promise.all([get<List<Case>>(path, signal), get<Network>("/v1/network", signal)]);
      return { cases, network };
    },
    { feed: "?topics=disputes,settlements", every: 3 },
  );
  return (
    <>
      <Heading title="Cases" />
      <p class="lead">What is said against results. Whoever says so puts lamports at stake; the validator has to show its work; a jury of others computes it again.</p>
      <Filter path="/cases" fields={FIELDS} filter={filter} />
      <Body loaded={loaded}>
        {({ cases, network }) => (
          <>
            <AsOf slot={network.slot} finalized={network.finalized_slot} />
            <Listed rows={cases.data} none={Object.keys(filter).length ? "No case is like this." : "Nobody has contested a result yet."} />
            <Pager path="/cases" filter={filter} after={after} next={cases.has_more ? (cases.data.at(-1)?.id ?? null) : null} />
            <Source json={[path]} sql={[question("disputes"), question("dispute-outcomes"), question("slashes")]} />
          </>
        )}
      </Body>
    </>
  );
}
