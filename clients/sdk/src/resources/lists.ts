/** Lists: a page at a time, or all of it as it is read. */

import type { Call, RequestOptions, Transport } from "../http/transport.js";
import { shape } from "../wire/shape.js";
import type { Page } from "../wire/types.js";

/** How firm what is shown has to be. */
export type Commitment = "processed" | "confirmed" | "finalized";

/** What every list takes. */
export interface ListOptions extends RequestOptions {
  /** Rows of a page, 1 to 100; 20 without it. */
  limit?: number;
  /** What follows this row. */
  after?: string;
  commitment?: Commitment;
}

/** Splits what is asked from what is about the request. */
export function splitOptions<T extends RequestOptions>(options: T): { query: Omit<T, keyof RequestOptions>; about: RequestOptions } {
  const { signal, timeoutMs, maxRetries, ...query } = options;
  return {
    query,
    about: {
      ...(signal !== undefined && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(maxRetries !== undefined && { maxRetries }),
    },
  };
}

/** One answer of the API. `Wire` is what the schema says of it. */
export async function get<Wire>(transport: Transport, path: string, options: RequestOptions & Record<string, unknown> = {}) {
  const { query, about } = splitOptions(options);
  return shape<Wire>(await transport.json({ method: "GET", path, query: query as NonNullable<Call["query"]>, ...about }));
}

/** A page; awaited it is that page, in `for await` it is every row from there on. */
export class List<T> implements PromiseLike<Page<T>>, AsyncIterable<T> {
  readonly #read: (after: string | undefined) => Promise<Page<T>>;
  readonly #idOf: (row: T) => string;
  #first: Promise<Page<T>> | undefined;

  /** `idOf` names a row as `after` takes it. */
  constructor(read: (after: string | undefined) => Promise<Page<T>>, idOf: (row: T) => string) {
    this.#read = read;
    this.#idOf = idOf;
  }

  // A list is awaited like a promise.
  then<A = Page<T>, B = never>(
    ok?: ((page: Page<T>) => A | PromiseLike<A>) | null,
    failed?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#first ??= this.#read(undefined);
    return this.#first.then(ok, failed);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    let page = await this.then((first) => first);
    for (;;) {
      yield* page.data;
      const last = page.data.at(-1);
      if (!page.hasMore || last === undefined) return;
      page = await this.#read(this.#idOf(last));
    }
  }
}

/** The list at a path, whose rows the schema calls `Wire`. */
export function list<Row>(transport: Transport, path: string, options: ListOptions & Record<string, unknown>, idOf: (row: Row) => string) {
  const read = async (after: string | undefined): Promise<Page<Row>> => {
    const asked = after === undefined ? options : { ...options, after };
    return (await get<unknown>(transport, path, asked)) as Page<Row>;
  };
  return new List(read, idOf);
}
