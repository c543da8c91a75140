/**
 * Encryption at rest. A password gives, by scrypt, the key that opens the data key; the data key opens everything else. So a new password
 * seals 32 bytes anew, and what is open in memory is a key that no password can be guessed from.
 */

import { gcm } from "@noble/ciphers/aes.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { randomBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { base64 } from "@scure/base";

/** Ciphertext with what it needs to be opened. */
export interface Sealed {
  nonce: string;
  text: string;
}

/** A data key under a password. */
export interface Lock {
  version: 1;
  kdf: "scrypt";
  n: number;
  r: number;
  p: number;
  salt: string;
  key: Sealed;
}

/** OWASP's first choice for scrypt: 128 MiB and about a second here. */
const COST = { n: 2 ** 17, r: 8, p: 1 };
/** What a stored lock may ask for: more would only stall whoever reads it. */
const MOST_COST = 2 ** 20;
const LEAST_COST = 2 ** 14;

export const newDataKey = (): Uint8Array => randomBytes(32);

/** `what` is bound to the text: a sealed chat can't be put where the phrase is expected. */
export function seal(key: Uint8Array, what: string, plain: Uint8Array): Sealed {
  const nonce = randomBytes(12);
  return { nonce: base64.encode(nonce), text: base64.encode(gcm(key, nonce, utf8ToBytes(what)).encrypt(plain)) };
}

/** The plain text, or null: another key, another purpose, or damaged. */
export function open(key: Uint8Array, what: string, sealed: Sealed): Uint8Array | null {
  try {
    return gcm(key, base64.decode(sealed.nonce), utf8ToBytes(what)).decrypt(base64.decode(sealed.text));
  } catch {
    return null;
  }
}

export async function makeLock(password: string, dataKey: Uint8Array, n = COST.n): Promise<Lock> {
  const salt = randomBytes(16);
  const parts = { version: 1, kdf: "scrypt", n, r: COST.r, p: COST.p, salt: base64.encode(salt) } as const;
  return { ...parts, key: seal(await passwordKey(password, parts), bound(parts), dataKey) };
}

/** The data key, or null for a wrong password. */
export async function openLock(password: string, lock: Lock): Promise<Uint8Array | null> {
  return open(await passwordKey(password, lock), bound(lock), lock.key);
}

/** The cost is bound to the key: who lowers it in the storage opens nothing. */
const bound = ({ version, n, r, p, salt }: Omit<Lock, "key">): string => `mythic/wallet/lock/v${version}/${n}/${r}/${p}/${salt}`;

async function passwordKey(password: string, { n, r, p, salt }: Omit<Lock, "key">): Promise<Uint8Array> {
  // One password, however its letters were typed.
  const text = utf8ToBytes(password.normalize("NFKC"));
  return scryptAsync(text, base64.decode(salt), { N: n, r, p, dkLen: 32, maxmem: 2 ** 31 });
}

const isText = (value: unknown): value is string => typeof value === "string" && value.length < 1 << 24;

export function isSealed(value: unknown): value is Sealed {
  const { nonce, text } = (value ?? {}) as Partial<Sealed>;
  return isText(nonce) && isText(text);
}

/** Whether what was stored is a lock whose cost can be paid. */
export function isLock(value: unknown): value is Lock {
  const lock = (value ?? {}) as Partial<Lock>;
  const { n = 0 } = lock;
  const costs = Number.isInteger(n) && n >= LEAST_COST && n <= MOST_COST && (n & (n - 1)) === 0 && lock.r === COST.r && lock.p === COST.p;
  return lock.version === 1 && lock.kdf === "scrypt" && costs && isText(lock.salt) && isSealed(lock.key);
}
