/** Streamed answers: chunks in OpenAI's shape, or text. */

import { AbortedError } from "../errors.js";
import type { Call, Transport } from "../http/transport.js";
import type { Expected } from "../verify/verify.js";
import { stringify } from "../wire/json.js";
import type { ChatCompletionChunk } from "../wire/types.js";
import { type Answer, Collected } from "./answer.js";
import { IDLE_MS, joinedChunks, type Standing } from "./joined.js";

/** How a stream is opened: what is sent may have to be made first, for example a transaction. */
export type Opening = () => Promise<Call>;

/** How a stream behaves. */
export interface StreamManners {
  /** Times that it is joined again after the line broke. */
  rejoins: number;
  idleMs?: number;
}

/** A stream of chunks in OpenAI's shape. It is read once. */
export class CompletionStream implements AsyncIterable<ChatCompletionChunk> {
  readonly #transport: Transport;
  readonly #opening: Opening;
  readonly #manners: StreamManners;
  readonly #standing: Standing = { jobId: undefined, told: new Map(), calls: new Map() };
  readonly #stop = new AbortController();
  #began = false;

  constructor(transport: Transport, opening: Opening, manners: StreamManners) {
    this.#transport = transport;
    this.#opening = opening;
    this.#manners = manners;
  }

  /** The job, as soon as the gateway names it. */
  get jobId(): string | undefined {
    return this.#standing.jobId;
  }

  /** Ends the answer. What the validator had handed out is paid; `jobs.cost(jobId)` says how much. */
  abort(): void {
    this.#stop.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ChatCompletionChunk> {
    if (this.#began) throw new TypeError("a stream is read once");
    this.#began = true;
    if (this.#stop.signal.aborted) throw new AbortedError();
    const call = await this.#opening();
    const signal = call.signal ? AbortSignal.any([call.signal, this.#stop.signal]) : this.#stop.signal;
    const { rejoins, idleMs = IDLE_MS } = this.#manners;
    yield* joinedChunks(this.#transport, { ...call, signal }, this.#standing, { rejoins, idleMs });
  }

  /** The chunks as server-sent events, for an answer of one's own to an OpenAI client. Amounts are written as strings. */
  toReadableStream(): ReadableStream<Uint8Array> {
    return readable(this, (chunk) => `data: ${stringify(chunk)}\n\n`, "data: [DONE]\n\n");
  }
}

/** A streamed answer as text. It is read once, by a loop, as a ReadableStream or by `final()`. */
export class TextStream implements AsyncIterable<string> {
  readonly #chunks: CompletionStream;
  readonly #collected: Collected;
  #final: Promise<Answer> | undefined;
  #ended = false;

  /** `expected` is what was asked for. */
  constructor(chunks: CompletionStream, expected: Expected) {
    this.#chunks = chunks;
    this.#collected = new Collected(expected);
  }

  /** The job, as soon as the gateway names it. */
  get jobId(): string | undefined {
    return this.#chunks.jobId;
  }

  /** Ends the answer. What the validator had handed out is paid; `jobs.cost(jobId)` says how much. */
  abort(): void {
    this.#chunks.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for await (const chunk of this.#chunks) {
      this.#collected.add(chunk);
      const text = chunk.choices.find(({ index }) => index === 0)?.delta.content;
      if (text) yield text;
    }
    this.#ended = true;
  }

  /** The whole answer with its job, cost and receipt; reads what was not read yet. */
  final(): Promise<Answer> {
    this.#final ??= this.#drain();
    return this.#final;
  }

  async #drain(): Promise<Answer> {
    if (!this.#ended) {
      for await (const _text of this);
    }
    return this.#collected.answer();
  }

  /** The text as UTF-8, for example for `new Response(stream.toReadableStream())`. */
  toReadableStream(): ReadableStream<Uint8Array> {
    return readable(this, (text) => text, "");
  }
}

function readable<T>(source: AsyncIterable<T>, write: (item: T) => string, last: string): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const items = source[Symbol.asyncIterator]();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await items.next();
      const text = done ? last : write(value);
      if (text !== "") controller.enqueue(encoder.encode(text));
      if (done) controller.close();
    },
    async cancel() {
      await items.return?.();
    },
  });
}

/** Collects a stream's chunks to one answer; throws if it lacks what every answer has. */
export async function collect(chunks: AsyncIterable<ChatCompletionChunk>, expected: Expected): Promise<Answer> {
  const collected = new Collected(expected);
  for await (const chunk of chunks) collected.add(chunk);
  return collected.answer();
}

