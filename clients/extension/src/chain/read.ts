/** What the chain holds of a wallet: lamports, vault, spending limit, and the slot at which all of it was read. */

import { address, type Address } from "@solana/kit";
import { AI_PRECOMPILES_PROGRAM_ADDRESS, findSpendGrantPda, findVaultPda, getSpendGrantDecoder, getVaultDecoder } from "@mythic/program/ai-precompiles";
import { base64 } from "@scure/base";
import { at, bigint, type Rpc } from "./rpc";

export interface VaultState {
  balance: bigint;
  held: bigint;
  openJobs: number;
  spent: bigint;
}

export interface GrantState {
  delegate: string;
  isActive: boolean;
  perJob: bigint;
  perWindow: bigint;
  windowSlots: number;
  windowStart: bigint;
  windowSpent: bigint;
  lifetime: bigint;
  lifetimeSpent: bigint;
  expirySlot: bigint;
  openJobs: number;
  models: string[];
}

export interface Limits {
  slot: number;
  /** Null where there is no account; undefined where what is there can't be read. */
  wallet: bigint | null;
  vault: VaultState | null;
  grant: GrantState | null;
  /** Lamports of the session key, for fees and rent. */
  float: bigint | null;
}

const ACTIVE = 1;
/** First bytes of the accounts. */
const [GRANT, VAULT] = [6, 5];

/** One question, one slot: wallet, vault, and the grant of a delegate if one is named. */
export async function readLimits(rpc: Rpc, owner: string, delegate: string | null): Promise<Limits> {
  const [vault] = await findVaultPda({ owner: address(owner) });
  const keys: Address[] = [address(owner), vault];
  if (delegate !== null) {
    const [grant] = await findSpendGrantPda({ owner: address(owner), delegate: address(delegate) });
    keys.push(grant, address(delegate));
  }
  const answer = await rpc("getMultipleAccounts", [keys, { encoding: "base64", commitment: "confirmed" }]);
  const slot = at(answer, "context", "slot");
  if (typeof slot !== "number") throw new Error("the chain says no slot");
  const lamports = (index: number): bigint | null => bigint(at(answer, "value", index, "lamports"));
  return {
    slot,
    wallet: lamports(0) ?? 0n,
    vault: vaultOf(ours(at(answer, "value", 1), VAULT)),
    grant: grantOf(ours(at(answer, "value", 2), GRANT)),
    float: delegate === null ? null : (lamports(3) ?? 0n),
  };
}

/** The bytes of an account of our program with this first byte. */
function ours(account: unknown, discriminator: number): Uint8Array | null {
  const [owner, data] = [at(account, "owner"), at(account, "data", 0)];
  if (owner !== AI_PRECOMPILES_PROGRAM_ADDRESS || typeof data !== "string") return null;
  const bytes = base64.decode(data);
  return bytes[0] === discriminator ? bytes : null;
}

function vaultOf(bytes: Uint8Array | null): VaultState | null {
  if (!bytes) return null;
  const { balance, held, openJobs, spent } = getVaultDecoder().decode(bytes);
  return { balance, held, openJobs, spent };
}

function grantOf(bytes: Uint8Array | null): GrantState | null {
  if (!bytes) return null;
  const grant = getSpendGrantDecoder().decode(bytes);
  return {
    delegate: grant.delegate,
    isActive: grant.header.status === ACTIVE,
    perJob: grant.perJobMax,
    perWindow: grant.windowMax,
    windowSlots: grant.windowSlots,
    windowStart: grant.windowStart,
    windowSpent: grant.windowSpent,
    lifetime: grant.lifetimeCap,
    lifetimeSpent: grant.lifetimeSpent,
    expirySlot: grant.expirySlot,
    openJobs: grant.openJobs,
    models: grant.models.slice(0, grant.modelCount),
  };
}

/** What may still be spent under a grant at a slot: of one job, and until the window ends. */
export function left(grant: GrantState, slot: number): { job: bigint; window: bigint; lifetime: bigint } {
  const isOver = BigInt(slot) >= grant.windowStart + BigInt(grant.windowSlots);
  const rest = (most: bigint, spent: bigint): bigint => (most > spent ? most - spent : 0n);
  const window = rest(grant.perWindow, isOver ? 0n : grant.windowSpent);
  const lifetime = rest(grant.lifetime, grant.lifetimeSpent);
  const job = [grant.perJob, window, lifetime].reduce((least, one) => (one < least ? one : least));
  return { job: grant.isActive && BigInt(slot) < grant.expirySlot ? job : 0n, window, lifetime };
}
