/** Transactions that the wallet itself proposes. */

import {
  AccountRole,
  type Address,
  address,
  appendTransactionMessageInstructions,
  type Blockhash,
  compileTransaction,
  createNoopSigner,
  createTransactionMessage,
  getTransactionEncoder,
  type Instruction,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from "@solana/kit";
import {
  findSpendGrantPda,
  findVaultPda,
  getDepositVaultInstruction,
  getGrantSpendInstruction,
  getRevokeGrantInstruction,
  getWithdrawVaultInstruction,
} from "@mythic/program/ai-precompiles";
import { at, bigint, type Rpc } from "./rpc";
import { readLimits } from "./read";

const SYSTEM = address("11111111111111111111111111111111");
const NO_KEY = SYSTEM;
/** Models that a grant has room for. */
const MODELS = 4;
/** Lamports of a transaction with one signature. */
export const FEE = 5_000n;

/** What the wallet's own pages may ask for. */
export type Proposal =
  | { kind: "transfer"; to: string; lamports: bigint }
  | { kind: "deposit"; lamports: bigint }
  | { kind: "withdraw"; lamports: bigint }
  | { kind: "limit"; limit: LimitForm }
  | { kind: "revoke"; delegate: string };

/** A spending limit as it is asked for. */
export interface LimitForm {
  delegate: string;
  perJob: bigint;
  /** Most lamports in a window. */
  perWindow: bigint;
  windowSlots: number;
  lifetime: bigint;
  /** Slots from now until it ends. */
  validSlots: bigint;
  models: string[];
  /** Lamports that go into the vault beside it. */
  deposit: bigint;
  /** Lamports for the session key, which pays fees and the rent of jobs. */
  float: bigint;
}

export interface Lifetime {
  blockhash: string;
  lastValidBlockHeight: number;
}

export async function latest(rpc: Rpc): Promise<Lifetime> {
  const answer = await rpc("getLatestBlockhash", [{ commitment: "confirmed" }]);
  const [blockhash, height] = [at(answer, "value", "blockhash"), at(answer, "value", "lastValidBlockHeight")];
  if (typeof blockhash !== "string" || typeof height !== "number") throw new Error("the chain gives no blockhash");
  return { blockhash, lastValidBlockHeight: height };
}

/** An unsigned transaction of `payer`. */
export function compile(payer: string, instructions: readonly Instruction[], { blockhash, lastValidBlockHeight }: Lifetime): Uint8Array {
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayer(address(payer), empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: blockhash as Blockhash, lastValidBlockHeight: BigInt(lastValidBlockHeight) }, paid),
    (timed) => appendTransactionMessageInstructions(instructions, timed),
  );
  return new Uint8Array(getTransactionEncoder().encode(compileTransaction(message)));
}

export function transfer(from: string, to: string, lamports: bigint): Instruction {
  const data = new Uint8Array(12);
  const view = new DataView(data.buffer);
  view.setUint32(0, 2, true);
  view.setBigUint64(4, lamports, true);
  return {
    programAddress: SYSTEM,
    accounts: [
      { address: address(from), role: AccountRole.WRITABLE_SIGNER },
      { address: address(to), role: AccountRole.WRITABLE },
    ],
    data,
  };
}

/** The instructions of a proposal. */
export async function instructionsOf(rpc: Rpc, owner: string, proposal: Proposal): Promise<Instruction[]> {
  const me = createNoopSigner(address(owner));
  const [vault] = await findVaultPda({ owner: address(owner) });
  const deposit = (lamports: bigint): Instruction => getDepositVaultInstruction({ payer: me, owner: me.address, vault, amount: lamports });
  switch (proposal.kind) {
    case "transfer":
      return [transfer(owner, proposal.to, proposal.lamports)];
    case "deposit":
      return [deposit(proposal.lamports)];
    case "withdraw":
      return [getWithdrawVaultInstruction({ owner: me, vault, amount: proposal.lamports })];
    case "revoke": {
      const [grant] = await findSpendGrantPda({ owner: address(owner), delegate: address(proposal.delegate) });
      return [getRevokeGrantInstruction({ owner: me, grant })];
    }
    case "limit": {
      const { limit } = proposal;
      const delegate = address(limit.delegate);
      const [grant] = await findSpendGrantPda({ owner: address(owner), delegate });
      const { grant: before, slot } = await readLimits(rpc, owner, limit.delegate);
      const key = (index: number): Address => (limit.models[index] === undefined ? NO_KEY : address(limit.models[index]));
      return [
        ...(limit.float > 0n ? [transfer(owner, limit.delegate, limit.float)] : []),
        ...(limit.deposit > 0n ? [deposit(limit.deposit)] : []),
        getGrantSpendInstruction({
          payer: me,
          owner: me,
          delegate,
          grant,
          spent: before?.lifetimeSpent ?? 0n,
          perJobMax: limit.perJob,
          windowMax: limit.perWindow,
          windowSlots: limit.windowSlots,
          lifetimeCap: limit.lifetime + (before?.lifetimeSpent ?? 0n),
          expirySlot: BigInt(slot) + limit.validSlots,
          modelCount: limit.models.length,
          models: Array.from({ length: MODELS }, (_none, index) => key(index)),
        }),
      ];
    }
  }
}

export async function genesisOf(rpc: Rpc): Promise<string> {
  const genesis = await rpc("getGenesisHash");
  if (typeof genesis !== "string" || !/^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(genesis)) throw new Error("the chain says no genesis hash");
  return genesis;
}

export async function balanceOf(rpc: Rpc, account: string): Promise<bigint> {
  const lamports = bigint(at(await rpc("getBalance", [account, { commitment: "confirmed" }]), "value"));
  if (lamports === null) throw new Error("the chain says no balance");
  return lamports;
}
