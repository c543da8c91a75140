/** What is stored, and whether what was stored still is that: storage may be damaged, and nothing is believed of it unread. */

import { isLock, isSealed, type Lock, type Sealed } from "../crypto/seal";

/** The wallet itself: one record, written whole. */
export interface WalletRecord {
  version: 1;
  lock: Lock;
  /** The recovery phrase, under the data key. */
  phrase: Sealed;
}

export interface Account {
  index: number;
  name: string;
  address: string;
}

export interface Accounts {
  list: Account[];
  active: number;
}

export interface Network {
  id: string;
  name: string;
  gatewayUrl: string;
  rpcUrl: string;
  /** As Wallet Standard names it. */
  chain: string;
  /** The chain's genesis hash, once it was met: another chain under the same address is another network. */
  genesis: string | null;
}

export interface Networks {
  list: Network[];
  active: string;
}

export interface Settings {
  autoLockMinutes: number;
  /** Transactions that the wallet has no words for may be signed, with a tick in each window. */
  allowBlind: boolean;
}

/** What a site may do, and how it has behaved. */
export interface Site {
  /** Addresses that it sees; empty: it is not connected. */
  accounts: string[];
  since: number;
  blocked: boolean;
  /** Times of refusals, for who asks again and again. */
  refusals: number[];
  quietUntil: number;
}

export type Sites = Record<string, Site>;

export type RequestKind = "connect" | "signMessage" | "signTransaction" | "send";

/**
 * waiting → refused | answered (connect, messages, transactions that the site sends itself)
 *         → signed → confirmed | failed | lapsed (what the wallet sends)
 */
export type RequestState = "waiting" | "refused" | "answered" | "signed" | "confirmed" | "failed" | "lapsed";

export interface RequestRecord {
  id: string;
  /** Origin of the site, or `wallet` for the wallet's own pages. */
  origin: string;
  kind: RequestKind;
  /** What the wallet's own page calls it. */
  title: string;
  /** Who signs; of a connection null. */
  account: string | null;
  network: { id: string; genesis: string | null; rpcUrl: string; name: string };
  /** Base64: a transaction or a message. */
  payload: string;
  created: number;
  expires: number;
  state: RequestState;
  /** Base64: the signed transaction, or the signature of a message. */
  result: string | null;
  /** Accounts that a connection shares. */
  shared: string[];
  /** Of a transaction, base58. */
  signature: string | null;
  /** Block height after which a transaction can't land. */
  lastHeight: number | null;
  /** Why it was refused or failed. */
  words: string | null;
  code: number | null;
}

export const WALLET = "wallet";

export const DEFAULT_SETTINGS: Settings = { autoLockMinutes: 15, allowBlind: false };

export const DEFAULT_NETWORKS: Networks = {
  list: [
    {
      id: "local",
      name: "This machine",
      gatewayUrl: "http://127.0.0.1:4002",
      rpcUrl: "http://127.0.0.1:8899",
      chain: "solana:localnet",
      genesis: null,
    },
  ],
  active: "local",
};

const CHAINS: ReadonlySet<string> = new Set(["solana:localnet", "solana:devnet", "solana:testnet", "solana:mainnet"]);

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const isName = (value: unknown): value is string => typeof value === "string" && value.length > 0 && value.length <= 64;
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isKey = (value: unknown): value is string => typeof value === "string" && /^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(value);
const isText = (value: unknown): value is string => typeof value === "string";
const orNull = (is: (value: unknown) => boolean, value: unknown): boolean => value === null || is(value);

export function isUrl(value: unknown): value is string {
  if (!isText(value) || value.length > 300) return false;
  try {
    const { protocol, hostname, username } = new URL(value);
    const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
    // What goes over the open net unencrypted could be changed on its way.
    return username === "" && (protocol === "https:" || (protocol === "http:" && isHere));
  } catch {
    return false;
  }
}

export function isWallet(value: unknown): value is WalletRecord {
  return isObject(value) && value["version"] === 1 && isLock(value["lock"]) && isSealed(value["phrase"]);
}

export function isAccounts(value: unknown): value is Accounts {
  if (!isObject(value) || !Array.isArray(value["list"]) || value["list"].length === 0) return false;
  const list = value["list"] as unknown[];
  const isOne = (one: unknown): boolean => isObject(one) && isCount(one["index"]) && isName(one["name"]) && isKey(one["address"]);
  return list.every(isOne) && list.some((one) => (one as Account).index === value["active"]);
}

export function isNetwork(value: unknown): value is Network {
  return (
    isObject(value) && isName(value["id"]) && isName(value["name"]) && isUrl(value["gatewayUrl"]) && isUrl(value["rpcUrl"]) &&
    isText(value["chain"]) && CHAINS.has(value["chain"]) && orNull(isKey, value["genesis"])
  );
}

export function isNetworks(value: unknown): value is Networks {
  if (!isObject(value) || !Array.isArray(value["list"])) return false;
  const list = value["list"] as unknown[];
  return list.every(isNetwork) && list.some((one) => (one as Network).id === value["active"]);
}

export function isSettings(value: unknown): value is Settings {
  if (!isObject(value)) return false;
  const { autoLockMinutes, allowBlind } = value;
  return isCount(autoLockMinutes) && autoLockMinutes >= 1 && autoLockMinutes <= 240 && typeof allowBlind === "boolean";
}

export function isSites(value: unknown): value is Sites {
  if (!isObject(value)) return false;
  return Object.values(value).every(
    (site) =>
      isObject(site) && Array.isArray(site["accounts"]) && site["accounts"].every(isKey) && isCount(site["since"]) &&
      typeof site["blocked"] === "boolean" && Array.isArray(site["refusals"]) && site["refusals"].every(isCount) && isCount(site["quietUntil"]),
  );
}

const KINDS: ReadonlySet<unknown> = new Set(["connect", "signMessage", "signTransaction", "send"]);
const STATES: ReadonlySet<unknown> = new Set(["waiting", "refused", "answered", "signed", "confirmed", "failed", "lapsed"]);

export function isRequest(value: unknown): value is RequestRecord {
  if (!isObject(value)) return false;
  const { network } = value;
  return (
    isName(value["id"]) && isText(value["origin"]) && KINDS.has(value["kind"]) && isText(value["title"]) && orNull(isKey, value["account"]) &&
    isObject(network) && isName(network["id"]) && orNull(isKey, network["genesis"]) && isUrl(network["rpcUrl"]) && isText(network["name"]) &&
    isText(value["payload"]) && isCount(value["created"]) && isCount(value["expires"]) && STATES.has(value["state"]) &&
    orNull(isText, value["result"]) && Array.isArray(value["shared"]) && value["shared"].every(isKey) && orNull(isText, value["signature"]) &&
    orNull(isCount, value["lastHeight"]) && orNull(isText, value["words"]) && orNull(isCount, value["code"])
  );
}
