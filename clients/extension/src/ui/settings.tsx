/** Accounts, networks, sites, security. */

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Network } from "../core/records";
import { time } from "../format";
import { wallet } from "../messages";
import { Alert, field, Foreign, Key, Title, useWork } from "./basics";
import type { Here } from "./popup";
import { Phrase } from "./start";

export function SettingsPage({ here }: { here: Here }): JSX.Element {
  return (
    <>
      <Title>Settings</Title>
      <Sites here={here} />
      <Accounts here={here} />
      <Networks here={here} />
      <Security here={here} />
      <Secret />
      <Remove here={here} />
    </>
  );
}

function Sites({ here: { state, again } }: { here: Here }): JSX.Element {
  const sites = Object.entries(state.sites);
  const { error, run } = useWork();
  const set = (origin: string, to: "revoked" | "blocked" | "forgotten"): void => run(async () => { await wallet.setSite(origin, to); again(); });
  return (
    <section>
      <h2>Sites</h2>
      <Alert text={error} />
      {sites.length === 0 ? <p class="quiet">No site is connected.</p> : null}
      <ul class="plain" id="sites">
        {sites.map(([origin, site]) => (
          <li key={origin}>
            <div class="row"><Foreign text={origin} /><small>{site.blocked ? "blocked" : site.accounts.length > 0 ? `sees ${site.accounts.length === 1 ? "an account" : `${site.accounts.length} accounts`}` : "not connected"}</small></div>
            <small>since {time(site.since)}</small>
            <div>
              {site.accounts.length > 0 ? <button type="button" class="danger" onClick={() => set(origin, "revoked")}>Revoke</button> : null}{" "}
              {site.blocked ? null : <button type="button" class="plain" onClick={() => set(origin, "blocked")}>Block</button>}
              <button type="button" class="plain" onClick={() => set(origin, "forgotten")}>Forget</button>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Accounts({ here: { state, again } }: { here: Here }): JSX.Element {
  const { busy, error, run } = useWork();
  return (
    <section>
      <h2>Accounts</h2>
      <ul class="plain">
        {state.accounts?.list.map(({ index, name, address }) => (
          <li key={index} class="row">
            <input aria-label={`Name of account ${index + 1}`} defaultValue={name} maxLength={32} onChange={(event) => run(async () => { await wallet.changeAccount(index, { name: event.currentTarget.value }); again(); })} />
            <Key id={address} />
          </li>
        ))}
      </ul>
      <Alert text={error} />
      <button type="button" disabled={busy} onClick={() => run(async () => { await wallet.addAccount(); again(); })}>Add an account</button>
    </section>
  );
}

const CHAINS = [["solana:localnet", "this machine"], ["solana:devnet", "development"], ["solana:testnet", "test"], ["solana:mainnet", "main"]] as const;

function Networks({ here: { state, network, again } }: { here: Here }): JSX.Element {
  const { busy, error, run } = useWork();
  const [edited, edit] = useState<Network | null>(null);
  const save = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => {
      const rpcUrl = field(form, "rpc").trim();
      const isSame = edited?.rpcUrl === rpcUrl;
      await wallet.setNetwork({
        id: edited?.id || crypto.randomUUID(),
        name: field(form, "name").trim(),
        gatewayUrl: field(form, "gateway").trim(),
        rpcUrl,
        chain: field(form, "chain"),
        genesis: isSame ? edited.genesis : null,
      });
      edit(null);
      again();
    });
  };
  return (
    <section>
      <h2>Networks</h2>
      <ul class="plain">
        {state.networks.list.map((one) => (
          <li key={one.id}>
            <div class="row"><b><Foreign text={one.name} /></b><span><button type="button" class="plain" onClick={() => edit(one)}>Change</button>{one.id === network.id ? null : <button type="button" class="plain" onClick={() => run(async () => { await wallet.removeNetwork(one.id); again(); })}>Remove</button>}</span></div>
            <small><Foreign text={one.gatewayUrl} mono /> · <Foreign text={one.rpcUrl} mono /></small>
          </li>
        ))}
      </ul>
      {edited ? (
        <form class="card" onSubmit={save} key={edited.id}>
          <label>Name<input name="name" defaultValue={edited.name} maxLength={64} /></label>
          <label>Gateway<input name="gateway" type="url" defaultValue={edited.gatewayUrl} placeholder="https://" /></label>
          <label>RPC of the chain<input name="rpc" type="url" defaultValue={edited.rpcUrl} placeholder="https://" /></label>
          <label>Kind<select name="chain" defaultValue={edited.chain}>{CHAINS.map(([id, name]) => <option key={id} value={id}>{name}</option>)}</select></label>
          <p class="quiet">Use a chain's RPC that you trust: what it says is what receipts are checked against.</p>
          <div class="actions"><button type="button" onClick={() => edit(null)}>Back</button><button type="submit" class="main" disabled={busy}>Save</button></div>
        </form>
      ) : <button type="button" onClick={() => edit({ id: "", name: "", gatewayUrl: "", rpcUrl: "", chain: "solana:devnet", genesis: null })}>Add a network</button>}
      <Alert text={error} />
    </section>
  );
}

const MINUTES = [1, 5, 15, 30, 60, 240];

function Security({ here: { state, again } }: { here: Here }): JSX.Element {
  const { settings } = state;
  const { error, run } = useWork();
  const set = (change: Partial<typeof settings>): void => run(async () => { await wallet.setSettings({ ...settings, ...change }); again(); });
  return (
    <section>
      <h2>Security</h2>
      <label>Lock when nobody is there
        <select value={String(settings.autoLockMinutes)} onChange={(event) => set({ autoLockMinutes: Number(event.currentTarget.value) })}>
          {MINUTES.map((minutes) => <option key={minutes} value={String(minutes)}>after {minutes} min</option>)}
        </select>
      </label>
      <label class="tick"><input type="checkbox" checked={settings.allowBlind} onChange={(event) => set({ allowBlind: event.currentTarget.checked })} />Let me sign what the wallet can't read (blind signing)</label>
      {settings.allowBlind ? <p class="notice">Whoever gets you to sign blindly can take everything. Each such window asks again.</p> : null}
      <Alert text={error} />
    </section>
  );
}

function Secret(): JSX.Element {
  const [phrase, show] = useState("");
  const [said, say] = useState("");
  const { busy, error, run } = useWork();
  const reveal = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => show(await wallet.reveal(field(form, "password"))));
  };
  const change = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => {
      if (field(form, "after") !== field(form, "repeated")) throw new Error("The two new passwords differ.");
      await wallet.changePassword(field(form, "before"), field(form, "after"));
      form.reset();
      say("The password is changed.");
    });
  };
  return (
    <section>
      <details>
        <summary>Recovery phrase</summary>
        {phrase ? <><Phrase phrase={phrase} /><button type="button" onClick={() => show("")}>Done</button></> : (
          <form onSubmit={reveal}>
            <p class="notice">Whoever sees it has your money. Nobody of Mythic will ever ask for it.</p>
            <label>Password<input name="password" type="password" autocomplete="current-password" /></label>
            <button type="submit" disabled={busy}>Go on</button>
          </form>
        )}
      </details>
      <details>
        <summary>Change the password</summary>
        <form onSubmit={change}>
          <label>Password now<input name="before" type="password" autocomplete="current-password" /></label>
          <label>New password<input name="after" type="password" autocomplete="new-password" /></label>
          <label>The same again<input name="repeated" type="password" autocomplete="new-password" /></label>
          <button type="submit" disabled={busy}>{busy ? "Encrypting…" : "Change it"}</button>
          {said ? <p role="status" class="good">{said}</p> : null}
        </form>
      </details>
      <Alert text={error} />
    </section>
  );
}

function Remove({ here: { again } }: { here: Here }): JSX.Element {
  const [sure, setSure] = useState(false);
  const { error, run } = useWork();
  return (
    <section>
      <details>
        <summary>Remove the wallet</summary>
        <p>From this browser, with its conversations and permissions. What it holds on chain is only to be had with its recovery phrase. Take back what the session key holds first, under Limits.</p>
        <label class="tick"><input type="checkbox" checked={sure} onChange={(event) => setSure(event.currentTarget.checked)} />I have the recovery phrase.</label>
        <button type="button" class="danger" disabled={!sure} onClick={() => run(async () => { await wallet.wipe(); again(); })}>Remove it</button>
        <Alert text={error} />
      </details>
    </section>
  );
}
