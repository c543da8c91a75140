/** Instructions of the programs that everybody uses: as far as the wallet can say in words what they do. */

import { base58 } from "@scure/base";
import { count, short, sol } from "../format";
import type { ReadInstruction } from "./message";

/** What an instruction does, in words, and what deserves a second look. */
export interface Said {
  title: string;
  says: string;
  warns?: string;
  /** Lamports that leave an account, and which. */
  moves?: { from: string; lamports: bigint };
}

const SYSTEM = "11111111111111111111111111111111";
const BUDGET = "ComputeBudget111111111111111111111111111111";
const MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
const TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA";
const TOKEN_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb";
const ASSOCIATED = "ATokenGPvbdGVxr1b9hvZbsiqW5xWH25efTNsLJA8knL";

/** Null: no words for it. */
export function said(instruction: ReadInstruction): Said | null {
  const { program, data } = instruction;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const account = (index: number): string => instruction.accounts[index] ?? "an account of a lookup table";
  switch (program) {
    case SYSTEM:
      return system(view, data, account);
    case BUDGET:
      return budget(view, data);
    case MEMO:
      return memo(data);
    case TOKEN:
    case TOKEN_2022:
      return token(view, data, account);
    case ASSOCIATED:
      // Empty data and 0 make the account, 1 makes it unless it is there; 2 is something else.
      return data.length <= 1 && (data[0] ?? 0) <= 1
        ? { title: "Token account", says: `Opens an account for token ${short(account(3))} of ${account(2)}; ${short(account(0))} pays its rent.` }
        : null;
    default:
      return null;
  }
}

function system(view: DataView, data: Uint8Array, account: (index: number) => string): Said | null {
  if (data.length < 4) return null;
  const tag = view.getUint32(0, true);
  if (tag === 2 && data.length === 12) {
    const lamports = view.getBigUint64(4, true);
    return { title: "Transfer", says: `Sends ${sol(lamports)} from ${short(account(0))} to ${account(1)}.`, moves: { from: account(0), lamports } };
  }
  if (tag === 0 && data.length === 52) {
    const lamports = view.getBigUint64(4, true);
    const owner = base58.encode(data.subarray(20));
    return { title: "New account", says: `Makes account ${short(account(1))} with ${sol(lamports)} of ${short(account(0))}, for program ${owner}.`, moves: { from: account(0), lamports } };
  }
  return null;
}

function budget(view: DataView, data: Uint8Array): Said | null {
  const is = (tag: number, length: number): boolean => data[0] === tag && data.length === length;
  if (is(2, 5)) return { title: "Compute limit", says: `Uses at most ${count(view.getUint32(1, true))} compute units.` };
  if (is(3, 9)) {
    const price = view.getBigUint64(1, true);
    // At the most units that a transaction may use.
    const most = (price * 1_400_000n + 999_999n) / 1_000_000n;
    const said: Said = { title: "Priority fee", says: `Offers ${count(price)} millionths of a lamport a compute unit: at most ${sol(most)}.` };
    return most > 10_000_000n ? { ...said, warns: "This is an unusually high fee." } : said;
  }
  if (is(1, 5) || is(4, 5)) return { title: "Compute memory", says: "Sets how much memory the transaction may use." };
  return null;
}

function memo(data: Uint8Array): Said | null {
  try {
    return { title: "Note", says: `Writes on chain, for everybody to read: “${new TextDecoder("utf-8", { fatal: true }).decode(data)}”` };
  } catch {
    return null;
  }
}

function token(view: DataView, data: Uint8Array, account: (index: number) => string): Said | null {
  const amount = (): string => count(view.getBigUint64(1, true));
  const checked = data.length === 10;
  switch (data[0]) {
    case 3:
      return data.length === 9 ? { title: "Token transfer", says: `Sends ${amount()} smallest units of a token from account ${short(account(0))} to account ${account(1)}.` } : null;
    case 12:
      return checked ? { title: "Token transfer", says: `Sends ${amount()} smallest units (${data[9]} decimals) of token ${account(1)} from account ${short(account(0))} to account ${account(2)}.` } : null;
    case 4:
    case 13: {
      if (!(data[0] === 4 ? data.length === 9 : checked)) return null;
      const who = account(data[0] === 4 ? 1 : 2);
      return { title: "Token approval", says: `Lets ${who} take up to ${amount()} smallest units of a token from account ${short(account(0))}.`, warns: "Whoever is approved can take the tokens later, without asking again." };
    }
    case 5:
      return data.length === 1 ? { title: "Token approval", says: `Takes back what anybody may take from token account ${short(account(0))}.` } : null;
    case 9:
      return data.length === 1 ? { title: "Close token account", says: `Closes token account ${short(account(0))}; its rent goes to ${account(1)}.` } : null;
    default:
      return null;
  }
}
