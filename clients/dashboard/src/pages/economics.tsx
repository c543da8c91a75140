// Where the money goes, and whether index and chain say the same of it.
import type { JSX } from "preact";
import { get, maybe } from "../api";
import { compared, difference, sum, unaccounted } from "../figures";
import type { Amount, Maybe } from "../format";
import { count, known, percent, sol, words } from "../format";
import { question } from "../sql";
import type { Burn, BurnedDay, Day, Health, List, Market, Network, Settlement } from "../types";
import { Ago, Count, Difference, Facts, Key, Money, Pill, Section, Source, Split, Time } from "../ui/basics";
import { Chart } from "../ui/chart";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import { Table, column, number } from "../ui/table";
import { LeaseMoney } from "./market";

const DAYS = "/v1/stats/daily?limit=30&commitment=finalized";
const BURNED = "/v1/stats/burned?limit=30";
const SETTLEMENTS = "/v1/stats/settlements?limit=20&commitment=finalized";
const BURNS = "/v1/stats/burns?limit=20&commitment=finalized";

interface Read {
  network: Network;
  market: Market;
  days: List<Day>;
  settlements: List<Settlement>;
  burns: List<Burn>;
  burned: List<BurnedDay>;
  health: Health | null;
}

async function load(signal: AbortSignal): Promise<Read> {
  const [network, market, days, settlements, burns, burned, health] = await Promise.all([
    get<Network>("/v1/network", signal),
    get<Market>("/v1/market", signal),
    get<List<Day>>(DAYS, signal),
    get<List<Settlement>>(SETTLEMENTS, signal),
    get<List<Burn>>(BURNS, signal),
    get<List<BurnedDay>>(BURNED, signal),
    maybe(get<Health>("/health", signal)),
  ]);
  return { network, market, days, settlements, burns, burned, health };
}

const share = (part: Maybe<Amount>, whole: Maybe<Amount>): string =>
  known(part) && known(whole) && BigInt(whole) > 0n ? percent(Number((BigInt(part) * 1_000_000n) / BigInt(whole)) / 1_000_000) : percent(null);

/** Sums of finalized days: what jobs paid and who got it, and what was burned for which reason. */
export function totals(days: Day[], burned: BurnedDay[]): Record<"fee" | "validator" | "foundation" | "burned" | "registrations" | "cases" | "leases" | "all" | "left", bigint | null> {
  const of = <T,>(rows: T[], ...names: (keyof T)[]): bigint | null => sum(rows.flatMap((row) => names.map((name) => row[name] as Amount)));
  // Of the days alone that both lists reach: each is cut at its oldest.
  const since = days.at(-1)?.day ?? "";
  const burns = burned.filter(({ day }) => day >= since);
  const [fee, validator, foundation] = [of(days, "fee_lamports"), of(days, "validator_lamports"), of(days, "foundation_lamports")];
  const ofFees = of(burns, "fee_lamports");
  return {
    fee, validator, foundation, burned: ofFees,
    registrations: of(burns, "registration_lamports"),
    cases: of(burns, "dispute_lamports"),
    leases: of(burns, "lease_lamports", "lease_dispute_lamports", "lease_unserved_lamports"),
    all: of(burns, "burned_lamports"),
    left: difference(fee, sum([validator, foundation, ofFees])),
  };
}

function Fees({ days, burned }: { days: List<Day>; burned: List<BurnedDay> }): JSX.Element {
  const found = totals(days.data, burned.data);
  return (
    <>
      <div class="card">
        <Split parts={[["validator", "To validators", found.validator], ["foundation", "To the foundation", found.foundation], ["burned", "Burned", found.burned]]} />
      </div>
      <div class="card">
        <Facts
          facts={[
            ["Fees of finalized days", <Money amount={found.fee} />, days.has_more ? "the last 30" : "all of them"],
            ["Shares", <>{share(found.validator, found.fee)} validators, {share(found.foundation, found.fee)} foundation, {share(found.burned, found.fee)} burned</>, "promised: 50 %, 10 %, 40 %, rounded once a fee"],
            ["Difference", <Difference amount={found.left} />, "fees less their parts: 0 but for the minute that these sums may be old"],
          ]}
        />
      </div>
      <Source json={[["JSON: days", DAYS], ["burned", BURNED]]} sql={[question("network-days"), question("burned"), question("split-check")]} />
    </>
  );
}

function Reasons({ days, burned }: { days: List<Day>; burned: List<BurnedDay> }): JSX.Element {
  const found = totals(days.data, burned.data);
  return (
    <>
      <div class="card">
        <Facts
          facts={[
            ["Parts of fees", <Money amount={found.burned} />],
            ["Registrations of models", <Money amount={found.registrations} />],
            ["Cases", <Money amount={found.cases} />, "what they burned, and what jurors lost"],
            ["Leases", <Money amount={found.leases} />, "shares, forfeited epochs, bonds, slashed stake"],
            ["All", <Money amount={found.all} />, "destined to be burned"],
            ["Difference", <Difference amount={difference(found.all, sum([found.burned, found.registrations, found.cases, found.leases]))} />, "all less its reasons: always 0"],
          ]}
        />
      </div>
      <Source json={[BURNED]} sql={[question("burned")]} />
    </>
  );
}

/** The settler's comparison of every account with the chain. */
function Reconciled({ health }: { health: Health | null }): JSX.Element {
  const found = health?.reconciliation ?? null;
  if (!found) return <p class="card none">No settler has compared index and chain on this gateway's database.</p>;
  const rows = compared(found.stored_on_chain, found.stored_in_index);
  return (
    <>
      <div class="card">
        <Facts
          facts={[
            ["Verdict", <Pill word={found.ok ? "ok" : "wrong"}>{found.ok ? "index and chain agree" : "they differ"}</Pill>],
            ["Read at", <>finalized slot {count(found.context_slot)}</>, <Time at={found.checked_at} />],
            ["Accounts compared", <Count value={found.accounts} />, <>{count(found.inexact)} left out because a gap may have hidden writes</>],
            ["Differ now", <Count value={found.differing} />, "most are seen between two writes and agree the next time"],
            ["Differ twice in a row", <Count value={found.confirmed} />],
            ["Hold less than rent and amounts", <Count value={found.unbacked} />],
          ]}
        />
      </div>
      <Table
        label="Chain and index"
        columns={[
          column<(typeof rows)[number]>("Lamports that accounts store", (row) => words(row.kind)),
          number<(typeof rows)[number]>("On chain", (row) => <Money amount={row.chain} />),
          number<(typeof rows)[number]>("In the index", (row) => <Money amount={row.index} />),
          number<(typeof rows)[number]>("Difference", (row) => <Difference amount={row.difference} />),
        ]}
        rows={rows}
        id={(row) => row.kind}
        none="It names no amounts."
      />
    </>
  );
}

function Shown({ read: { network, market, days, settlements, burns, burned, health } }: { read: Read }): JSX.Element {
  const rows = [...days.data].reverse();
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      <Facts
        tiles
        facts={[
          ["Fees since the first slot", <Money amount={network.fee_lamports} />],
          ["Burned", <Money amount={network.burned_lamports} />, "of jobs, registrations and cases; destined to be"],
          ["Burned by the market", <Money amount={market.burned_lamports} />, "parts of what leases were paid"],
          ["Slashed", <Money amount={network.slashed_lamports} />],
          ["Staked by validators", <Money amount={network.staked_lamports} />],
          ["Staked by providers", <Money amount={market.staked_lamports} />],
        ]}
      />
      <Source json={[["JSON: network", "/v1/network"], ["market", "/v1/market"]]} sql={[question("network-now"), question("market-now")]} />
      <Section title="How fees were split"><Fees days={days} burned={burned} /></Section>
      <Section title="What was burned, and why"><Reasons days={days} burned={burned} /></Section>
      <Section title="Index against chain" about="The settler reads every account of both programs from the chain and compares it with the index.">
        <Reconciled health={health} />
        <Source json={["/health"]} sql={[question("reconciliation")]} />
      </Section>
      <Section title="By day">
        <Chart
          title="Fees a day, and what was burned of them"
          kind="days"
          times={rows.map(({ day }) => Date.parse(day + "T00:00:00Z") / 1000)}
          lines={[
            { name: "fees", color: "accent", values: rows.map((day) => Number(day.fee_lamports)) },
            { name: "burned", color: "burned", values: rows.map((day) => Number(difference(day.fee_lamports, sum([day.validator_lamports, day.foundation_lamports])))) },
          ]}
          format={(value) => (known(value) ? sol(BigInt(Math.round(value))) : sol(null))}
          json={[DAYS]}
          sql={[question("network-days")]}
        />
      </Section>
      <Section title="Newest settlements">
        <Table
          label="Newest settlements"
          columns={[
            column<Settlement>("Job", (row) => <Key id={row.job} kind="jobs" />),
            column<Settlement>("Status", (row) => <Pill word={row.status} />),
            column<Settlement>("By", (row) => words(row.end_reason)),
            number<Settlement>("Held", (row) => <Money amount={row.ceiling_lamports} />),
            number<Settlement>("Fee", (row) => <Money amount={row.fee_lamports} />),
            number<Settlement>("Refunded", (row) => <Money amount={row.refunded_lamports} />),
            number<Settlement>("Fee less its parts", (row) => <Difference amount={unaccounted(row).fee} />),
            number<Settlement>("Held less fee and refund", (row) => <Difference amount={unaccounted(row).held} />),
            number<Settlement>("Slot", (row) => <Count value={row.ended_slot} />),
            column<Settlement>("Ended", (row) => <Ago at={row.ended_at} />),
          ]}
          rows={settlements.data}
          id={(row) => row.job}
          none="No job has ended in a finalized block yet."
        />
        <Source json={[SETTLEMENTS]} sql={[question("split-check")]} />
      </Section>
      <Section title="Newest burns">
        <Table
          label="Newest burns"
          columns={[
            column<Burn>("Of", (row) => words(row.kind)),
            column<Burn>("Account", (row) => <Key id={row.account} kind={row.kind === "fee" ? "jobs" : row.kind === "dispute" ? "cases" : row.kind.startsWith("lease") && row.kind !== "lease_dispute" ? "leases" : undefined} />),
            number<Burn>("Lamports", (row) => <Money amount={row.lamports} />),
            number<Burn>("Slot", (row) => <Count value={row.slot} />),
            column<Burn>("When", (row) => <Ago at={row.at} />),
          ]}
          rows={burns.data}
          id={(row) => row.kind + row.account + row.slot}
          none="Nothing was burned in a finalized block yet."
        />
        <Source json={[BURNS]} sql={[question("burned")]} />
      </Section>
      <Section title="Where the lamports of leases are">
        <LeaseMoney market={market} />
        <Source json={["/v1/market"]} sql={[question("lease-money"), question("lease-split-check")]} />
      </Section>
    </>
  );
}

export function Economics(): JSX.Element {
  const loaded = useLive("economics", load, { feed: "?topics=settlements,network", every: 15 });
  return (
    <>
      <Heading title="Economics" />
      <p class="lead">A fee is split once the window has passed: half to the validator, a tenth to the foundation, the rest is burned. Here is what was done, and what is left over: nothing, if all is well.</p>
      <Body loaded={loaded}>{(read) => <Shown read={read} />}</Body>
    </>
  );
}
