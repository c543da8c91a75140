// The network at a glance.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ApiError, get, kept, maybe, now, text } from "../api";
import { byMinute, pace, verifiedShare } from "../figures";
import { count, decimal, duration, known, percent } from "../format";
import { histogram, quantile } from "../metrics";
import { isKey, navigate, to } from "../router";
import { question } from "../sql";
import type { Day, Health, Job, List, Model, Network } from "../types";
import { Code, Count, Facts, Money, Section, Source } from "../ui/basics";
import { Chart } from "../ui/chart";
import { Jobs } from "../ui/lists";
import { AsOf, Body, Heading, useLive } from "../ui/page";

const NEWEST = "/v1/jobs?limit=100";
const DAYS = "/v1/stats/daily?limit=30&commitment=finalized";
const SHOWN = 10;
const MINUTES = 30;
const FIRST_TEXT = "mythic_gateway_first_text_seconds";

interface Read {
  network: Network;
  jobs: List<Job>;
  health: Health | null;
  metrics: string | null;
  days: List<Day>;
  models: List<Model> | null;
}

/** A proxy may keep it to itself. */
const metrics = kept(10, (signal) => maybe(text("/metrics", signal)));
const days = kept(60, (signal) => get<List<Day>>(DAYS, signal));
const models = kept(60, (signal) => maybe(get<List<Model>>("/v1/models", signal)));

async function load(signal: AbortSignal): Promise<Read> {
  const [network, jobs, health, said, history, served] = await Promise.all([
    get<Network>("/v1/network", signal),
    get<List<Job>>(NEWEST, signal),
    maybe(get<Health>("/health", signal)),
    metrics(signal),
    days(signal),
    models(signal),
  ]);
  return { network, jobs, health, metrics: said, days: history, models: served };
}

/** Pages on which a key may be somebody, and the route that knows. */
const PLACES = [
  ["jobs", "/v1/jobs/"], ["cases", "/v1/cases/"], ["validators", "/v1/validators/"], ["leases", "/v1/leases/"], ["requests", "/v1/requests/"], ["providers", "/v1/providers/"],
] as const;

function Find(): JSX.Element {
  const [said, say] = useState("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const wanted = String(new FormData(event.currentTarget as HTMLFormElement).get("key") ?? "").trim().replace(/^chatcmpl-/, "");
    if (!isKey(wanted)) return say("An address has 32 to 44 letters and digits of base58.");
    say("looking…");
    const { signal } = new AbortController();
    for (const [kind, route] of PLACES) {
      try {
        await get(route + wanted, signal);
        return navigate(to(kind, wanted));
      } catch (error) {
        if (!(error instanceof ApiError) || error.status !== 404) return say(error instanceof Error ? error.message : "It could not be looked up.");
      }
    }
    say("Nothing here has this address. A wallet's jobs are under Jobs, by owner.");
  };
  return (
    <form class="find" role="search" onSubmit={submit}>
      <label>
        Find a job, case, validator, lease, request or provider
        <input name="key" placeholder="its address, or chatcmpl-…" autocomplete="off" spellcheck={false} maxLength={60} />
      </label>
      <button type="submit">Find</button>
      <span role="status">{said}</span>
    </form>
  );
}

/** Median and 95th percentile of the time to the first text. */
function speed(metrics: string | null): [figure: string | null, note: string | null] {
  const found = metrics === null ? null : histogram(metrics, FIRST_TEXT);
  const half = found && quantile(found, 0.5);
  if (!found || !known(half)) return [null, null];
  const most = quantile(found, 0.95);
  return [`${decimal(half, 2)} s / ${known(most) ? decimal(most, 2) + " s" : "over 300 s"}`, `of ${count(found.count)} answers since this gateway started`];
}

function Tiles({ read: { network, jobs, health, metrics } }: { read: Read }): JSX.Element {
  const rate = pace(jobs.data, jobs.has_more, now());
  const verified = verifiedShare(jobs.data);
  const [first, answers] = speed(metrics);
  const over = known(rate.seconds) ? "over the last " + duration(rate.seconds) : null;
  const capacity = network.capacity_tokens_per_second;
  return (
    <Facts
      tiles
      facts={[
        ["Slot", count(network.slot), <>finalized {count(network.finalized_slot)}</>],
        ["Index behind the chain", known(health?.index_lag_slots) ? <Count value={health.index_lag_slots} unit={health.index_lag_slots === 1 ? "slot" : "slots"} /> : null],
        ["Jobs a minute", decimal(rate.jobsAMinute, 1), over],
        ["Output tokens a second", decimal(rate.tokensASecond, 1), known(capacity) ? <>{over ? over + "; " : ""}capacity {decimal(capacity, 0)}</> : over],
        ["First text, p50 / p95", first, answers],
        ["Verified share, by value", percent(verified.share), <>of the newest {count(verified.results)} results: unchallenged through their window, or decided by a case</>],
        ["Active validators", count(network.active_validators), <>of {count(network.registered_validators)} registered</>],
        ["Staked", <Money amount={network.staked_lamports} />],
        ["Burned", <Money amount={network.burned_lamports} />, "parts of fees, registrations, cases"],
        ["Jobs", count(network.jobs), <>{count(network.jobs_settled)} settled</>],
        ["Cases", <a href="/cases">{count(network.disputes)}</a>, <>{count(network.disputes_open)} open</>],
        ["Slashed", <Money amount={network.slashed_lamports} />],
      ]}
    />
  );
}

/** The line that buys an answer here. */
const tryIt = (model: string): string =>
  `curl ${location.origin}/v1/chat/completions -H 'content-type: application/json' \\
  -H 'authorization: Bearer YOUR_KEY' \\
  -d '{"model": ${JSON.stringify(model)}, "messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 60}'`;

export function Home(): JSX.Element {
  const loaded = useLive("home", load, { feed: "?topics=jobs,results,settlements,disputes,validators", every: 5 });
  return (
    <>
      <Heading title="Network" />
      <p class="lead">
        AI inference that can be checked: each answer is paid and fingerprinted on chain, anyone may contest it for a window of slots, and then the fee is split. Everything
        below follows the chain.
      </p>
      <Find />
      <Body loaded={loaded}>
        {(read) => (
          <>
            <AsOf slot={read.network.slot} finalized={read.network.finalized_slot} />
            <Tiles read={read} />
            <Source
              json={[["JSON: network", "/v1/network"], ["newest jobs", NEWEST], ["health", "/health"], ["metrics", "/metrics"]]}
              sql={[question("network-now"), question("pace"), question("verified-share")]}
            />
            <Section title="Lately">
              <div class="charts">
                <Minutes jobs={read.jobs} />
                <Days days={read.days.data} />
              </div>
            </Section>
            <Section title="Newest jobs">
              <Jobs rows={read.jobs.data.slice(0, SHOWN)} none="No job yet." />
              <p><a href="/jobs">all jobs</a></p>
              <Source json={[NEWEST]} sql={[question("newest-jobs")]} />
            </Section>
          </>
        )}
      </Body>
      <Section title="Try it" about="Any OpenAI client works with this address as its base URL and an API key. On a development network run this on its own machine, without the line of the key.">
        <Code text={tryIt(loaded.data?.models?.data[0]?.name ?? "MODEL")} label="a request with curl" />
        <p class="quiet">The answer names its job: open <code>/jobs/</code> and its id here to see what became of it, and to check it.</p>
      </Section>
    </>
  );
}

function Minutes({ jobs }: { jobs: List<Job> }): JSX.Element {
  const minutes = byMinute(jobs.data, jobs.has_more, now(), MINUTES);
  return (
    <Chart
      title="Jobs a minute"
      kind="minutes"
      times={minutes.map(({ minute }) => minute)}
      lines={[{ name: "jobs", color: "accent", values: minutes.map(({ jobs }) => jobs) }]}
      format={(value) => decimal(value, 1)}
      json={[NEWEST]}
      sql={[question("last-hour"), question("jobs-by-hour")]}
    />
  );
}

function Days({ days }: { days: Day[] }): JSX.Element {
  const rows = [...days].reverse();
  return (
    <Chart
      title="Jobs settled a day"
      kind="days"
      times={rows.map(({ day }) => Date.parse(day + "T00:00:00Z") / 1000)}
      lines={[{ name: "settled", color: "foundation", values: rows.map(({ jobs_settled }) => jobs_settled) }]}
      format={(value) => decimal(value, 0)}
      json={[DAYS]}
      sql={[question("network-days")]}
    />
  );
}
