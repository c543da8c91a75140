// Tables of what several pages list.
import type { JSX } from "preact";
import { count, known, outOf, words } from "../format";
import type { Case, Claim, Job, Juror, Lease } from "../types";
import { Ago, Count, Key, Money, Pill, Unknown } from "./basics";
import { Table, column, number } from "./table";

/** "commit end in 12 slots (about 5 s)", or what else is to be said. */
export function Countdown({ of }: { of: Pick<Case, "next"> & { phase?: string | null; status: string } }): JSX.Element {
  const { next } = of;
  if (!next) {
    if (of.phase === "due") return <span>anyone may end it now</span>;
    return ["resolved", "closed", "ended"].includes(of.phase ?? of.status) ? <span class="quiet">nothing more</span> : <Unknown />;
  }
  const about = known(next.seconds_left) ? ` (about ${count(next.seconds_left)} s)` : "";
  return <span class="countdown" title={"slot " + count(next.slot)}>{words(next.event)} in {count(next.slots_left)} slots{about}</span>;
}

const JOBS = [
  column<Job>("Job", (job) => <Key id={job.id} kind="jobs" />),
  column<Job>("Status", (job) => <Pill word={job.status} />),
  column<Job>("Model", (job) => <bdi class="foreign">{job.model}</bdi>),
  column<Job>("Validator", (job) => <Key id={job.validator} kind="validators" />),
  number<Job>("Tokens in / out", (job) => <>{count(job.prompt_tokens)} / {count(job.output_tokens)}</>),
  number<Job>("Fee", (job) => <Money amount={job.fee_lamports} />),
  number<Job>("Burned", (job) => <Money amount={job.burned_lamports} />),
  number<Job>("Slot", (job) => <Count value={job.requested_slot} />),
  column<Job>("Held at", (job) => <span>{words(job.commitment)}</span>),
  column<Job>("Requested", (job) => <Ago at={job.requested_at} />),
];

export function Jobs({ rows, none, label = "Jobs" }: { rows: Job[]; none: string; label?: string }): JSX.Element {
  return <Table label={label} columns={JOBS} rows={rows} id={(job) => job.id} none={none} />;
}

const CASES = [
  column<Case>("Case", (row) => <Key id={row.id} kind="cases" />),
  column<Case>("Phase", (row) => <Pill word={row.phase ?? row.status} />),
  column<Case>("Next", (row) => <Countdown of={row} />),
  column<Case>("Verdict", (row) => (row.verdict ? <span><Pill word={row.verdict} /> <small>{words(row.ground)}</small></span> : <Unknown />)),
  column<Case>("Job", (row) => <Key id={row.job} kind="jobs" />),
  column<Case>("Result of", (row) => <Key id={row.submitter} kind="validators" />),
  column<Case>("Challenger", (row) => <Key id={row.challenger} kind="validators" />),
  number<Case>("Claims", (row) => <Count value={row.claims} />),
  number<Case>("Seats revealed", (row) => outOf(row.revealed_seats, row.jury_seats)),
  number<Case>("Bonds", (row) => <Money amount={row.bonds_lamports} />),
  number<Case>("Slashed", (row) => <Money amount={row.slashed_lamports} />),
  number<Case>("Opened in slot", (row) => <Count value={row.opened_slot} />),
];

export function Cases({ rows, none, label = "Cases" }: { rows: Case[]; none: string; label?: string }): JSX.Element {
  return <Table label={label} columns={CASES} rows={rows} id={(row) => row.id} none={none} />;
}

const LEASES = [
  column<Lease>("Lease", (row) => <Key id={row.id} kind="leases" />),
  column<Lease>("Status", (row) => <Pill word={row.status} />),
  column<Lease>("Next", (row) => (row.status === "ended" ? <span>{words(row.reason)}</span> : <Countdown of={row} />)),
  column<Lease>("Provider", (row) => <Key id={row.provider} kind="providers" />),
  column<Lease>("Tenant", (row) => <Key id={row.tenant} />),
  column<Lease>("Class", (row) => <bdi class="foreign">{row.class_name ?? row.class}</bdi>),
  column<Lease>("Kind", (row) => <span>{words(row.kind)}</span>),
  number<Lease>("Units", (row) => <Count value={row.units} />),
  number<Lease>("Proved / missed", (row) => <>{count(row.epochs_proved)} / {count(row.epochs_missed)}</>),
  number<Lease>("Paid in", (row) => <Money amount={row.deposited_lamports} />),
  number<Lease>("To the provider", (row) => <Money amount={row.paid_lamports} />),
  number<Lease>("Refunded", (row) => <Money amount={row.refunded_lamports} />),
  number<Lease>("Slot", (row) => <Count value={row.accepted_slot} />),
  column<Lease>("Accepted", (row) => <Ago at={row.accepted_at} />),
];

export function Leases({ rows, none, label = "Leases" }: { rows: Lease[]; none: string; label?: string }): JSX.Element {
  return <Table label={label} columns={LEASES} rows={rows} id={(row) => row.id} none={none} />;
}

/** Place of the sample's digest in a vote; those of claims follow. */
export const SAMPLE = 1;

/** What a seat finds of one digest; null before it reveals. */
export function finding(seat: Pick<Juror, "finds_true">, place: number): string | null {
  return seat.finds_true === null ? null : seat.finds_true.includes(place) ? "true" : "false";
}

/** How the seats that revealed stand to what a digest is of. */
export function votes(jurors: Pick<Juror, "finds_true">[], place: number): string | null {
  if (!jurors.some((seat) => seat.finds_true !== null)) return null;
  const seats = (word: string): number => jurors.filter((seat) => finding(seat, place) === word).length;
  return `${seats("true")} true, ${seats("false")} false`;
}

export function Claims({ claims, jurors, decided }: { claims: Claim[]; jurors: Juror[]; decided: boolean }): JSX.Element {
  return (
    <Table
      label="Claims"
      columns={[
        number<Claim>("No.", (claim) => <Count value={claim.place} />),
        column<Claim>("By", (claim) => <Key id={claim.claimant} kind="validators" />),
        column<Claim>("Says", (claim) => <Pill word={claim.kind} />),
        column<Claim>("Outcome", (claim) => (claim.outcome ? <Pill word={claim.outcome} /> : decided ? <Unknown /> : <span class="quiet">open</span>)),
        column<Claim>("Names positions", (claim) => (claim.positions?.length ? claim.positions.join(", ") : "none")),
        column<Claim>("Seats on the sample", (claim) => (claim.kind === "false" ? (votes(jurors, SAMPLE) ?? <Unknown />) : "not asked")),
        column<Claim>("Seats on its positions", (claim) => (claim.digest_place === null ? "not asked" : (votes(jurors, claim.digest_place) ?? <Unknown />))),
        number<Claim>("Bond", (claim) => <Money amount={claim.bond_lamports} />),
        number<Claim>("At stake", (claim) => <Money amount={claim.at_stake_lamports} />),
        number<Claim>("Gets", (claim) => <Money amount={claim.amount_lamports} />),
        number<Claim>("Reward in it", (claim) => <Money amount={claim.reward_lamports} />),
        number<Claim>("Slot", (claim) => <Count value={claim.claimed_slot} />),
      ]}
      rows={claims}
      id={(claim) => String(claim.place)}
      none="Nobody claimed anything: the fault was proved."
    />
  );
}
