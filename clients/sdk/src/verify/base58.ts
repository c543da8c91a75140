/** Base58, in which keys and addresses are written. */

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/** Longest text that is read: a transaction's signature of 64 bytes has 88 digits. */
const LONGEST = 90;

/** Bytes as base58. */
export function base58(bytes: Uint8Array): string {
  let value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  let digits = "";
  for (; value > 0n; value /= 58n) digits = ALPHABET.charAt(Number(value % 58n)) + digits;
  const zeroes = bytes.findIndex((byte) => byte !== 0);
  return ALPHABET.charAt(0).repeat(zeroes < 0 ? bytes.length : zeroes) + digits;
}

/** The `length` bytes of a base58 text; `undefined` if it is none of so many. */
export function unbase58(text: string, length: number): Uint8Array | undefined {
  if (text.length > LONGEST) return undefined;
  let value = 0n;
  for (const digit of text) {
    const at = ALPHABET.indexOf(digit);
    if (at < 0) return undefined;
    value = value * 58n + BigInt(at);
  }
  const bytes = new Uint8Array(length);
  for (let i = length - 1; i >= 0; i--, value >>= 8n) bytes[i] = Number(value & 0xffn);
  // The same bytes are written in one way only.
  return value === 0n && base58(bytes) === text ? bytes : undefined;
}
