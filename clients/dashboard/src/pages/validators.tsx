// Who answers: load, speed, success, stake, what each earned and lost.
import type { JSX } from "preact";
import { get } from "../api";
import { success } from "../figures";
import { count, decimal, known, percent } from "../format";
import { query } from "../router";
import { question } from "../sql";
import type { List, Network, Validator } from "../types";
import { Count, Foreign, Key, Money, Pill, Source, Unknown } from "../ui/basics";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Column } from "../ui/table";
import { Pager, Table, asked, column, number } from "../ui/table";

const PAGE = 100;

const MODELS = (validator: Validator): JSX.Element => <span title={validator.models.map(({ model }) => model).join("\n")}>{count(validator.models.length)}</span>;

const COLUMNS: Column<Validator>[] = [
  column("Validator", (row) => <Key id={row.authority} kind="validators" />),
  column("Status", (row) => <Pill word={row.live?.draining ? "draining" : row.status} />),
  column("Load", (row) => (row.live ? <span title={count(row.live.queued) + " wait"}>{count(row.live.running)} of {count(row.live.max_concurrent)}</span> : <Unknown />)),
  number("Tokens/s of a job", (row) => (known(row.live?.tokens_per_second) ? decimal(row.live.tokens_per_second, 0) : <Unknown />)),
  number("Success", (row) => percent(success(row.jobs_settled, row.jobs_missed))),
  number("Settled", (row) => <Count value={row.jobs_settled} />),
  number("Missed", (row) => <Count value={row.jobs_missed} />),
  number("Stake", (row) => <Money amount={row.stake} />),
  number("Earned", (row) => <Money amount={row.earned} />),
  number("Slashed", (row) => <Money amount={row.slashed} />),
  number("Models", MODELS),
  column("Hardware", (row) => <Foreign text={row.gpu_name} none="CPU only" />),
  number("Registered in slot", (row) => <Count value={row.registered_slot} />),
];

export function Validators({ search }: { search: string }): JSX.Element {
  const { after } = asked(search, []);
  const path = "/v1/validators" + query({ after, limit: PAGE });
  const loaded = useLive(
    path,
    async (signal) => {
      const [validators, network] = await Promise.all([get<List<Validator>>(path, signal), get<Network>("/v1/network", signal)]);
      return { validators, network };
    },
    { feed: "?topics=validators,settlements,disputes", every: 5 },
  );
  return (
    <>
      <Heading title="Validators" />
      <Body loaded={loaded}>
        {({ validators, network }) => (
          <>
            <AsOf slot={network.slot} finalized={network.finalized_slot} />
            <p class="quiet">Load, speed and hardware are as each says of itself to this gateway; the rest is the chain's. Success is settled jobs of those that were settled or missed.</p>
            <Table label="Validators" columns={COLUMNS} rows={validators.data} id={(row) => row.id} none="No validator is registered." />
            <Pager path="/validators" filter={{}} after={after} next={validators.has_more ? (validators.data.at(-1)?.id ?? null) : null} />
            <Source json={[path]} sql={[question("validator-earnings"), question("validator-days"), question("slash-history")]} />
          </>
        )}
      </Body>
    </>
  );
}
