// The Compute Market: who leases out what, what is asked for, leases, and where their lamports are.
import type { JSX } from "preact";
import { get } from "../api";
import { difference, sum } from "../figures";
import { count, known, words } from "../format";
import { query } from "../router";
import { question } from "../sql";
import type { CapacityClass, Lease, LeaseRequest, List, Market as Sums, MarketDay, Network, Provider } from "../types";
import { Ago, Count, Difference, Facts, Foreign, Key, Money, Pill, Section, Source } from "../ui/basics";
import { Chart } from "../ui/chart";
import { Leases } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Column, Field } from "../ui/table";
import { Filter, Pager, Table, asked, column, number } from "../ui/table";
import { COMMITMENTS } from "./jobs";

interface Read {
  market: Sums;
  providers: List<Provider>;
  leases: List<Lease>;
  requests: List<LeaseRequest>;
  classes: List<CapacityClass>;
  days: List<MarketDay>;
}

async function load(signal: AbortSignal): Promise<Read> {
  const [market, providers, leases, requests, classes, days] = await Promise.all([
    get<Sums>("/v1/market", signal),
    get<List<Provider>>("/v1/providers?limit=50", signal),
    get<List<Lease>>("/v1/leases?limit=20", signal),
    get<List<LeaseRequest>>("/v1/requests?limit=20", signal),
    get<List<CapacityClass>>("/v1/classes?limit=50", signal),
    get<List<MarketDay>>("/v1/stats/market?limit=30", signal),
  ]);
  return { market, providers, leases, requests, classes, days };
}

const PROVIDERS: Column<Provider>[] = [
  column("Provider", (row) => <Key id={row.authority} kind="providers" />),
  column("Status", (row) => <Pill word={row.status} />),
  column("Class", (row) => <bdi class="foreign">{row.class_name ?? row.class}</bdi>),
  number("Free units", (row) => <>{count(row.free_units)} of {count(row.units)}</>),
  number("A second and unit", (row) => <Money amount={row.price_lamports} />),
  column("Region", (row) => <Foreign text={row.region} none="not said" />),
  column("Isolation", (row) => <span title="as it says">{words(row.isolation)}</span>),
  number("Stake", (row) => <Money amount={row.stake_lamports} />),
  number("Leases", (row) => <Count value={row.leases} />),
  number("Proved / missed", (row) => <>{count(row.epochs_proved)} / {count(row.epochs_missed)}</>),
  number("Refuted", (row) => <Count value={row.proofs_refuted} />),
  number("Earned", (row) => <Money amount={row.earned_lamports} />),
  number("Registered in slot", (row) => <Count value={row.registered_slot} />),
];

const REQUESTS: Column<LeaseRequest>[] = [
  column("Request", (row) => <Key id={row.id} kind="requests" />),
  column("Status", (row) => <Pill word={row.status} />),
  column("Lease", (row) => (row.lease ? <Key id={row.lease} kind="leases" /> : <span class="quiet">none</span>)),
  column("Tenant", (row) => <Key id={row.tenant} />),
  column("Provider", (row) => (row.provider ? <Key id={row.provider} kind="providers" /> : <span class="quiet">any</span>)),
  column("Class", (row) => <bdi class="foreign">{row.class_name ?? row.class}</bdi>),
  column("Kind", (row) => <span>{words(row.kind)}</span>),
  column("Spec at", (row) => <Foreign text={row.spec_source} none="not said" />),
  number("Units", (row) => <Count value={row.units} />),
  number("Seconds", (row) => <Count value={row.seconds} />),
  number("At most a second and unit", (row) => <Money amount={row.price_lamports} />),
  number("Paid in", (row) => <Money amount={row.deposited_lamports} />),
  number("Slot", (row) => <Count value={row.requested_slot} />),
  column("Asked", (row) => <Ago at={row.requested_at} />),
];

const CLASSES: Column<CapacityClass>[] = [
  column("Class", (row) => <bdi class="foreign" title={row.id}>{row.name}</bdi>),
  column("Status", (row) => <Pill word={row.retired ? "retired" : "active"} />),
  column("Probe of a unit and epoch", (row) => <>{count(row.rounds)} products of {count(row.matrix_side)} × {count(row.matrix_side)}</>),
  number("Slots for a proof", (row) => <Count value={row.proof_slots} />),
  number("Stake a unit", (row) => <Money amount={row.stake_per_unit_lamports} />),
  column("Memory", (row) => (row.vram_mib === 0 ? "CPU only" : count(row.vram_mib) + " MiB")),
  column("Measured", (row) => (row.calibrated ? "on its device" : "not on the device that it is named after")),
  number("Slot", (row) => <Count value={row.registered_slot} />),
];

export function Requests({ rows, none }: { rows: LeaseRequest[]; none: string }): JSX.Element {
  return <Table label="Requests" columns={REQUESTS} rows={rows} id={(row) => row.id} none={none} />;
}

/** Where the lamports of leases are. */
export function LeaseMoney({ market }: { market: Sums }): JSX.Element {
  const came = sum([market.deposited_lamports, market.compensated_lamports]);
  const named = sum([market.escrow_lamports, market.pending_lamports, market.paid_lamports, market.foundation_lamports, market.burned_lamports, market.refunded_lamports]);
  return (
    <div class="card">
      <Facts
        facts={[
          ["Paid in by tenants", <Money amount={market.deposited_lamports} />],
          ["Out of providers' stake, for tenants", <Money amount={market.compensated_lamports} />],
          ["For seconds to come", <Money amount={market.escrow_lamports} />],
          ["Can still be disputed", <Money amount={market.pending_lamports} />],
          ["To providers", <Money amount={market.paid_lamports} />],
          ["To the foundation", <Money amount={market.foundation_lamports} />],
          ["Burned", <Money amount={market.burned_lamports} />],
          ["Back to tenants", <Money amount={market.refunded_lamports} />],
          ["Difference", <Difference amount={difference(came, named)} />, "what came less what it became: always 0"],
        ]}
      />
    </div>
  );
}

function Shown({ read: { market, providers, leases, requests, classes, days } }: { read: Read }): JSX.Element {
  const rows = [...days.data].reverse();
  const times = rows.map(({ day }) => Date.parse(day + "T00:00:00Z") / 1000);
  return (
    <>
      <AsOf slot={market.slot} finalized={market.finalized_slot} />
      {market.paused === null ? <p class="card none">This network has no Compute Market.</p> : market.paused ? <p class="card warn">The market is paused: nothing new can be asked for.</p> : null}
      <Facts
        tiles
        facts={[
          ["Providers", count(market.registered_providers)],
          ["Units leased", count(market.leased_units), <>of {count(market.offered_units)}</>],
          ["Leases", <a href="/leases">{count(market.leases)}</a>, <>{count(market.running_leases)} run</>],
          ["Open requests", <a href="/requests?status=open">{count(market.open_requests)}</a>],
          ["Epochs proved", count(market.epochs_proved), <>{count(market.epochs_missed)} missed</>],
          ["Disputes", count(market.disputes), <>{count(market.open_disputes)} open</>],
          ["Staked", <Money amount={market.staked_lamports} />],
          ["Slashed", <Money amount={market.slashed_lamports} />],
          ["Epoch", known(market.epoch_seconds) ? count(market.epoch_seconds) + " s" : null, <>{count(market.epoch_slots)} slots</>],
        ]}
      />
      <Source json={["/v1/market"]} sql={[question("market-now")]} />
      <Section title="Providers">
        <Table label="Providers" columns={PROVIDERS} rows={providers.data} id={(row) => row.id} none="No provider is registered." />
        <Source json={["/v1/providers?limit=50"]} sql={[question("providers"), question("provider-earnings")]} />
      </Section>
      <Section title="Newest leases">
        <Leases rows={leases.data} none="No lease yet." />
        <p><a href="/leases">all leases</a></p>
        <Source json={["/v1/leases?limit=20"]} sql={[question("newest-leases")]} />
      </Section>
      <Section title="Newest requests">
        <Requests rows={requests.data} none="No request yet." />
        <p><a href="/requests">all requests</a></p>
        <Source json={["/v1/requests?limit=20"]} sql={[question("newest-requests")]} />
      </Section>
      <Section title="Where the lamports of leases are">
        <LeaseMoney market={market} />
        <Source json={["/v1/market"]} sql={[question("lease-money"), question("lease-split-check")]} />
      </Section>
      <Section title="By day">
        <Chart
          title="Epochs proved a day"
          kind="days"
          times={times}
          lines={[{ name: "proved", color: "foundation", values: rows.map(({ epochs_proved }) => epochs_proved) }]}
          format={(value) => count(value)}
          json={["/v1/stats/market?limit=30"]}
          sql={[question("market-days")]}
        />
      </Section>
      <Section title="Classes">
        <Table label="Classes" columns={CLASSES} rows={classes.data} id={(row) => row.id} none="No class is registered." />
        <Source json={["/v1/classes?limit=50"]} />
      </Section>
    </>
  );
}

export function Market(): JSX.Element {
  const loaded = useLive("market", load, { feed: "?topics=leases,network", every: 5 });
  return (
    <>
      <Heading title="Market" />
      <p class="lead">Capacity by the second: providers prove each epoch that the units they lease out are theirs to use, and are paid for what they proved.</p>
      <Body loaded={loaded}>{(read) => <Shown read={read} />}</Body>
    </>
  );
}

const PAGE = 50;
const LEASE_FIELDS: Field[] = [
  { name: "status", label: "Status", options: ["accepted", "started", "active", "closing", "ended"] },
  { name: "commitment", label: "Held at", options: COMMITMENTS },
  { name: "provider", label: "Provider" },
  { name: "tenant", label: "Tenant" },
  { name: "class", label: "Class" },
];
const REQUEST_FIELDS: Field[] = [
  { name: "status", label: "Status", options: ["open", "accepted", "cancelled", "expired"] },
  ...LEASE_FIELDS.slice(1),
];

interface ListProps<T extends { id: string }> {
  search: string;
  title: string;
  path: string;
  fields: Field[];
  none: string;
  sql: string[];
  table: (rows: T[], none: string) => JSX.Element;
}

function Listed<T extends { id: string }>({ search, title, path, fields, none, sql, table }: ListProps<T>): JSX.Element {
  const { filter, after } = asked(search, fields);
  const route = "/v1" + path + query({ ...filter, after, limit: PAGE });
  const loaded = useLive(
    route,
    async (signal) => {
      const [list, network] = await Promise.all([get<List<T>>(route, signal), get<Network>("/v1/network", signal)]);
      return { list, network };
    },
    { feed: "?topics=leases,network", every: 10 },
  );
  return (
    <>
      <Heading title={title} />
      <Filter path={path} fields={fields} filter={filter} />
      <Body loaded={loaded}>
        {({ list, network }) => (
          <>
            <AsOf slot={network.slot} finalized={network.finalized_slot} />
            {table(list.data, Object.keys(filter).length ? "Nothing is like this." : none)}
            <Pager path={path} filter={filter} after={after} next={list.has_more ? (list.data.at(-1)?.id ?? null) : null} />
            <Source json={[route]} sql={sql} />
          </>
        )}
      </Body>
    </>
  );
}

export const LeaseList = ({ search }: { search: string }): JSX.Element => (
  <Listed<Lease>
    search={search} title="Leases" path="/leases" fields={LEASE_FIELDS} none="No lease yet." sql={[question("newest-leases")]}
    table={(rows, none) => <Leases rows={rows} none={none} />}
  />
);

export const RequestList = ({ search }: { search: string }): JSX.Element => (
  <Listed<LeaseRequest>
    search={search} title="Requests" path="/requests" fields={REQUEST_FIELDS} none="No request yet." sql={[question("newest-requests")]}
    table={(rows, none) => <Requests rows={rows} none={none} />}
  />
);
