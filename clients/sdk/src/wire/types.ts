/** The API's types by their names, as the SDK shows them. */

import type { components } from "../generated/api.js";
import type { Shaped, WithAmounts } from "./shape.js";

/** What the gateway's schema says, as it is on the wire. */
export type Schemas = components["schemas"];

/** A page of a list. */
export interface Page<T> {
  data: T[];
  /** Whether more follow the last of these. */
  hasMore: boolean;
}

/** A job: status, amounts, hashes. What is not known yet is null. */
export type Job = Shaped<Schemas["Job"]>;
/** A job with the case about its result, and its answer where the key that paid asks within 24 hours. */
export type JobDetails = Shaped<Schemas["JobDetails"]>;
/** What was paid to whom for a job, and every attempt of the request it belongs to. */
export type Receipt = Shaped<Schemas["Receipt"]>;
/** What proves a fingerprint. It holds the prompt. */
export type Evidence = Schemas["Evidence"];
/** A model with its price, context and validators. */
export type Model = Shaped<Schemas["Model"]>;
/** The network at a glance. */
export type Network = Shaped<Schemas["Network"]>;
/** A validator as it is registered, with what it announces of itself. */
export type Validator = Shaped<Schemas["Validator"]>;
/** A case about a result. */
export type Case = Shaped<Schemas["Case"]>;
/** A case with its claims, jurors and what was shown. */
export type CaseDetails = Shaped<Schemas["CaseDetails"]>;
/** An API key; the key itself is there when it is made, and never again. */
export type ApiKey = Shaped<Schemas["ApiKey"]>;
/** What a wallet has prepaid for fees and rent. */
export type Credit = Shaped<Schemas["Credit"]>;
/** Whether the gateway and what it stands on work. */
export type Health = Shaped<Schemas["Health"]>;
/** What a request would cost, and what a client needs to pay for it by its own transaction. */
export type Estimate = Shaped<Schemas["Estimate"]>;

/** The prices of a model from a block on. */
export type ModelPrice = Shaped<Schemas["ModelPrice"]>;
/** The Compute Market at a glance. */
export type MarketOverview = Shaped<Schemas["Market"]>;
/** A provider of capacity as it is registered. */
export type Provider = Shaped<Schemas["Provider"]>;
/** A class of capacity. */
export type CapacityClass = Shaped<Schemas["Class"]>;
/** A request for capacity. */
export type CapacityRequest = Shaped<Schemas["LeaseRequest"]>;
/** A lease as the gateway's index has it; a wallet's own, as the chain has it, is `Lease`. */
export type ListedLease = Shaped<Schemas["Lease"]>;
/** A lease with its newest epochs and what happened. */
export type ListedLeaseDetails = Shaped<Schemas["LeaseDetails"]>;
/** An epoch of a lease. */
export type LeaseEpoch = Shaped<Schemas["LeaseEpoch"]>;
/** A dispute about a proof of a lease. */
export type LeaseDispute = Shaped<Schemas["LeaseDispute"]>;

/** A whole answer in OpenAI's shape. */
export type ChatCompletion = WithAmounts<Schemas["ChatCompletion"]>;
/** One event of a stream in OpenAI's shape. */
export type ChatCompletionChunk = WithAmounts<Schemas["ChatCompletionChunk"]>;
/** Tokens of a request. */
export type Usage = Schemas["Usage"];
