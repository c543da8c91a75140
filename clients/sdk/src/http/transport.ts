/** One place for every request: address, headers, time, retries, errors. */

import { AbortedError, apiError, ConnectionError, type ErrorDetail, MythicError, ProtocolError, TimeoutError } from "../errors.js";
import { parseJson, stringify } from "../wire/json.js";
import { VERSION } from "../version.js";
import { LONGEST_WAIT_MS, mayRetry, pauseMs, retryAfterMs, sleep } from "./retry.js";

/** `fetch` as the SDK uses it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** What a caller may say about one request. */
export interface RequestOptions {
  /** Ends the request. */
  signal?: AbortSignal;
  /** Milliseconds until an answer has come, whole or, of a stream, its first byte. */
  timeoutMs?: number;
  /** Times that it is sent again by itself. */
  maxRetries?: number;
}

/** How the gateway is reached. */
export interface TransportOptions {
  gatewayUrl: string;
  apiKey: string | undefined;
  fetch: Fetch;
  headers: Readonly<Record<string, string>>;
  maxRetries: number;
}

/** A request of the SDK. */
export interface Call extends RequestOptions {
  method: "GET" | "POST" | "DELETE";
  /** From its first slash. */
  path: string;
  query?: Readonly<Record<string, string | number | undefined>>;
  body?: unknown;
  /** Kept across attempts. */
  idempotencyKey?: string;
  /** How often it was sent before: the gateway joins a repeat to the request that still runs. */
  sentBefore?: number;
  /** Sent twice it would be done twice: it is not sent again where nobody knows whether it arrived. */
  once?: true;
  accept?: string;
  /** Statuses beside 2xx whose body is an answer and no error. */
  takes?: readonly number[];
  /** Headers of each attempt anew: a signed request is taken once. */
  sign?: (request: { method: string; path: string; body: string }) => Promise<Record<string, string>>;
}

/** Time for an answer that no validator has to compute. */
export const READ_TIMEOUT_MS = 60_000;

export class Transport {
  readonly #options: TransportOptions;
  readonly gatewayUrl: string;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.gatewayUrl = options.gatewayUrl;
  }

  /** The JSON of an answer. */
  async json(call: Call): Promise<unknown> {
    return readJson(await this.request(call, "whole"));
  }

  /**
   * The answer, once its status is a good one. `until` says what has to come within the time: the whole body, or its head, after which
   * a stream has a time of its own.
   */
  async request(call: Call, until: "whole" | "head"): Promise<Response> {
    const retries = call.maxRetries ?? this.#options.maxRetries;
    for (let attempt = 0; ; attempt++) {
      const outcome = await this.#attempt(call, until, attempt);
      if (outcome instanceof Response) return outcome;
      const { error, waitMs } = outcome;
      if (attempt >= retries || waitMs > LONGEST_WAIT_MS) throw error;
      await sleep(Math.max(waitMs, pauseMs(attempt)), call.signal).catch((cause: unknown) => {
        throw new AbortedError(undefined, { cause });
      });
    }
  }

  /** Sends it once. What sending again may mend is returned, every other failure thrown. */
  async #attempt(call: Call, until: "whole" | "head", attempt: number): Promise<Response | Passing> {
    const path = call.path + queryString(call.query);
    const body = call.body === undefined ? "" : stringify(call.body);
    const timeoutMs = call.timeoutMs ?? READ_TIMEOUT_MS;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), timeoutMs);
    const signal = call.signal ? AbortSignal.any([call.signal, late.signal]) : late.signal;
    try {
      const headers = { ...this.#headers(call, attempt), ...(await call.sign?.({ method: call.method, path, body })) };
      const sent: RequestInit = { method: call.method, headers, signal };
      if (call.body !== undefined) sent.body = body;
      const response = await this.#options.fetch(this.gatewayUrl + path, sent);
      if (!response.ok && !call.takes?.includes(response.status)) return await refused(response);
      return until === "head" ? response : await buffered(response);
    } catch (cause) {
      if (call.signal?.aborted) throw new AbortedError(undefined, { cause });
      if (cause instanceof MythicError) throw cause;
      const lost = late.signal.aborted
        ? new TimeoutError(`no answer from ${this.gatewayUrl} in ${timeoutMs} ms`, { cause })
        : new ConnectionError(`${this.gatewayUrl} can't be reached: ${describe(cause)}`, { cause });
      if (call.once) throw lost;
      return passing(lost);
    } finally {
      clearTimeout(timer);
    }
  }

  #headers(call: Call, attempt: number): Record<string, string> {
    const headers: Record<string, string> = {
      ...this.#options.headers,
      accept: call.accept ?? "application/json",
      "x-mythic-client": `mythic-ai-sdk/${VERSION}`,
    };
    if (call.body !== undefined) headers["content-type"] = "application/json";
    if (this.#options.apiKey && !call.sign) headers["authorization"] = `Bearer ${this.#options.apiKey}`;
    if (call.idempotencyKey) headers["idempotency-key"] = call.idempotencyKey;
    const before = (call.sentBefore ?? 0) + attempt;
    if (before > 0) headers["x-stainless-retry-count"] = String(before);
    return headers;
  }
}

/** A failure that may be none the next time. */
interface Passing {
  error: MythicError;
  /** How long the gateway asks to wait. */
  waitMs: number;
}

function passing(error: MythicError, waitMs = 0): Passing {
  return { error, waitMs };
}

/** Throws what a status other than 2xx stands for, or returns it where it may pass. */
async function refused(response: Response): Promise<Passing> {
  const text = await response.text().catch(() => "");
  const wait = retryAfterMs(response.headers, Date.now());
  const id = response.headers.get("x-request-id");
  const error = apiError(response.status, detailOf(text, response), {
    ...(id !== null && { requestId: id }),
    ...(wait !== undefined && { retryAfterMs: wait }),
  });
  if (!mayRetry(response.status, response.headers)) throw error;
  return passing(error, wait);
}

function detailOf(text: string, response: Response): ErrorDetail {
  try {
    const body = parseJson(text) as { error?: unknown } | null;
    const error = body?.error;
    if (typeof error === "object" && error !== null && "message" in error) return error as ErrorDetail;
  } catch {
    // A proxy's page, or nothing: the status has to do.
  }
  const said = text.trim().slice(0, 200);
  return { message: `HTTP ${response.status} ${response.statusText}${said ? `: ${said}` : ""}` };
}

async function buffered(response: Response): Promise<Response> {
  const body = await response.arrayBuffer();
  return new Response(response.status === 204 ? null : body, response);
}

async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  try {
    return parseJson(text);
  } catch (cause) {
    throw new ProtocolError(`the answer of ${response.url || "the gateway"} is not JSON: ${text.slice(0, 100)}`, { cause });
  }
}

export function queryString(query: Call["query"]): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
  return given.length > 0 ? `?${new URLSearchParams(given)}` : "";
}

function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // Node's fetch says only "fetch failed", and why in its cause.
  return cause.cause instanceof Error ? cause.cause.message : cause.message;
}
