/** Reads an account's fields one after the other. */

import { base58 } from "./base58.js";

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #skip(length: number): number {
    const at = this.#at;
    this.#at += length;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#skip(8), true);
  }

  bytes(length: number): Uint8Array {
    const at = this.#skip(length);
    return this.#bytes.slice(at, at + length);
  }

  /** A public key, base58. */
  key(): string {
    return base58(this.bytes(32));
  }

  /** A text: a byte that says its length, the text, zeroes up to `room`. */
  text(room: number): string {
    const bytes = this.bytes(room);
    const length = Math.min(bytes[0] ?? 0, room - 1);
    return new TextDecoder().decode(bytes.subarray(1, 1 + length));
  }
}
