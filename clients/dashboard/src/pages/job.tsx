// One job: how far it is, its money, what proves its answer, and how to check that.
import type { JSX } from "preact";
import { get } from "../api";
import { unaccounted } from "../figures";
import { count, known, outOf, words } from "../format";
import { question, rowsOf } from "../sql";
import type { JobDetails, Network, Transition } from "../types";
import type { Step } from "../ui/basics";
import { Code, Copy, Count, Difference, Facts, Key, Money, Pill, Section, Slot, Source, Split, Steps, Time, Unknown } from "../ui/basics";
import { Check } from "../ui/check";
import { AsOf, Body, Heading, useLive } from "../ui/page";
import { Table, column, number } from "../ui/table";

const ENDS = ["settled", "refunded", "slashed"];
const PLAN = ["open", "accepted", "submitted"];

/** The way of a job: what happened, and what would come next. */
export function steps(job: Pick<JobDetails, "status" | "transitions">): Step[] {
  const happened = job.transitions ?? [];
  const names = happened.map(({ status }) => status ?? "unknown");
  const over = ENDS.includes(job.status);
  const rest = over ? [] : [...PLAN.filter((name) => !names.includes(name)), "settled"];
  const done = happened.map(({ status, slot }, index): Step => {
    const last = index === happened.length - 1;
    const bad = status === "slashed" || status === "refunded" || status === "disputed";
    return { name: words(status), note: "slot " + count(slot), state: last && !over ? "now" : bad ? "over" : "done" };
  });
  return [...done, ...rest.map((name): Step => ({ name, note: "to come", state: "later" }))];
}

function Window({ job, slot }: { job: JobDetails; slot: number | null }): JSX.Element {
  const { submitted_slot: from, window_end_slot: end, status } = job;
  if (!known(from) || !known(end)) {
    return <p>{ENDS.includes(status) ? "It ended without a result, so there was nothing to contest." : "It opens with the result: from then on anyone with a stake may contest it."}</p>;
  }
  if (ENDS.includes(status) || (known(slot) && slot >= end)) {
    return <p>Over: nobody opens a case about this result from slot {count(end)} on.{ENDS.includes(status) ? "" : " It can be settled now."}</p>;
  }
  const passed = known(slot) ? Math.max(0, slot - from) : null;
  return (
    <>
      <p id="window">{known(passed) ? `${count(end - from - passed)} of ${count(end - from)} slots are left` : "Open"}: until slot {count(end)} anyone may contest this result.</p>
      {known(passed) ? <progress max={end - from} value={passed} aria-labelledby="window" /> : null}
    </>
  );
}

function Paid({ job }: { job: JobDetails }): JSX.Element {
  const { fee, held } = unaccounted(job);
  return (
    <>
      <div class="card">
        <Split
          parts={[
            ["validator", "To the validator", job.validator_lamports],
            ["foundation", "To the foundation", job.foundation_lamports],
            ["burned", "Burned", job.burned_lamports],
            ["refunded", "Back to the owner", job.refunded_lamports],
          ]}
        />
      </div>
      <div class="card">
        <Facts
          facts={[
            ["Held at most", <Money amount={job.ceiling_lamports} />, "paid in with the request"],
            ["Fee", <Money amount={job.fee_lamports} />],
            ["Prices", <>{count(job.price_in)} in, {count(job.price_out)} out</>, "lamports for 1,000 tokens"],
            ["Fee without a name", <Difference amount={fee} />, "fee less its parts: always 0"],
            ["Held without a name", <Difference amount={held} />, "held less fee and refund: always 0"],
            ...(known(job.slashed_lamports) && BigInt(job.slashed_lamports) > 0n
              ? [["Stake that the validator lost", <Money amount={job.slashed_lamports} />, job.dispute ? <a href={"/cases/" + job.dispute.id}>where it went</a> : null] as [string, JSX.Element, JSX.Element | null]]
              : []),
          ]}
        />
      </div>
    </>
  );
}

function Shown({ job, network }: { job: JobDetails; network: Network }): JSX.Element {
  const path = "/v1/jobs/" + job.id;
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      {job.exact === false ? <p class="card warn">A gap in the index may hide changes of this job.</p> : null}
      <Section title="Progress">
        <div class="card">
          <p><Pill word={job.status} /> <span class="quiet">{[known(job.commitment) ? "held at " + job.commitment : null, known(job.end_reason) ? "ended by: " + words(job.end_reason) : null].filter(known).join(", ")}</span></p>
          <Steps steps={steps(job)} />
        </div>
      </Section>
      <Section title="Challenge window"><div class="card"><Window job={job} slot={network.slot} /></div></Section>
      {job.dispute ? (
        <Section title="Case">
          <p class="card">
            Somebody contests this result: <Pill word={job.dispute.verdict ?? job.dispute.status} /> {known(job.dispute.ground) ? words(job.dispute.ground) : null}{" "}
            <a href={"/cases/" + job.dispute.id}>the case, its evidence and votes</a>
          </p>
        </Section>
      ) : null}
      {known(job.output) ? <Section title="Answer"><div class="card"><pre class="answer">{job.output}</pre></div></Section> : null}
      <Section title="Check it yourself" about="The validator committed to this answer before it was paid. Whoever has the evidence can see whether its tokens, their hashes and the chain's account agree.">
        <Check job={job} />
        <p>On your machine, with the model: it computes the answer again, position by position, and trusts nobody.</p>
        <Code text={`mythic verify ${job.id} --gateway ${location.origin}`} label="the command that checks this answer" />
      </Section>
      <Section title="Money"><Paid job={job} /></Section>
      <Section title="Proof">
        <div class="card">
          <Facts
            facts={[
              ["Fingerprint", <Key id={job.fingerprint} whole />],
              ["Output root", <Key id={job.output_root} whole />],
              ["Terms hash", <Key id={job.terms_hash} whole />],
              ["Prompt hash", <Key id={job.prompt_hash} whole />],
              ["Seed", <Key id={job.seed} whole />],
            ]}
          />
        </div>
      </Section>
      <Section title="Request">
        <div class="card">
          <Facts
            facts={[
              ["Model", <a href={"/models/" + encodeURIComponent(job.model)}><bdi class="foreign">{job.model}</bdi></a>],
              ["Validator", <Key id={job.validator} kind="validators" whole />],
              ["Owner", <span class="key"><a class="hash" href={"/jobs?owner=" + encodeURIComponent(job.owner)}>{job.owner}</a><Copy text={job.owner} label={job.owner} /></span>, "the wallet that pays"],
              ["Requester", <Key id={job.requester} whole />],
              ["Prompt tokens", <Count value={job.prompt_tokens} />],
              ["Output tokens", outOf(job.output_tokens, job.max_output_tokens)],
              ["Answer ended by", words(job.finish_reason)],
              ["Temperature", known(job.temperature_milli) ? job.temperature_milli / 1000 : null],
              ["Result due by", <Slot slot={job.deadline_slot} />],
            ]}
          />
        </div>
      </Section>
      <Section title="Timeline">
        <Table
          label="Timeline"
          columns={[
            column<Transition>("Status", (step) => <Pill word={step.status} />),
            number<Transition>("Slot", (step) => <Count value={step.slot} />),
            column<Transition>("Time", (step) => <Time at={step.at} />),
            column<Transition>("Held at", (step) => <span>{step.commitment}</span>),
            column<Transition>("Transaction", (step) => (step.signature ? <Key id={step.signature} /> : <Unknown />)),
          ]}
          rows={job.transitions ?? []}
          id={(step) => step.status + "." + step.slot}
          none="Not on chain yet."
        />
      </Section>
      <Source
        json={[["JSON", path], ["receipt", path + "/receipt"], ["evidence", path + "/evidence"]]}
        sql={[rowsOf("jobs", "id", job.id), rowsOf("job_events", "job", job.id, "step"), question("split-check")]}
      />
    </>
  );
}

export function JobPage({ id }: { id: string }): JSX.Element {
  const loaded = useLive(
    "job " + id,
    async (signal) => {
      const [job, network] = await Promise.all([get<JobDetails>("/v1/jobs/" + id, signal), get<Network>("/v1/network", signal)]);
      return { job, network };
    },
    { feed: "?job=" + id, every: 2 },
  );
  return (
    <>
      <Heading title="Job"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No job with this address is indexed, and this gateway sent none. Its transaction may not have landed.">
        {({ job, network }) => <Shown job={job} network={network} />}
      </Body>
    </>
  );
}
