/** The feed: what happens on the network, resumed after every break, with what is missing said. */

import { AbortedError, ConnectionError, GoneError, MythicError, ProtocolError } from "../errors.js";
import { chunksOf } from "../http/body.js";
import { pauseMs, sleep } from "../http/retry.js";
import { serverSentEvents } from "../http/sse.js";
import type { Transport } from "../http/transport.js";
import { parseJson } from "../wire/json.js";
import { shape } from "../wire/shape.js";
import type { Schemas } from "../wire/types.js";

/** What the feed is about. */
export type Topic = "jobs" | "results" | "disputes" | "validators" | "settlements" | "leases" | "network";

/** Which events are followed. */
export interface EventsOptions {
  /** All without it. */
  topics?: readonly Topic[];
  /** Everything after this number; without it what comes from now on. */
  after?: number;
  /** Only this account. */
  entity?: string;
  /** Only this job and its case. */
  job?: string;
  validator?: string;
  owner?: string;
  model?: string;
  /** Only this lease, with its request, epochs and disputes. */
  lease?: string;
  /** Only this request for capacity. */
  request?: string;
  tenant?: string;
  /** Authority of a provider of capacity. */
  provider?: string;
  signal?: AbortSignal;
  /**
   * What happens when the events after `after` are no longer kept: `throw` a GoneError (default), or `skip` to what comes from now on,
   * with a gap that says so.
   */
  whenExpired?: "throw" | "skip";
  /** Times in a row that the feed may fail to connect before that is an error; without it there is no end. */
  maxFailures?: number;
}

/** Something that happened. */
export interface FeedEvent {
  /**
   * `add`: a state change. `confirm` and `finalize`: it is firmer now. `retract`: it is not so, the chain went another way; what was
   * told of this `slot` and `blockhash` has to be taken back.
   */
  kind: "add" | "confirm" | "finalize" | "retract";
  seq: number;
  topic: string;
  /** Address of the account; null where the row speaks for a whole bank and topic. */
  entity: string | null;
  slot: number;
  blockhash: string;
  commitment: string;
  /** What the account holds now; depends on the topic. */
  payload: unknown;
  /** Time of the slot. */
  at: string;
}

/** Events that are missing: read the lists anew. */
export interface FeedGap {
  kind: "gap";
  /** First missing number; null where nobody knows, because the line broke before the first event. */
  from: number | null;
  /** Last missing number; null where nobody knows. */
  to: number | null;
}

const KINDS: ReadonlySet<string> = new Set(["add", "confirm", "finalize", "retract"]);
/** Milliseconds without a byte after which a feed counts as cut: it pings every fifteen seconds. */
const IDLE_MS = 45_000;
const CONNECT_MS = 30_000;

export class Events {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Events until the caller stops; each once, in their order, or a gap in their place. */
  async *follow(options: EventsOptions = {}): AsyncGenerator<FeedEvent | FeedGap> {
    const place = new Place(options.after);
    for (let failures = 0; ; failures++) {
      try {
        for await (const event of this.#connection(options, place)) {
          failures = 0;
          yield event;
        }
      } catch (error) {
        if (options.signal?.aborted) return;
        if (error instanceof GoneError && options.whenExpired === "skip") {
          yield { kind: "gap", from: place.next, to: null };
          place.forget();
        } else if (!mayReconnect(error) || failures >= (options.maxFailures ?? Number.POSITIVE_INFINITY)) {
          throw error;
        }
      }
      if (options.signal?.aborted) return;
      // Where nothing was heard yet, nobody knows what came while the line was down.
      if (place.isLost) yield { kind: "gap", from: null, to: null };
      await sleep(pauseMs(failures), options.signal).catch(() => undefined);
      if (options.signal?.aborted) return;
    }
  }

  async *#connection(options: EventsOptions, place: Place): AsyncGenerator<FeedEvent | FeedGap> {
    const response = await this.#transport.request(
      {
        method: "GET",
        path: "/v1/stream",
        query: { topics: options.topics?.join(), after: place.resumeAfter, ...filters(options) },
        accept: "text/event-stream",
        timeoutMs: CONNECT_MS,
        maxRetries: 0,
        ...(options.signal !== undefined && { signal: options.signal }),
      },
      "head",
    );
    if (!response.body) throw new ProtocolError("a feed without a body");
    place.isConnected = true;
    for await (const { event, data } of serverSentEvents(chunksOf(response.body, IDLE_MS))) {
      if (event === "error") throw new ConnectionError("the gateway stops");
      const read = parse(event, data);
      if (place.take(read)) yield read;
    }
  }
}

/** What the gateway filters by, under its own names. */
const FILTERS = ["entity", "job", "validator", "owner", "model", "lease", "request", "tenant", "provider"] as const;

function filters(options: EventsOptions): Record<string, string | undefined> {
  return Object.fromEntries(FILTERS.map((name) => [name, options[name]]));
}

/** Whether coming again may help: not where the gateway refuses what is asked. */
function mayReconnect(error: unknown): boolean {
  if (error instanceof AbortedError) return false;
  if (error instanceof MythicError && "status" in error) return [408, 409, 429, 500, 502, 503].includes(Number(error.status));
  // A line that breaks while a body is read gives the platform's own errors.
  return !(error instanceof ProtocolError);
}

function parse(event: string, data: string): FeedEvent | FeedGap {
  let value: unknown;
  try {
    value = parseJson(data);
  } catch (cause) {
    throw new ProtocolError(`an event of the feed is not JSON: ${data.slice(0, 100)}`, { cause });
  }
  if (event === "gap") {
    const { from, to } = (value as { gap?: { from?: unknown; to?: unknown } }).gap ?? {};
    if (typeof from !== "number" || typeof to !== "number") throw new ProtocolError("a gap of the feed without its numbers");
    return { kind: "gap", from, to };
  }
  const { op, ...rest } = shape<Schemas["FeedEvent"]>(value);
  if (typeof rest.seq !== "number" || !KINDS.has(op)) throw new ProtocolError(`an event of the feed that is none: ${data.slice(0, 100)}`);
  return { ...rest, kind: op as FeedEvent["kind"], entity: rest.entity ?? null };
}

/**
 * How far the feed was read. Several rows may have one number, one for each account that is followed: where the line broke among them,
 * the number is asked for again, and what was told of it is left out.
 */
class Place {
  /** Whether the feed was heard of since the start, or since what was followed is no longer kept. */
  isConnected = false;
  #last: number | undefined;
  readonly #told = new Set<string>();

  constructor(after: number | undefined) {
    this.#last = after;
  }

  /** What is resumed behind: the last number of which all was told. */
  get resumeAfter(): number | undefined {
    return this.#last !== undefined && this.#told.size > 0 ? this.#last - 1 : this.#last;
  }

  /** Whether events may have been missed without a number to ask for them. */
  get isLost(): boolean {
    return this.isConnected && this.#last === undefined;
  }

  /** The first number that was not heard of. */
  get next(): number {
    return (this.#last ?? -1) + 1;
  }

  forget(): void {
    this.isConnected = false;
    this.#last = undefined;
    this.#told.clear();
  }

  /** Whether an event is new. */
  take(event: FeedEvent | FeedGap): boolean {
    if (event.kind === "gap") {
      this.#told.clear();
      this.#last = Math.max(event.to ?? -1, this.#last ?? -1);
      return true;
    }
    const isOld = this.#last !== undefined && (event.seq < this.#last || (event.seq === this.#last && this.#told.size === 0));
    if (isOld) return false;
    if (event.seq !== this.#last) this.#told.clear();
    this.#last = event.seq;
    const row = `${event.kind} ${event.topic} ${event.entity ?? ""}`;
    if (this.#told.has(row)) return false;
    this.#told.add(row);
    return true;
  }
}
