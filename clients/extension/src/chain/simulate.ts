/** What would happen if a transaction ran now: asked of the chain before anybody signs. */

import { base64 } from "@scure/base";
import { programError, refusalWords } from "./refusal";
import { at, bigint, type Rpc } from "./rpc";

export interface Simulated {
  /** It would run. */
  ok: boolean;
  /** Why not, in words. */
  words: string | null;
  code: number | null;
  /** What the account that signs would gain, lamports, below zero what it would lose; null where that is not known. */
  change: bigint | null;
  slot: number | null;
}

/** Signatures may be missing. `account` is the one whose lamports are watched. */
export async function simulate(rpc: Rpc, transaction: Uint8Array, account: string, freshBlockhash: boolean): Promise<Simulated> {
  const [before, answer] = await Promise.all([
    rpc("getBalance", [account, { commitment: "confirmed" }]),
    rpc("simulateTransaction", [
      base64.encode(transaction),
      {
        encoding: "base64",
        sigVerify: false,
        replaceRecentBlockhash: freshBlockhash,
        commitment: "confirmed",
        accounts: { encoding: "base64", addresses: [account] },
      },
    ]),
  ]);
  const error = at(answer, "value", "err");
  const slot = at(answer, "context", "slot");
  const [had, has] = [bigint(at(before, "value")), bigint(at(answer, "value", "accounts", 0, "lamports"))];
  const failed = error !== null && error !== undefined;
  return {
    ok: !failed && at(answer, "value") !== undefined,
    words: failed ? refusalWords(error) : null,
    code: failed ? programError(error) : null,
    change: had === null || has === null || failed ? null : has - had,
    slot: typeof slot === "number" ? slot : null,
  };
}
