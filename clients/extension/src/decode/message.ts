/** A transaction as a stranger gives it: taken apart, and nothing believed of it. */

import {
  type Blockhash,
  getCompiledTransactionMessageDecoder,
  getCompiledTransactionMessageEncoder,
  getTransactionDecoder,
  getTransactionEncoder,
} from "@solana/kit";

/** Largest transaction of the chain, bytes. */
export const MOST_BYTES = 1_232;

export interface ReadInstruction {
  program: string;
  /** Addresses; null where only a lookup table names it. */
  accounts: (string | null)[];
  data: Uint8Array;
}

export interface ReadTransaction {
  bytes: Uint8Array;
  /** What is signed. */
  message: Uint8Array;
  feePayer: string;
  /** Accounts that it names itself, in its order. */
  keys: string[];
  /** Everybody whose signature the chain asks for, the fee payer first. */
  signers: string[];
  /** Signers whose signature is there. */
  signed: string[];
  blockhash: string;
  instructions: ReadInstruction[];
  /** It names accounts that only the chain can look up. */
  usesTables: boolean;
}

/** The transaction, or in words why these bytes are none. */
export function readTransaction(bytes: Uint8Array): ReadTransaction | string {
  if (bytes.length > MOST_BYTES) return `it has ${bytes.length} bytes, and a transaction at most ${MOST_BYTES}`;
  try {
    const transaction = getTransactionDecoder().decode(bytes);
    const message = new Uint8Array(transaction.messageBytes);
    const again = getTransactionEncoder().encode(transaction);
    if (!same(new Uint8Array(again), bytes)) return "bytes follow the transaction";
    const parts = readMessage(message);
    if (typeof parts === "string") return parts;
    const signatures = Object.entries(transaction.signatures);
    if (signatures.length !== parts.signers.length) return "it has another number of signatures than of signers";
    const signed = signatures.filter(([, signature]) => signature?.some((byte) => byte !== 0)).map(([key]) => key);
    return { bytes, message, signed, ...parts };
  } catch {
    return "it is no transaction";
  }
}

/** A message alone, for example one that a page wants signed as if it were a text. */
export function readMessage(bytes: Uint8Array): Omit<ReadTransaction, "bytes" | "message" | "signed"> | string {
  try {
    const [message, end] = getCompiledTransactionMessageDecoder().read(bytes, 0);
    // The decoder lets some bytes be missing: what is signed has to be what was read.
    const again = new Uint8Array(getCompiledTransactionMessageEncoder().encode(message));
    if (end !== bytes.length || !same(again, bytes)) return "its message is not whole, or bytes follow it";
    if (message.version !== "legacy" && message.version !== 0) return "its version is not known";
    const keys = [...message.staticAccounts] as string[];
    const tables = message.version === 0 ? (message.addressTableLookups ?? []) : [];
    const feePayer = keys[0];
    if (feePayer === undefined || message.header.numSignerAccounts < 1 || message.header.numSignerAccounts > keys.length) return "it has no fee payer";
    const instructions = message.instructions.map((one) => ({
      program: keys[one.programAddressIndex],
      accounts: (one.accountIndices ?? []).map((index) => keys[index] ?? null),
      data: new Uint8Array(one.data ?? []),
    }));
    if (instructions.some(({ program }) => program === undefined)) return "an instruction names no program";
    const lacks = tables.length === 0 && instructions.some(({ accounts }) => accounts.includes(null));
    if (lacks) return "an instruction names an account that is not there";
    return {
      feePayer,
      keys,
      signers: keys.slice(0, message.header.numSignerAccounts),
      blockhash: message.lifetimeToken,
      instructions: instructions as ReadInstruction[],
      usesTables: tables.length > 0,
    };
  } catch {
    return "it is no message of a transaction";
  }
}

/**
 * Whether these bytes are what a transaction signs, of whichever version: also of one that this wallet can't read. No text begins as those
 * of a version do, with a byte from 0x80 to 0xBF.
 */
export function isMessage(bytes: Uint8Array): boolean {
  const [first = 0] = bytes;
  return (first & 0xc0) === 0x80 || typeof readMessage(bytes) !== "string";
}

/** An unsigned copy of a transaction, with another blockhash. */
export function withBlockhash(bytes: Uint8Array, blockhash: string): Uint8Array {
  const transaction = getTransactionDecoder().decode(bytes);
  const message = getCompiledTransactionMessageDecoder().decode(transaction.messageBytes);
  const made = getCompiledTransactionMessageEncoder().encode({ ...message, lifetimeToken: blockhash as Blockhash });
  const signatures = Object.fromEntries(Object.keys(transaction.signatures).map((signer) => [signer, null]));
  return new Uint8Array(getTransactionEncoder().encode({ messageBytes: made as typeof transaction.messageBytes, signatures }));
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
