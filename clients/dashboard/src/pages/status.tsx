// How this gateway and what it needs are doing.
import type { JSX } from "preact";
import { get } from "../api";
import { count, duration, known, words } from "../format";
import { question } from "../sql";
import type { Alarm, Health } from "../types";
import type { Fact } from "../ui/basics";
import { Code, Count, Facts, Foreign, Key, Money, Pill, Section, Source, Time, Unknown } from "../ui/basics";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import { Table, column, number } from "../ui/table";

const ABOUT: Record<string, string> = {
  chain: "the chain's RPC",
  database: "PostgreSQL",
  index: "what follows the chain into the database",
  settler: "settles jobs, and compares index and chain",
  alarms: "what an operator should look at",
  feed: "what these pages follow",
  validators: "nodes that announce themselves here",
  fee_payer: "the account that pays transaction fees and fronts rent",
  requests: "requests under way",
};

interface Row {
  name: string;
  state: string;
  says: string | undefined;
}

function rows(health: Health): Row[] {
  const { index, settler } = health.components;
  const waits: Record<string, string | null> = { index: index.waits_for, settler: settler.waits_for };
  return Object.entries(health.components).map(([name, part]) => ({ name, state: part.state, says: part.error ?? waits[name] ?? undefined }));
}

function details({ components: { chain, index, settler, feed, validators, fee_payer, requests }, index_lag_slots }: Health): Fact[] {
  return [
    ["Chain", known(chain.slot) ? <>slot {count(chain.slot)}</> : null],
    ["Index", known(index.processed_slot) ? <>slot {count(index.processed_slot)}</> : null, <>confirmed {count(index.confirmed_slot)}, finalized {count(index.finalized_slot)}; {count(index_lag_slots)} slots behind</>],
    ["Last commit of the index", <Time at={index.committed_at} />],
    ["Ranges of slots that are missing", <Count value={index.gaps_open} />],
    ["Set aside as unreadable", <Count value={index.quarantined} />],
    ["Sign of life of the indexer", known(index.beat_seconds) ? duration(index.beat_seconds) + " ago" : null],
    ["Sign of life of the settler", known(settler.beat_seconds) ? duration(settler.beat_seconds) + " ago" : null],
    ["Last comparison", known(settler.silent_seconds) ? duration(settler.silent_seconds) + " ago" : null, <a href="/economics">what it found</a>],
    ["Feed", <>event {count(feed.newest)}</>, <>{count(feed.subscribers)} subscribers</>],
    ["Validators", <>{count(validators.announced)} announced</>, <>of {count(validators.registered)} registered</>],
    ["Fee payer", <Key id={fee_payer.address} whole />],
    ["It holds", <Money amount={fee_payer.lamports} />],
    ["Requests under way", <Count value={requests.running} />],
    ["Network", <Key id={index.genesis_hash} whole />, "hash of its first block"],
  ];
}

function Shown({ health }: { health: Health }): JSX.Element {
  const { alarms, index } = health.components;
  return (
    <>
      <AsOf slot={index.processed_slot} finalized={index.finalized_slot} />
      <p class="card next"><Pill word={health.status} /> version {health.version}, up for {duration(health.uptime_seconds)}</p>
      <Table
        label="Components"
        columns={[
          column<Row>("Part", (row) => words(row.name)),
          column<Row>("State", (row) => <Pill word={row.state} />),
          column<Row>("What it is", (row) => ABOUT[row.name] ?? <Unknown />),
          column<Row>("It says", (row) => <Foreign text={row.says} none="nothing" />),
        ]}
        rows={rows(health)}
        id={(row) => row.name}
        none="Nothing is known."
      />
      <Section title="Figures"><div class="card"><Facts facts={details(health)} /></div></Section>
      <Section title="Alarms">
        <Table
          label="Alarms"
          columns={[
            column<Alarm>("Kind", (row) => words(row.kind)),
            number<Alarm>("Open", (row) => <Count value={row.open} />),
            column<Alarm>("Newest", (row) => <Foreign text={row.newest} none="nothing" />),
            column<Alarm>("Since", (row) => <Time at={row.since} />),
            column<Alarm>("Clears itself", (row) => (known(row.clears_itself) ? (row.clears_itself ? "yes" : "no") : <Unknown />)),
          ]}
          rows={alarms.kinds}
          id={(row) => row.kind}
          none={alarms.state === "ok" ? "No alarm is open." : "It is not known which are open."}
        />
      </Section>
      <Section title="What keeps it from working">
        <p>On the machine of whoever runs or uses it:</p>
        <Code text={`mythic doctor --gateway ${location.origin}`} label="the command that says what is wrong" />
      </Section>
      <Source json={[["JSON", "/health"], ["metrics", "/metrics"], ["every route", "/openapi.json"]]} sql={[question("freshness"), question("reconciliation")]} />
    </>
  );
}

export function Status(): JSX.Element {
  const loaded = useLive("status", (signal) => get<Health>("/health", signal), { feed: "?topics=network", every: 5 });
  return (
    <>
      <Heading title="Status" />
      <Body loaded={loaded}>{(health) => <Shown health={health} />}</Body>
    </>
  );
}
