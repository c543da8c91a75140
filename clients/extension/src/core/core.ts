/** The wallet behind its pages: what they may ask, one thing at a time. */

import type { Area } from "../areas";
import type { Proposal } from "../chain/build";
import { rpcOf, type Rpc } from "../chain/rpc";
import { isSealed } from "../crypto/seal";
import { WalletError } from "./error";
import { Keyring } from "./keyring";
import { type Holder, type Payer, type PaymentAsked, Payments, type Payment } from "./payments";
import { sees } from "./permissions";
import { type Account, type Accounts, isNetwork, isSettings, type Network, type Networks, type RequestRecord, type Settings, type Sites } from "./records";
import { type Asked, type Decision, pinned, Requests } from "./requests";
import { Store } from "./store";

export interface CoreOptions {
  local: Area;
  session: Area;
  now?: () => number;
  newId?: () => string;
  rpc?: (url: string) => Rpc;
  show: () => Promise<void>;
  /** Something that connected sites see has changed. */
  told?: (origins: readonly string[]) => Promise<void>;
  /** scrypt's cost, for tests. */
  cost?: number;
}

/** What a page of the wallet shows first. */
export interface State {
  stage: "none" | "damaged" | "locked" | "open";
  accounts: Accounts | null;
  networks: Networks;
  settings: Settings;
  sites: Sites;
  /** Requests that wait, oldest first. */
  waiting: RequestRecord[];
}

const CHAT = "mythic/wallet/chat/v1/";
const MOST_ACCOUNTS = 100;

export class Core {
  readonly #options: CoreOptions;
  readonly #store: Store;
  readonly #keyring: Keyring;
  readonly #requests: Requests;
  readonly #payments: Payments;
  readonly #rpc: (url: string) => Rpc;
  #last: Promise<unknown> = Promise.resolve();
  #resumed: Promise<void> | null = null;

  constructor(options: CoreOptions) {
    const { now = Date.now, newId = () => crypto.randomUUID(), rpc = rpcOf, show } = options;
    this.#options = options;
    this.#rpc = rpc;
    this.#store = new Store(options.local);
    this.#keyring = new Keyring({ store: this.#store, session: options.session, now, ...(options.cost !== undefined && { cost: options.cost }) });
    this.#requests = new Requests({ store: this.#store, keyring: this.#keyring, rpc, now, newId, show });
    this.#payments = new Payments({ store: this.#store, keyring: this.#keyring, rpc });
  }

  /** One after the other: two windows that decide the same request find it decided. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work, work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  async state(): Promise<State> {
    const [wallet, accounts, networks, settings, sites, requests] = await Promise.all([
      this.#store.wallet(), this.#store.accounts(), this.#store.networks(), this.#store.settings(), this.#store.sites(), this.#store.requests(),
    ]);
    const now = (this.#options.now ?? Date.now)();
    const waiting = requests.filter((one) => one.state === "waiting" && one.expires > now);
    const isOpen = (await this.#keyring.dataKey()) !== null;
    const stage = typeof wallet === "string" ? wallet : isOpen ? "open" : "locked";
    return { stage, accounts, networks, settings, sites, waiting };
  }

  create(phrase: string, password: string): Promise<void> {
    return this.#alone(() => this.#keyring.create(phrase, password));
  }

  unlock(password: string): Promise<void> {
    return this.#alone(async () => {
      await this.#keyring.unlock(password);
      // Of a damaged list the first account is always there again.
      if (!(await this.#store.accounts())) await this.#addAccount({ list: [], active: 0 });
    });
  }

  lock(): Promise<void> {
    return this.#keyring.lock();
  }

  /** Somebody is there: the lock waits anew. */
  touch(): Promise<void> {
    return this.#keyring.touch();
  }

  reveal(password: string): Promise<string> {
    return this.#alone(() => this.#keyring.reveal(password));
  }

  changePassword(before: string, after: string): Promise<void> {
    return this.#alone(() => this.#keyring.changePassword(before, after));
  }

  /** Removes the wallet. What it holds on chain is only to be had with its phrase. */
  wipe(): Promise<void> {
    return this.#alone(async () => {
      const origins = Object.keys(await this.#store.sites());
      await this.#keyring.wipe();
      await this.#options.told?.(origins);
    });
  }

  addAccount(): Promise<Account> {
    return this.#alone(async () => {
      const accounts = await this.#store.accounts();
      if ((accounts?.list.length ?? 0) >= MOST_ACCOUNTS) throw new WalletError("invalid", `a wallet shows at most ${MOST_ACCOUNTS} accounts`);
      return this.#addAccount(accounts ?? { list: [], active: 0 });
    });
  }

  async #addAccount({ list }: Accounts): Promise<Account> {
    const index = list.reduce((next, one) => Math.max(next, one.index + 1), 0);
    const { address } = await this.#keyring.account(index);
    const account = { index, name: `Account ${index + 1}`, address };
    await this.#store.set("accounts", { list: [...list, account], active: index });
    return account;
  }

  changeAccount(index: number, change: { name?: string; active?: true }): Promise<void> {
    return this.#alone(async () => {
      const accounts = await this.#store.accounts();
      if (!accounts?.list.some((one) => one.index === index)) throw new WalletError("unknown", "there is no such account");
      const name = change.name?.trim().slice(0, 32);
      const list = accounts.list.map((one) => (one.index === index && name ? { ...one, name } : one));
      await this.#store.set("accounts", { list, active: change.active ? index : accounts.active });
    });
  }

  /** Adds a network, or changes one. Its chain is written down when it is met. */
  setNetwork(network: Network): Promise<void> {
    return this.#alone(async () => {
      if (!isNetwork(network)) throw new WalletError("invalid", "a network needs a name, and URLs that begin with https (http on this machine alone)");
      const { list, active } = await this.#store.networks();
      const rest = list.filter(({ id }) => id !== network.id);
      await this.#store.set("networks", { list: [...rest, network], active });
    });
  }

  chooseNetwork(id: string): Promise<void> {
    return this.#alone(async () => {
      const networks = await this.#store.networks();
      if (!networks.list.some((one) => one.id === id)) throw new WalletError("unknown", "there is no such network");
      await this.#store.set("networks", { ...networks, active: id });
    });
  }

  removeNetwork(id: string): Promise<void> {
    return this.#alone(async () => {
      const { list, active } = await this.#store.networks();
      if (id === active) throw new WalletError("invalid", "choose another network first");
      await this.#store.set("networks", { list: list.filter((one) => one.id !== id), active });
    });
  }

  /** The active network's chain is another one now, and that is right: from here on it is this one. */
  acceptChain(id: string): Promise<void> {
    return this.#alone(async () => {
      const networks = await this.#store.networks();
      const network = networks.list.find((one) => one.id === id);
      if (!network) throw new WalletError("unknown", "there is no such network");
      await pinned({ store: this.#store, rpc: this.#rpc }, { ...network, genesis: null });
    });
  }

  setSettings(settings: Settings): Promise<void> {
    return this.#alone(async () => {
      if (!isSettings(settings)) throw new WalletError("invalid", "the wallet locks after 1 to 240 minutes");
      await this.#store.set("settings", settings);
      await this.#keyring.touch();
    });
  }

  /** Ends what a site may do; blocked it may not even ask. */
  setSite(origin: string, site: "revoked" | "blocked" | "forgotten"): Promise<void> {
    return this.#alone(async () => {
      const { [origin]: before, ...rest } = await this.#store.sites();
      if (!before) return;
      // Sites say themselves that they leave: that unblocks none.
      const kept = { ...before, accounts: [], blocked: before.blocked || site === "blocked" };
      await this.#store.set("sites", site === "forgotten" ? rest : { ...rest, [origin]: kept });
      await this.#requests.refuseAll(origin);
      await this.#options.told?.([origin]);
    });
  }

  /** A site asks. A connection that it has already needs nobody. */
  ask(asked: Asked): Promise<RequestRecord | { shared: string[] }> {
    return this.#alone(async () => {
      const shared = await this.#seen(asked.origin);
      if (asked.kind === "connect" && shared.length > 0) return { shared };
      return this.#requests.ask(asked);
    });
  }

  /** What a site sees without asking. */
  seen(origin: string): Promise<string[]> {
    return this.#seen(origin);
  }

  async #seen(origin: string): Promise<string[]> {
    const [accounts, sites] = await Promise.all([this.#store.accounts(), this.#store.sites()]);
    if (!accounts) return [];
    const known = accounts.list.filter(({ address }) => sees(sites[origin], address));
    const first = known.filter(({ index }) => index === accounts.active);
    return [...first, ...known.filter(({ index }) => index !== accounts.active)].map(({ address }) => address);
  }

  /** The chain that sites are told. */
  async chain(): Promise<string> {
    return (await this.#holder().catch(() => null))?.network.chain ?? "solana:localnet";
  }

  /** A site leaves. */
  leave(origin: string): Promise<void> {
    return this.setSite(origin, "revoked");
  }

  propose(title: string, proposal: Proposal): Promise<RequestRecord> {
    return this.#alone(() => this.#requests.propose(title, proposal));
  }

  decide(decision: Decision): Promise<RequestRecord> {
    return this.#alone(() => this.#requests.decide(decision));
  }

  /** A request as it stands; one that is signed goes a step further. */
  request(id: string): Promise<RequestRecord> {
    return this.#alone(() => this.#requests.drive(id));
  }

  /** Goes on with what was begun before the worker died, once at a time: a chain that hangs must not keep people waiting behind it. */
  resume(): Promise<void> {
    this.#resumed ??= this.#goOn().finally(() => {
      this.#resumed = null;
    });
    return this.#resumed;
  }

  async #goOn(): Promise<void> {
    for (const id of await this.#requests.underWay()) await this.request(id).catch(() => undefined);
  }

  async #holder(): Promise<Holder> {
    const [accounts, networks] = await Promise.all([this.#store.accounts(), this.#store.networks()]);
    const account = accounts?.list.find(({ index }) => index === accounts.active);
    const network = networks.list.find(({ id }) => id === networks.active);
    if (!account || !network) throw new WalletError("none", "there is no account");
    return { account, network };
  }

  /** The session key of the active account on the active network. */
  async delegate(): Promise<string> {
    return this.#payments.delegate(await this.#holder());
  }

  pay(asked: PaymentAsked): Promise<Payment> {
    return this.#alone(async () => this.#payments.pay(await this.#holder(), asked));
  }

  forgetPayment(id: string): Promise<void> {
    return this.#payments.forget(id);
  }

  async signEvidence(by: Payer, message: Uint8Array): Promise<Uint8Array> {
    return this.#payments.signEvidence(await this.#holder(), by, message);
  }

  sweep(): Promise<string | null> {
    return this.#alone(async () => this.#payments.sweep(await this.#holder()));
  }

  /** A conversation, as text; null where there is none or it can't be read. */
  async chat(id: string): Promise<string | null> {
    const found = await this.#options.local.get(`chat:${id}`);
    return isSealed(found) ? this.#keyring.unseal(CHAT + id, found) : null;
  }

  async setChat(id: string, text: string | null): Promise<void> {
    if (text === null) return this.#options.local.remove([`chat:${id}`]);
    await this.#options.local.set(`chat:${id}`, await this.#keyring.seal(CHAT + id, text));
  }
}
