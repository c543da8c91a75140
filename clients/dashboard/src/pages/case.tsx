// One case: where it stands, who says what, what was shown, how the jury votes, where the money goes.
import type { JSX } from "preact";
import { get } from "../api";
import { count, known, outOf, words } from "../format";
import { question, rowsOf } from "../sql";
import type { CaseDetails, Juror, Opening } from "../types";
import type { Fact, Step } from "../ui/basics";
import { Code, Count, Facts, Key, Money, Pill, Section, Source, Steps, Time, Unknown } from "../ui/basics";
import { Claims, Countdown, SAMPLE, finding } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import type { Column } from "../ui/table";
import { Table, column, number } from "../ui/table";

/** Logits are Q16.16. */
const FRACTION = 2 ** 16;

/** The phases of a case with their slots, as far as they are known. */
export function steps(found: CaseDetails): Step[] {
  const resolved = found.resolved_slot;
  const over = known(resolved);
  // Who judges is drawn once nobody may join any more and everything is shown.
  const closed = known(found.joining_end_slot) && known(found.leaves_slot) ? Math.max(found.joining_end_slot, found.leaves_slot) : null;
  const plan: [name: string, from: number | null, until: number | null][] = [
    ["opening", found.opened_slot, found.shown_slot ?? (over ? null : found.leaves_due_slot)],
    ["joining", found.shown_slot, found.joining_end_slot],
    ["showing", found.joining_end_slot, found.leaves_due_slot],
    ["draw", closed, found.commit_from_slot],
    ["commit", found.commit_from_slot, found.commit_end_slot],
    ["reveal", found.commit_end_slot, found.reveal_end_slot],
    ["resolved", resolved, null],
  ];
  const shown = plan.filter(([name]) => name !== "showing" || found.phase === "showing");
  const at = shown.findIndex(([name]) => name === found.phase);
  return shown.map(([name, from, until], index): Step => {
    const came = known(from) && (!over || from <= resolved);
    const past = came && (over || index < at || found.phase === "due");
    // A case may be resolved before a phase's time is over.
    const end = over && known(until) ? Math.min(until, resolved) : until;
    const slots = came ? "slot " + count(from) + (known(end) && end !== from ? " to " + count(end) : "") : over ? "it did not come to this" : "to come";
    const lost = name === "resolved" && (found.verdict === "guilty" || found.verdict === "fault");
    return { name, note: slots, state: index === at && !over ? "now" : past ? (lost ? "over" : "done") : "later" };
  });
}

function Sides({ found }: { found: CaseDetails }): JSX.Element {
  const prover = known(found.prover);
  return (
    <div class="card">
      <Facts
        facts={[
          ["Job", <Key id={found.job} kind="jobs" whole />, words(found.job_status)],
          ["Model", known(found.model) ? <bdi class="foreign">{found.model}</bdi> : null],
          ["Result of", <Key id={found.submitter} kind="validators" whole />],
          [prover ? "Fault proved by" : "Challenger", <Key id={found.prover ?? found.challenger} kind="validators" whole />, prover ? null : "who got the reward, else who opened it"],
          ["Fingerprint", <Key id={found.fingerprint} whole />],
          ["Shown", outOf(found.opened_positions, found.sampled_positions + found.named_positions), "positions"],
          ["Arithmetic", found.exact_profile ? "exact: the same bits on every machine" : "calibrated: within the model's thresholds"],
          ["Opened", <Time at={found.opened_at} />, "slot " + count(found.opened_slot)],
          ["Resolved", known(found.resolved_slot) ? <Time at={found.resolved_at} /> : "not yet", known(found.resolved_slot) ? "slot " + count(found.resolved_slot) : null],
        ]}
      />
    </div>
  );
}

function Amounts({ found }: { found: CaseDetails }): JSX.Element {
  const decided: Fact[] = [
    ["Reward", <Money amount={found.reward_lamports} />, "of the slash: to the earliest right claim, or to who proved the fault"],
    ["To claimants", <Money amount={found.claimants_lamports} />, "bonds that returned among it"],
    ["To jurors", <Money amount={found.jurors_lamports} />],
    ["To the validator", <Money amount={found.submitter_lamports} />],
    ["To who proved the fault", <Money amount={found.prover_lamports} />],
    ["Burned", <Money amount={found.burned_lamports} />],
    ["Lost by jurors", <Money amount={found.penalties_lamports} />],
  ];
  return (
    <div class="card">
      <Facts
        facts={[
          ["Bonds of all claims", <Money amount={found.bonds_lamports} />],
          ["Stake of who committed to the jury", <Money amount={found.committed_stake_lamports} />, "the most that it can take"],
          ["Slashed", known(found.resolved_slot) ? <Money amount={found.slashed_lamports} /> : "decided by the verdict"],
          ...(known(found.resolved_slot) ? decided : []),
        ]}
      />
    </div>
  );
}

function Jury({ found }: { found: CaseDetails }): JSX.Element {
  const judged: [place: number, name: string][] = [[SAMPLE, "Sample"]];
  for (const claim of found.all_claims) if (known(claim.digest_place)) judged.push([claim.digest_place, "Claim " + claim.place]);
  const agreeing = (seat: Juror): JSX.Element | string => {
    const seats = seat.agrees?.[found.exact_profile ? 0 : SAMPLE];
    return seats ? (seats.length ? seats.join(", ") : "none") : <Unknown />;
  };
  const columns: Column<Juror>[] = [
    number("Seat", (seat) => <Count value={seat.seat} />),
    column("Juror", (seat) => <Key id={seat.juror} kind="validators" />),
    number("Committed in slot", (seat) => <Count value={seat.committed_slot} />),
    number("Revealed in slot", (seat) => <Count value={seat.revealed_slot} />),
    ...judged.map(([place, name]) => column<Juror>(name + " is", (seat) => finding(seat, place) ?? <Unknown />)),
    column("Same work as seats", agreeing),
    column("Outcome", (seat) => <span>{words(seat.outcome)}</span>),
    number("Reward", (seat) => <Money amount={seat.reward_lamports} />),
    number("Penalty", (seat) => <Money amount={seat.penalty_lamports} />),
  ];
  return <Table label="Jury" columns={columns} rows={found.jurors} id={(seat) => String(seat.seat)} none="No seat is taken." />;
}

const WHY: Record<string, (opening: Opening) => string> = {
  sample: () => "drawn by the chain",
  claim: (opening) => "named by claim " + count(opening.claim_place),
  fault: () => "the proven fault",
};

const EVIDENCE: Column<Opening>[] = [
  number("Position", (opening) => <Count value={opening.position} />),
  column("Why", (opening) => WHY[opening.asked_by]?.(opening) ?? <Unknown />),
  column("Shown", (opening) => (opening.shown ? "yes" : "no")),
  number("Token", (opening) => <Count value={opening.token} />),
  column("Likeliest ids", (opening) => opening.ids?.join(", ") ?? <Unknown />),
  column("Their logits", (opening) => opening.logits?.map((logit) => (logit / FRACTION).toFixed(3)).join(", ") ?? <Unknown />),
];

function Shown({ found }: { found: CaseDetails }): JSX.Element {
  const path = "/v1/cases/" + found.id;
  return (
    <>
      <AsOf slot={found.slot} />
      {found.exact === false ? <p class="card warn">A gap in the index may hide changes of this case.</p> : null}
      <Section title="Where it stands">
        <div class="card">
          <p role="status" class="next">
            {found.verdict ? <>Verdict: <Pill word={found.verdict} /> {words(found.ground)}.</> : <>Next: <Countdown of={found} />.</>}
          </p>
          <Steps steps={steps(found)} />
        </div>
      </Section>
      <Section title="Sides"><Sides found={found} /></Section>
      <Section title="Claims"><Claims claims={found.all_claims} jurors={found.jurors} decided={known(found.resolved_slot)} /></Section>
      <Section title="Jury"><Jury found={found} /></Section>
      <Section title="Evidence" about="Positions of the answer that were shown on chain: the token, and the four likeliest with their logits.">
        <Table label="Evidence" columns={EVIDENCE} rows={found.openings} id={(opening) => [opening.position, opening.asked_by, opening.claim_place].join(".")} none="No position yet." />
      </Section>
      <Section title="Reproduce it" about="Computes the answer again with the model and compares each position; then the case as the chain has it.">
        <Code text={`mythic verify ${found.job} --gateway ${location.origin}\nmythic disputes show ${found.id} --gateway ${location.origin}`} label="the commands that reproduce this case" />
      </Section>
      <Section title="Money"><Amounts found={found} /></Section>
      <Source json={[path]} sql={[rowsOf("cases", "id", found.id), rowsOf("claims", "dispute", found.id, "place"), rowsOf("openings", "dispute", found.id, "position"), question("slashes")]} />
    </>
  );
}

export function CasePage({ id }: { id: string }): JSX.Element {
  const loaded = useLive("case " + id, (signal) => get<CaseDetails>("/v1/cases/" + id, signal), { feed: "?topics=disputes&entity=" + id, every: 2 });
  return (
    <>
      <Heading title="Case"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No case with this address is indexed.">{(found) => <Shown found={found} />}</Body>
    </>
  );
}
