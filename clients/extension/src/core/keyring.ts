/**
 * The keys: made, opened, locked. What is open is the data key, in the memory of the browser's session, with the time at which it is
 * locked again; keys of accounts are made of the phrase each time that one signs, and kept nowhere.
 */

import { base64 } from "@scure/base";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type { Area } from "../areas";
import { type AccountKey, accountKey, phraseFault, tidyPhrase } from "../crypto/phrase";
import { makeLock, newDataKey, open, openLock, seal, type Sealed } from "../crypto/seal";
import { sessionKey } from "../crypto/session-key";
import { WalletError } from "./error";
import type { WalletRecord } from "./records";
import type { Store } from "./store";

const PHRASE = "mythic/wallet/phrase/v1";
export const LEAST_PASSWORD = 8;
/** Wrong passwords that cost nothing; each one after them doubles the wait. */
const FREE_TRIES = 3;
const LONGEST_WAIT_MS = 15 * 60_000;
const SESSION_KEY = "session-key:";

interface Opened {
  key: string;
  since: number;
  until: number;
}

export interface KeyringOptions {
  store: Store;
  session: Area;
  now: () => number;
  /** scrypt's cost, for tests. */
  cost?: number;
}

export class Keyring {
  readonly #options: KeyringOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: KeyringOptions) {
    this.#options = options;
  }

  /** What opens and what locks, one after the other: a lock is not undone by whoever looked before it and writes after it. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Makes the wallet of a phrase. Done twice with the same phrase it is done once. */
  async create(phrase: string, password: string): Promise<void> {
    const { store, cost } = this.#options;
    const tidy = tidyPhrase(phrase);
    const fault = phraseFault(tidy);
    if (fault) throw new WalletError("phrase", fault);
    checkPassword(password);
    const before = await store.wallet();
    if (before !== "none") {
      // Killed between the two: the wallet is there, and only has to be opened.
      const isSame = before !== "damaged" && (await this.#phraseOf(before, password)) === tidy;
      if (!isSame) throw new WalletError("exists", "there is a wallet already: remove it first");
      return this.unlock(password);
    }
    const dataKey = newDataKey();
    const wallet: WalletRecord = { version: 1, lock: await makeLock(password, dataKey, cost), phrase: seal(dataKey, PHRASE, utf8ToBytes(tidy)) };
    const { address } = accountKey(tidy, 0);
    await store.area.setAll({ wallet, accounts: { list: [{ index: 0, name: "Account 1", address }], active: 0 } });
    await this.#alone(() => this.#opened(dataKey));
  }

  async #phraseOf(wallet: WalletRecord, password: string): Promise<string | null> {
    const dataKey = await openLock(password, wallet.lock);
    return dataKey && textOf(open(dataKey, PHRASE, wallet.phrase));
  }

  async unlock(password: string): Promise<void> {
    const { dataKey } = await this.#tried(password);
    await this.#alone(() => this.#opened(dataKey));
  }

  /** The data key under a password. Wrong ones are counted before the next may be tried, so that a restart forgives nothing. */
  async #tried(password: string): Promise<{ wallet: WalletRecord; dataKey: Uint8Array }> {
    const { store, now } = this.#options;
    const wallet = await store.wallet();
    if (wallet === "none") throw new WalletError("none", "there is no wallet yet");
    if (wallet === "damaged") throw new WalletError("damaged", "the stored wallet can't be read: restore it from its recovery phrase");
    const tries = await this.#tries();
    const wait = Math.min(tries.until - now(), LONGEST_WAIT_MS);
    // Written by a clock that was ahead: it would never be over.
    if (tries.until - now() > LONGEST_WAIT_MS) await store.area.set("tries", { count: tries.count, until: now() + LONGEST_WAIT_MS });
    if (wait > 0) throw new WalletError("wait", `too many wrong passwords: try again in ${Math.ceil(wait / 1_000)} s`);
    const dataKey = await openLock(password, wallet.lock);
    if (!dataKey) {
      const count = tries.count + 1;
      const pause = count <= FREE_TRIES ? 0 : Math.min(LONGEST_WAIT_MS, 1_000 * 2 ** (count - FREE_TRIES));
      await store.area.set("tries", { count, until: now() + pause });
      throw new WalletError("password", "the password is wrong");
    }
    if (tries.count > 0) await store.area.remove(["tries"]);
    return { wallet, dataKey };
  }

  async #tries(): Promise<{ count: number; until: number }> {
    const { count, until } = ((await this.#options.store.area.get("tries")) ?? {}) as { count?: unknown; until?: unknown };
    return { count: Number.isSafeInteger(count) ? Number(count) : 0, until: Number.isSafeInteger(until) ? Number(until) : 0 };
  }

  async #opened(dataKey: Uint8Array): Promise<void> {
    const { session, store, now } = this.#options;
    const { autoLockMinutes } = await store.settings();
    const since = now();
    await session.set("open", { key: base64.encode(dataKey), since, until: since + autoLockMinutes * 60_000 });
  }

  /** Puts the lock off: somebody is there. */
  touch(): Promise<void> {
    return this.#alone(async () => {
      const dataKey = await this.dataKey();
      if (dataKey) await this.#opened(dataKey);
    });
  }

  lock(): Promise<void> {
    return this.#alone(() => this.#locked());
  }

  async #locked(): Promise<void> {
    const { session } = this.#options;
    const keys = [...(await session.all(SESSION_KEY)).keys()];
    await session.remove(["open", ...keys]);
  }

  /** The data key while the wallet is open. The time is looked at here, so that a lock needs no alarm to be one. */
  async dataKey(): Promise<Uint8Array | null> {
    const { session, now } = this.#options;
    const { key, since, until } = ((await session.get("open")) ?? {}) as Partial<Opened>;
    if (typeof key !== "string" || typeof since !== "number" || typeof until !== "number") return null;
    const time = now();
    // A clock that went back would keep the wallet open: then it is locked.
    if (time < since || time >= until) {
      await this.#locked();
      return null;
    }
    return base64.decode(key);
  }

  async #open(): Promise<{ phrase: string; dataKey: Uint8Array }> {
    const dataKey = await this.dataKey();
    if (!dataKey) throw new WalletError("locked", "the wallet is locked");
    const wallet = await this.#options.store.wallet();
    const phrase = typeof wallet === "string" ? null : textOf(open(dataKey, PHRASE, wallet.phrase));
    if (phrase === null) throw new WalletError("damaged", "the stored wallet can't be read: restore it from its recovery phrase");
    return { phrase, dataKey };
  }

  /** An account's key. */
  async account(index: number): Promise<AccountKey> {
    return accountKey((await this.#open()).phrase, index);
  }

  /** The session key of an account on a chain: made once after each unlock, then in the session's memory. */
  async session(account: { index: number; address: string }, genesis: string, number: number): Promise<AccountKey> {
    const { session } = this.#options;
    if (!(await this.dataKey())) throw new WalletError("locked", "the wallet is locked");
    const name = `${SESSION_KEY}${account.address}@${genesis}/${number}`;
    const kept = (await session.get(name)) as { address?: unknown; secret?: unknown } | undefined;
    if (typeof kept?.address === "string" && typeof kept.secret === "string") return { address: kept.address, secret: base64.decode(kept.secret) };
    return this.#alone(async () => {
      const { secret } = await this.account(account.index);
      const made = sessionKey(secret, genesis, number);
      await session.set(name, { address: made.address, secret: base64.encode(made.secret) });
      return made;
    });
  }

  /** The recovery phrase, for who has the password. */
  async reveal(password: string): Promise<string> {
    const { wallet, dataKey } = await this.#tried(password);
    const phrase = textOf(open(dataKey, PHRASE, wallet.phrase));
    if (phrase === null) throw new WalletError("damaged", "the stored phrase can't be read");
    return phrase;
  }

  async changePassword(before: string, after: string): Promise<void> {
    checkPassword(after);
    const { wallet, dataKey } = await this.#tried(before);
    // The phrase stays as it is sealed; only its key has another lock. One write.
    await this.#options.store.area.set("wallet", { ...wallet, lock: await makeLock(after, dataKey, this.#options.cost) });
    await this.touch();
  }

  /** Takes everything away. */
  async wipe(): Promise<void> {
    const { store } = this.#options;
    await this.lock();
    // The wallet goes last: killed before that, it is still whole.
    const keys = [...(await store.area.all("")).keys()].filter((key) => key !== "wallet");
    await store.area.remove(keys);
    await store.area.remove(["wallet"]);
  }

  /** Something of the user's that lies on disk, such as a conversation. */
  async seal(what: string, text: string): Promise<Sealed> {
    return seal((await this.#open()).dataKey, what, utf8ToBytes(text));
  }

  async unseal(what: string, sealed: Sealed): Promise<string | null> {
    return textOf(open((await this.#open()).dataKey, what, sealed));
  }
}

function checkPassword(password: string): void {
  if (password.length < LEAST_PASSWORD) throw new WalletError("password", `a password needs at least ${LEAST_PASSWORD} characters`);
  if (password.length > 1_024) throw new WalletError("password", "a password has at most 1,024 characters");
}

const textOf = (bytes: Uint8Array | null): string | null => bytes && new TextDecoder().decode(bytes);
