/** Small parts of the wallet's pages. What strangers wrote goes in as text: Preact escapes it, and nothing here writes HTML. */

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { count, DASH, lamports, type Maybe, short, sol } from "../format";

export function Money({ amount }: { amount: Maybe<bigint> }): JSX.Element {
  if (amount === null || amount === undefined) return <span title="not known">{DASH}</span>;
  return <span>{sol(amount)} <small>{lamports(amount)}</small></span>;
}

/** A text of a stranger, in its own direction. */
export function Foreign({ text, mono }: { text: string; mono?: boolean }): JSX.Element {
  return <bdi class={mono ? "mono" : ""}>{text}</bdi>;
}

export function Key({ id }: { id: string }): JSX.Element {
  return <span class="mono" title={id}>{short(id)}</span>;
}

export function Slot({ slot }: { slot: Maybe<number> }): JSX.Element {
  return <small>{slot === null || slot === undefined ? "" : `read at slot ${count(slot)}`}</small>;
}

export type Fact = [name: string, value: ComponentChildren];

export function Facts({ facts }: { facts: Fact[] }): JSX.Element {
  return <dl class="facts">{facts.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value === "" || value === null || value === undefined ? DASH : value}</dd></div>)}</dl>;
}

export function Alert({ text }: { text: string }): JSX.Element | null {
  return text === "" ? null : <p class="notice alarm" role="alert">{text}</p>;
}

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
  return <button type="button" class="plain" onClick={() => void copy()} aria-label={`Copy ${label}`}>{said || "copy"}</button>;
}

/** A page's heading, which gets the focus when the page comes. */
export function Title({ children }: { children: ComponentChildren }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  return <h1 tabIndex={-1} ref={heading}>{children}</h1>;
}

export const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Work that a button begins: whether it runs, and what went wrong. */
export function useWork(): { busy: boolean; error: string; run: (work: () => Promise<void>) => void; clear: () => void } {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const run = (work: () => Promise<void>): void => {
    setBusy(true);
    setError("");
    work().then(() => setBusy(false), (failure: unknown) => {
      setBusy(false);
      setError(words(failure));
    });
  };
  return { busy, error, run, clear: () => setError("") };
}

export interface Looked<T> {
  value: T | null;
  /** Why it is not newer. */
  error: string;
  again: () => void;
}

/** Reads something now and again, while the page is there. What was read stays when a reading fails, and the page says so. */
export function useLook<T>(read: () => Promise<T>, everyMs: number, depends: readonly unknown[]): Looked<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => setValue(null), depends);
  useEffect(() => {
    let isHere = true;
    let timer: ReturnType<typeof setTimeout>;
    const look = async (): Promise<void> => {
      try {
        const found = await read();
        if (isHere) {
          setValue(() => found);
          setError("");
        }
      } catch (failure) {
        if (isHere) setError(words(failure));
      }
      if (isHere) timer = setTimeout(() => void look(), everyMs);
    };
    void look();
    return () => {
      isHere = false;
      clearTimeout(timer);
    };
  }, [...depends, turn]);
  return { value, error, again: () => setTurn((before) => before + 1) };
}

/** The value of a form's field. */
export const field = (form: HTMLFormElement, name: string): string => String(new FormData(form).get(name) ?? "");
