/** Balance, sending and receiving. */

import qrcode from "qrcode-generator";
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { readLimits } from "../chain/read";
import { genesisOf } from "../chain/build";
import { rpcOf } from "../chain/rpc";
import { isKeyAddress } from "../crypto/phrase";
import { parseSol } from "../format";
import { wallet } from "../messages";
import { Alert, Copy, Facts, field, Money, Slot, Title, useLook, useWork } from "./basics";
import type { Here } from "./popup";

const LOOK_MS = 4_000;

type Part = "balance" | "send" | "receive" | "deposit" | "withdraw";

export function Home({ here }: { here: Here }): JSX.Element {
  const [part, go] = useState<Part>("balance");
  switch (part) {
    case "send":
      return <Send here={here} back={() => go("balance")} />;
    case "receive":
      return <Receive here={here} back={() => go("balance")} />;
    case "deposit":
    case "withdraw":
      return <Vault here={here} kind={part} back={() => go("balance")} />;
    default:
      return <Balance here={here} go={go} />;
  }
}

function Balance({ here, go }: { here: Here; go: (part: Part) => void }): JSX.Element {
  const { account, network, again } = here;
  const rpc = rpcOf(network.rpcUrl);
  const { value, error } = useLook(async () => ({ limits: await readLimits(rpc, account.address, null), genesis: await genesisOf(rpc) }), LOOK_MS, [account.address, network.id]);
  const isOther = value !== null && network.genesis !== null && value.genesis !== network.genesis;
  return (
    <>
      <Title>{account.name}</Title>
      <div class="row"><span class="mono" id="address">{account.address}</span><Copy text={account.address} label="the address" /></div>
      {isOther ? (
        <div class="notice alarm" role="alert">
          <p>{network.rpcUrl} is another chain now than the one that “{network.name}” was. Nothing is signed for it.</p>
          <button type="button" onClick={() => void wallet.acceptChain(network.id).then(again)}>It was reset: use the new chain</button>
        </div>
      ) : null}
      <Alert text={error ? `${error}. What is shown is what was read before.` : ""} />
      <div class="card">
        <small>Wallet</small>
        <div class="big" id="balance"><Money amount={value?.limits.wallet} /></div>
        <Slot slot={value?.limits.slot} />
      </div>
      <div class="actions">
        <button type="button" class="main" onClick={() => go("send")}>Send</button>
        <button type="button" class="main" onClick={() => go("receive")}>Receive</button>
      </div>
      <h2>Vault for answers</h2>
      <div class="card">
        {value && !value.limits.vault ? <p class="quiet">There is none yet. The first deposit makes it: answers are paid from it.</p> : (
          <Facts facts={[
            ["Can be spent", <Money key="b" amount={value?.limits.vault?.balance} />],
            ["Held by running jobs", <Money key="h" amount={value?.limits.vault?.held} />],
            ["Paid for answers so far", <Money key="s" amount={value?.limits.vault?.spent} />],
          ]} />
        )}
      </div>
      <div class="actions">
        <button type="button" onClick={() => go("deposit")}>Deposit</button>
        <button type="button" onClick={() => go("withdraw")}>Withdraw</button>
      </div>
    </>
  );
}

/** Lamports that a field's SOL mean. */
export function lamportsOf(form: HTMLFormElement, name: string, what: string): bigint {
  const lamports = parseSol(field(form, name));
  if (lamports === null) throw new Error(`${what} is an amount of SOL, with at most nine digits behind the point.`);
  return lamports;
}

function Send({ here, back }: { here: Here; back: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const send = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => {
      const to = field(form, "to").trim();
      if (!isKeyAddress(to)) throw new Error("This is not the address of a wallet.");
      if (to === here.account.address) throw new Error("This is your own address.");
      const lamports = lamportsOf(form, "amount", "What is sent");
      if (lamports === 0n) throw new Error("Nothing would be sent.");
      here.show((await wallet.propose("Send", { kind: "transfer", to, lamports })).id);
    });
  };
  return (
    <form onSubmit={send}>
      <Title>Send</Title>
      <label>To<input name="to" autocomplete="off" spellcheck={false} placeholder="address" /></label>
      <label>SOL<input name="amount" inputMode="decimal" autocomplete="off" placeholder="0.1" /></label>
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={back}>Back</button>
        <button type="submit" class="main" disabled={busy}>Look at it</button>
      </div>
    </form>
  );
}

function Receive({ here, back }: { here: Here; back: () => void }): JSX.Element {
  const code = qrcode(0, "M");
  code.addData(`solana:${here.account.address}`);
  code.make();
  return (
    <>
      <Title>Receive</Title>
      <p>On {here.network.name}. Anybody may send to this address:</p>
      <img class="qr" src={code.createDataURL(4, 0)} alt={`QR code of ${here.account.address}`} />
      <p class="mono">{here.account.address}</p>
      <div class="actions"><button type="button" onClick={back}>Back</button><Copy text={here.account.address} label="the address" /></div>
    </>
  );
}

function Vault({ here, kind, back }: { here: Here; kind: "deposit" | "withdraw"; back: () => void }): JSX.Element {
  const { busy, error, run } = useWork();
  const title = kind === "deposit" ? "Deposit into the vault" : "Withdraw from the vault";
  const ask = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    run(async () => here.show((await wallet.propose(title, { kind, lamports: lamportsOf(form, "amount", "This") })).id));
  };
  return (
    <form onSubmit={ask}>
      <Title>{title}</Title>
      <p class="quiet">Answers are paid from the vault. What is in it stays yours, and comes out at any time.</p>
      <label>SOL<input name="amount" inputMode="decimal" autocomplete="off" placeholder="0.1" /></label>
      <Alert text={error} />
      <div class="actions">
        <button type="button" onClick={back}>Back</button>
        <button type="submit" class="main" disabled={busy}>Look at it</button>
      </div>
    </form>
  );
}
