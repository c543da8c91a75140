/** The Compute Market as everybody sees it: who offers capacity, who asks for it, what is leased. Leasing is `leases` of a wallet. */

import type { RequestOptions, Transport } from "../http/transport.js";
import type {
  CapacityClass,
  CapacityRequest,
  LeaseDispute,
  LeaseEpoch,
  ListedLease,
  ListedLeaseDetails,
  MarketOverview,
  Provider,
  Schemas,
} from "../wire/types.js";
import { type Commitment, get, list, type List, type ListOptions } from "./lists.js";

/** Which providers a list holds. */
export interface ProvidersOptions extends ListOptions {
  /** Of this class, by its name or address. */
  class?: string;
}

/** Which requests or leases a list holds. */
export interface LeasesOptions extends ListOptions {
  status?: string;
  tenant?: string;
  /** Its authority. */
  provider?: string;
  /** Name or address. */
  class?: string;
}

type ReadOptions = RequestOptions & { commitment?: Commitment };

export class Market {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Capacity, requests, leases, and where all lamports of them are. */
  show(options: RequestOptions = {}): Promise<MarketOverview> {
    return get<Schemas["Market"]>(this.#transport, "/v1/market", { ...options });
  }

  /** Providers, newest first. */
  providers(options: ProvidersOptions = {}): List<Provider> {
    return list<Provider>(this.#transport, "/v1/providers", { ...options }, ({ id }) => id);
  }

  /** A provider by its authority or its account's address. */
  provider(id: string, options: ReadOptions = {}): Promise<Provider> {
    return get<Schemas["Provider"]>(this.#transport, `/v1/providers/${encodeURIComponent(id)}`, { ...options });
  }

  /** Classes of capacity. */
  classes(options: ListOptions = {}): List<CapacityClass> {
    return list<CapacityClass>(this.#transport, "/v1/classes", { ...options }, ({ id }) => id);
  }

  /** Requests for capacity, newest first. */
  requests(options: LeasesOptions = {}): List<CapacityRequest> {
    return list<CapacityRequest>(this.#transport, "/v1/requests", { ...options }, ({ id }) => id);
  }

  /** One request for capacity. */
  request(id: string, options: ReadOptions = {}): Promise<CapacityRequest> {
    return get<Schemas["LeaseRequest"]>(this.#transport, `/v1/requests/${encodeURIComponent(id)}`, { ...options });
  }

  /** Leases of everybody, newest first. */
  leases(options: LeasesOptions = {}): List<ListedLease> {
    return list<ListedLease>(this.#transport, "/v1/leases", { ...options }, ({ id }) => id);
  }

  /** A lease with its newest epochs and what happened. */
  lease(id: string, options: ReadOptions = {}): Promise<ListedLeaseDetails> {
    return get<Schemas["LeaseDetails"]>(this.#transport, leasePath(id), { ...options });
  }

  /** Epochs of a lease, newest first. */
  epochs(lease: string, options: ListOptions = {}): List<LeaseEpoch> {
    return list<LeaseEpoch>(this.#transport, `${leasePath(lease)}/epochs`, { ...options }, ({ epoch }) => String(epoch));
  }

  /** Disputes about proofs of a lease, newest first. */
  disputes(lease: string, options: ListOptions = {}): List<LeaseDispute> {
    return list<LeaseDispute>(this.#transport, `${leasePath(lease)}/disputes`, { ...options }, ({ number }) => String(number));
  }
}

const leasePath = (id: string): string => `/v1/leases/${encodeURIComponent(id)}`;
