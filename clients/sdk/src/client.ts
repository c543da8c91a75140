/** The client. */

import type { Answer } from "./chat/answer.js";
import {
  type AnswerOptions,
  answerParameters,
  type ChatBody,
  type ChatInput,
  type ChatOptions,
  type CompletionMessage,
  type CompletionParameters,
  type ConversationOptions,
  conversationParameters,
  messagesOf,
  type PaymentOptions,
  splitParameters,
} from "./chat/request.js";
import { collect, CompletionStream, TextStream } from "./chat/stream.js";
import { checkTerms, expectedOf } from "./chat/terms.js";
import { MythicError } from "./errors.js";
import { Events, type EventsOptions, type FeedEvent, type FeedGap } from "./events/events.js";
import { type Call, type Fetch, type RequestOptions, Transport } from "./http/transport.js";
import { Jobs } from "./resources/jobs.js";
import { Credits, Keys } from "./resources/keys.js";
import { get, type List, list, type ListOptions } from "./resources/lists.js";
import { Market } from "./resources/market.js";
import { Cases, type Statistics, statistics, Validators } from "./resources/network.js";
import { Receipts } from "./resources/receipts.js";
import { hex } from "./verify/bytes.js";
import type { Expected } from "./verify/verify.js";
import type { Wallet } from "./wallet/contract.js";
import type { Leases } from "./wallet/leases.js";
import { shape, withAmounts } from "./wire/shape.js";
import type { ChatCompletion, Estimate, Health, JobDetails, Model, ModelPrice, Network, Schemas } from "./wire/types.js";

/** How a client reaches its gateway. */
export interface MythicOptions {
  /** For example `http://127.0.0.1:4002`; with or without `/v1`. */
  gatewayUrl: string;
  /** A key of the gateway, `mk-…`. A development network on this machine needs none. */
  apiKey?: string;
  /** The model of requests that name none; without it the gateway's default. */
  model?: string;
  /** A wallet of `@mythic/ai-sdk/wallet`, for keys, credit, leases and own transactions. */
  wallet?: Wallet;
  /** JSON-RPC of the chain, with which receipts are verified. */
  rpcUrl?: string;
  /** Milliseconds for an answer; 600,000 without it. Everything else has a minute. */
  timeoutMs?: number;
  /** Times that a request is sent again by itself; 3 without it. */
  maxRetries?: number;
  /** Instead of the platform's `fetch`. */
  fetch?: Fetch;
  /** Sent with every request. */
  headers?: Readonly<Record<string, string>>;
}

/** Options of `estimate`: what of a request its price or terms depend on. */
export interface EstimateOptions extends Omit<AnswerOptions, "maxTokens" | "seed">, ConversationOptions, RequestOptions {
  /** Number of choices. */
  n?: number;
}

const ANSWER_TIMEOUT_MS = 600_000;
const MAX_RETRIES = 3;

/** A client of one gateway. */
export class MythicAI {
  readonly jobs: Jobs;
  readonly receipts: Receipts;
  readonly validators: Validators;
  readonly cases: Cases;
  /** The Compute Market as everybody sees it; `leases` are the wallet's own. */
  readonly market: Market;
  readonly keys: Keys;
  readonly credit: Credits;
  readonly #transport: Transport;
  readonly #events: Events;
  readonly #options: MythicOptions;

  constructor(options: MythicOptions) {
    const fetch: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
    this.#options = options;
    this.#transport = new Transport({
      gatewayUrl: rootOf(options.gatewayUrl),
      apiKey: options.apiKey,
      fetch,
      headers: options.headers ?? {},
      maxRetries: options.maxRetries ?? MAX_RETRIES,
    });
    this.#events = new Events(this.#transport);
    this.jobs = new Jobs(this.#transport, this.#events, options.wallet);
    this.receipts = new Receipts(this.jobs, { rpcUrl: options.rpcUrl, fetch });
    this.validators = new Validators(this.#transport);
    this.cases = new Cases(this.#transport);
    this.market = new Market(this.#transport);
    this.keys = new Keys(this.#transport, options.wallet);
    this.credit = new Credits(this.#transport, options.wallet);
  }

  /** Capacity that the client's wallet leases. */
  get leases(): Leases {
    return this.#wallet().leases;
  }

  /**
   * The answer to a prompt or conversation. It comes as a stream underneath, so that a line that breaks is joined again, and an answer
   * that is aborted has a job to ask about.
   *
   * @example
   * const answer = await ai.chat("Explain zero-knowledge proofs in one sentence.");
   * console.log(answer.output, answer.costSol);
   */
  async chat(input: ChatInput, options: ChatOptions = {}): Promise<Answer> {
    const body = chatBody(input, options);
    return collect(this.#chunks(body, options), this.#expected(body, options));
  }

  /**
   * The same as it is made: `for await (const text of ai.stream("…"))`. `final()` gives the whole answer with its receipt,
   * `toReadableStream()` the text for a Response.
   */
  stream(input: ChatInput, options: ChatOptions = {}): TextStream {
    const body = chatBody(input, options);
    return new TextStream(this.#chunks(body, options), this.#expected(body, options));
  }

  /** OpenAI's chat completions: parameters and answers by OpenAI's names. */
  chatCompletions(messages: readonly CompletionMessage[], parameters: CompletionParameters & { stream: true }): CompletionStream;
  chatCompletions(messages: readonly CompletionMessage[], parameters?: CompletionParameters & { stream?: false }): Promise<ChatCompletion>;
  chatCompletions(
    messages: readonly CompletionMessage[],
    parameters: CompletionParameters & { stream?: boolean } = {},
  ): CompletionStream | Promise<ChatCompletion> {
    const { stream, ...asked } = parameters;
    const { body, options } = splitParameters(asked);
    const request: ChatBody = { ...body, messages: [...messages] };
    return stream ? this.#chunks(request, options) : this.#completion(request, options);
  }

  /** What a request would cost, for a prompt or a conversation and the most tokens of its answer. */
  async estimate(input: ChatInput, maxTokens?: number, options: EstimateOptions = {}): Promise<Estimate> {
    const conversation = conversationParameters(options);
    const isPrompt = typeof input === "string" && options.system === undefined && Object.keys(conversation).length === 0;
    const body = {
      ...this.#model(),
      ...answerParameters(options),
      ...conversation,
      ...(isPrompt ? { prompt: input } : { messages: messagesOf(input, options.system) }),
      ...(maxTokens !== undefined && { max_tokens: maxTokens }),
      ...(options.n !== undefined && { n: options.n }),
    };
    return this.#estimate(body, aboutOf(options));
  }

  /** Buys an answer that is fetched later: `jobs.get(job.id)` has its `output` for 24 hours. Any validator may take it. */
  submit(prompt: string, options: Omit<ChatOptions, keyof ConversationOptions | "pay" | "maxLamports"> = {}): Promise<JobDetails> {
    const { maxTokens, idempotencyKey = newKey(), ...rest } = options;
    const body = {
      ...this.#model(),
      ...answerParameters(rest),
      prompt,
      ...(maxTokens !== undefined && { max_tokens: maxTokens }),
    };
    return this.jobs.open(body, idempotencyKey, aboutOf(rest));
  }

  /** The network at a glance. */
  network(options: RequestOptions = {}): Promise<Network> {
    return get<Schemas["Network"]>(this.#transport, "/v1/network", { ...options });
  }

  /** Models that the gateway serves; `isDefault` marks the one of requests that name none. */
  async models(options: RequestOptions = {}): Promise<Model[]> {
    return (await list<Model>(this.#transport, "/v1/models", { ...options }, ({ id }) => id)).data;
  }

  /** One model, by its id or name. */
  model(id: string, options: RequestOptions = {}): Promise<Model> {
    return get<Schemas["Model"]>(this.#transport, `/v1/models/${encodeURIComponent(id)}`, { ...options });
  }

  /** What a model cost and from which block on, newest first. */
  prices(model: string, options: Omit<ListOptions, "commitment"> = {}): List<ModelPrice> {
    return list<ModelPrice>(this.#transport, `/v1/models/${encodeURIComponent(model)}/prices`, { ...options }, ({ slot }) => String(slot));
  }

  /** Rows of a statistic, newest first. */
  stats<Name extends keyof Statistics>(name: Name, options: ListOptions = {}): List<Statistics[Name]> {
    return statistics(this.#transport, name, options);
  }

  /** Whether the gateway and what it stands on work. One that is down answers too. */
  async health(options: RequestOptions = {}): Promise<Health> {
    const call: Call = { method: "GET", path: "/health", takes: [503], ...options };
    return shape<Schemas["Health"]>(await this.#transport.json(call));
  }

  /** What happens on the network: resumed after every break; what is missing is told as a gap, what did not hold as a retraction. */
  events(options: EventsOptions = {}): AsyncGenerator<FeedEvent | FeedGap> {
    return this.#events.follow(options);
  }

  #chunks(body: ChatBody, options: PaymentOptions & RequestOptions): CompletionStream {
    const streamed = { ...body, stream: true, stream_options: { include_usage: true, ...body.stream_options } };
    const rejoins = options.maxRetries ?? this.#options.maxRetries ?? MAX_RETRIES;
    let opened: Promise<Call> | undefined;
    const open = (): Promise<Call> => (opened ??= this.#call(streamed, options, "text/event-stream"));
    return new CompletionStream(this.#transport, open, { rejoins });
  }

  /** What an answer's job has to be, as far as the client knows it. */
  #expected(body: ChatBody, { pay }: PaymentOptions): Expected {
    const { wallet } = this.#options;
    return expectedOf({ ...this.#model(), ...body }, pay === "wallet" ? (wallet?.owner ?? wallet?.address) : undefined);
  }

  async #completion(body: ChatBody, options: PaymentOptions & RequestOptions): Promise<ChatCompletion> {
    return withAmounts<Schemas["ChatCompletion"]>(await this.#transport.json(await this.#call(body, options)));
  }

  /** A request for an answer, with what pays for it. Its body is made once: all attempts are the same request. */
  async #call(body: ChatBody, options: PaymentOptions & RequestOptions, accept?: string): Promise<Call> {
    const { pay, maxLamports, idempotencyKey = newKey(), ...about } = options;
    const named = { ...this.#model(), ...body };
    if (maxLamports !== undefined && pay !== "wallet") throw new TypeError('maxLamports goes with pay: "wallet"; a grant bounds what a key spends');
    const paid = pay === "wallet" ? { ...named, mythic: await this.#pay(named, maxLamports, about) } : named;
    return {
      method: "POST",
      path: "/v1/chat/completions",
      body: paid,
      idempotencyKey,
      timeoutMs: this.#options.timeoutMs ?? ANSWER_TIMEOUT_MS,
      ...(accept !== undefined && { accept }),
      ...about,
    };
  }

  /** An own transaction for a request: its terms are those of an estimate of the same request, and what they say is compared with it. */
  async #pay(body: ChatBody, maxLamports: bigint | undefined, about: RequestOptions): Promise<Schemas["Payment"]> {
    const wallet = this.#wallet();
    // The terms bind whatever tokens are chosen by: all goes along but what the answer alone is made of.
    const { seed, n, stream, stream_options, logprobs, top_logprobs, user, store, metadata, max_completion_tokens, ...rest } = body;
    const asked = { ...rest, max_tokens: max_completion_tokens ?? body.max_tokens };
    const estimate = await this.#estimate(asked, about);
    if (estimate.terms.validator != null) checkTerms(estimate, body, maxLamports);
    return wallet.pay({ estimate, seed: seed ?? undefined });
  }

  async #estimate(body: Schemas["EstimateBody"], about: RequestOptions): Promise<Estimate> {
    return shape<Schemas["Estimate"]>(await this.#transport.json({ method: "POST", path: "/v1/estimate", body, ...about }));
  }

  #model(): { model?: string } {
    return this.#options.model === undefined ? {} : { model: this.#options.model };
  }

  #wallet(): Wallet {
    const { wallet } = this.#options;
    if (!wallet) throw new MythicError("this needs a wallet: new MythicAI({ gatewayUrl, wallet })");
    return wallet;
  }
}

function chatBody(input: ChatInput, options: ChatOptions): ChatBody {
  return {
    ...answerParameters(options),
    ...conversationParameters(options),
    messages: messagesOf(input, options.system),
    ...(options.maxTokens !== undefined && { max_completion_tokens: options.maxTokens }),
  };
}

/** The gateway's root: people paste the base URL of OpenAI clients. */
function rootOf(url: string): string {
  const root = new URL(url);
  if (root.protocol !== "http:" && root.protocol !== "https:") throw new TypeError(`gatewayUrl must be http or https: ${url}`);
  return `${root.origin}${root.pathname}`.replace(/\/+$/, "").replace(/\/v1$/, "");
}

const newKey = (): string => `mythic-${hex(crypto.getRandomValues(new Uint8Array(16)))}`;

function aboutOf({ signal, timeoutMs, maxRetries }: RequestOptions): RequestOptions {
  return {
    ...(signal !== undefined && { signal }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(maxRetries !== undefined && { maxRetries }),
  };
}
