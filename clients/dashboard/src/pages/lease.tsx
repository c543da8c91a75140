// One lease: its meter, every lamport, its epochs as a strip, what happened.
import type { JSX } from "preact";
import { get } from "../api";
import { difference, strip, sum } from "../figures";
import { count, known, outOf, words } from "../format";
import { question, rowsOf } from "../sql";
import type { LeaseDetails, LeaseDispute, LeaseEpoch, List } from "../types";
import type { Step } from "../ui/basics";
import { Count, Difference, Facts, Key, Money, Pill, Section, Source, Split, Steps, Time, Unknown } from "../ui/basics";
import { Countdown } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Column } from "../ui/table";
import { Table, column, number } from "../ui/table";

const EPOCHS = "?limit=100";
/** Ends that are the provider's doing. */
const BAD = ["never_started", "never_acknowledged", "missed_proofs", "proof_refuted"];

export function steps(lease: LeaseDetails): Step[] {
  const plan: [name: string, slot: number | null][] = [["accepted", lease.accepted_slot], ["started", lease.started_slot], ["active", lease.acknowledged_slot]];
  if (known(lease.notice_epoch)) plan.push(["closing", lease.notice_epoch * lease.epoch_slots]);
  plan.push(["ended", lease.ended_slot]);
  const over = known(lease.ended_slot);
  const next = over ? -1 : plan.findIndex(([, slot]) => !known(slot));
  return plan.map(([name, slot], index): Step => {
    if (!known(slot)) return { name, note: over ? "it did not come to this" : index === next ? "awaited" : "to come", state: index === next ? "now" : "later" };
    const note = name === "closing" ? "from epoch " + count(lease.notice_epoch) : "slot " + count(slot);
    return { name, note, state: name === "ended" && BAD.includes(lease.reason ?? "") ? "over" : "done" };
  });
}

const SAID: Record<string, string> = {
  pending: "proved, can be disputed", released: "paid", unserved: "called unserved", refuted: "refuted", forfeited: "forfeited", metered: "seconds behind the last proof",
  missed: "no proof seen", current: "now",
};

function Strip({ lease, epochs }: { lease: LeaseDetails; epochs: LeaseEpoch[] }): JSX.Element {
  const cells = strip(epochs, lease.epoch, lease.status !== "ended");
  if (cells.length === 0) return <p class="card none">Nothing is metered yet.</p>;
  const states = [...new Set(cells.map(({ state }) => state))];
  const counts = states.map((state) => count(cells.filter((cell) => cell.state === state).length) + " " + (SAID[state] ?? state)).join(", ");
  return (
    <div class="card">
      <div class="strip" role="img" aria-label={`Epochs ${count(cells[0]?.epoch)} to ${count(cells.at(-1)?.epoch)}: ${counts}. The table below has each.`}>
        {cells.map(({ epoch, state }) => <i key={epoch} class={"epoch-" + state} title={`epoch ${count(epoch)}: ${SAID[state] ?? state}`} />)}
      </div>
      <p class="keys">{states.map((state) => <span key={state}><i class={"epoch-" + state} aria-hidden="true" />{SAID[state] ?? state}</span>)}</p>
    </div>
  );
}

const ROWS: Column<LeaseEpoch>[] = [
  number("Epoch", (row) => <Count value={row.epoch} />),
  column("Status", (row) => <Pill word={row.status} />),
  column("Proof", (row) => (row.proved ? <Key id={row.proof} /> : "behind the last proof")),
  number("Seconds", (row) => <Count value={row.seconds} />),
  number("Amount", (row) => <Money amount={row.amount_lamports} />),
  number("Provider", (row) => <Money amount={row.provider_lamports} />),
  number("Foundation", (row) => <Money amount={row.foundation_lamports} />),
  number("Burned", (row) => <Money amount={row.burned_lamports} />),
  number("Refunded", (row) => <Money amount={row.refunded_lamports} />),
  number("Metered in slot", (row) => <Count value={row.metered_slot} />),
  number("Disputable until slot", (row) => <Count value={row.dispute_end_slot} />),
];

const DISPUTES: Column<LeaseDispute>[] = [
  number("No.", (row) => <Count value={row.number} />),
  number("Epoch", (row) => <Count value={row.epoch} />),
  column("Status", (row) => <Pill word={row.outcome ?? row.status} />),
  column("Disputer", (row) => <Key id={row.disputer} />),
  number("Elements shown", (row) => outOf(row.opened_elements, row.named_elements)),
  number("Bond", (row) => <Money amount={row.bond_lamports} />),
  number("Returned", (row) => <Money amount={row.returned_lamports} />),
  number("Reward", (row) => <Money amount={row.reward_lamports} />),
  number("Slashed", (row) => <Money amount={row.slashed_lamports} />),
  number("Opened in slot", (row) => <Count value={row.opened_slot} />),
  number("Decided in slot", (row) => <Count value={row.resolved_slot} />),
];

type Event = LeaseDetails["events"][number];
const EVENTS: Column<Event>[] = [
  column("What", (row) => words(row.event) + (known(row.epoch) ? " epoch " + count(row.epoch) : "")),
  column("How", (row) => (row.detail ? words(row.detail) : <span class="quiet">nothing to say</span>)),
  number("Slot", (row) => <Count value={row.slot} />),
  column("Time", (row) => <Time at={row.at} />),
  column("Held at", (row) => <span>{words(row.commitment)}</span>),
  column("Transaction", (row) => (row.signature ? <Key id={row.signature} /> : <Unknown />)),
];

function Paid({ lease }: { lease: LeaseDetails }): JSX.Element {
  const came = sum([lease.deposited_lamports, lease.compensated_lamports]);
  const named = sum([lease.escrow_lamports, lease.pending_lamports, lease.paid_lamports, lease.foundation_lamports, lease.burned_lamports, lease.refunded_lamports]);
  return (
    <>
      <div class="card">
        <Split
          parts={[
            ["escrow", "Lies here for seconds to come", lease.escrow_lamports],
            ["pending", "Lies here while it can be disputed", lease.pending_lamports],
            ["validator", "To the provider", lease.paid_lamports],
            ["foundation", "To the foundation", lease.foundation_lamports],
            ["burned", "Burned", lease.burned_lamports],
            ["refunded", "Back to the tenant", lease.refunded_lamports],
          ]}
        />
      </div>
      <div class="card">
        <Facts
          facts={[
            ["Paid in", <Money amount={lease.deposited_lamports} />],
            ["Out of the provider's stake, for the tenant", <Money amount={lease.compensated_lamports} />],
            ["Of what is back, still here", <Money amount={lease.tenant_due_lamports} />],
            ["Lies here in all", <Money amount={lease.held_lamports} />],
            ["Stake that the provider lost", <Money amount={lease.slashed_lamports} />],
            ["Difference", <Difference amount={difference(came, named)} />, "what came less what it became: always 0"],
          ]}
        />
      </div>
    </>
  );
}

interface Read {
  lease: LeaseDetails;
  epochs: List<LeaseEpoch>;
  disputes: List<LeaseDispute>;
}

function Shown({ read: { lease, epochs, disputes } }: { read: Read }): JSX.Element {
  const path = "/v1/leases/" + lease.id;
  return (
    <>
      <AsOf slot={lease.slot} />
      {lease.exact === false ? <p class="card warn">A gap in the index may hide changes of this lease.</p> : null}
      <Section title="Where it stands">
        <div class="card">
          <p role="status" class="next">{lease.status === "ended" ? <>Ended: {words(lease.reason)}.</> : <>Next: <Countdown of={lease} />.</>}</p>
          <Steps steps={steps(lease)} />
        </div>
      </Section>
      <Section title="Epochs" about={`An epoch is ${count(lease.epoch_slots)} slots, ${count(lease.epoch_seconds)} s; proofs are taken in its first ${count(lease.proof_slots)}.`}>
        <Strip lease={lease} epochs={epochs.data} />
        <Table label="Epochs" columns={ROWS} rows={epochs.data} id={(row) => String(row.epoch)} none="Nothing is metered yet." />
        <Source json={[path + "/epochs" + EPOCHS]} sql={[rowsOf("lease_epochs", "lease", lease.id, "epoch"), question("epochs-missed")]} />
      </Section>
      <Section title="Money"><Paid lease={lease} /></Section>
      <Section title="Meter">
        <div class="card">
          <Facts
            facts={[
              ["Started", <Time at={lease.started_at} />],
              ["Metered until", <Time at={lease.metered_at} />],
              ["Ends", <Time at={lease.ends_at} />],
              ["Epochs proved", <Count value={lease.epochs_proved} />],
              ["Epochs missed", <Count value={lease.epochs_missed} />],
              ["Last proof", <Count value={lease.last_proved_epoch} />, <>epoch; now is epoch {count(lease.epoch)}</>],
            ]}
          />
        </div>
      </Section>
      <Section title="Disputes">
        <Table label="Disputes" columns={DISPUTES} rows={disputes.data} id={(row) => row.id} none="Nobody disputes its proofs." />
        <Source json={[path + "/disputes?limit=50"]} sql={[rowsOf("lease_disputes", "lease", lease.id, "number")]} />
      </Section>
      <Section title="What happened">
        <Table label="What happened" columns={EVENTS} rows={lease.events} id={(row) => [row.slot, row.event, row.epoch].join(".")} none="Nothing is known." />
      </Section>
      <Section title="Terms">
        <div class="card">
          <Facts
            facts={[
              ["Provider", <Key id={lease.provider} kind="providers" whole />],
              ["Tenant", <Key id={lease.tenant} whole />],
              ["Kind", words(lease.kind)],
              ["Model", lease.kind === "container" ? "none" : known(lease.model) ? <bdi class="foreign">{lease.model}</bdi> : null],
              ["Class", <bdi class="foreign">{lease.class_name ?? lease.class}</bdi>, <>{count(lease.rounds)} products of {count(lease.matrix_side)} × {count(lease.matrix_side)} an epoch and unit</>],
              ["Units", <Count value={lease.units} />],
              ["Price", <Money amount={lease.price_lamports} />, "a second and unit"],
              ["Stake behind a unit", <Money amount={lease.stake_per_unit_lamports} />],
              ["Request", <Key id={lease.request} kind="requests" whole />],
              ["Terms hash", <Key id={lease.terms_hash} whole />],
              ["Access hash", <Key id={lease.access_hash} whole />],
              ["Held at", words(lease.commitment)],
              ["Account closed", known(lease.closed_slot) ? "in slot " + count(lease.closed_slot) : "no"],
            ]}
          />
        </div>
      </Section>
      <Source json={[path]} sql={[rowsOf("leases", "id", lease.id), rowsOf("lease_events", "lease", lease.id, "slot, step")]} />
    </>
  );
}

export function LeasePage({ id }: { id: string }): JSX.Element {
  const path = "/v1/leases/" + id;
  const loaded = useLive(
    "lease " + id,
    async (signal) => {
      const [lease, epochs, disputes] = await Promise.all([
        get<LeaseDetails>(path, signal),
        get<List<LeaseEpoch>>(path + "/epochs" + EPOCHS, signal),
        get<List<LeaseDispute>>(path + "/disputes?limit=50", signal),
      ]);
      return { lease, epochs, disputes };
    },
    { feed: "?topics=leases&lease=" + id, every: 2 },
  );
  return (
    <>
      <Heading title="Lease"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No lease with this address is indexed.">{(read) => <Shown read={read} />}</Body>
    </>
  );
}
