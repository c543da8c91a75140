/** What an account did: its transactions in words, as the chain has them. */

import { base64 } from "@scure/base";
import { explain } from "../decode/explain";
import { readTransaction } from "../decode/message";
import { refusalWords } from "./refusal";
import { at, bigint, type Rpc } from "./rpc";

export interface Past {
  signature: string;
  slot: number | null;
  /** Milliseconds; null where the chain does not say. */
  time: number | null;
  titles: string[];
  /** Lamports that the account gained, below zero lost; null where it is not known. */
  change: bigint | null;
  fee: bigint | null;
  /** Why it failed. */
  failed: string | null;
}

export async function history(rpc: Rpc, account: string, limit: number): Promise<Past[]> {
  const found = await rpc("getSignaturesForAddress", [account, { limit, commitment: "confirmed" }]);
  const signatures = Array.isArray(found) ? found.map((one) => at(one, "signature")).filter((one) => typeof one === "string") : [];
  return Promise.all(signatures.map((signature) => past(rpc, account, signature)));
}

async function past(rpc: Rpc, account: string, signature: string): Promise<Past> {
  const options = { encoding: "base64", commitment: "confirmed", maxSupportedTransactionVersion: 0 };
  const found = await rpc("getTransaction", [signature, options]).catch(() => null);
  const [text, error, blockTime, slot] = [at(found, "transaction", 0), at(found, "meta", "err"), at(found, "blockTime"), at(found, "slot")];
  const read = typeof text === "string" ? readTransaction(base64.decode(text)) : null;
  const known = read !== null && typeof read !== "string" ? read : null;
  const place = known ? known.keys.indexOf(account) : -1;
  const balance = (when: string): bigint | null => (place < 0 ? null : bigint(at(found, "meta", when, place)));
  const [before, after] = [balance("preBalances"), balance("postBalances")];
  return {
    signature,
    slot: typeof slot === "number" ? slot : null,
    time: typeof blockTime === "number" ? blockTime * 1_000 : null,
    titles: known ? [...new Set(explain(known, account).lines.map(({ title }) => title))] : [],
    change: before === null || after === null ? null : after - before,
    fee: known?.feePayer === account ? bigint(at(found, "meta", "fee")) : null,
    failed: error === null || error === undefined ? null : refusalWords(error),
  };
}
