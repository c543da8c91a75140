/**
 * Requests to sign: one record each, written before anything happens, so that the worker may die at every await and go on from what is
 * written. A record leaves `waiting` once. What is signed is written before it is sent, and sent again it is the same transaction.
 */

import { base58, base64 } from "@scure/base";
import { compile, genesisOf, instructionsOf, latest, type Proposal } from "../chain/build";
import { programError, refusalWords } from "../chain/refusal";
import { at, type Rpc } from "../chain/rpc";
import { simulate } from "../chain/simulate";
import { sign } from "../crypto/phrase";
import { explain, explainText } from "../decode/explain";
import { readTransaction, withBlockhash } from "../decode/message";
import { WalletError } from "./error";
import type { Keyring } from "./keyring";
import { MOST_WAITING_IN_ALL, newSite, refusalOf, refused, sees, trusted } from "./permissions";
import { type Account, type Network, type RequestKind, type RequestRecord, type Site, WALLET } from "./records";
import type { Store } from "./store";

/** Time for a person to decide. */
const PATIENCE_MS = 5 * 60_000;
/** How long an ended request is kept for the site to fetch its answer. */
const KEPT_MS = 10 * 60_000;
const MOST_MESSAGE = 16_384;
/** How soon the window comes again for a site that asks for what waits already. */
const SHOWN_MS = 10_000;

export interface RequestsOptions {
  store: Store;
  keyring: Keyring;
  rpc: (url: string) => Rpc;
  now: () => number;
  newId: () => string;
  /** Somebody has to look at what waits. */
  show: () => Promise<void>;
}

/** What a site asks for. */
export interface Asked {
  id: string;
  origin: string;
  kind: RequestKind;
  /** Base58; of a connection none. */
  account?: string;
  payload?: Uint8Array;
  /** The chain that the site means, as Wallet Standard names it. */
  chain?: string;
}

/** What somebody decides. */
export interface Decision {
  id: string;
  yes: boolean;
  /** Sign what the wallet has no words for. */
  blind?: boolean;
  /** Let the site act as the user somewhere else. */
  elsewhere?: boolean;
  /** Sign although the chain says that it would fail, or does not answer. */
  despite?: boolean;
  /** Never listen to this site again. */
  block?: boolean;
  /** The account that a connection was shown to share, base58. */
  account?: string;
}

const ENDED: ReadonlySet<RequestRecord["state"]> = new Set(["refused", "answered", "confirmed", "failed", "lapsed"]);
export const isEnded = ({ state }: RequestRecord): boolean => ENDED.has(state);

export class Requests {
  readonly #options: RequestsOptions;
  #shown = 0;

  constructor(options: RequestsOptions) {
    this.#options = options;
  }

  /** A site's request. Asked again under its id it is the same one. */
  async ask(asked: Asked): Promise<RequestRecord> {
    const { store, now, show } = this.#options;
    if (!/^[\w-]{8,64}$/.test(asked.id)) throw new WalletError("invalid", "the request has no proper id");
    const known = await store.request(asked.id);
    if (known) {
      if (known.origin !== asked.origin) throw new WalletError("refused", "this id is another site's");
      return known;
    }
    await this.#tidy();
    const all = (await store.requests()).filter((one) => one.state === "waiting" && one.origin !== WALLET);
    const waiting = all.filter((one) => one.origin === asked.origin);
    const connecting = waiting.find(({ kind }) => kind === "connect");
    if (asked.kind === "connect" && connecting) {
      await this.#showAgain();
      return connecting;
    }
    // One site may have many names.
    if (all.length >= MOST_WAITING_IN_ALL) throw new WalletError("refused", "too many requests of sites wait already");
    const site = (await store.sites())[asked.origin];
    const why = refusalOf(site, waiting.length, now());
    if (why) throw new WalletError("refused", why);
    const record = await this.#record(asked, site);
    await store.put(record);
    this.#shown = now();
    await show();
    return record;
  }

  /** For who closed the window; not so often that a site could keep it in front of everything else. */
  async #showAgain(): Promise<void> {
    const { now, show } = this.#options;
    if (Math.abs(now() - this.#shown) < SHOWN_MS) return;
    this.#shown = now();
    await show();
  }

  async #record(asked: Asked, site: Site | undefined): Promise<RequestRecord> {
    const network = await this.#activeNetwork();
    const blank = this.#blank(asked.id, asked.origin, asked.kind, network);
    if (asked.kind === "connect") return blank;
    const { account, payload } = asked;
    if (account === undefined || !sees(site, account)) throw new WalletError("account", "the site is not connected to this account");
    if (!payload || payload.length === 0 || payload.length > MOST_MESSAGE) throw new WalletError("invalid", "there is nothing to sign, or too much");
    if (asked.kind === "signMessage") return { ...blank, account, payload: base64.encode(payload) };
    if (asked.chain !== undefined && asked.chain !== network.chain) {
      throw new WalletError("network", `the site asks for ${asked.chain}, and the wallet is on ${network.chain}`);
    }
    const transaction = readTransaction(payload);
    if (typeof transaction === "string") throw new WalletError("invalid", `this can't be signed: ${transaction}`);
    if (!transaction.signers.includes(account)) throw new WalletError("invalid", "the transaction does not ask for this account's signature");
    const lacking = transaction.signers.filter((signer) => signer !== account && !transaction.signed.includes(signer));
    if (asked.kind === "send" && lacking.length > 0) throw new WalletError("invalid", `it can't be sent: the signature of ${lacking[0] ?? ""} is missing`);
    const pinned = await this.#pinned(network);
    return { ...this.#blank(asked.id, asked.origin, asked.kind, pinned), account, payload: base64.encode(payload) };
  }

  #blank(id: string, origin: string, kind: RequestKind, network: Network): RequestRecord {
    const created = this.#options.now();
    return {
      id, origin, kind, title: "", account: null, network: { id: network.id, genesis: network.genesis, rpcUrl: network.rpcUrl, name: network.name },
      payload: "", created, expires: created + PATIENCE_MS, state: "waiting", result: null, shared: [], signature: null, lastHeight: null, words: null, code: null,
    };
  }

  /** A transaction of the wallet's own, to be looked at and approved like every other one. */
  async propose(title: string, proposal: Proposal): Promise<RequestRecord> {
    const { store, rpc, newId } = this.#options;
    await this.#tidy();
    const account = await this.#activeAccount();
    const network = await this.#pinned(await this.#activeNetwork());
    const chain = rpc(network.rpcUrl);
    const bytes = compile(account.address, await instructionsOf(chain, account.address, proposal), await latest(chain));
    const record = { ...this.#blank(newId(), WALLET, "send", network), title, account: account.address, payload: base64.encode(bytes) };
    await store.put(record);
    return record;
  }

  /** What somebody decided. Of two windows the second hears that it is decided already. */
  async decide(decision: Decision): Promise<RequestRecord> {
    const { store, now, keyring } = this.#options;
    const record = await store.request(decision.id);
    if (!record) throw new WalletError("unknown", "this request is gone");
    if (record.state !== "waiting") throw new WalletError("over", "this request is decided already");
    if (!decision.yes) return this.#refuse(record, decision.block ?? false);
    const time = now();
    if (time >= record.expires || time < record.created - PATIENCE_MS) throw new WalletError("over", "this request waited too long: ask again");
    if (!(await keyring.dataKey())) throw new WalletError("locked", "the wallet is locked");
    if (record.origin !== WALLET && (await store.sites())[record.origin]?.blocked) throw new WalletError("refused", "this site is blocked");
    const decided = await this.#approved(record, decision);
    await store.put(decided);
    if (record.origin !== WALLET) await this.#change(record.origin, trusted);
    return decided.state === "signed" ? this.drive(decided.id) : decided;
  }

  async #refuse(record: RequestRecord, block: boolean): Promise<RequestRecord> {
    const { store, now } = this.#options;
    if (record.origin !== WALLET) {
      // Before the answer: killed in between, the site is refused once more rather than once less.
      await this.#change(record.origin, (site) => (block ? { ...site, blocked: true, accounts: [] } : refused(site, now())));
    }
    const decided: RequestRecord = { ...record, state: "refused", words: "refused in the wallet" };
    await store.put(decided);
    if (block) await this.refuseAll(record.origin);
    return decided;
  }

  async #approved(record: RequestRecord, decision: Decision): Promise<RequestRecord> {
    if (record.kind === "connect") {
      const { address } = await this.#activeAccount();
      if (decision.account !== undefined && decision.account !== address) {
        throw new WalletError("account", "another account is chosen now than the one that was shown: look again");
      }
      // The permission before the answer: the site never believes what the wallet does not know.
      await this.#change(record.origin, (site) => ({ ...site, accounts: [...new Set([...site.accounts, address])] }));
      return { ...record, state: "answered", account: address, shared: [address] };
    }
    const account = await this.#signer(record);
    if (record.kind === "signMessage") {
      const message = base64.decode(record.payload);
      const { refuse, isBlind, actsAt } = explainText(message, record.origin);
      if (refuse) throw new WalletError("refused", refuse);
      if (actsAt !== null && !decision.elsewhere) throw new WalletError("refused", `with this ${record.origin} could act as you at ${actsAt}`);
      await this.#allowBlind(isBlind ? ["the text can't be read"] : [], decision);
      const { secret } = await this.#options.keyring.account(account.index);
      return { ...record, state: "answered", result: base64.encode(sign(secret, message)) };
    }
    return this.#signed(record, account, decision);
  }

  async #signed(record: RequestRecord, account: Account, decision: Decision): Promise<RequestRecord> {
    const { keyring, rpc } = this.#options;
    await this.#sameNetwork(record);
    const chain = rpc(record.network.rpcUrl);
    const before = readTransaction(base64.decode(record.payload));
    if (typeof before === "string") throw new WalletError("invalid", before);
    await this.#allowBlind(explain(before, account.address).blind, decision);
    const lifetime = await latest(chain);
    const own = record.origin === WALLET;
    const bytes = own ? withBlockhash(before.bytes, lifetime.blockhash) : before.bytes;
    if (!decision.despite) {
      const found = await simulate(chain, bytes, account.address, !own);
      if (!found.ok) throw new WalletError("fails", `the chain says that it would fail: ${found.words ?? "it gives no reason"}`);
    }
    const { secret } = await keyring.account(account.index);
    const signed = withSignature(bytes, account.address, secret);
    const first = base58.encode(signed.subarray(1, 65));
    const result = base64.encode(signed);
    if (record.kind === "signTransaction") return { ...record, state: "answered", result };
    return { ...record, state: "signed", result, signature: first, lastHeight: lifetime.lastValidBlockHeight };
  }

  /** What nobody can read is signed where the settings allow it, and this window's tick does too. */
  async #allowBlind([why]: readonly string[], decision: Decision): Promise<void> {
    if (why === undefined) return;
    const { allowBlind } = await this.#options.store.settings();
    if (!allowBlind) throw new WalletError("blind", `refused: ${why}; signing blindly is not allowed in the settings`);
    if (!decision.blind) throw new WalletError("blind", `nobody can say what this does: ${why}`);
  }

  /** The account that the request names, if it may still sign for who asked. */
  async #signer(record: RequestRecord): Promise<Account> {
    const { store } = this.#options;
    const account = (await store.accounts())?.list.find(({ address }) => address === record.account);
    if (!account) throw new WalletError("account", "the wallet has no such account");
    if (record.origin !== WALLET && !sees((await store.sites())[record.origin], account.address)) {
      throw new WalletError("account", "the site is not connected to this account any more");
    }
    return account;
  }

  /** A transaction is for the chain for which it was shown. */
  async #sameNetwork({ network }: RequestRecord): Promise<void> {
    const active = await this.#activeNetwork();
    if (active.id !== network.id || active.genesis !== network.genesis || active.rpcUrl !== network.rpcUrl) {
      throw new WalletError("network", `the wallet is on ${active.name} now, and this request is for ${network.name}: ask again`);
    }
    const genesis = await genesisOf(this.#options.rpc(network.rpcUrl));
    if (genesis !== network.genesis) throw new WalletError("network", `${network.rpcUrl} is another chain now than when this was asked`);
  }

  /** One step with a transaction that is signed: asks what became of it, and sends it again while it can land. */
  async drive(id: string): Promise<RequestRecord> {
    const { store, rpc } = this.#options;
    const record = await store.request(id);
    if (!record) throw new WalletError("unknown", "this request is gone");
    if (record.state !== "signed" || record.signature === null || record.result === null) return record;
    const chain = rpc(record.network.rpcUrl);
    const ended = await this.#outcome(chain, record);
    if (ended) {
      await store.put(ended);
      return ended;
    }
    // Simulated before: what the chain refuses now stands on chain, with its signature.
    await chain("sendTransaction", [record.result, { encoding: "base64", skipPreflight: true }]).catch(() => undefined);
    return record;
  }

  async #outcome(chain: Rpc, record: RequestRecord): Promise<RequestRecord | null> {
    const height = await chain("getBlockHeight", [{ commitment: "confirmed" }]);
    const answer = await chain("getSignatureStatuses", [[record.signature], { searchTransactionHistory: true }]);
    const status = at(answer, "value", 0);
    const error = at(status, "err");
    const firm = ["confirmed", "finalized"].includes(String(at(status, "confirmationStatus")));
    if (firm && error !== null && error !== undefined) {
      return { ...record, state: "failed", words: refusalWords(error), code: programError(error) };
    }
    if (firm) return { ...record, state: "confirmed" };
    const isLate = typeof height === "number" && record.lastHeight !== null && height > record.lastHeight;
    return isLate && !status ? { ...record, state: "lapsed", words: "it did not land in time, and can't any more" } : null;
  }

  /** What was signed and not seen to end. */
  async underWay(): Promise<string[]> {
    const all = await this.#options.store.requests();
    return all.filter(({ state }) => state === "signed").map(({ id }) => id);
  }

  /** Refuses what waits of a site. */
  async refuseAll(origin: string): Promise<void> {
    const { store } = this.#options;
    for (const one of await store.requests()) {
      if (one.origin === origin && one.state === "waiting") await store.put({ ...one, state: "refused", words: "the site may not ask any more" });
    }
  }

  /** Takes away what is over. */
  async #tidy(): Promise<void> {
    const { store, now } = this.#options;
    const time = now();
    const old = (await store.requests()).filter((one) => {
      const age = time - one.created;
      return (isEnded(one) && age > KEPT_MS + PATIENCE_MS) || (one.state === "waiting" && (time >= one.expires || age < -PATIENCE_MS));
    });
    if (old.length > 0) await store.forget(old.map(({ id }) => id));
  }

  async #change(origin: string, change: (site: Site) => Site): Promise<void> {
    const { store, now } = this.#options;
    const sites = await store.sites();
    await store.set("sites", { ...sites, [origin]: change(sites[origin] ?? newSite(now())) });
  }

  async #activeAccount(): Promise<Account> {
    const accounts = await this.#options.store.accounts();
    const account = accounts?.list.find(({ index }) => index === accounts.active);
    if (!account) throw new WalletError("none", "there is no account");
    return account;
  }

  async #activeNetwork(): Promise<Network> {
    const { list, active } = await this.#options.store.networks();
    const network = list.find(({ id }) => id === active);
    if (!network) throw new WalletError("network", "there is no network");
    return network;
  }

  /** The network with the genesis of its chain, which is written down when it is met first. */
  async #pinned(network: Network): Promise<Network> {
    return pinned(this.#options, network);
  }
}

/** Writes down which chain a network is, when it is met first; refuses one that is another now. */
export async function pinned({ store, rpc }: Pick<RequestsOptions, "store" | "rpc">, network: Network): Promise<Network> {
  const genesis = await genesisOf(rpc(network.rpcUrl));
  if (network.genesis === genesis) return network;
  if (network.genesis !== null) {
    throw new WalletError("network", `${network.rpcUrl} is another chain than the one that “${network.name}” was: look at it under Networks`);
  }
  const networks = await store.networks();
  const met = { ...network, genesis };
  await store.set("networks", { ...networks, list: networks.list.map((one) => (one.id === network.id ? met : one)) });
  return met;
}

/** The transaction with an account's signature in its place. */
export function withSignature(bytes: Uint8Array, signer: string, secret: Uint8Array): Uint8Array {
  const transaction = readTransaction(bytes);
  if (typeof transaction === "string") throw new WalletError("invalid", transaction);
  const place = transaction.signers.indexOf(signer);
  if (place < 0) throw new WalletError("invalid", "the transaction does not ask for this account's signature");
  const signed = Uint8Array.from(bytes);
  // The number of signatures is one byte: there are fewer than 128 in 1,232 bytes.
  signed.set(sign(secret, transaction.message), 1 + 64 * place);
  return signed;
}
