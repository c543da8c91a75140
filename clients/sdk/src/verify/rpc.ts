/** The one question that a verification asks a chain. */

import { AbortedError, ConnectionError, MythicError, ProtocolError } from "../errors.js";
import type { Fetch } from "../http/transport.js";
import { parseJson } from "../wire/json.js";
import { unbase64 } from "./bytes.js";

/** How a chain is asked. */
export interface RpcOptions {
  rpcUrl: string;
  fetch: Fetch;
  signal?: AbortSignal;
}

/** An account as the chain holds it. */
export interface AccountData {
  /** The program that owns it, base58. */
  owner: string;
  lamports: bigint;
  bytes: Uint8Array;
  /** Slot at which it was read. */
  slot: number;
}

const TIMEOUT_MS = 30_000;

interface AccountAnswer {
  context?: { slot?: unknown };
  value?: { owner?: unknown; lamports?: unknown; data?: unknown } | null;
}

/** The account at an address, at the commitment `confirmed`; null if there is none. */
export async function readAccount(address: string, { rpcUrl, fetch, signal }: RpcOptions): Promise<AccountData | null> {
  const late = AbortSignal.timeout(TIMEOUT_MS);
  let text: string;
  try {
    const response = await fetch(rpcUrl, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "getAccountInfo",
        params: [address, { encoding: "base64", commitment: "confirmed" }],
      }),
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    text = await response.text();
  } catch (cause) {
    if (signal?.aborted) throw new AbortedError(undefined, { cause });
    throw new ConnectionError(`the chain at ${rpcUrl} can't be reached`, { cause });
  }
  try {
    const answer = parseJson(text) as { result?: AccountAnswer; error?: { message?: unknown } };
    if (answer.error) throw new ProtocolError(`the chain refuses: ${String(answer.error.message)}`);
    return accountOf(answer.result);
  } catch (cause) {
    if (cause instanceof MythicError) throw cause;
    throw new ProtocolError(`the chain at ${rpcUrl} gave no account: ${text.slice(0, 100)}`, { cause });
  }
}

function accountOf(answer: AccountAnswer | undefined): AccountData | null {
  const slot = answer?.context?.slot;
  const value = answer?.value;
  if (typeof slot !== "number" || value === undefined) throw new TypeError("no result");
  if (value === null) return null;
  const { owner, lamports, data } = value;
  const encoded: unknown = Array.isArray(data) ? data[0] : undefined;
  if (typeof owner !== "string" || typeof encoded !== "string") throw new TypeError("no account");
  return { owner, lamports: BigInt(lamports as number | bigint), bytes: unbase64(encoded), slot };
}
