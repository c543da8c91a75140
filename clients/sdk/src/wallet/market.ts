/** Leases: what a tenant reads of them on chain, and what it signs. */

import {
  type Address,
  address,
  type Base58EncodedBytes,
  createNoopSigner,
  getAddressEncoder,
  getBase64Encoder,
} from "@solana/kit";
import {
  COMPUTE_MARKET_PROGRAM_ADDRESS,
  decodeLease,
  decodeProvider,
  fetchMarketConfigFromSeeds,
  fetchMaybeLease,
  fetchMaybeRequest,
  findClassPda,
  findLeasePda,
  findProviderPda,
  findRequestPda,
  getAcknowledgeStartInstruction,
  getCancelRequestInstruction,
  getCloseLeaseInstruction,
  getHeaderDecoder,
  getLeaseSize,
  getProviderSize,
  getRequestComputeInstructionAsync,
  getTopUpInstruction,
  getWithdrawLeaseInstruction,
  type Lease as LeaseState,
  type Provider as ProviderState,
} from "@mythic/program/compute-market";
import { fetchModel } from "@mythic/program/ai-precompiles";
import { AbortedError, ChainRefusedError, LeaseError, MythicError, TimeoutError, WalletRefusedError } from "../errors.js";
import { sleep } from "../http/retry.js";
import type { Fetch } from "../http/transport.js";
import { concat, hex, u64le, utf8 } from "../verify/bytes.js";
import { MODEL_DIGITS } from "../verify/hashes.js";
import type { Chain } from "./chain.js";
import type { ClosedLease, Lease, LeasedEndpoint, LeaseRequest, Leases, Offer } from "./leases.js";
import { type Access, Provider, specDocument } from "./provider.js";

const DEFAULT_CLASS = "cpu";
const CLASS_BYTES = 16;
const ENDPOINT = 0x01;
const PROCESS = 0x00;
const STATUS = ["", "accepted", "started", "active", "closing", "ended"] as const;
const [ACCEPTED, STARTED, ACTIVE, ENDED] = [1, 2, 3, 5];
const OPEN_REQUEST = 1;
const PROVIDER_ACTIVE = 1;
const [CLOSED_BY_TENANT, NEVER_STARTED] = [2, 4];
const DEADLINE_SLOTS = 150;
const NONCE_SLOTS = 1_000n;
/** How long a start is waited for: an engine is loaded. */
const START_MS = 240_000;
const LOOK_MS = 1_000;

/** Where the class stands in a provider's account, and the tenant in a lease's: behind the header and the keys before it. */
const HEADER = getHeaderDecoder().fixedSize;
const KEY = getAddressEncoder().fixedSize;
const PROVIDER_CLASS = HEADER + 3 * KEY;
const LEASE_TENANT = HEADER + 2 * KEY;

export class MarketLeases implements Leases {
  readonly #chain: Chain;
  readonly #fetch: Fetch;

  constructor(chain: Chain, fetch: Fetch) {
    this.#chain = chain;
    this.#fetch = fetch;
  }

  async offers(className = DEFAULT_CLASS): Promise<Offer[]> {
    return (await this.#providers(className)).map((provider) => offerOf(provider, className));
  }

  async list(): Promise<Lease[]> {
    const found = await this.#accounts(getLeaseSize(), LEASE_TENANT, this.#chain.signer.address);
    return found.map((account) => leaseOf(account.address, decodeLease(account).data));
  }

  async get(lease: string): Promise<Lease | null> {
    const found = await fetchMaybeLease(this.#chain.rpc, address(lease));
    return found.exists ? leaseOf(found.address, found.data) : null;
  }

  async request(asked: LeaseRequest): Promise<LeasedEndpoint> {
    const className = asked.className ?? DEFAULT_CLASS;
    const offer = await this.#offer(asked, className);
    const { identity } = (await fetchModel(this.#chain.rpc, address(asked.model))).data;
    const provider = new Provider(offer.endpoint, this.#fetch);
    const apiKey = `lease-${hex(crypto.getRandomValues(new Uint8Array(24)))}`;
    const document = specDocument(apiKey, asked.maxConcurrent ?? 2);
    const source = await provider.leave(document);
    const { request, instruction } = await this.#requestCompute(asked, offer, className, document.hash, source);
    const [lease] = await findLeasePda({ request });
    if (asked.signal?.aborted) throw new AbortedError(undefined, { cause: asked.signal.reason });
    await asked.onPending?.({ request, lease, apiKey });
    try {
      await this.#chain.send([instruction]).catch((error: unknown) => {
        throw isUnpaid(error) ? new Unpaid(error) : error;
      });
      await this.#started(request, lease, provider, asked.signal);
      const access = await this.#acknowledge(lease, provider, {
        apiKey,
        operator: offer.operator,
        modelId: hex(new Uint8Array(identity)).slice(0, MODEL_DIGITS),
        maxConcurrent: asked.maxConcurrent ?? 2,
      });
      return { lease, baseUrl: access.baseUrl, apiKey, model: access.model };
    } catch (cause) {
      if (cause instanceof Unpaid) throw cause.why;
      throw new LeaseError(cause instanceof Error ? cause.message : String(cause), request, lease, apiKey, { cause });
    }
  }

  async cancel(request: string): Promise<string> {
    const tenant = createNoopSigner(this.#chain.signer.address);
    return this.#chain.send([getCancelRequestInstruction({ tenant, request: address(request) })]);
  }

  async topUp(lease: string, seconds: number): Promise<string> {
    const { termsHash } = await this.#load(lease);
    const payer = createNoopSigner(this.#chain.signer.address);
    return this.#chain.send([getTopUpInstruction({ payer, lease: address(lease), termsHash, seconds })]);
  }

  async close(lease: string): Promise<ClosedLease> {
    const signatures: string[] = [];
    const state = await this.#load(lease);
    if (state.header.status !== ENDED) signatures.push(await this.#end(lease, state));
    // Paying out nothing is refused, and would take the end along: it is a transaction of its own.
    const ended = await this.#load(lease);
    const returned = ended.tenantDue;
    if (returned > 0n) {
      const tenant = this.#chain.signer.address;
      const sent = this.#chain.send([getWithdrawLeaseInstruction({ lease: address(lease), tenant })]);
      const signature = await sent.catch(async (error: unknown) => {
        // Its provider may pay it out in the same moment.
        if ((await this.#load(lease)).tenantDue > 0n) throw error;
      });
      if (signature !== undefined) signatures.push(signature);
    }
    return { returned, signatures };
  }

  /** Ends a lease. The reason is the one that costs whoever is at fault. */
  async #end(lease: string, state: LeaseState): Promise<string> {
    const [provider] = await findProviderPda({ authority: state.terms.provider });
    const late = (await this.#chain.slot()) >= state.acceptedSlot + BigInt(state.terms.rules.startSlots);
    const instruction = getCloseLeaseInstruction({
      closer: createNoopSigner(this.#chain.signer.address),
      provider,
      lease: address(lease),
      termsHash: state.termsHash,
      reason: state.header.status === ACCEPTED && late ? NEVER_STARTED : CLOSED_BY_TENANT,
      now: 0,
      expected: state.header.status,
    });
    return this.#chain.send([instruction]);
  }

  async #load(lease: string): Promise<LeaseState> {
    const found = await fetchMaybeLease(this.#chain.rpc, address(lease));
    if (!found.exists) throw new MythicError(`the chain has no lease ${lease}`);
    return found.data;
  }

  /** Accounts of the market of a size that hold a key at a place. */
  async #accounts(size: number, offset: number, key: Address) {
    const found = await this.#chain.rpc
      .getProgramAccounts(COMPUTE_MARKET_PROGRAM_ADDRESS, {
        commitment: "confirmed",
        encoding: "base64",
        filters: [
          { dataSize: BigInt(size) },
          { memcmp: { offset: BigInt(offset), bytes: key as string as Base58EncodedBytes, encoding: "base58" } },
        ],
      })
      .send();
    return found.map(({ pubkey, account }) => ({
      address: pubkey,
      data: new Uint8Array(getBase64Encoder().encode(account.data[0])),
      executable: account.executable,
      lamports: account.lamports,
      programAddress: account.owner,
      space: account.space,
    }));
  }

  /** Providers of a class, the cheapest first. */
  async #providers(className: string): Promise<ProviderState[]> {
    const found = await this.#accounts(getProviderSize(), PROVIDER_CLASS, await classOf(className));
    const all = found.map((account) => decodeProvider(account).data);
    return all.sort((a, b) => Number(a.price - b.price));
  }

  async #offer(asked: LeaseRequest, className: string): Promise<ProviderState> {
    const units = asked.units ?? 1;
    const all = await this.#providers(className);
    const found = asked.provider
      ? all.find(({ authority }) => authority === asked.provider)
      : all.find((one) => one.header.status === PROVIDER_ACTIVE && freeUnits(one) >= units);
    if (!found) throw new MythicError(`no provider of class ${className} has ${units} units free`);
    return found;
  }

  async #requestCompute(asked: LeaseRequest, offer: ProviderState, className: string, specHash: Uint8Array, specSource: string) {
    const market = await fetchMarketConfigFromSeeds(this.#chain.rpc);
    const { params, rulesHash } = market.data;
    const life = NONCE_SLOTS < BigInt(params.maxNonceLifeSlots) ? NONCE_SLOTS : BigInt(params.maxNonceLifeSlots);
    const expiry = (await this.#chain.slot()) + life;
    const nonce = concat([u64le(expiry), crypto.getRandomValues(new Uint8Array(8))]);
    const tenant = createNoopSigner(this.#chain.signer.address);
    const [request, bump] = await findRequestPda({ tenant: tenant.address, nonce });
    const instruction = await getRequestComputeInstructionAsync({
      payer: tenant,
      tenant,
      class: await classOf(className),
      request,
      nonce,
      kind: ENDPOINT,
      specHash,
      specSource,
      model: address(asked.model),
      units: asked.units ?? 1,
      region: "",
      isolation: PROCESS,
      provider: offer.authority,
      price: offer.price,
      seconds: asked.seconds,
      deadlineSlots: Math.min(DEADLINE_SLOTS, params.maxRequestSlots),
      rulesHash,
      bump,
    });
    return { request, instruction };
  }

  /** Waits until the provider has taken a request and started its lease. One that it declines, or does not take in time, is taken back. */
  async #started(request: Address, lease: Address, provider: Provider, signal: AbortSignal | undefined): Promise<void> {
    for (const until = Date.now() + START_MS; ; ) {
      const found = await fetchMaybeLease(this.#chain.rpc, lease);
      const status = found.exists ? found.data.header.status : ACCEPTED;
      if (status === STARTED || status === ACTIVE) return;
      if (status !== ACCEPTED) throw new MythicError("the lease has ended before it was reached; leases.close pays out what is due");
      const open = await fetchMaybeRequest(this.#chain.rpc, request);
      if (open.exists && open.data.header.status === OPEN_REQUEST) {
        const word = await provider.word(request);
        const isLate = (await this.#chain.slot()) >= open.data.deadlineSlot;
        if (word.status === "declined" || isLate) {
          await this.cancel(request);
          throw new MythicError(`the provider declines: ${word.reason || "it did not take it in time"}. The request is taken back and refunded`);
        }
      }
      if (Date.now() > until) throw new TimeoutError("the lease did not start in time; leases.close refunds it");
      await sleep(LOOK_MS, signal).catch((cause: unknown) => {
        throw new AbortedError(undefined, { cause });
      });
    }
  }

  /** Compares how a lease is reached with the chain and with what was asked for, reaches it, and says so on chain. */
  async #acknowledge(lease: Address, provider: Provider, asked: Asked): Promise<Access> {
    const state = await this.#load(lease);
    const access = await provider.access(lease, new Uint8Array(state.accessHash));
    const modelId = access.model.slice(access.model.lastIndexOf("@") + 1);
    const isAsked =
      access.lease === lease &&
      access.operator === asked.operator &&
      access.maxConcurrent >= asked.maxConcurrent &&
      modelId === asked.modelId;
    if (!isAsked) throw new MythicError("what the provider gives is not what was asked for: close the lease");
    const served = await provider.served(access.baseUrl, asked.apiKey);
    if (served !== access.model) {
      throw new MythicError(`the lease is of ${access.model}, and its endpoint serves ${served.slice(0, 100)}: close the lease`);
    }
    if (state.header.status === STARTED) {
      const tenant = createNoopSigner(this.#chain.signer.address);
      const { termsHash, accessHash } = state;
      await this.#chain.send([getAcknowledgeStartInstruction({ tenant, lease, termsHash, accessHash })]);
    }
    const after = await this.#load(lease);
    if (after.header.status !== ACTIVE) throw new MythicError("the lease is not active");
    return access;
  }
}

/** What an endpoint has to be. */
interface Asked {
  apiKey: string;
  operator: string;
  /** First digits of the model's identity. */
  modelId: string;
  maxConcurrent: number;
}

/** Whether a transaction surely did not move money: unsigned, or refused by the program. Any other failure may have reached the chain. */
function isUnpaid(error: unknown): error is Error {
  if (error instanceof WalletRefusedError) return true;
  return error instanceof ChainRefusedError && (error.programError !== undefined || error.signature !== undefined);
}

/** No money has moved. */
class Unpaid {
  constructor(readonly why: Error) {}
}

/** The address of a class by its name: a length byte, the text, zeroes. */
async function classOf(name: string): Promise<Address> {
  const text = utf8(name);
  if (text.length >= CLASS_BYTES) throw new RangeError(`${name} is no name of a class`);
  const bytes = new Uint8Array(CLASS_BYTES);
  bytes[0] = text.length;
  bytes.set(text, 1);
  const [found] = await findClassPda({ name: bytes });
  return found;
}

const freeUnits = ({ units, leased }: ProviderState): number => Math.max(0, units - leased);

function offerOf(state: ProviderState, className: string): Offer {
  const { authority, price, endpoint, region, proved, missed, refuted } = state;
  return { provider: authority, className, price, freeUnits: freeUnits(state), endpoint, region, proved, missed, refuted };
}

function leaseOf(account: Address, state: LeaseState): Lease {
  const { terms, deposited, escrow, pending, paid, burned, refunded, missed } = state;
  return {
    address: account,
    provider: terms.provider,
    status: STATUS[state.header.status] ?? String(state.header.status),
    units: terms.units,
    price: terms.price,
    endsAt: state.endsAt === 0n ? null : state.endsAt,
    deposited,
    escrow,
    pending,
    paid,
    burned,
    refunded,
    missed,
  };
}
