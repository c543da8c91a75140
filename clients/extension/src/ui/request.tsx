/** One request: who asks, what it does in words, what the chain says would happen, and the answer. */

import { base64 } from "@scure/base";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { rpcOf } from "../chain/rpc";
import { simulate, type Simulated } from "../chain/simulate";
import type { State } from "../core/core";
import { type RequestRecord, WALLET } from "../core/records";
import { type Explained, explain, explainText, type Line } from "../decode/explain";
import { readTransaction, type ReadTransaction } from "../decode/message";
import { count, sol } from "../format";
import { wallet } from "../messages";
import { Alert, Facts, Foreign, Key, Title, useLook, useWork } from "./basics";

const LOOK_MS = 700;
const SIMULATE_MS = 10_000;
/** What is pressed sooner after the window came in front was meant for something else: a double click, a key that was held. */
const SETTLE_MS = 600;

/** Whether somebody has had time to see this window. */
function useSettled(): boolean {
  const [settled, settle] = useState(false);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (): void => {
      settle(false);
      clearTimeout(timer);
      timer = setTimeout(() => settle(true), SETTLE_MS);
    };
    wait();
    addEventListener("focus", wait);
    return () => {
      removeEventListener("focus", wait);
      clearTimeout(timer);
    };
  }, []);
  return settled;
}

export function Request({ id, state, done }: { id: string; state: State; done?: () => void }): JSX.Element {
  const { value: record, error, again } = useLook(() => wallet.request(id), LOOK_MS, [id]);
  if (!record) return <p role="status">{error || "Loading…"}</p>;
  const decided = (): void => {
    again();
    done?.();
  };
  return (
    <>
      <Heading record={record} />
      {record.state === "waiting" ? <Waiting record={record} state={state} decided={decided} /> : <Outcome record={record} />}
    </>
  );
}

const ASKS: Record<RequestRecord["kind"], string> = {
  connect: "wants to see your address",
  signMessage: "wants you to sign a text",
  signTransaction: "wants you to sign a transaction, which it sends itself",
  send: "wants you to sign a transaction, which the wallet sends",
};

function Heading({ record }: { record: RequestRecord }): JSX.Element {
  if (record.origin === WALLET) return <Title>{record.title}</Title>;
  return (
    <>
      <Title>A site asks</Title>
      <p><span class="origin"><Foreign text={record.origin} /></span> {ASKS[record.kind]}.</p>
    </>
  );
}

function Outcome({ record }: { record: RequestRecord }): JSX.Element {
  const { state, words, signature } = record;
  const said: Record<RequestRecord["state"], [tone: string, text: string]> = {
    waiting: ["wait", "It waits."],
    refused: ["quiet", "Refused."],
    answered: ["good", "Done: the site has its answer."],
    signed: ["wait", "Sent. Waiting for the chain to confirm it…"],
    confirmed: ["good", "Confirmed by the chain."],
    failed: ["bad", `Refused by the chain: ${words ?? ""}`],
    lapsed: ["bad", `It did not happen: ${words ?? ""}`],
  };
  const [tone, text] = said[state];
  return (
    <div class="card" role="status">
      <p class={tone}>{text}</p>
      {signature ? <p><small>Transaction</small> <span class="mono" id="signature">{signature}</span></p> : null}
    </div>
  );
}

function Waiting({ record, state, decided }: { record: RequestRecord; state: State; decided: () => void }): JSX.Element {
  const account = state.accounts?.list.find(({ address }) => address === (record.account ?? ""));
  const active = state.accounts?.list.find(({ index }) => index === state.accounts?.active);
  return (
    <>
      <Facts facts={[
        ["Account", record.account ? <>{account?.name} <Key id={record.account} /></> : active ? <>{active.name} <Key id={active.address} /></> : ""],
        ["Network", record.network.name],
      ]} />
      {record.kind === "connect" ? <Connect record={record} account={active?.address} decided={decided} /> : null}
      {record.kind === "signMessage" ? <Text record={record} allowBlind={state.settings.allowBlind} decided={decided} /> : null}
      {record.kind === "signTransaction" || record.kind === "send" ? <Transaction record={record} allowBlind={state.settings.allowBlind} decided={decided} /> : null}
    </>
  );
}

interface Ticks {
  blind?: boolean;
  despite?: boolean;
  elsewhere?: boolean;
  account?: string;
}

function Answer({ record, yes, ticks, ready, decided }: { record: RequestRecord; yes: string; ticks: Ticks; ready: boolean; decided: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const settled = useSettled();
  const decide = (answer: boolean, block: boolean): void =>
    run(async () => {
      await wallet.decide({ id: record.id, yes: answer, block, ...ticks });
      decided();
    });
  return (
    <>
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={() => decide(false, false)} disabled={busy}>Refuse</button>
        <button type="button" class="main" onClick={() => decide(true, false)} disabled={busy || !ready || !settled}>{busy ? "…" : yes}</button>
      </div>
      {record.origin === WALLET ? null : <button type="button" class="plain" onClick={() => decide(false, true)} disabled={busy}>Refuse, and never listen to this site again</button>}
    </>
  );
}

function Connect({ record, account, decided }: { record: RequestRecord; account: string | undefined; decided: () => void }): JSX.Element {
  return (
    <>
      <div class="card">
        <p>It will see this account's address, and with it everything that the account does on chain. It may ask you to sign; nothing is signed without your word.</p>
        <p class="quiet">You can take it back at any time under Settings, Sites.</p>
      </div>
      <Answer record={record} yes="Connect" ticks={account === undefined ? {} : { account }} ready={account !== undefined} decided={decided} />
    </>
  );
}

function Text({ record, allowBlind, decided }: { record: RequestRecord; allowBlind: boolean; decided: () => void }): JSX.Element {
  const [blind, setBlind] = useState(false);
  const [elsewhere, setElsewhere] = useState(false);
  const message = base64.decode(record.payload);
  const { text, warnings, isBlind, actsAt, refuse } = explainText(message, record.origin);
  return (
    <>
      <div class="card">
        {text === null ? <p class="mono">{base64.encode(message)}</p> : <p class="asked"><Foreign text={text} /></p>}
      </div>
      {warnings.map((warning) => <p key={warning} class="notice">{warning}</p>)}
      {refuse ? <p class="notice alarm" role="alert">It can't be signed: {refuse}.</p> : null}
      {isBlind ? <Blind allowBlind={allowBlind} blind={blind} setBlind={setBlind} does="says" /> : null}
      {actsAt === null ? null : <label class="tick"><input type="checkbox" checked={elsewhere} onChange={(event) => setElsewhere(event.currentTarget.checked)} />I let this site do that at {actsAt}, as me.</label>}
      <Answer record={record} yes="Sign" ticks={{ blind, elsewhere }} ready={!refuse && (!isBlind || (allowBlind && blind)) && (actsAt === null || elsewhere)} decided={decided} />
    </>
  );
}

/** What nobody can read is refused, or ticked. */
function Blind({ allowBlind, blind, setBlind, does }: { allowBlind: boolean; blind: boolean; setBlind: (blind: boolean) => void; does: string }): JSX.Element {
  if (!allowBlind) return <p class="notice alarm" role="alert">The wallet refuses to sign what nobody can read. Signing blindly can be allowed in the settings.</p>;
  return <label class="tick"><input type="checkbox" checked={blind} onChange={(event) => setBlind(event.currentTarget.checked)} />I sign this although nobody can say what it {does}.</label>;
}

function Transaction({ record, allowBlind, decided }: { record: RequestRecord; allowBlind: boolean; decided: () => void }): JSX.Element {
  const read = readTransaction(base64.decode(record.payload));
  if (typeof read === "string") return <p class="notice alarm" role="alert">This can't be signed: {read}.</p>;
  return <Explanation record={record} read={read} explained={explain(read, record.account ?? "")} allowBlind={allowBlind} decided={decided} />;
}

interface Explaining {
  record: RequestRecord;
  read: ReadTransaction;
  explained: Explained;
  allowBlind: boolean;
  decided: () => void;
}

function Explanation({ record, read, explained, allowBlind, decided }: Explaining): JSX.Element {
  const [blind, setBlind] = useState(false);
  const [despite, setDespite] = useState(false);
  const { value: found, error } = useLook(() => simulate(rpcOf(record.network.rpcUrl), read.bytes, record.account ?? "", true), SIMULATE_MS, [record.id]);
  const isBlind = explained.blind.length > 0;
  const isGood = found?.ok === true;
  return (
    <>
      <ol class="plain">{explained.lines.map((line, i) => <li key={i} class="card"><LineOf line={line} /></li>)}</ol>
      {explained.warnings.map((warning) => <p key={warning} class="notice">{warning}</p>)}
      <Forecast found={found} error={error} />
      {isBlind ? <Blind allowBlind={allowBlind} blind={blind} setBlind={setBlind} does="does" /> : null}
      {isGood || (!found && !error) ? null : (
        <label class="tick"><input type="checkbox" checked={despite} onChange={(event) => setDespite(event.currentTarget.checked)} />I sign this although the chain {found ? "says that it would fail" : "could not be asked"}.</label>
      )}
      <Answer record={record} yes={record.kind === "send" ? "Sign and send" : "Sign"} ticks={{ blind, despite }} ready={(isGood || despite) && (!isBlind || (allowBlind && blind))} decided={decided} />
    </>
  );
}

function LineOf({ line }: { line: Line }): JSX.Element {
  return (
    <>
      <div class="row"><b>{line.title}</b><small><Foreign text={line.program} /></small></div>
      <p><Foreign text={line.says} /></p>
      {line.warns ? <p class="warn">{line.warns}</p> : null}
      {line.details.length > 0 ? (
        <details>
          <summary>Everything in it</summary>
          <Facts facts={line.details.map(([name, value]) => [name, <Foreign key={name} text={value} mono />])} />
        </details>
      ) : null}
    </>
  );
}

/** What the chain says would happen. */
function Forecast({ found, error }: { found: Simulated | null; error: string }): JSX.Element {
  if (!found) return <p class="card" role="status" id="forecast">{error ? `The chain could not be asked what would happen: ${error}` : "Asking the chain what would happen…"}</p>;
  if (!found.ok) return <p class="notice alarm" role="alert" id="forecast">The chain says that it would fail: {found.words ?? "it gives no reason"}.</p>;
  const { change, slot } = found;
  const moves = change === null ? "Your balance after it is not known." : change < 0n ? `You pay ${sol(-change)}, the fee included.` : change > 0n ? `You get ${sol(change)}.` : "Your balance stays as it is.";
  return <p class="card good" role="status" id="forecast">The chain says that it would work. {moves}{slot === null ? "" : <small> Tried at slot {count(slot)}.</small>}</p>;
}
