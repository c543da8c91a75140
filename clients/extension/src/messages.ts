/** What parts of the extension say to each other. Everything travels as packed text, and a question may be asked again: its worker may have died. */

import { browser } from "wxt/browser";
import type { Core } from "./core/core";
import { type ErrorCode, WalletError } from "./core/error";
import { pack, unpack } from "./wire";

/** What the wallet's own pages may call. */
export const CALLS = [
  "state", "create", "unlock", "lock", "touch", "reveal", "changePassword", "wipe", "addAccount", "changeAccount", "setNetwork", "chooseNetwork",
  "removeNetwork", "acceptChain", "setSettings", "setSite", "propose", "decide", "request", "delegate", "pay", "forgetPayment", "signEvidence",
  "sweep", "chat", "setChat",
] as const satisfies readonly (keyof Core)[];

export type CallName = (typeof CALLS)[number];
export type WalletApi = Pick<Core, CallName>;

/** What a page's relay may ask. */
export type SiteMethod = "seen" | "connect" | "disconnect" | "signMessage" | "signTransaction" | "send" | "poll";

export type Message =
  | { to: "wallet"; call: CallName; args: string }
  | { to: "site"; method: SiteMethod; id: string; params: string };

/** To the relays of pages: something that sites see has changed. */
export interface Changed {
  to: "relay";
}

/** What a site is told of its request. */
export interface SiteAnswer {
  id: string;
  state: "waiting" | "done" | "refused";
  accounts?: string[];
  chain?: string;
  result?: Uint8Array;
  /** Of a transaction that the wallet sent, base58. */
  signature?: string;
  words?: string;
}

type Reply = { ok: true; value: unknown } | { ok: false; code: ErrorCode; message: string; signature: string | null };

export const reply = (value: unknown): string => pack({ ok: true, value } satisfies Reply);

export function replyError(error: unknown): string {
  const known = error instanceof WalletError;
  const message = error instanceof Error ? error.message : String(error);
  return pack({ ok: false, code: known ? error.code : "chain", message, signature: known ? error.signature : null } satisfies Reply);
}

export function readReply(text: unknown): unknown {
  const read = unpack(String(text)) as Reply;
  if (read.ok) return read.value;
  throw new WalletError(read.code, read.message, read.signature);
}

const ATTEMPTS = 4;

/** Asks the worker. One that died in the middle is asked again: what it had begun it goes on with. */
export async function askWorker(message: Message): Promise<unknown> {
  for (let attempt = 1; ; attempt++) {
    let answer: unknown;
    try {
      answer = await browser.runtime.sendMessage(message);
    } catch (error) {
      if (attempt >= ATTEMPTS) throw error;
    }
    if (typeof answer === "string") return readReply(answer);
    if (attempt >= ATTEMPTS) throw new Error("the wallet does not answer");
    await new Promise((resolve) => setTimeout(resolve, 100 * attempt));
  }
}

/** The wallet as its pages call it. */
export const wallet = Object.fromEntries(
  CALLS.map((call) => [call, (...args: unknown[]) => askWorker({ to: "wallet", call, args: pack(args) })]),
) as unknown as WalletApi;
