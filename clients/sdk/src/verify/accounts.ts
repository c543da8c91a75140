/** Accounts as a chain's RPC gives them, read and checked by what they must be. */

import {
  JOB,
  type Job as JobState,
  LAYOUT_VERSION,
  MODEL,
  type Model as ModelState,
  PROGRAM,
  readJob,
  readModel,
} from "../generated/layouts.js";
import type { AccountData } from "./rpc.js";
import { Reader } from "./reader.js";

/** A job's account: its fields, and the bytes that its hashes are made of. */
export interface JobAccount {
  state: JobState;
  bytes: Uint8Array;
}

/** A model's account. */
export interface ModelAccount {
  state: ModelState;
  bytes: Uint8Array;
}

/** Why bytes are not the account that they should be; `undefined` if they are. */
function fault(account: AccountData, layout: { discriminator: number; bytes: number }): string | undefined {
  const { owner, bytes } = account;
  if (owner !== PROGRAM) return `it belongs to the program ${owner}`;
  if (bytes.length !== layout.bytes) return `it has ${bytes.length} bytes instead of ${layout.bytes}`;
  if (bytes[0] !== layout.discriminator) return `it is an account of another type (${bytes[0]})`;
  if (bytes[1] !== LAYOUT_VERSION) return `it has layout version ${bytes[1]}, and this SDK reads ${LAYOUT_VERSION}`;
  return undefined;
}

/** A job's account, or why it is none. */
export function jobAccount(account: AccountData): JobAccount | string {
  return fault(account, JOB) ?? { state: readJob(new Reader(account.bytes)), bytes: account.bytes };
}

/** A model's account, or why it is none. */
export function modelAccount(account: AccountData): ModelAccount | string {
  return fault(account, MODEL) ?? { state: readModel(new Reader(account.bytes)), bytes: account.bytes };
}
