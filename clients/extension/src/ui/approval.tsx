/** The approval window: what waits of sites, one after the other. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { WALLET } from "../core/records";
import { wallet } from "../messages";
import { useLook } from "./basics";
import { Request } from "./request";
import { Damaged, Start, Unlock } from "./start";

const LOOK_MS = 1_000;
/** Time to see what became of a request before the next one comes. */
const LINGER_MS = 1_500;

/** What came since the last look would be left without a window. */
async function closeUnlessAsked(): Promise<void> {
  const { waiting } = await wallet.state();
  if (!waiting.some(({ origin }) => origin !== WALLET)) window.close();
}

export function Approval(): JSX.Element {
  const { value: state, error, again } = useLook(() => wallet.state(), LOOK_MS, []);
  const [current, show] = useState<string | null>(null);
  const next = state?.waiting.find(({ origin }) => origin !== WALLET)?.id ?? null;
  const isOpen = state?.stage === "open";
  // Decided here, in another window, or over.
  const isDone = current !== null && state !== null && !state.waiting.some(({ id }) => id === current);
  useEffect(() => {
    if (isOpen && current === null && next !== null) show(next);
    if (isOpen && current === null && next === null) void closeUnlessAsked();
  }, [isOpen, current, next]);
  useEffect(() => {
    if (!isDone) return;
    const timer = setTimeout(() => show(null), LINGER_MS);
    return () => clearTimeout(timer);
  }, [isDone]);
  if (!state) return <main><p role="status">{error || "Loading…"}</p></main>;
  if (state.stage === "none") return <Start again={again} />;
  if (state.stage === "damaged") return <Damaged again={again} />;
  if (state.stage === "locked") return <Unlock again={again} />;
  const others = state.waiting.filter(({ origin, id }) => origin !== WALLET && id !== current).length;
  return (
    <main>
      {current ? <Request key={current} id={current} state={state} done={again} /> : <p role="status">Nothing waits.</p>}
      {others > 0 ? <p class="quiet">{others} more wait behind this one.</p> : null}
    </main>
  );
}
