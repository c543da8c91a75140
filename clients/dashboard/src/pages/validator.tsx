// One validator.
import type { JSX } from "preact";
import { get } from "../api";
import { success } from "../figures";
import { count, decimal, known, percent } from "../format";
import { question, rowsOf } from "../sql";
import type { Case, Job, List, Network, Validator } from "../types";
import { Count, Facts, Foreign, Key, Money, Pill, Section, Slot, Source, Time } from "../ui/basics";
import { Cases, Jobs } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";

interface Read {
  validator: Validator;
  network: Network;
  jobs: List<Job>;
  against: List<Case>;
  by: List<Case>;
}

async function load(id: string, signal: AbortSignal): Promise<Read> {
  const [validator, network] = await Promise.all([get<Validator>("/v1/validators/" + id, signal), get<Network>("/v1/network", signal)]);
  const { authority } = validator;
  const [jobs, against, by] = await Promise.all([
    get<List<Job>>("/v1/jobs?limit=20&validator=" + authority, signal),
    get<List<Case>>("/v1/cases?limit=20&validator=" + authority, signal),
    get<List<Case>>("/v1/cases?limit=20&challenger=" + authority, signal),
  ]);
  return { validator, network, jobs, against, by };
}

function Node({ validator: { live, ...row } }: { validator: Validator }): JSX.Element {
  return (
    <div class="card">
      <Facts
        facts={[
          ["Announces itself here", live ? <>yes, version <Foreign text={live.version} none="not said" /></> : "no"],
          ["Runs now", live ? <>{count(live.running)} of at most {count(live.max_concurrent)}</> : null],
          ["Waits for a place", live ? <>{count(live.queued)} jobs, {count(live.queued_tokens)} tokens</> : null],
          ["Tokens a second, of one job", known(live?.tokens_per_second) ? decimal(live.tokens_per_second, 1) : null, "as it says"],
          ["Hardware", <Foreign text={row.gpu_name} none="CPU only" />, row.vram_mib > 0 ? decimal(row.vram_mib / 1024, 0) + " GiB, as it says" : null],
          ["Endpoint", <Foreign text={row.endpoint} none="not said" />, "as it says; not a link"],
          ["Operator", <Key id={row.operator} whole />],
          ["Account", <Key id={row.id} whole />],
          ["Registered", <Time at={row.registered_at} />, "slot " + count(row.registered_slot)],
          ["Serves", row.models.length ? <ul class="plain">{row.models.map(({ model, since_slot }) => <li key={model}><a class="hash" href={"/models/" + model}>{model}</a> <small class="note">since slot {count(since_slot)}</small></li>)}</ul> : "no model"],
        ]}
      />
    </div>
  );
}

function Shown({ read: { validator, network, jobs, against, by } }: { read: Read }): JSX.Element {
  const path = "/v1/validators/" + validator.authority;
  return (
    <>
      <AsOf slot={network.slot} finalized={network.finalized_slot} />
      {validator.exact === false ? <p class="card warn">A gap in the index may hide changes of this validator.</p> : null}
      <Facts
        tiles
        facts={[
          ["Status", <Pill word={validator.live?.draining ? "draining" : validator.status} />, known(validator.jailed_until) ? <>until <Slot slot={validator.jailed_until} /></> : null],
          ["Stake", <Money amount={validator.stake} />],
          ["Success", percent(success(validator.jobs_settled, validator.jobs_missed)), <>{count(validator.jobs_settled)} settled, {count(validator.jobs_missed)} missed</>],
          ["Declined", <Count value={validator.jobs_declined} />],
          ["Open jobs", <Count value={validator.open_jobs} />],
          ["Open cases", <Count value={validator.open_disputes} />],
          ["Earned", <Money amount={validator.earned} />, "since it registered"],
          ["Slashed", <Money amount={validator.slashed} />, "since it registered"],
        ]}
      />
      <Section title="Money">
        <div class="card">
          <Facts
            facts={[
              ["To be claimed", <Money amount={validator.claimable} />],
              ["Owed to the foundation", <Money amount={validator.owed_foundation} />],
              ["Owed to burning", <Money amount={validator.owed_burn} />],
              ["Stake that will count soon", <Money amount={validator.activating} />],
              ["Stake that leaves", <Money amount={validator.unbonding} />],
            ]}
          />
        </div>
      </Section>
      <Section title="Node"><Node validator={validator} /></Section>
      <Section title="Cases about its results"><Cases rows={against.data} none="Nobody has contested a result of it." label="Cases about its results" /></Section>
      <Section title="Cases of its own"><Cases rows={by.data} none="It has contested nothing." label="Cases of its own" /></Section>
      <Section title="Newest jobs">
        <Jobs rows={jobs.data} none="No job yet." />
        <p><a href={"/jobs?validator=" + validator.authority}>all its jobs</a></p>
      </Section>
      <Source json={[path]} sql={[rowsOf("validators", "authority", validator.authority), rowsOf("validator_stake", "validator", validator.id, "slot, ordinal"), question("validator-balance")]} />
    </>
  );
}

export function ValidatorPage({ id }: { id: string }): JSX.Element {
  const loaded = useLive("validator " + id, (signal) => load(id, signal), { feed: "?topics=jobs,results,disputes,validators,settlements&validator=" + id, every: 5 });
  return (
    <>
      <Heading title="Validator"><Key id={id} whole /></Heading>
      <Body loaded={loaded} gone="No validator with this address is indexed.">{(read) => <Shown read={read} />}</Body>
    </>
  );
}
