/** The wallet's vault, and who may spend from it. */

import { type Address, address, createNoopSigner } from "@solana/kit";
import {
  AI_PRECOMPILES_ERROR__GRANT_SPENT_CHANGED,
  fetchMaybeSpendGrant,
  fetchMaybeVault,
  findSpendGrantPda,
  findVaultPda,
  getDepositVaultInstruction,
  getGrantSpendInstruction,
  getRevokeGrantInstruction,
  getWithdrawVaultInstruction,
} from "@mythic/program/ai-precompiles";
import { ChainRefusedError } from "../errors.js";
import type { Chain } from "./chain.js";
import type { Grant, GrantLimits, Vault } from "./contract.js";

const DAY_SLOTS = 216_000;
/** Models that a grant has room for. */
const MODELS = 4;
const NO_KEY = address("11111111111111111111111111111111");
const ACTIVE = 1;
/** Times that a grant is read again because its delegate spent meanwhile. */
const ATTEMPTS = 5;

export async function vault(chain: Chain): Promise<Vault | null> {
  const [account] = await findVaultPda({ owner: chain.signer.address });
  const found = await fetchMaybeVault(chain.rpc, account);
  if (!found.exists) return null;
  const { balance, held, openJobs, spent } = found.data;
  return { address: account, balance, held, openJobs, spent };
}

export async function deposit(chain: Chain, lamports: bigint): Promise<string> {
  const owner = chain.signer.address;
  const [account] = await findVaultPda({ owner });
  const payer = createNoopSigner(owner);
  return chain.send([getDepositVaultInstruction({ payer, owner, vault: account, amount: lamports })]);
}

export async function withdraw(chain: Chain, lamports: bigint): Promise<string> {
  const owner = createNoopSigner(chain.signer.address);
  const [account] = await findVaultPda({ owner: owner.address });
  return chain.send([getWithdrawVaultInstruction({ owner, vault: account, amount: lamports })]);
}

async function grantAccount(chain: Chain, delegate: Address): Promise<Address> {
  const [account] = await findSpendGrantPda({ owner: chain.signer.address, delegate });
  return account;
}

export async function grantOf(chain: Chain, delegate: string): Promise<Grant | null> {
  const account = await grantAccount(chain, address(delegate));
  const found = await fetchMaybeSpendGrant(chain.rpc, account);
  if (!found.exists) return null;
  const { data } = found;
  return {
    address: account,
    delegate: data.delegate,
    isActive: data.header.status === ACTIVE,
    perJob: data.perJobMax,
    perWindow: data.windowMax,
    windowSlots: data.windowSlots,
    windowSpent: data.windowSpent,
    windowStart: data.windowStart,
    lifetime: data.lifetimeCap,
    lifetimeSpent: data.lifetimeSpent,
    expirySlot: data.expirySlot,
    openJobs: data.openJobs,
  };
}

/** Makes a grant or changes its limits. What was spent is stated, and may change on the way: then it is read again. */
export async function grant(chain: Chain, limits: GrantLimits): Promise<string> {
  const models = limits.models ?? [];
  if (models.length > MODELS) throw new RangeError(`a grant names at most ${MODELS} models`);
  const delegate = address(limits.delegate);
  const owner = createNoopSigner(chain.signer.address);
  const account = await grantAccount(chain, delegate);
  for (let attempt = 1; ; attempt++) {
    const before = await grantOf(chain, delegate);
    const instruction = getGrantSpendInstruction({
      payer: owner,
      owner,
      delegate,
      grant: account,
      spent: before?.lifetimeSpent ?? 0n,
      perJobMax: limits.perJob,
      windowMax: limits.perWindow,
      windowSlots: limits.windowSlots ?? DAY_SLOTS,
      lifetimeCap: limits.lifetime,
      expirySlot: (await chain.slot()) + limits.validSlots,
      modelCount: models.length,
      models: Array.from({ length: MODELS }, (_none, i) => address(models[i] ?? NO_KEY)),
    });
    try {
      return await chain.send([instruction]);
    } catch (error) {
      if (attempt >= ATTEMPTS || !spentMeanwhile(error)) throw error;
    }
  }
}

function spentMeanwhile(error: unknown): boolean {
  return error instanceof ChainRefusedError && error.programError === AI_PRECOMPILES_ERROR__GRANT_SPENT_CHANGED;
}

export async function revokeGrant(chain: Chain, delegate: string): Promise<string> {
  const account = await grantAccount(chain, address(delegate));
  return chain.send([getRevokeGrantInstruction({ owner: createNoopSigner(chain.signer.address), grant: account })]);
}
