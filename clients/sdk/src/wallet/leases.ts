/** Leases of capacity, as a tenant sees them (docs/leases.md). */

/** A provider that leases capacity out. */
export interface Offer {
  /** Authority of the provider. */
  provider: string;
  /** Class of capacity, for example `cpu`. */
  className: string;
  /** Lamports a second of one unit. */
  price: bigint;
  freeUnits: number;
  endpoint: string;
  region: string;
  /** Proofs that it made, missed, and had refuted. */
  proved: bigint;
  missed: bigint;
  refuted: bigint;
}

/** A lease, and where its money is. */
export interface Lease {
  address: string;
  provider: string;
  /** `accepted`, `started`, `active`, `closing` or `ended`. */
  status: string;
  units: number;
  /** Lamports a second of one unit. */
  price: bigint;
  /** When it ends, Unix seconds; null before its start. */
  endsAt: bigint | null;
  /** Lamports paid in. */
  deposited: bigint;
  /** Lamports not used yet. */
  escrow: bigint;
  /** Lamports proved and not yet paid. */
  pending: bigint;
  /** Lamports paid to the provider. */
  paid: bigint;
  burned: bigint;
  refunded: bigint;
  /** Epochs without a proof. */
  missed: bigint;
}

/** What is leased. */
export interface LeaseRequest {
  /** Authority of the provider, as `offers()` gives it; without one the cheapest of the class with room. */
  provider?: string;
  /** `cpu` without it. */
  className?: string;
  /** Address of the model's account. */
  model: string;
  /** 1 to 8; 1 without it. */
  units?: number;
  /** Seconds to pay for. */
  seconds: number;
  /** Answers at once; 2 without it. */
  maxConcurrent?: number;
  /**
   * Ends the waiting with a `LeaseError` that names request and lease. What was paid is in the request until `cancel`, and once a provider
   * has taken it in the lease until `close`.
   */
  signal?: AbortSignal;
  /** Called before the money moves, so that request, lease and key can be kept: whoever loses the key loses the endpoint. */
  onPending?: (pending: PendingLease) => void | Promise<void>;
}

/** A lease that is about to be paid for. */
export interface PendingLease {
  /** The request's address. */
  request: string;
  /** The address of the lease that it becomes. */
  lease: string;
  /** The key of the endpoint, which nobody else has. */
  apiKey: string;
}

/** A lease that runs. */
export interface LeasedEndpoint {
  lease: string;
  /** OpenAI base URL. */
  baseUrl: string;
  /** The key that only the tenant has. */
  apiKey: string;
  model: string;
}

/** What came of closing a lease. */
export interface ClosedLease {
  /** Lamports that were paid out to the wallet. What is pending is the provider's, unless its proof is refuted: close it again then. */
  returned: bigint;
  /** Of the transactions that were sent: the end, the payment, or both. */
  signatures: string[];
}

/** What a tenant does. */
export interface Leases {
  /** Who leases out capacity of a class, the cheapest first; `cpu` without it. */
  offers(className?: string): Promise<Offer[]>;
  /** The wallet's leases. */
  list(): Promise<Lease[]>;
  get(lease: string): Promise<Lease | null>;
  /**
   * Pays for an endpoint, waits until its provider serves it, compares how it is reached with the chain and its model with the one asked
   * for, tries it under the key, acknowledges. What fails once money may have moved is a `LeaseError`.
   */
  request(request: LeaseRequest): Promise<LeasedEndpoint>;
  /** Takes a request back that no provider has taken. */
  cancel(request: string): Promise<string>;
  /** Adds seconds at the same price. */
  topUp(lease: string, seconds: number): Promise<string>;
  /** Ends a lease, unless it has ended, and has paid out what is due to the wallet: what was not used comes back. */
  close(lease: string): Promise<ClosedLease>;
}
