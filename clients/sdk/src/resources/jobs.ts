/** Jobs: what was asked, what it cost, and what became of it. */

import { AuthenticationError, NotFoundError, PermissionDeniedError, TimeoutError } from "../errors.js";
import type { Events } from "../events/events.js";
import { READ_TIMEOUT_MS, type RequestOptions, type Transport } from "../http/transport.js";
import { sleep } from "../http/retry.js";
import { type MessageSigner, signRequest } from "../http/signed.js";
import { shape } from "../wire/shape.js";
import type { Evidence, Job, JobDetails, Receipt, Schemas } from "../wire/types.js";
import { type Commitment, get, list, type List, type ListOptions } from "./lists.js";

/** Which jobs a list holds. */
export interface JobsOptions extends ListOptions {
  status?: string;
  validator?: string;
  owner?: string;
  /** By id, name or address. */
  model?: string;
}

/** What a job costs. */
export interface JobCost {
  lamports: bigint;
  /** False while the result can still be disputed, or is not settled yet. */
  final: boolean;
}

/** States that a job does not leave. */
const ENDED: ReadonlySet<string> = new Set(["settled", "refunded", "slashed", "unpaid"]);
/** How often a job is looked at while its feed is silent. */
const LOOK_MS = 10_000;
const COST_LOOK_MS = 1_000;

export class Jobs {
  readonly #transport: Transport;
  readonly #events: Events;
  readonly #signer: MessageSigner | undefined;

  constructor(transport: Transport, events: Events, signer: MessageSigner | undefined) {
    this.#transport = transport;
    this.#events = events;
    this.#signer = signer;
  }

  /** A job, also by the id of an answer (`chatcmpl-…`). */
  get(id: string, options: RequestOptions & { commitment?: Commitment } = {}): Promise<JobDetails> {
    return get<Schemas["JobDetails"]>(this.#transport, path(id), { ...options });
  }

  /** Jobs, newest first: awaited a page, in `for await` all of them. */
  list(options: JobsOptions = {}): List<Job> {
    return list<Job>(this.#transport, "/v1/jobs", { ...options }, ({ id }) => id);
  }

  /** What was paid to whom, and every attempt of the request. */
  receipt(id: string, options: RequestOptions = {}): Promise<Receipt> {
    return get<Schemas["Receipt"]>(this.#transport, `${path(id)}/receipt`, { ...options });
  }

  /**
   * What proves the fingerprint, for the key that paid, and for the job's owner: where the key is refused, the client's wallet signs the
   * request. It has the gateway's own names, and holds the prompt.
   */
  async evidence(id: string, options: RequestOptions = {}): Promise<Evidence> {
    const call = { method: "GET", path: `${path(id)}/evidence`, ...options } as const;
    try {
      return (await this.#transport.json(call)) as Evidence;
    } catch (error) {
      const signer = this.#signer;
      const isRefused = error instanceof PermissionDeniedError || error instanceof AuthenticationError;
      if (!signer || !isRefused) throw error;
      const about = { gatewayUrl: this.#transport.gatewayUrl, purpose: `evidence:${addressOf(id)}` };
      return (await this.#transport.json({ ...call, sign: (request) => signRequest(signer, { ...about, ...request }) })) as Evidence;
    }
  }

  /**
   * A job each time that something about it changes, until it has ended. The feed says when to look; where it is silent the job is
   * looked at every ten seconds.
   */
  async *watch(id: string, options: RequestOptions = {}): AsyncGenerator<JobDetails> {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const wake = this.#waker(id, signal);
    let seen = "";
    try {
      for (;;) {
        const job = await this.get(id, { ...options, signal });
        const now = [job.status, job.commitment, job.transitions?.length, job.dispute?.status].join();
        if (now !== seen) yield job;
        seen = now;
        if (ENDED.has(job.status) && job.commitment !== "processed" && job.commitment !== "confirmed") return;
        await wake();
      }
    } finally {
      stop.abort();
    }
  }

  /** Waits for news of a job, or for a while. */
  #waker(id: string, signal: AbortSignal): () => Promise<void> {
    const news = this.#events.follow({ job: addressOf(id), signal });
    let next: Promise<unknown> | undefined;
    return async () => {
      // A feed that is down is no reason to stop looking.
      next ??= news.next().then(
        ({ done }) => (done ? sleep(LOOK_MS, signal) : undefined),
        () => sleep(LOOK_MS, signal),
      );
      const heard = next.then(() => {
        next = undefined;
      });
      await Promise.race([heard, sleep(LOOK_MS, signal)]);
    };
  }

  /** What a job costs, once its validator has committed to a result or it has ended without one: also of an answer that was aborted. */
  async cost(id: string, options: RequestOptions = {}): Promise<JobCost> {
    const until = Date.now() + (options.timeoutMs ?? READ_TIMEOUT_MS);
    for (;;) {
      const job = await this.get(id, options).catch((error: unknown) => {
        if (error instanceof NotFoundError) return undefined;
        throw error;
      });
      const cost = job && costOf(job);
      if (cost) return cost;
      if (Date.now() >= until) throw new TimeoutError(`job ${id} has no result yet; ask again later`);
      await sleep(COST_LOOK_MS, options.signal);
    }
  }

  /** Buys an answer that is fetched later: an open job that any validator may take. `get` shows its output for 24 hours. */
  async open(body: Schemas["InferenceBody"], idempotencyKey: string, options: RequestOptions = {}): Promise<JobDetails> {
    const call = { method: "POST", path: "/v1/inference", query: { wait: "false" }, body, idempotencyKey, ...options } as const;
    return shape<Schemas["JobDetails"]>(await this.#transport.json(call));
  }
}

/** The job of an answer's id. */
const addressOf = (id: string): string => id.replace(/^chatcmpl-/, "");
const path = (id: string): string => `/v1/jobs/${encodeURIComponent(id)}`;

function costOf(job: JobDetails): JobCost | undefined {
  if (job.feeLamports != null) return { lamports: job.feeLamports, final: ENDED.has(job.status) };
  if (job.status === "refunded" || job.status === "slashed" || job.status === "unpaid") return { lamports: 0n, final: true };
  if (job.outputTokens == null) return undefined;
  const milli = BigInt(job.promptTokens) * BigInt(job.priceIn) + BigInt(job.outputTokens) * BigInt(job.priceOut);
  const price = (milli + 999n) / 1_000n;
  return { lamports: price < job.ceilingLamports ? price : job.ceilingLamports, final: false };
}
