/** Instructions of our programs, read by what their IDLs say. Bytes that are not exactly one instruction are none. */

import { base58 } from "@scure/base";
import { bytesToHex } from "@noble/hashes/utils.js";

/** A field: its name, its type (`u64`, `key`, `bytes:32`, `text:97`, `rest`, `[key;4]`, `{name}`), what it is. */
export type Field = readonly [name: string, type: string, about: string];

export interface Instruction {
  tag: number;
  name: string;
  about: string;
  fields: readonly Field[];
  /** In order; `?` marks one that may be left out. */
  accounts: readonly string[];
}

export interface Program {
  title: string;
  address: string;
  instructions: readonly Instruction[];
  structures: Readonly<Record<string, readonly Field[]>>;
}

export type Value = bigint | string | Value[] | { [name: string]: Value };

class Reader {
  readonly #bytes: Uint8Array;
  readonly #structures: Program["structures"];
  #at = 0;

  constructor(bytes: Uint8Array, structures: Program["structures"]) {
    this.#bytes = bytes;
    this.#structures = structures;
  }

  get isDone(): boolean {
    return this.#at === this.#bytes.length;
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new RangeError("the data ends too early");
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  value(type: string): Value {
    const number = /^([ui])(8|16|32|64)$/.exec(type);
    if (number) return this.#number(Number(number[2]) / 8, number[1] === "i");
    if (type === "key") return base58.encode(this.#take(32));
    if (type === "rest") return bytesToHex(this.#take(this.#bytes.length - this.#at));
    const sized = /^(bytes|text):(\d+)$/.exec(type);
    if (sized) {
      const bytes = this.#take(Number(sized[2]));
      return sized[1] === "bytes" ? bytesToHex(bytes) : text(bytes);
    }
    const array = /^\[(.+);(\d+)\]$/.exec(type);
    if (array) return Array.from({ length: Number(array[2]) }, () => this.value(array[1] ?? ""));
    const fields = this.#structures[/^\{(\w+)\}$/.exec(type)?.[1] ?? ""];
    if (fields) return Object.fromEntries(fields.map(([name, of]) => [name, this.value(of)]));
    throw new RangeError(`a field of type ${type}`);
  }

  #number(length: number, isSigned: boolean): bigint {
    const value = this.#take(length).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    return isSigned ? BigInt.asIntN(length * 8, value) : value;
  }
}

/** Printable ASCII, padded with zeroes: anything else is shown as bytes, so that nobody writes over the window. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const used = end < 0 ? bytes : bytes.subarray(0, end);
  return used.every((byte) => byte >= 32 && byte < 127) ? new TextDecoder().decode(used) : bytesToHex(bytes);
}

export interface Decoded {
  program: Program;
  instruction: Instruction;
  values: Record<string, Value>;
  /** Accounts by the names that the IDL gives them; what was left out is not there. */
  accounts: Record<string, string>;
}

/** The instruction, or null if these bytes and accounts are none of this program. */
export function decode(program: Program, data: Uint8Array, accounts: readonly string[]): Decoded | null {
  const instruction = program.instructions.find(({ tag }) => tag === data[0]);
  if (!instruction || accounts.length !== instruction.accounts.length) return null;
  const reader = new Reader(data.subarray(1), program.structures);
  const values: Record<string, Value> = {};
  try {
    for (const [name, type] of instruction.fields) values[name] = reader.value(type);
  } catch {
    return null;
  }
  if (!reader.isDone) return null;
  const named = instruction.accounts.map((name, i): [string, string] => [name.replace("?", ""), accounts[i] ?? ""]);
  // An account that may be left out is named by the program itself.
  const given = named.filter(([, key], i) => !(instruction.accounts[i]?.endsWith("?") && key === program.address));
  return { program, instruction, values, accounts: Object.fromEntries(given) };
}
