/** The wallet: what its popup and its tab show. */

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { State } from "../core/core";
import type { Account, Network } from "../core/records";
import { wallet } from "../messages";
import { Alert, useLook } from "./basics";
import { Chat } from "./chat";
import { History } from "./history";
import { Home } from "./home";
import { LimitsPage } from "./limits";
import { SettingsPage } from "./settings";
import { Damaged, Start, Unlock } from "./start";
import { Request } from "./request";

const TABS = [["wallet", "Wallet"], ["chat", "Chat"], ["limits", "Limits"], ["history", "History"], ["settings", "Settings"]] as const;
const LOOK_MS = 2_000;
const TOUCH_MS = 30_000;

/** What every page is about. */
export interface Here {
  account: Account;
  network: Network;
  state: State;
  again: () => void;
  /** Shows a request of the wallet's own. */
  show: (id: string) => void;
}

function useHash(): string {
  const [hash, setHash] = useState(location.hash.slice(1));
  useEffect(() => {
    const changed = (): void => setHash(location.hash.slice(1));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return hash;
}

/** Whoever types or taps is there: the lock waits. */
function useTouch(): void {
  useEffect(() => {
    let last = 0;
    const touched = (): void => {
      if (Date.now() - last < TOUCH_MS) return;
      last = Date.now();
      void wallet.touch().catch(() => undefined);
    };
    addEventListener("pointerdown", touched);
    addEventListener("keydown", touched);
    return () => {
      removeEventListener("pointerdown", touched);
      removeEventListener("keydown", touched);
    };
  }, []);
}

export function Popup(): JSX.Element {
  const { value: state, error, again } = useLook(() => wallet.state(), LOOK_MS, []);
  useTouch();
  if (!state) return <main><p role="status">{error || "Loading…"}</p></main>;
  if (state.stage === "none") return <Start again={again} />;
  if (state.stage === "damaged") return <Damaged again={again} />;
  if (state.stage === "locked") return <Unlock again={again} />;
  return <Open state={state} error={error} again={again} />;
}

function Open({ state, error, again }: { state: State; error: string; again: () => void }): JSX.Element {
  const hash = useHash();
  const { accounts, networks, waiting } = state;
  const account = accounts?.list.find(({ index }) => index === accounts.active);
  const network = networks.list.find(({ id }) => id === networks.active);
  if (!accounts || !account || !network) return <main><p role="status">Loading…</p></main>;
  const show = (id: string): void => void (location.hash = `request/${id}`);
  const here: Here = { account, network, state, again, show };
  const request = /^request\/([\w-]+)$/.exec(hash)?.[1];
  const sites = waiting.filter(({ origin }) => origin !== "wallet");
  return (
    <>
      <header class="top">
        <select aria-label="Account" value={String(account.index)} onChange={(event) => void wallet.changeAccount(Number(event.currentTarget.value), { active: true }).then(again)}>
          {accounts.list.map(({ index, name }) => <option key={index} value={String(index)}>{name}</option>)}
        </select>
        <select aria-label="Network" value={network.id} onChange={(event) => void wallet.chooseNetwork(event.currentTarget.value).then(again)}>
          {networks.list.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
        <button type="button" onClick={() => void wallet.lock().then(again)}>Lock</button>
      </header>
      <main>
        <Alert text={error} />
        {sites.length > 0 && !request ? <p class="notice"><a href={`#request/${sites[0]?.id ?? ""}`}>{sites.length === 1 ? "A site waits for your answer" : `${sites.length} requests of sites wait for your answer`}</a></p> : null}
        {request ? <Request key={request} id={request} state={state} done={again} /> : <Page name={hash} here={here} />}
      </main>
      <nav class="bottom" aria-label="Pages">
        {TABS.map(([name, title]) => <a key={name} href={`#${name}`} aria-current={!request && (hash || "wallet").split("/")[0] === name ? "page" : undefined}>{title}</a>)}
      </nav>
    </>
  );
}

function Page({ name, here }: { name: string; here: Here }): JSX.Element {
  // A network whose addresses were changed is another one: what was read of it is read anew.
  const key = [here.account.address, here.network.id, here.network.rpcUrl, here.network.gatewayUrl].join(" ");
  switch (name.split("/")[0]) {
    case "chat":
      return <Chat key={key} here={here} />;
    case "limits":
      return <LimitsPage key={key} here={here} />;
    case "history":
      return <History key={key} here={here} />;
    case "settings":
      return <SettingsPage here={here} />;
    default:
      return <Home key={key} here={here} />;
  }
}
