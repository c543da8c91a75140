/** The chat: a model, what it would cost, the answer as it comes, and its receipt. */

import type { Estimate, Model, Verification } from "@mythic/ai-sdk";
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { left, type Limits } from "../chain/read";
import type { Payer } from "../core/payments";
import { count, sol } from "../format";
import { wallet } from "../messages";
import { Alert, Facts, Foreign, Key, Money, Title, useLook, words } from "./basics";
import { alone, clientOf, LEFT, load, messagesFor, newTurn, run, settle, type Turn, update, verify, withTurn } from "./conversation";
import { read } from "./limits";
import type { Here } from "./popup";

const ESTIMATE_MS = 350;
const LOOK_MS = 5_000;
/** Pixels from the end at which somebody still reads the newest. */
const NEAR_END = 200;
const LENGTHS = [64, 256, 512, 1_024, 2_048];

/** What a model costs, in words. */
function price(model: Model): string {
  const [to, from] = [model.priceInLamportsPer1k, model.priceOutLamportsPer1k];
  if (to == null || from == null) return "price not known";
  return `${sol(BigInt(to))} in, ${sol(BigInt(from))} out per 1,000 tokens`;
}

export function Chat({ here }: { here: Here }): JSX.Element {
  const { account, network } = here;
  const [turns, setTurns] = useState<Turn[] | null>(null);
  const [model, choose] = useState("");
  const [maxTokens, setMost] = useState(256);
  const [prompt, write] = useState("");
  const [by, payBy] = useState<Payer>("limit");
  const running = useRef<AbortController | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [said, say] = useState("");
  const shown = useRef<Turn[]>([]);
  const end = useRef<HTMLFormElement>(null);
  const last = turns?.at(-1);
  // Before it is painted, so that buttons stay where they are; who reads further up is left there.
  useLayoutEffect(() => {
    const page = end.current?.closest("main");
    if (page && page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_END) page.scrollTop = page.scrollHeight;
  }, [last?.output, last?.state]);
  useLayoutEffect(() => end.current?.scrollIntoView({ block: "end" }), [last?.id]);
  const limits = useLook(() => read(here), LOOK_MS, [account.address, network.id]);
  const delegate = limits.value?.delegate;
  const models = useLook(() => clientOf(account, network, "account", account.address).models(), 60_000, [network.id]);
  const chosen = models.value?.find(({ id }) => id === model) ?? models.value?.find(({ isDefault }) => isDefault) ?? models.value?.[0];

  const set = (all: Turn[]): void => {
    shown.current = all;
    setTurns(all);
  };
  /** What came of a turn so far: shown, and written down when it is over. */
  const keep = async (turn: Turn): Promise<void> => set(await update(account, network, (all) => withTurn(all, turn)));

  const answer = async (id: string, payer: string, signal: AbortSignal): Promise<void> => {
    const all = await load(account, network);
    const at = all.findIndex((one) => one.id === id);
    const turn = all[at];
    set(all);
    // Another page has answered it meanwhile.
    if (turn?.state !== "asked") return;
    const ai = clientOf(account, network, turn.by, payer, turn);
    const done = await run(ai, all.slice(0, at), turn, signal, (heard) => set(withTurn(shown.current, heard)));
    // A page that closes leaves the question as it was asked: whoever opens it again goes on.
    if (done.state === "asked") return;
    await keep(done);
    // Not before: without its payment the question would be another one.
    await wallet.forgetPayment(id);
    setBusy(false);
    limits.again();
    if (done.state === "stopped") await keep(await settle(ai, done).catch(() => done));
  };

  const go = async (turn: Turn, payer: string): Promise<void> => {
    const { signal } = (running.current = new AbortController());
    setBusy(true);
    try {
      await alone(account, network, signal, () => answer(turn.id, payer, signal));
    } catch (error) {
      if (signal.reason !== LEFT) say(words(error));
    }
    setBusy(false);
  };

  useEffect(() => {
    void load(account, network).then((found) => {
      set(found);
      // Of an answer that was written down last, if the page was closed right then.
      const last = found.at(-1);
      if (last && last.state !== "asked") void wallet.forgetPayment(last.id);
    });
    return () => running.current?.abort(LEFT);
  }, []);

  // What was asked and not answered: just now, or before the page was closed or the worker died.
  const open = turns?.find(({ state }) => state === "asked");
  useEffect(() => {
    if (open && !isBusy && delegate !== undefined) void go(open, open.by === "limit" ? delegate : account.address);
  }, [open?.id, delegate]);

  const estimate = useEstimate(here, turns ?? [], prompt, chosen?.id, maxTokens);
  const send = async (): Promise<void> => {
    if (!estimate.value || delegate === undefined || prompt.trim() === "") return;
    const turn = newTurn({ prompt, model: chosen?.id ?? "", maxTokens, by, most: estimate.value.ceilingCostLamports });
    // Before anything is sent: from here on this question is one.
    const all = await update(account, network, (before) => [...before, turn]);
    write("");
    say("");
    set(all);
  };

  return (
    <>
      <div class="row">
        <Title>Chat</Title>
        <a href={`${location.pathname}#chat`} target="_blank" rel="noreferrer">In a tab</a>
        {turns && turns.length > 0 && !isBusy ? <button type="button" class="plain" onClick={() => void update(account, network, () => []).then(set)}>New chat</button> : null}
      </div>
      <label>Model
        <select value={chosen?.id ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
          {(models.value ?? []).map((one) => <option key={one.id} value={one.id}>{one.name}, {one.priceOutLamportsPer1k == null ? "price not known" : `${sol(BigInt(one.priceOutLamportsPer1k))} per 1,000`}</option>)}
        </select>
      </label>
      {chosen ? <p class="quiet">{price(chosen)}{chosen.validators == null ? "" : `; ${count(chosen.validators)} ${chosen.validators === 1 ? "validator" : "validators"}`}</p> : null}
      <Alert text={said || models.error || (limits.error && !limits.value ? limits.error : "")} />
      {turns?.length === 0 ? <p class="quiet">The gateway that you ask, and the validator that answers, see what you write. The chain sees a hash of it. Here it is kept encrypted.</p> : null}
      <div aria-live="polite">{turns?.map((turn) => <TurnOf key={turn.id} turn={turn} here={here} delegate={delegate} />)}</div>
      <form class="ask" ref={end} onSubmit={(event) => { event.preventDefault(); void send(); }}>
        <textarea aria-label="Your question" value={prompt} placeholder="Ask something" onInput={(event) => write(event.currentTarget.value)} maxLength={100_000} />
        <div class="two">
          <label>Answer, at most
            <select value={String(maxTokens)} onChange={(event) => setMost(Number(event.currentTarget.value))}>
              {LENGTHS.map((length) => <option key={length} value={String(length)}>{count(length)} tokens</option>)}
            </select>
          </label>
          <label>Paid by
            <select value={by} onChange={(event) => payBy(event.currentTarget.value as Payer)}>
              <option value="limit">the limit</option>
              <option value="account">this account</option>
            </select>
          </label>
        </div>
        <Cost estimate={estimate.value} error={estimate.error} limits={limits.value?.limits ?? null} by={by} isEmpty={prompt.trim() === ""} />
        <div class="actions">
          {isBusy
            ? <button type="button" class="danger" onClick={() => running.current?.abort()}>Stop</button>
            : <button type="submit" class="main" disabled={!estimate.value || delegate === undefined || prompt.trim() === ""}>{by === "account" && estimate.value ? `Pay at most ${sol(estimate.value.ceilingCostLamports)} and ask` : "Ask"}</button>}
        </div>
      </form>
    </>
  );
}

/** What the question would cost, a moment after the last letter. */
function useEstimate(here: Here, turns: readonly Turn[], prompt: string, model: string | undefined, maxTokens: number): { value: Estimate | null; error: string } {
  const [value, setValue] = useState<Estimate | null>(null);
  const [error, say] = useState("");
  const isOpen = turns.some(({ state }) => state === "asked");
  useEffect(() => {
    setValue(null);
    if (prompt.trim() === "" || model === undefined || isOpen) return say("");
    const abort = new AbortController();
    const { account, network } = here;
    const timer = setTimeout(() => {
      clientOf(account, network, "account", account.address)
        .estimate(messagesFor(turns, prompt), maxTokens, { model, signal: abort.signal, maxRetries: 1 })
        .then((found) => { setValue(found); say(""); }, (failure: unknown) => abort.signal.aborted || say(words(failure)));
    }, ESTIMATE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [prompt, model, maxTokens, isOpen, turns.length]);
  return { value, error };
}

function Cost({ estimate, error, limits, by, isEmpty }: { estimate: Estimate | null; error: string; limits: Limits | null; by: Payer; isEmpty: boolean }): JSX.Element {
  if (error) return <p class="bad" id="estimate" role="status">{error}</p>;
  if (!estimate) return <p class="quiet" id="estimate">{isEmpty ? "What it costs is shown as you write." : "Asking what it would cost…"}</p>;
  const grant = limits?.grant ?? null;
  const rest = grant && limits ? left(grant, limits.slot).job : 0n;
  const isAbove = by === "limit" && limits !== null && estimate.ceilingCostLamports > rest;
  return (
    <p id="estimate" role="status">
      About <b>{sol(estimate.estimatedCostLamports)}</b>, at most {sol(estimate.ceilingCostLamports)} <small>({count(estimate.promptTokens)} tokens in, up to {count(estimate.maxOutputTokens)} out)</small>
      {isAbove ? <span class="warn"> {grant?.isActive ? `Above what is left of your limit, ${sol(rest)}: the chain will refuse it.` : "There is no spending limit: "}{grant?.isActive ? null : <a href="#limits">allow one</a>}</span> : null}
    </p>
  );
}

function TurnOf({ turn, here, delegate }: { turn: Turn; here: Here; delegate: string | undefined }): JSX.Element {
  const { state, output, words: why, byChain, signature } = turn;
  return (
    <div class="turn">
      <div class="asked"><Foreign text={turn.prompt} /></div>
      <div class="said"><Foreign text={output} />{state === "asked" && output === "" ? <span class="quiet">…</span> : null}</div>
      {state === "failed" ? (
        <div class="notice alarm" role="alert">
          <p>{byChain ? `Refused by the chain: ${why ?? ""}` : (why ?? "It failed.")}</p>
          {signature ? <p><small>Transaction, tried and not sent, so nothing was paid:</small> <span class="mono">{signature}</span></p> : null}
        </div>
      ) : null}
      {turn.jobId !== null && state !== "asked" ? <Receipt turn={turn} jobId={turn.jobId} here={here} delegate={delegate} /> : null}
    </div>
  );
}

const VERDICTS: Record<Verification["verdict"], [tone: string, text: string]> = {
  verified: ["good", "Verified here: answer, evidence, receipt and the chain's account agree."],
  mismatch: ["bad", "Something differs."],
  incomplete: ["warn", "Nothing differs, but not everything could be checked."],
};

/** What a check came to. Of an answer by options all agrees that four logits show; the choice of its tokens they don't. */
function verdictOf({ verdict, checks }: Verification): [tone: string, text: string] {
  const isChoiceAlone = verdict === "incomplete" && checks.every(({ name, ok }) => ok !== null || name === "sampler");
  if (!isChoiceAlone) return VERDICTS[verdict];
  return ["warn", "Checked here: answer, evidence, receipt and the chain's account agree. How the tokens were chosen, only validators can tell."];
}

function Receipt({ turn, jobId, here, delegate }: { turn: Turn; jobId: string; here: Here; delegate: string | undefined }): JSX.Element {
  const [found, show] = useState<Verification | null>(null);
  const [said, say] = useState("");
  const check = async (): Promise<void> => {
    say("Checking…");
    try {
      const payer = turn.by === "limit" ? (delegate ?? (await wallet.delegate())) : here.account.address;
      show(await verify(clientOf(here.account, here.network, turn.by, payer), jobId, here.account, turn));
      say("");
    } catch (error) {
      say(`It could not be checked: ${words(error)}`);
    }
  };
  return (
    <div class="receipt">
      <Facts facts={[
        ["Cost", <Money key="c" amount={turn.cost} />],
        ["Validator", turn.validator ? <Key key="v" id={turn.validator} /> : ""],
        ["Job", <Key key="j" id={jobId} />],
        ...(turn.state === "stopped" ? ([["Stopped", "what was handed out until then is paid"]] as [string, string][]) : []),
      ]} />
      <button type="button" onClick={() => void check()}>Verify</button> {said ? <span role="status">{said}</span> : null}
      {found ? (
        <>
          <p role="status" class={`verdict ${verdictOf(found)[0]}`}>{verdictOf(found)[1]}{found.slot === null ? "" : ` Read at slot ${count(found.slot)}.`}</p>
          <details>
            <summary>{count(found.checks.length)} checks</summary>
            <ul class="checks">{found.checks.map(({ name, ok, says }) => <li key={name + says} class={ok === null ? "quiet" : ok ? "good" : "bad"}>{ok === null ? "– not checked: " : ok ? "✓ " : "✗ differs: "}<Foreign text={says} /></li>)}</ul>
          </details>
        </>
      ) : null}
    </div>
  );
}
