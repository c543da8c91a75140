/** AI inference that is paid, fingerprinted and settled on chain, and can be checked by whoever paid for it. */

export { MythicAI, type EstimateOptions, type MythicOptions } from "./client.js";
export type { Answer, ReceiptReference } from "./chat/answer.js";
export type {
  AnswerOptions,
  ChatInput,
  ChatOptions,
  CompletionMessage,
  CompletionParameters,
  ConversationOptions,
  Message,
  PaymentOptions,
  ResponseFormat,
  Tool,
  ToolCall,
} from "./chat/request.js";
export { CompletionStream, TextStream } from "./chat/stream.js";
export * from "./errors.js";
export type { EventsOptions, FeedEvent, FeedGap, Topic } from "./events/events.js";
export type { MessageSigner } from "./http/signed.js";
export type { Fetch, RequestOptions } from "./http/transport.js";
export type { JobCost, JobsOptions } from "./resources/jobs.js";
export type { Commitment, List, ListOptions } from "./resources/lists.js";
export type { LeasesOptions, ProvidersOptions } from "./resources/market.js";
export type { CasesOptions, Statistics } from "./resources/network.js";
export { assertVerified, type VerifyOptions } from "./resources/receipts.js";
export { type Check, type Expected, type Subject, type Verification, verify } from "./verify/verify.js";
export { VERSION } from "./version.js";
export type { Grant, GrantLimits, PaymentRequest, Vault, Wallet } from "./wallet/contract.js";
export type { ClosedLease, Lease, LeasedEndpoint, LeaseRequest, Leases, Offer, PendingLease } from "./wallet/leases.js";
export { stringify } from "./wire/json.js";
export { toSol } from "./wire/shape.js";
export type {
  ApiKey,
  CapacityClass,
  CapacityRequest,
  Case,
  CaseDetails,
  ChatCompletion,
  ChatCompletionChunk,
  Credit,
  Estimate,
  Evidence,
  Health,
  Job,
  JobDetails,
  LeaseDispute,
  LeaseEpoch,
  ListedLease,
  ListedLeaseDetails,
  MarketOverview,
  Model,
  ModelPrice,
  Network,
  Page,
  Provider,
  Receipt,
  Usage,
  Validator,
} from "./wire/types.js";
