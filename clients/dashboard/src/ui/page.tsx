// The frame of every page: heading, data that stays up to date, and what is said while there is none.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { ApiError } from "../api";
import { count, known } from "../format";
import type { Loaded } from "../live";
import { useLive } from "../live";
import { hasMoved } from "../router";

/** The heading takes the focus on a new page, so that keyboards and screen readers begin there. */
export function Heading({ title, children }: { title: string; children?: ComponentChildren }): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title === "Network" ? "Mythic" : title + " · Mythic";
  }, [title]);
  useEffect(() => {
    if (hasMoved()) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <div class="heading">
      <h1 ref={heading} tabIndex={-1}>{title}</h1>
      {children}
    </div>
  );
}

/** From which slot the index speaks. */
export function AsOf({ slot, finalized }: { slot: number | null | undefined; finalized?: number | null }): JSX.Element {
  return (
    <p class="asof quiet">
      {known(slot) ? <>As of slot {count(slot)}{known(finalized) ? <>, finalized to {count(finalized)}</> : null}</> : "The index has no slot yet"}. – means not known.
    </p>
  );
}

function Trouble({ error, known }: { error: ApiError; known: boolean }): JSX.Element {
  return (
    <p class="card bad" role="alert">
      {error.message}{known ? " What is shown is what was read before." : ""}
    </p>
  );
}

interface Props<T> {
  loaded: Loaded<T>;
  /** What a 404 of the API means here. */
  gone?: string;
  children: (data: T) => ComponentChildren;
}

export function Body<T>({ loaded: { data, error }, gone, children }: Props<T>): JSX.Element {
  if (data !== null) {
    return (
      <>
        {error ? <Trouble error={error} known /> : null}
        {children(data)}
      </>
    );
  }
  if (error?.status === 404 && gone) return <p class="card none" role="status">{gone}</p>;
  return error ? <Trouble error={error} known={false} /> : <p class="card none" role="status">Loading…</p>;
}

export { useLive };
