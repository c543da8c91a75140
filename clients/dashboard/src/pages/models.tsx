// Models that this gateway serves, and what one of them costs and cost.
import type { JSX } from "preact";
import { ApiError, get, maybe, now } from "../api";
import type { Maybe } from "../format";
import { count, known, time, words } from "../format";
import { query } from "../router";
import { question, rowsOf } from "../sql";
import type { Job, List, Model, Network, Price } from "../types";
import { Count, Facts, Foreign, Key, Money, Pill, Section, Source, Time, Unknown } from "../ui/basics";
import { Chart } from "../ui/chart";
import { Jobs } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Column } from "../ui/table";
import { Table, column, number } from "../ui/table";

function Judges({ judges }: { judges: Model["judges"] }): JSX.Element {
  if (!judges) return <Unknown />;
  return (
    <span class={judges.enough ? "good" : "bad"}>
      {count(judges.mature)} of {count(judges.needed)}{judges.enough ? "" : ": every jury ends void"}
    </span>
  );
}

const COLUMNS: Column<Model>[] = [
  column("Model", (row) => <a href={"/models/" + encodeURIComponent(row.id)}><bdi class="foreign">{row.id}</bdi></a>),
  column("Status", (row) => <Pill word={row.status} />),
  number("1,000 tokens in", (row) => <Money amount={row.price_in_lamports_per_1k} />),
  number("1,000 tokens out", (row) => <Money amount={row.price_out_lamports_per_1k} />),
  number("Context", (row) => <Count value={row.context_length} unit="tokens" />),
  number("Validators", (row) => <Count value={row.validators} />),
  column("Who could judge", (row) => <Judges judges={row.judges} />),
  column("Arithmetic", (row) => <span>{words(row.kernel_profile)}</span>),
];

export function Models(): JSX.Element {
  const loaded = useLive(
    "models",
    async (signal) => {
      const [models, network] = await Promise.all([get<List<Model>>("/v1/models", signal), get<Network>("/v1/network", signal)]);
      return { models, network };
    },
    { feed: "?topics=network,validators", every: 15 },
  );
  return (
    <>
      <Heading title="Models" />
      <Body loaded={loaded}>
        {({ models, network }) => (
          <>
            <AsOf slot={network.slot} finalized={network.finalized_slot} />
            <p class="quiet">Prices and validators are read from the chain, 20 seconds old at most.</p>
            <Table label="Models" columns={COLUMNS} rows={models.data} id={(row) => row.id} none="This gateway serves no model." />
            <Source json={["/v1/models"]} sql={[question("top-models"), question("price-history"), question("model-days")]} />
          </>
        )}
      </Body>
    </>
  );
}

interface Read {
  /** Null for one that this gateway does not serve. */
  model: Model | null;
  prices: List<Price>;
  jobs: List<Job> | null;
  network: Network;
}

async function load(id: string, signal: AbortSignal): Promise<Read> {
  const part = encodeURIComponent(id);
  const [served, prices, network, jobs] = await Promise.all([
    get<List<Model>>("/v1/models", signal),
    get<List<Price>>(`/v1/models/${part}/prices?limit=100`, signal),
    get<Network>("/v1/network", signal),
    maybe(get<List<Job>>("/v1/jobs" + query({ model: id, limit: 20 }), signal)),
  ]);
  const model = served.data.find((model) => [model.id, model.name, model.address].includes(id)) ?? null;
  if (model === null && prices.data.length === 0) throw new ApiError(404, "model_not_found", "no such model");
  return { model, prices, jobs, network };
}

const stamp = (at: Maybe<string>): number | null => (known(at) ? new Date(at).getTime() / 1000 : null);

function Prices({ id, address, prices: { data } }: { id: string; address: string | null; prices: List<Price> }): JSX.Element {
  const path = `/v1/models/${encodeURIComponent(id)}/prices?limit=100`;
  const timed = data.filter(({ at }) => stamp(at) !== null).reverse();
  // The newest price holds until now.
  const newest = timed.at(-1);
  const drawn = newest ? [...timed, { ...newest, at: new Date(now()).toISOString() }] : [];
  const json: [string, string][] = [["JSON", path]];
  const sql = [address === null ? null : `SELECT slot, at, price_in_lamports, price_out_lamports, retired\nFROM analytics.model_prices WHERE model = '${address}'\nORDER BY slot DESC;`];
  return (
    <>
      <Chart
        title="Lamports for 1,000 tokens"
        kind="steps"
        times={drawn.map(({ at }) => stamp(at) ?? 0)}
        lines={[
          { name: "in", color: "foundation", values: drawn.map((price) => Number(price.price_in_lamports_per_1k)) },
          { name: "out", color: "accent", values: drawn.map((price) => Number(price.price_out_lamports_per_1k)) },
        ]}
        format={(value) => count(value)}
        json={json}
        sql={sql}
      />
      <Table
        label="Prices"
        columns={[
          number<Price>("From slot", (row) => <Count value={row.slot} />),
          column<Price>("Time", (row) => <Time at={row.at} />),
          number<Price>("In", (row) => <Money amount={row.price_in_lamports_per_1k} />),
          number<Price>("Out", (row) => <Money amount={row.price_out_lamports_per_1k} />),
          column<Price>("Status", (row) => <Pill word={row.retired ? "retired" : "active"} />),
          column<Price>("Exact", (row) => (row.exact ? "yes" : "a gap may hide changes")),
        ]}
        rows={data}
        id={(row) => String(row.slot)}
        none="No finalized block has written this model yet."
      />
    </>
  );
}

function Shown({ id, read: { model, prices, jobs, network } }: { id: string; read: Read }): JSX.Element {
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      {model ? (
        <div class="card">
          <Facts
            facts={[
              ["Name", <Foreign text={model.name} none="none" />],
              ["Status", <Pill word={model.status} />],
              ["1,000 tokens in", <Money amount={model.price_in_lamports_per_1k} />],
              ["1,000 tokens out", <Money amount={model.price_out_lamports_per_1k} />],
              ["Context", <Count value={model.context_length} unit="tokens" />, <>at most {count(model.max_job_tokens)} a job</>],
              ["Validators that serve it", <Count value={model.validators} />],
              ["Who could judge its answers", <Judges judges={model.judges} />, "validators with stake for long enough, of those that a jury needs"],
              ["Arithmetic", words(model.kernel_profile)],
              ["Identity", <Key id={model.identity} whole />],
              ["Account", <Key id={model.address} whole />],
              ["Registered", known(model.created) ? time(new Date(model.created * 1000).toISOString()) : null],
              ["Registered by", <Key id={model.owned_by} whole />],
            ]}
          />
        </div>
      ) : <p class="card none">This gateway does not serve this model; its prices are the chain's.</p>}
      <Section title="Price history"><Prices id={id} address={model?.address ?? id} prices={prices} /></Section>
      <Section title="Newest jobs">
        <Jobs rows={jobs?.data ?? []} none="No job yet." />
        <p><a href={"/jobs" + query({ model: id })}>all its jobs</a></p>
      </Section>
      <Source json={[["JSON", "/v1/models/" + encodeURIComponent(id)]]} sql={[rowsOf("models", "id", model?.address ?? id)]} />
    </>
  );
}

export function ModelPage({ id }: { id: string }): JSX.Element {
  const loaded = useLive("model " + id, (signal) => load(id, signal), { feed: "?topics=network", every: 15 });
  return (
    <>
      <Heading title="Model"><bdi class="foreign">{id}</bdi></Heading>
      <Body loaded={loaded} gone="Neither this gateway nor the index knows a model of this name or address.">{(read) => <Shown id={id} read={read} />}</Body>
    </>
  );
}
