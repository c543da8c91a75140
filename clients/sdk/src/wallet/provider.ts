/** A provider over HTTP: a stranger, whose answers are bounded and believed only where the chain agrees (docs/leases.md). */

import { ConnectionError, MythicError, ProtocolError } from "../errors.js";
import type { Fetch } from "../http/transport.js";
import { chunksOf } from "../http/body.js";
import { parseJson } from "../wire/json.js";
import { concat, equal, hex, utf8 } from "../verify/bytes.js";
import { sha256 } from "../verify/sha256.js";

const IDLE_MS = 15_000;
const MOST_BYTES = 256 << 10;

/** How an endpoint is reached. */
export interface Access {
  lease: string;
  baseUrl: string;
  model: string;
  maxConcurrent: number;
  operator: string;
}

/** What became of a request at its provider. */
export interface Word {
  status: "waiting" | "declined" | "nothing";
  reason: string;
}

/** Names a key that the tenant keeps for itself. */
export const keyHash = (key: string): Uint8Array => sha256(utf8("mythic/lease-key/v1"), utf8(key));

/** What a tenant wants, under a salt that keeps it from being guessed. */
export function specDocument(key: string, maxConcurrent: number): { bytes: Uint8Array; hash: Uint8Array } {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const spec = utf8(JSON.stringify({ version: 1, endpoint: { key_hash: hex(keyHash(key)), max_concurrent: maxConcurrent } }));
  return { bytes: concat([utf8(`${hex(salt)}\n`), spec]), hash: sha256(utf8("mythic/lease-spec/v1"), salt, spec) };
}

export class Provider {
  readonly #endpoint: string;
  readonly #fetch: Fetch;

  constructor(endpoint: string, fetch: Fetch) {
    this.#endpoint = endpoint.replace(/\/+$/, "");
    this.#fetch = fetch;
  }

  /** Leaves a spec there; resolves with its URL, which the request names. */
  async leave({ bytes, hash }: { bytes: Uint8Array; hash: Uint8Array }): Promise<string> {
    const path = `/specs/${hex(hash).slice(0, 32)}`;
    await this.#bytes(this.#endpoint + path, { method: "PUT", body: new Uint8Array(bytes) });
    return this.#endpoint + path;
  }

  async word(request: string): Promise<Word> {
    // One that does not answer says nothing.
    const bytes = await this.#bytes(`${this.#endpoint}/v1/requests/${request}`).catch(() => undefined);
    if (!bytes) return { status: "nothing", reason: "" };
    const { status, reason } = object(bytes);
    const known = status === "waiting" || status === "declined";
    return { status: known ? status : "nothing", reason: typeof reason === "string" ? reason.slice(0, 200) : "it gives no reason" };
  }

  /** How a lease is reached, exactly as its start states. */
  async access(lease: string, stated: Uint8Array): Promise<Access> {
    const bytes = await this.#bytes(`${this.#endpoint}/v1/leases/${lease}/access`);
    if (!equal(sha256(utf8("mythic/lease-access/v1"), bytes), stated)) {
      throw new MythicError("what the provider gives to reach the lease is not what it stated on chain: close the lease");
    }
    const { lease: named, base_url: baseUrl, model, max_concurrent: maxConcurrent, operator } = object(bytes);
    const isWhole = [named, baseUrl, model, operator].every((text) => typeof text === "string") && typeof maxConcurrent === "number";
    if (!isWhole) throw new ProtocolError("what the provider gives to reach the lease can't be read");
    return { lease: named, baseUrl, model, maxConcurrent, operator } as Access;
  }

  /** The model that an endpoint serves under its key: it is tried before anything is said of it on chain. */
  async served(baseUrl: string, apiKey: string): Promise<string> {
    const isHttp = /^https?:\/\//.test(baseUrl);
    if (!isHttp) throw new ProtocolError(`the lease's address is no HTTP URL: ${baseUrl.slice(0, 100)}`);
    const url = `${baseUrl.replace(/\/+$/, "")}/models`;
    const { data } = object(await this.#bytes(url, { headers: { authorization: `Bearer ${apiKey}` } }));
    const id: unknown = Array.isArray(data) ? (data[0] as { id?: unknown } | undefined)?.id : undefined;
    if (typeof id !== "string") throw new ProtocolError("the lease's endpoint names no model");
    return id;
  }

  async #bytes(url: string, init: RequestInit = {}): Promise<Uint8Array> {
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, redirect: "error", signal: AbortSignal.timeout(60_000) });
    } catch (cause) {
      throw new ConnectionError(`the provider can't be reached at ${url}`, { cause });
    }
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of response.body ? chunksOf(response.body, IDLE_MS) : []) {
      length += part.length;
      if (length > MOST_BYTES) throw new ProtocolError(`the provider's answer is longer than ${MOST_BYTES} bytes`);
      parts.push(part);
    }
    if (!response.ok) throw new MythicError(`the provider answers ${response.status}`);
    return concat(parts);
  }
}

function object(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value = parseJson(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch (cause) {
    throw new ProtocolError("the provider's answer is not JSON", { cause });
  }
  throw new ProtocolError("the provider's answer is no object");
}
