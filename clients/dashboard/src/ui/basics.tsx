// Small parts of pages. Whatever the API says goes in as text: Preact escapes it, and nothing here writes HTML.
import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { now } from "../api";
import type { Amount, Maybe } from "../format";
import { DASH, ago, count, known, lamports, short, sol, time, words } from "../format";
import { to } from "../router";

const TONES: Record<string, string> = {
  settled: "good", active: "good", finalized: "good", ok: "good", right: "good", released: "good", answered: "good", accepted: "wait",
  refunded: "warn", unbonding: "warn", draining: "warn", due: "warn", undecided: "warn", closing: "warn", expired: "warn", cancelled: "warn",
  retired: "warn", void: "warn", degraded: "warn", lagging: "warn", waiting: "warn", raised: "warn", low: "warn", none: "warn",
  none_announced: "warn", unconfirmed: "warn", not_guilty: "good",
  slashed: "bad", jailed: "bad", disputed: "bad", wrong: "bad", unserved: "bad", refuted: "bad", forfeited: "bad", unanswered: "bad", down: "bad",
  stale: "bad", guilty: "bad", fault: "bad", unpaid: "bad",
};

export function Pill({ word, children }: { word: Maybe<string>; children?: ComponentChildren }): JSX.Element {
  if (!known(word)) return <Unknown />;
  return <span class={"pill " + (TONES[word] ?? "wait")}>{children ?? words(word)}</span>;
}

export function Unknown(): JSX.Element {
  return <span class="unknown" title="not known">{DASH}</span>;
}

/** A text of a stranger: shown as it is, never a link. */
export function Foreign({ text, none }: { text: Maybe<string>; none: string }): JSX.Element {
  return known(text) ? <bdi class="foreign">{text}</bdi> : <span class="quiet">{none}</span>;
}

/** SOL, and lamports below: the same amount twice. */
export function Money({ amount }: { amount: Maybe<Amount> }): JSX.Element {
  if (!known(amount)) return <Unknown />;
  return (
    <span class="money">
      <span>{sol(amount)}</span>
      <small>{lamports(amount)}</small>
    </span>
  );
}

export function Count({ value, unit }: { value: Maybe<Amount>; unit?: string }): JSX.Element {
  return known(value) ? <span>{count(value)}{unit ? " " + unit : ""}</span> : <Unknown />;
}

export function Slot({ slot }: { slot: Maybe<number> }): JSX.Element {
  return known(slot) ? <span class="slot">slot {count(slot)}</span> : <Unknown />;
}

export function Ago({ at }: { at: Maybe<string> }): JSX.Element {
  return known(at) ? <time dateTime={at} title={time(at)}>{ago(at, now())}</time> : <Unknown />;
}

export function Time({ at }: { at: Maybe<string> }): JSX.Element {
  return known(at) ? <time dateTime={at}>{time(at)}</time> : <Unknown />;
}

/** A button that copies a text. */
export function Copy({ text, label }: { text: string; label: string }): JSX.Element {
  const [said, say] = useState("");
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
    } catch {
      say("could not copy");
    }
    setTimeout(() => say(""), 1_500);
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={"Copy " + label} title={"Copy " + label}>
      {said || "copy"}
    </button>
  );
}

export type AccountKind = "jobs" | "cases" | "validators" | "leases" | "requests" | "providers";

/** A key: short in lists, whole where there is place; it leads to its page if it has one. */
export function Key({ id, kind, whole }: { id: Maybe<string>; kind?: AccountKind; whole?: boolean }): JSX.Element {
  if (!known(id)) return <Unknown />;
  const text = whole ? id : short(id);
  return (
    <span class="key">
      {kind ? <a href={to(kind, id)} title={id} class="hash">{text}</a> : <span class="hash" title={id}>{text}</span>}
      {whole || !kind ? <Copy text={id} label={id} /> : null}
    </span>
  );
}

export type Fact = [name: string, value: ComponentChildren, note?: ComponentChildren];

export function Facts({ facts, tiles }: { facts: Fact[]; tiles?: boolean }): JSX.Element {
  return (
    <dl class={tiles ? "tiles" : "list"}>
      {facts.map(([name, value, note]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>
            {value === null || value === undefined || value === "" || value === DASH ? <Unknown /> : value}
            {note ? <small class="note">{note}</small> : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Section({ title, about, children }: { title: string; about?: ComponentChildren; children: ComponentChildren }): JSX.Element {
  const id = title.toLowerCase().replace(/[^a-z0-9]+/g, "-");
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {about ? <p class="about">{about}</p> : null}
      {children}
    </section>
  );
}

/** A command line or code that can be copied. */
export function Code({ text, label }: { text: string; label: string }): JSX.Element {
  return (
    <div class="code">
      <pre tabIndex={0} role="group" aria-label={label}>{text}</pre>
      <Copy text={text} label={label} />
    </div>
  );
}

/** Where figures come from: the route that gave them, and the SQL that gives the same. */
export function Source({ json, sql }: { json: (string | [name: string, path: string])[]; sql?: (string | null)[] }): JSX.Element {
  const queries = (sql ?? []).filter(known);
  return (
    <div class="source">
      {json.map((path) => {
        const [name, address] = typeof path === "string" ? ["JSON", path] : path;
        return <a key={address} href={address}>{name}</a>;
      })}
      {queries.length ? (
        <details>
          <summary>SQL</summary>
          {queries.map((query) => <Code key={query} text={query} label="SQL" />)}
        </details>
      ) : null}
    </div>
  );
}

const PARTS = ["validator", "foundation", "burned", "refunded", "escrow", "pending"] as const;
export type Part = [kind: (typeof PARTS)[number], name: string, amount: Maybe<Amount>];

/** What an amount became, as a bar and in words. */
export function Split({ parts }: { parts: Part[] }): JSX.Element {
  const whole = parts.reduce((sum, [, , amount]) => sum + (known(amount) ? BigInt(amount) : 0n), 0n);
  const share = (amount: Maybe<Amount>): number => (known(amount) && whole > 0n ? Number((BigInt(amount) * 10_000n) / whole) / 100 : 0);
  return (
    <>
      {whole > 0n ? (
        <div class="split" aria-hidden="true">
          {parts.filter(([, , amount]) => share(amount) > 0).map(([kind, , amount]) => <i key={kind} class={"part-" + kind} style={{ flexGrow: share(amount) }} />)}
        </div>
      ) : null}
      <dl class="legend">
        {parts.map(([kind, name, amount]) => (
          <div key={kind}>
            <dt><i class={"part-" + kind} aria-hidden="true" />{name}</dt>
            <dd><Money amount={amount} />{whole > 0n && known(amount) ? <small class="note">{share(amount)} %</small> : null}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

export interface Step {
  name: string;
  note: ComponentChildren;
  state: "done" | "now" | "over" | "later";
}

export function Steps({ steps }: { steps: Step[] }): JSX.Element {
  const said = { done: "done", now: "now", over: "ended badly", later: "to come" };
  return (
    <ol class="steps">
      {steps.map(({ name, note, state }) => (
        <li key={name} class={state} aria-current={state === "now" ? "step" : undefined}>
          <b>{name}</b>
          <span class="hidden">, {said[state]}, </span>
          <small>{note}</small>
        </li>
      ))}
    </ol>
  );
}

/** A difference that has to be zero. */
export function Difference({ amount }: { amount: Maybe<Amount> }): JSX.Element {
  if (!known(amount)) return <Unknown />;
  const none = BigInt(amount) === 0n;
  return <span class={none ? "good" : "bad"}>{none ? "0 ✓" : lamports(amount)}</span>;
}
