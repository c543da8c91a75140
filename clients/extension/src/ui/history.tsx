/** What the account did, and what its answers cost. */

import type { Job } from "@mythic/ai-sdk";
import type { JSX } from "preact";
import { history, type Past } from "../chain/history";
import { rpcOf } from "../chain/rpc";
import { count, sol, time } from "../format";
import { Alert, Foreign, Key, Money, Title, useLook } from "./basics";
import { clientOf } from "./conversation";
import type { Here } from "./popup";

const LOOK_MS = 10_000;
const ROWS = 20;

export function History({ here }: { here: Here }): JSX.Element {
  const { account, network } = here;
  const depends = [account.address, network.id];
  const jobs = useLook(async () => (await clientOf(account, network, "account", account.address).jobs.list({ owner: account.address, limit: ROWS })).data, LOOK_MS, depends);
  const past = useLook(() => history(rpcOf(network.rpcUrl), account.address, ROWS), LOOK_MS, depends);
  return (
    <>
      <Title>History</Title>
      <h2>Answers</h2>
      <Alert text={jobs.error} />
      {jobs.value?.length === 0 ? <p class="quiet">No answer was bought with this account yet.</p> : null}
      <ul class="plain" id="jobs">{jobs.value?.map((job) => <JobOf key={job.id} job={job} />)}</ul>
      <h2>Transactions</h2>
      <Alert text={past.error} />
      {past.value?.length === 0 ? <p class="quiet">The chain has none of this account.</p> : null}
      <ul class="plain" id="transactions">{past.value?.map((one) => <PastOf key={one.signature} past={one} />)}</ul>
      {jobs.value?.length === ROWS || past.value?.length === ROWS ? <p class="quiet">The newest {ROWS} of each.</p> : null}
    </>
  );
}

/** What a job costs: its fee once it has one, before that at most its ceiling. */
function JobOf({ job }: { job: Job }): JSX.Element {
  return (
    <li>
      <div class="row"><b><Foreign text={job.model} /></b><span>{job.feeLamports == null ? <>at most {sol(job.ceilingLamports)}</> : <Money amount={job.feeLamports} />}</span></div>
      <div class="row"><small>{job.status}, {count(job.promptTokens)} tokens in, {count(job.outputTokens)} out{job.requestedSlot == null ? "" : `, slot ${count(job.requestedSlot)}`}</small><Key id={job.id} /></div>
    </li>
  );
}

function PastOf({ past }: { past: Past }): JSX.Element {
  const { change } = past;
  return (
    <li>
      <div class="row"><b>{past.titles.length > 0 ? past.titles.join(", ") : "not readable"}</b><span>{change !== null && change > 0n ? "+" : ""}{sol(change)}</span></div>
      <div class="row"><small>{time(past.time)}{past.slot === null ? "" : `, slot ${count(past.slot)}`}{past.fee === null ? "" : `, fee ${sol(past.fee)}`}</small><Key id={past.signature} /></div>
      {past.failed ? <small class="bad">Refused by the chain: {past.failed}</small> : null}
    </li>
  );
}
