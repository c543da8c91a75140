/**
 * What a wallet does for the client, without a word about how: `@mythic/ai-sdk/wallet` makes one of a Wallet Standard wallet or of a
 * key, and needs @solana/kit for it.
 */

import type { MessageSigner } from "../http/signed.js";
import type { Estimate, Schemas } from "../wire/types.js";
import type { Leases } from "./leases.js";

/** What a job is to be paid for. */
export interface PaymentRequest {
  /** Of `POST /v1/estimate`, for exactly the request that is paid. */
  estimate: Estimate;
  /** The request's seed, if it has one. */
  seed: number | undefined;
}

/** A prepaid balance on chain. */
export interface Vault {
  address: string;
  /** Lamports that can be spent or withdrawn. */
  balance: bigint;
  /** Lamports that open jobs hold. */
  held: bigint;
  openJobs: number;
  /** Lamports paid for jobs in total. */
  spent: bigint;
}

/** Leave for a delegate, such as an API key's, to spend from the wallet's vault. The chain enforces every limit. */
export interface GrantLimits {
  /** Who may spend, base58: `delegate` of an API key. */
  delegate: string;
  /** Most lamports of one job. */
  perJob: bigint;
  /** Most lamports in one window. */
  perWindow: bigint;
  /** Length of a window in slots; 216,000 without it, a day at 400 ms a slot. */
  windowSlots?: number;
  /** Most lamports ever. */
  lifetime: bigint;
  /** Slots from now until the grant ends. */
  validSlots: bigint;
  /** Addresses of up to four models; without it all. */
  models?: readonly string[];
}

/** A grant as the chain holds it. */
export interface Grant {
  address: string;
  delegate: string;
  isActive: boolean;
  perJob: bigint;
  perWindow: bigint;
  windowSlots: number;
  /** Lamports spent and held in the window that `windowStart` began. */
  windowSpent: bigint;
  windowStart: bigint;
  lifetime: bigint;
  /** Lamports spent and held ever. */
  lifetimeSpent: bigint;
  expirySlot: bigint;
  openJobs: number;
}

/** A wallet of the client. Transactions are signed by the wallet, sent, and waited for until they are confirmed. */
export interface Wallet extends MessageSigner {
  /** Whose vault `pay` spends from, base58, if it is not the wallet's own. */
  readonly owner?: string;
  /** Signs a job's request, which the gateway passes on to the validator that takes it. */
  pay(request: PaymentRequest): Promise<Schemas["Payment"]>;
  /** The vault, or null before the first deposit. */
  vault(): Promise<Vault | null>;
  /** Deposits lamports into the vault, which the first deposit makes. Resolves with the signature. */
  deposit(lamports: bigint): Promise<string>;
  /** Takes lamports out of the vault. */
  withdraw(lamports: bigint): Promise<string>;
  /** Lets a delegate spend, or sets its limits anew; what it spent counts on. */
  grant(limits: GrantLimits): Promise<string>;
  /** A delegate's grant, or null. */
  grantOf(delegate: string): Promise<Grant | null>;
  /** Ends a grant. */
  revokeGrant(delegate: string): Promise<string>;
  /** Capacity that the wallet leases. */
  readonly leases: Leases;
}
