/** Receipts, and whether they hold. */

import type { ReceiptReference } from "../chat/answer.js";
import { AbortedError, AuthenticationError, MythicError, NotFoundError, PermissionDeniedError } from "../errors.js";
import { sleep } from "../http/retry.js";
import type { Fetch, RequestOptions } from "../http/transport.js";
import { type AccountData, readAccount } from "../verify/rpc.js";
import { jobAccount } from "../verify/accounts.js";
import { type Expected, type Verification, verify } from "../verify/verify.js";
import type { Evidence, Receipt } from "../wire/types.js";
import type { Jobs } from "./jobs.js";

/** What a verification may use. */
export interface VerifyOptions extends RequestOptions {
  /** The chain to ask, instead of the client's `rpcUrl`: best one that is not the gateway's. */
  rpcUrl?: string;
  /** Evidence that is at hand, instead of the gateway's. */
  evidence?: Evidence;
  /** What the job has to be. An answer's receipt has what was asked for with it; what is given here goes first. */
  expected?: Expected;
  /** Milliseconds that are waited for what is on its way, right after an answer: its evidence, its result on chain; 20,000 without it. */
  waitMs?: number;
}

const WAIT_MS = 20_000;
const LOOK_MS = 500;

/** How receipts reach the chain. */
export interface ReceiptsOptions {
  rpcUrl: string | undefined;
  fetch: Fetch;
}

export class Receipts {
  readonly #jobs: Jobs;
  readonly #options: ReceiptsOptions;

  constructor(jobs: Jobs, options: ReceiptsOptions) {
    this.#jobs = jobs;
    this.#options = options;
  }

  /** What was paid to whom for a job. */
  get(jobId: string, options: RequestOptions = {}): Promise<Receipt> {
    return this.#jobs.receipt(jobId, options);
  }

  /**
   * Checks a receipt here: hashes of prompt, terms, output and logits, the choice of every token, the accounts on chain, and that the job is
   * of the model, temperature, length and stops that were asked for. Takes an answer's receipt, one of `get`, a job's id, or the URL of a
   * receipt; only the first says what was asked for, for the others `expected` does. Not checked: that the text is these tokens, that the
   * prompt's tokens are the words that were sent, and that the logits are the model's.
   */
  async verify(receipt: ReceiptReference | Receipt | string, options: VerifyOptions = {}): Promise<Verification> {
    const { waitMs = WAIT_MS, ...look } = options;
    for (const until = Date.now() + waitMs; ; ) {
      const found = await this.#look(receipt, look);
      if (found.verdict !== "incomplete" || !found.pending || Date.now() >= until) return found;
      await sleep(LOOK_MS, options.signal).catch((cause: unknown) => {
        throw new AbortedError(found.jobId, { cause });
      });
    }
  }

  async #look(receipt: ReceiptReference | Receipt | string, options: VerifyOptions): Promise<Verification> {
    const { rpcUrl = this.#options.rpcUrl, evidence, expected, ...about } = options;
    const jobId = jobOf(typeof receipt === "string" ? receipt : "jobId" in receipt ? receipt.jobId : receipt.job);
    const said = typeof receipt === "object" && "split" in receipt ? receipt : await this.#jobs.receipt(jobId, about);
    const shown = evidence ? { evidence } : await this.#evidence(jobId, about);
    const accounts = rpcUrl === undefined ? {} : await this.#accounts(jobId, rpcUrl, about.signal);
    const asked = { ...(typeof receipt === "object" && "expected" in receipt ? receipt.expected : {}), ...expected };
    return verify({ jobId, expected: asked, receipt: said, job: undefined, model: undefined, ...shown, ...accounts });
  }

  /** The evidence, or null where the gateway does not show it. */
  async #evidence(jobId: string, options: RequestOptions): Promise<{ evidence: Evidence | null; evidencePending?: boolean }> {
    try {
      return { evidence: await this.#jobs.evidence(jobId, options) };
    } catch (error) {
      if (error instanceof NotFoundError) return { evidence: null, evidencePending: true };
      if (error instanceof AuthenticationError || error instanceof PermissionDeniedError) return { evidence: null };
      throw error;
    }
  }

  async #accounts(jobId: string, rpcUrl: string, signal: AbortSignal | undefined): Promise<{ job: AccountData | null; model?: AccountData | null }> {
    const asked = { rpcUrl, fetch: this.#options.fetch, ...(signal !== undefined && { signal }) };
    const job = await readAccount(jobId, asked);
    const read = job && jobAccount(job);
    if (!read || typeof read === "string") return { job };
    return { job, model: await readAccount(read.state.terms.model, asked) };
  }
}

/** The job that an address, an answer's id or the URL of a receipt names. What the URL's host says does not count: the client's gateway is asked. */
function jobOf(named: string): string {
  const [, inUrl] = /\/v1\/jobs\/([^/?#]+)\/receipt$/.exec(named) ?? [];
  return (inUrl ?? named).replace(/^chatcmpl-/, "");
}

/** Throws unless everything of a verification holds; the error says what differs. */
export function assertVerified(verification: Verification): void {
  if (verification.ok) return;
  const missing = verification.checks.filter(({ ok }) => ok === null).map(({ says }) => says);
  const why = verification.differences.length > 0 ? verification.differences : missing;
  throw new MythicError(`the receipt of job ${verification.jobId} does not hold: ${why.join("; ")}`);
}
