/** Keys of accounts: BIP-39 words, and of them SLIP-0010's ed25519 keys at the paths that Phantom uses. Primitives are @noble's and @scure's. */

import { ed25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { base58 } from "@scure/base";
import { generateMnemonic, mnemonicToSeedSync, validateMnemonic } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";

/** An account's key. `secret` is its 32-byte seed. */
export interface AccountKey {
  address: string;
  secret: Uint8Array;
}

/** Bits of a new phrase: twelve words. */
const STRENGTH = 128;
const HARDENED = 0x8000_0000;

export const newPhrase = (): string => generateMnemonic(wordlist, STRENGTH);

/** People paste phrases with line breaks, capitals and double spaces. */
export const tidyPhrase = (phrase: string): string => phrase.normalize("NFKD").trim().toLowerCase().split(/\s+/u).join(" ");

/** What is wrong with a phrase, in words; null if it is one. */
export function phraseFault(phrase: string): string | null {
  const words = phrase.split(" ");
  if (![12, 15, 18, 21, 24].includes(words.length)) return `a recovery phrase has 12, 15, 18, 21 or 24 words, and this has ${words.length}`;
  const strange = words.findIndex((word) => !wordlist.includes(word));
  if (strange >= 0) return `word ${strange + 1} is not one of the list`;
  return validateMnemonic(phrase, wordlist) ? null : "the words are known, but their check sum is wrong: one is another, or two are swapped";
}

/** SLIP-0010, curve ed25519: the key at a path of hardened steps. */
export function derive(seed: Uint8Array, path: readonly number[]): { key: Uint8Array; chain: Uint8Array } {
  let node = hmac(sha512, utf8ToBytes("ed25519 seed"), seed);
  for (const step of path) {
    const index = new Uint8Array(4);
    new DataView(index.buffer).setUint32(0, step + HARDENED);
    node = hmac(sha512, node.slice(32), concatBytes(Uint8Array.of(0), node.slice(0, 32), index));
  }
  return { key: node.slice(0, 32), chain: node.slice(32) };
}

/** The account of a number, at `m/44'/501'/N'/0'`. */
export function accountKey(phrase: string, index: number): AccountKey {
  const { key } = derive(mnemonicToSeedSync(phrase), [44, 501, index, 0]);
  return { address: addressOf(key), secret: key };
}

export const addressOf = (secret: Uint8Array): string => base58.encode(ed25519.getPublicKey(secret));

export const sign = (secret: Uint8Array, message: Uint8Array): Uint8Array => ed25519.sign(message, secret);

/** Whether a text is the address of a key: 32 bytes of base58, on the curve. Transfers elsewhere are to accounts that no key opens. */
export function isKeyAddress(text: string): boolean {
  try {
    const bytes = base58.decode(text);
    if (bytes.length !== 32) return false;
    ed25519.Point.fromBytes(bytes);
    return true;
  } catch {
    return false;
  }
}
