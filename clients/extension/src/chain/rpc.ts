/** The chain's JSON-RPC: one question at a time, bounded in time and length. */

import { parseJson } from "../../../sdk/src/wire/json";

/** Asks a chain. Rejects with `RpcError` where it answers with one. */
export type Rpc = (method: string, params?: readonly unknown[]) => Promise<unknown>;

/** The chain could not be asked, or said no. */
export class RpcError extends Error {
  /** What the chain gives as the error of a transaction, if it is one. */
  readonly transaction: unknown;

  constructor(message: string, transaction?: unknown) {
    super(message);
    this.transaction = transaction;
  }
}

const TIMEOUT_MS = 20_000;
const MOST_CHARACTERS = 8 << 20;

export function rpcOf(url: string): Rpc {
  return async (method, params = []) => {
    let text: string;
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      text = await textOf(response);
      if (!response.ok && !text.startsWith("{")) throw new RpcError(`the chain's RPC answers ${response.status}`);
    } catch (cause) {
      if (cause instanceof RpcError) throw cause;
      throw new RpcError(`the chain can't be reached at ${url}`);
    }
    let body: { result?: unknown; error?: { message?: unknown; data?: { err?: unknown } } };
    try {
      body = parseJson(text) as typeof body;
    } catch {
      throw new RpcError("the chain's answer is not JSON");
    }
    if (body.error) throw new RpcError(String(body.error.message ?? "the chain refuses"), body.error.data?.err);
    return body.result;
  };
}

/** What a chain answers, and no more of it than may come. */
async function textOf({ body }: Response): Promise<string> {
  const [reader, decoder] = [body?.getReader(), new TextDecoder()];
  let text = "";
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) return text + decoder.decode();
    text += decoder.decode(value, { stream: true });
    if (text.length > MOST_CHARACTERS) {
      await reader?.cancel();
      throw new RpcError("the chain's answer is too long");
    }
  }
}

/** A part of an answer, or undefined where the answer has another shape. */
export function at(value: unknown, ...path: (string | number)[]): unknown {
  let here = value;
  for (const step of path) here = (here as Record<string | number, unknown> | null | undefined)?.[step];
  return here;
}

export function bigint(value: unknown): bigint | null {
  return typeof value === "bigint" || (typeof value === "number" && Number.isSafeInteger(value)) ? BigInt(value) : null;
}
