/** The spending limit: what the session key may spend without asking. The chain holds and enforces it; this page reads it there. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { LimitForm } from "../chain/build";
import { type GrantState, left, type Limits, readLimits } from "../chain/read";
import { at, rpcOf } from "../chain/rpc";
import { count, duration, parseSol, sol } from "../format";
import { wallet } from "../messages";
import { Alert, Facts, field, Key, Money, Slot, Title, useLook, useWork } from "./basics";
import { lamportsOf } from "./home";
import type { Here } from "./popup";

const LOOK_MS = 3_000;
const DAY_SECONDS = 86_400;
const SLOT_SECONDS = 0.4;

interface Read {
  limits: Limits;
  delegate: string;
  /** Seconds of a slot, as the chain went lately. */
  slotSeconds: number;
}

export async function read({ account, network }: Here): Promise<Read> {
  const rpc = rpcOf(network.rpcUrl);
  const delegate = await wallet.delegate();
  const [limits, samples] = await Promise.all([
    readLimits(rpc, account.address, delegate),
    rpc("getRecentPerformanceSamples", [1]).catch(() => null),
  ]);
  const [slots, seconds] = [Number(at(samples, 0, "numSlots")), Number(at(samples, 0, "samplePeriodSecs"))];
  const measured = seconds / slots;
  return { limits, delegate, slotSeconds: measured > 0.01 && measured < 60 ? measured : SLOT_SECONDS };
}

export function LimitsPage({ here }: { here: Here }): JSX.Element {
  const { value, error, again } = useLook(() => read(here), LOOK_MS, [here.account.address, here.network.id]);
  const [isForm, form] = useState(false);
  const { busy, error: failed, run } = useWork();
  const [swept, say] = useState("");
  if (value && isForm) return <Form here={here} read={value} back={() => form(false)} />;
  const grant = value?.limits.grant ?? null;
  const revoke = (delegate: string): void => run(async () => here.show((await wallet.propose("End the spending limit", { kind: "revoke", delegate })).id));
  const sweep = (): void =>
    run(async () => {
      const signature = await wallet.sweep();
      say(signature === null ? "There is nothing that is worth a fee." : `On its way back, transaction ${signature}`);
      again();
    });
  return (
    <>
      <Title>Spending limit</Title>
      <p class="quiet">A key of this session may pay for answers out of your vault, without asking each time. The chain refuses whatever is above these limits, whoever has the key.</p>
      <Alert text={error || failed} />
      {value ? <Standing grant={grant} read={value} /> : <p role="status">{error ? "" : "Reading the chain…"}</p>}
      <div class="actions">
        <button type="button" class="main" disabled={!value} onClick={() => form(true)}>{grant?.isActive ? "Change it" : "Allow spending"}</button>
        {value && grant?.isActive ? <button type="button" class="danger" disabled={busy} onClick={() => revoke(value.delegate)}>Revoke</button> : null}
      </div>
      {value ? (
        <>
          <h2>Session key</h2>
          <div class="card">
            <Facts facts={[
              ["Address", <Key key="k" id={value.delegate} />],
              ["For fees and rent", <Money key="f" amount={value.limits.float} />],
            ]} />
            <p class="quiet">It pays the fee of each job and lends its rent, which comes back when the job's account is closed, about a quarter of an hour after its end. It lies in the browser's memory until the wallet is locked, and is made again from your account's key.</p>
            <button type="button" disabled={busy || !value.limits.float} onClick={sweep}>Take it back into the wallet</button>
            {swept ? <p role="status" class="mono">{swept}</p> : null}
          </div>
        </>
      ) : null}
    </>
  );
}

function until(slots: bigint, slotSeconds: number): string {
  return slots <= 0n ? "over" : `about ${duration(Number(slots) * slotSeconds)} more`;
}

function Standing({ grant, read: { limits, slotSeconds } }: { grant: GrantState | null; read: Read }): JSX.Element {
  if (!grant) return <p class="card">Nothing may be spent without asking. <Slot slot={limits.slot} /></p>;
  const rest = left(grant, limits.slot);
  const toEnd = grant.expirySlot - BigInt(limits.slot);
  const state = !grant.isActive ? ["bad", "revoked"] : toEnd <= 0n ? ["warn", "over"] : ["good", "active"];
  return (
    <div class="card" id="limit">
      <div class="row"><b class={state[0]}>{state[1]}</b><Slot slot={limits.slot} /></div>
      <Facts facts={[
        ["A job, at most", <Money key="j" amount={grant.perJob} />],
        [`In ${duration(grant.windowSlots * slotSeconds)}, at most`, <Money key="w" amount={grant.perWindow} />],
        ["Left of that now", <Money key="l" amount={state[1] === "active" ? rest.window : 0n} />],
        ["In all, at most", <Money key="a" amount={grant.lifetime} />],
        ["Spent or held so far", <Money key="s" amount={grant.lifetimeSpent} />],
        ["Until", `slot ${count(grant.expirySlot)}, ${until(toEnd, slotSeconds)}`],
        ["Models", grant.models.length === 0 ? "all" : grant.models.map((model) => <Key key={model} id={model} />)],
        ["Running jobs", count(grant.openJobs)],
      ]} />
    </div>
  );
}

const plain = (lamports: bigint): string => sol(lamports).replace(/ SOL|,/g, "");

function Form({ here, read: { limits, delegate, slotSeconds }, back }: { here: Here; read: Read; back: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const { grant, float, vault } = limits;
  const ask = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => {
      const days = Number(field(form, "days"));
      if (!Number.isInteger(days) || days < 1 || days > 365) throw new Error("A limit lasts 1 to 365 days.");
      const daySlots = Math.max(1, Math.round(DAY_SECONDS / slotSeconds));
      const limit: LimitForm = {
        delegate,
        perJob: lamportsOf(form, "job", "The most for a job"),
        perWindow: lamportsOf(form, "day", "The most for a day"),
        windowSlots: daySlots,
        lifetime: lamportsOf(form, "all", "The most in all"),
        validSlots: BigInt(daySlots) * BigInt(days),
        models: [],
        deposit: lamportsOf(form, "deposit", "The deposit"),
        float: lamportsOf(form, "float", "What the session key gets"),
      };
      if (limit.perJob === 0n || limit.perWindow === 0n || limit.lifetime === 0n) throw new Error("A limit of nothing is none: revoke it instead.");
      here.show((await wallet.propose(grant ? "Change the spending limit" : "Allow spending within a limit", { kind: "limit", limit })).id);
    });
  };
  const first = (before: bigint | undefined, otherwise: string): string => (before === undefined ? otherwise : plain(before));
  const isFunded = (float ?? 0n) >= (parseSol("0.02") ?? 0n);
  return (
    <form onSubmit={ask}>
      <Title>{grant ? "Change the limit" : "Allow spending"}</Title>
      <p class="quiet">In SOL. What was spent under an earlier limit stays counted by the chain; “in all” is counted from now on.</p>
      <div class="two">
        <label>A job, at most<input name="job" inputMode="decimal" defaultValue={first(grant?.perJob, "0.0005")} /></label>
        <label>A day, at most<input name="day" inputMode="decimal" defaultValue={first(grant?.perWindow, "0.01")} /></label>
        <label>In all, at most<input name="all" inputMode="decimal" defaultValue="0.1" /></label>
        <label>Days until it ends<input name="days" inputMode="numeric" defaultValue="7" /></label>
        <label>Deposit into the vault<input name="deposit" inputMode="decimal" defaultValue={vault && vault.balance > 0n ? "0" : "0.1"} /></label>
        <label>To the session key<input name="float" inputMode="decimal" defaultValue={isFunded ? "0" : "0.05"} /></label>
      </div>
      <p class="quiet">The session key pays fees and lends the rent of running jobs, about 0.007 SOL each until it is closed.</p>
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={back}>Back</button>
        <button type="submit" class="main" disabled={busy}>Look at it</button>
      </div>
    </form>
  );
}
