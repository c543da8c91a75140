/** A Wallet Standard wallet that asks the relay: https://github.com/wallet-standard/wallet-standard. */

import { base58 } from "@scure/base";
import { CHANNEL, type FromPage, type FromRelay } from "./channel";
import { ICON } from "./generated/icon";

const CHAINS = ["solana:localnet", "solana:devnet", "solana:testnet", "solana:mainnet"] as const;
const FEATURES = ["solana:signTransaction", "solana:signAndSendTransaction", "solana:signMessage"] as const;
const VERSIONS = ["legacy", 0] as const;

interface Account {
  readonly address: string;
  readonly publicKey: Uint8Array;
  readonly chains: readonly string[];
  readonly features: readonly string[];
}

interface TransactionInput {
  account: { address: string };
  transaction: Uint8Array;
  chain?: string;
}

interface MessageInput {
  account: { address: string };
  message: Uint8Array;
}

type Changed = (properties: { accounts?: readonly Account[] }) => void;

/** Questions to the relay, and what it answers. */
function channel(changed: (accounts: string[], chain: string) => void) {
  const waiting = new Map<string, { done: (answer: FromRelay) => void; failed: (error: Error) => void }>();
  let next = 0;
  window.addEventListener("message", (event: MessageEvent<FromRelay | null>) => {
    const { data, source } = event;
    if (source !== window || data?.channel !== CHANNEL || data.to !== "page") return;
    if (data.id === null) return changed(data.accounts ?? [], data.chain ?? "");
    const one = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.error !== undefined) one?.failed(new Error(data.error));
    else one?.done(data);
  });
  return (method: string, params: Record<string, unknown>): Promise<FromRelay> => {
    const id = String(++next);
    return new Promise((done, failed) => {
      waiting.set(id, { done, failed });
      const asked: FromPage = { channel: CHANNEL, to: "relay", id, method, params };
      window.postMessage(asked, location.origin);
    });
  };
}

const bytes = (answer: FromRelay): Uint8Array => {
  if (!answer.result) throw new Error("the wallet gave no signature");
  return answer.result;
};

function makeWallet() {
  const listeners = new Set<Changed>();
  let accounts: readonly Account[] = [];
  const show = (keys: readonly string[], chain: string): readonly Account[] => {
    const same = keys.length === accounts.length && keys.every((key, i) => accounts[i]?.address === key && accounts[i]?.chains[0] === chain);
    if (same) return accounts;
    accounts = Object.freeze(keys.map((address) => Object.freeze({ address, publicKey: base58.decode(address), chains: [chain], features: FEATURES })));
    for (const listener of listeners) listener({ accounts });
    return accounts;
  };
  const ask = channel(show);
  const connect = async ({ silent = false }: { silent?: boolean } = {}) => {
    const { accounts: keys = [], chain = CHAINS[0] } = await ask("connect", { silent });
    return { accounts: show(keys, chain) };
  };
  /** One after the other, so that each has its own look. */
  const each = async <In, Out>(inputs: readonly In[], work: (input: In) => Promise<Out>): Promise<Out[]> => {
    const done: Out[] = [];
    for (const input of inputs) done.push(await work(input));
    return done;
  };
  const paramsOf = ({ account, transaction, chain }: TransactionInput) => ({ account: account.address, bytes: Uint8Array.from(transaction), chain });
  return {
    version: "1.0.0",
    name: "Mythic",
    icon: ICON,
    chains: CHAINS,
    get accounts() {
      return accounts;
    },
    features: {
      "standard:connect": { version: "1.0.0", connect },
      "standard:disconnect": {
        version: "1.0.0",
        disconnect: async () => {
          await ask("disconnect", {});
          show([], CHAINS[0]);
        },
      },
      "standard:events": {
        version: "1.0.0",
        on: (_event: "change", listener: Changed) => {
          listeners.add(listener);
          return () => void listeners.delete(listener);
        },
      },
      "solana:signTransaction": {
        version: "1.0.0",
        supportedTransactionVersions: VERSIONS,
        signTransaction: (...inputs: TransactionInput[]) =>
          each(inputs, async (input) => ({ signedTransaction: bytes(await ask("signTransaction", paramsOf(input))) })),
      },
      "solana:signAndSendTransaction": {
        version: "1.0.0",
        supportedTransactionVersions: VERSIONS,
        signAndSendTransaction: (...inputs: TransactionInput[]) =>
          each(inputs, async (input) => ({ signature: base58.decode((await ask("send", paramsOf(input))).signature ?? "") })),
      },
      "solana:signMessage": {
        version: "1.1.0",
        signMessage: (...inputs: MessageInput[]) =>
          each(inputs, async ({ account, message }) => {
            const signedMessage = Uint8Array.from(message);
            const signature = bytes(await ask("signMessage", { account: account.address, bytes: signedMessage }));
            return { signedMessage, signature, signatureType: "ed25519" as const };
          }),
      },
    },
  } as const;
}

/** Tells the page's libraries of the wallet: those that wait already, and those that come. */
export function register(): void {
  const wallet = makeWallet();
  const give = ({ register: take }: { register: (wallet: unknown) => void }): void => take(wallet);
  window.dispatchEvent(new CustomEvent("wallet-standard:register-wallet", { detail: give }));
  window.addEventListener("wallet-standard:app-ready", (event) => give((event as CustomEvent<{ register: (wallet: unknown) => void }>).detail));
}
