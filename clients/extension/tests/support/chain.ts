/** A chain with lamports, vaults, spending limits and jobs: as much of it as the wallet meets, with signatures that are really checked. */

import { ed25519 } from "@noble/curves/ed25519.js";
import { base58, base64 } from "@scure/base";
import { getSpendGrantEncoder, getVaultEncoder, findSpendGrantPda, findVaultPda, type SpendGrantArgs, type VaultArgs } from "@mythic/program/ai-precompiles";
import { address } from "@solana/kit";
import { ceiling } from "../../src/decode/explain";
import { readTransaction, type ReadTransaction } from "../../src/decode/message";
import { decode, type Value } from "../../src/decode/program";
import { PROGRAMS } from "../../src/generated/idl";
import { RpcError } from "../../src/chain/rpc";

export const PROGRAM = "MythicAiPrecompi1es111111111111111111111111";
const SYSTEM = "11111111111111111111111111111111";
const FEE = 5_000n;
export const RENT = 7_000_000n;

interface Landed {
  err: unknown;
  bytes: Uint8Array;
  slot: number;
  before: Map<string, bigint>;
  after: Map<string, bigint>;
}

interface Ledger {
  lamports: Map<string, bigint>;
  vaults: Map<string, VaultArgs>;
  grants: Map<string, SpendGrantArgs>;
}

class Refused extends Error {
  readonly err: unknown;

  constructor(err: unknown) {
    super("refused");
    this.err = err;
  }
}

const custom = (code: number): Refused => new Refused({ InstructionError: [0, { Custom: code }] });
const header = (discriminator: number, status: number) => ({ discriminator, version: 1, bump: 255, status, reserved: new Uint8Array(4), seq: 1n });

export class FakeChain {
  genesis = base58.encode(new Uint8Array(32).fill(9));
  slot = 1_000;
  ledger: Ledger = { lamports: new Map(), vaults: new Map(), grants: new Map() };
  readonly landed = new Map<string, Landed>();
  /** Accounts beside those, base58 → bytes of our program's. */
  readonly accounts = new Map<string, Uint8Array>();
  /** Transactions that are dropped in silence before one lands. */
  drops = 0;
  /** It does not answer. */
  isAway = false;
  /** It answers when this is over. */
  hangs: Promise<void> | null = null;
  /** Every question, in order. */
  readonly asked: string[] = [];

  fund(account: string, lamports: bigint): void {
    this.ledger.lamports.set(account, (this.ledger.lamports.get(account) ?? 0n) + lamports);
  }

  /** As `Rpc` has it. */
  readonly rpc = async (method: string, params: readonly unknown[] = []): Promise<unknown> => {
    this.asked.push(method);
    await this.hangs;
    if (this.isAway) throw new RpcError("the chain can't be reached");
    const [first, second] = params;
    const context = { slot: this.slot };
    switch (method) {
      case "getGenesisHash":
        return this.genesis;
      case "getSlot":
      case "getBlockHeight":
        return ++this.slot;
      case "getBalance":
        return { context, value: Number(this.ledger.lamports.get(String(first)) ?? 0n) };
      case "getLatestBlockhash":
        return { context, value: { blockhash: this.blockhash(), lastValidBlockHeight: this.slot + 150 } };
      case "getRecentPerformanceSamples":
        return [{ slot: this.slot, numSlots: 150, samplePeriodSecs: 60, numTransactions: 1 }];
      case "getMultipleAccounts":
        return { context, value: await Promise.all((first as string[]).map((key) => this.#account(key))) };
      case "getAccountInfo":
        return { context, value: await this.#account(String(first)) };
      case "simulateTransaction":
        return { context, value: await this.#simulate(String(first), second) };
      case "sendTransaction":
        return this.#send(base64.decode(String(first)), (second as { skipPreflight?: boolean }).skipPreflight === true);
      case "getSignatureStatuses":
        return { context, value: (first as string[]).map((one) => this.#status(one)) };
      case "getSignaturesForAddress":
        return [...this.landed].filter(([, one]) => this.#names(one.bytes, String(first))).reverse().map(([signature, one]) => ({ signature, slot: one.slot, err: one.err }));
      case "getTransaction":
        return this.#transaction(String(first));
      default:
        throw new RpcError(`-32601: ${method}`);
    }
  };

  blockhash(): string {
    return base58.encode(new Uint8Array(32).fill(7).with(0, Math.floor(this.slot / 100) % 256));
  }

  async #account(key: string): Promise<unknown> {
    const lamports = this.ledger.lamports.get(key);
    const bytes = this.accounts.get(key) ?? (await this.#ours(key));
    if (bytes) return { owner: PROGRAM, lamports: 1_000_000, data: [base64.encode(bytes), "base64"], executable: false, space: bytes.length };
    return lamports ? { owner: SYSTEM, lamports: Number(lamports), data: ["", "base64"], executable: false, space: 0 } : null;
  }

  async #ours(key: string): Promise<Uint8Array | null> {
    for (const [owner, vault] of this.ledger.vaults) {
      if ((await findVaultPda({ owner: address(owner) }))[0] === key) return new Uint8Array(getVaultEncoder().encode(vault));
    }
    for (const grant of this.ledger.grants.values()) {
      if ((await findSpendGrantPda({ owner: grant.owner, delegate: grant.delegate }))[0] === key) return new Uint8Array(getSpendGrantEncoder().encode(grant));
    }
    return null;
  }

  async #simulate(text: string, options: unknown): Promise<unknown> {
    const read = readTransaction(base64.decode(text));
    if (typeof read === "string") throw new RpcError(read);
    const [watched] = (options as { accounts: { addresses: string[] } }).accounts.addresses;
    try {
      const after = await this.#run(read);
      return { err: null, logs: [], accounts: [{ lamports: Number(after.lamports.get(watched ?? "") ?? 0n) }] };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return { err: error.err, logs: [], accounts: null };
    }
  }

  async #send(bytes: Uint8Array, isUnchecked: boolean): Promise<string> {
    const read = readTransaction(bytes);
    if (typeof read === "string") throw new RpcError(read);
    const signature = base58.encode(bytes.subarray(1, 65));
    if (read.signers.some((signer, i) => !ed25519.verify(bytes.subarray(1 + 64 * i, 65 + 64 * i), read.message, base58.decode(signer)))) throw new RpcError("a signature is wrong");
    if (this.landed.has(signature)) return signature;
    if (this.drops > 0) {
      this.drops--;
      return signature;
    }
    if (!isUnchecked) await this.#run(read).catch((error: unknown) => { throw new RpcError("preflight", (error as Refused).err); });
    await this.land(bytes, signature);
    return signature;
  }

  /** Puts a transaction on chain, whoever signed it. */
  async land(bytes: Uint8Array, signature = base58.encode(bytes.subarray(1, 65))): Promise<unknown> {
    const read = readTransaction(bytes);
    if (typeof read === "string") throw new Error(read);
    const before = new Map(this.ledger.lamports);
    let err: unknown = null;
    try {
      this.ledger = await this.#run(read);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      err = error.err;
      this.fund(read.feePayer, -FEE * BigInt(read.signers.length));
    }
    this.landed.set(signature, { err, bytes, slot: ++this.slot, before, after: new Map(this.ledger.lamports) });
    return err;
  }

  #status(signature: string): unknown {
    const found = this.landed.get(signature);
    return found ? { slot: found.slot, confirmations: 1, err: found.err, confirmationStatus: "confirmed" } : null;
  }

  #names(bytes: Uint8Array, account: string): boolean {
    const read = readTransaction(bytes);
    return typeof read !== "string" && read.keys.includes(account);
  }

  #transaction(signature: string): unknown {
    const found = this.landed.get(signature);
    if (!found) return null;
    const read = readTransaction(found.bytes) as ReadTransaction;
    const of = (balances: Map<string, bigint>): number[] => read.keys.map((key) => Number(balances.get(key) ?? 0n));
    return { slot: found.slot, blockTime: 1_700_000_000, transaction: [base64.encode(found.bytes), "base64"], meta: { err: found.err, fee: Number(FEE), preBalances: of(found.before), postBalances: of(found.after) } };
  }

  /** What the ledger would be after a transaction. */
  async #run(read: ReadTransaction): Promise<Ledger> {
    const next: Ledger = { lamports: new Map(this.ledger.lamports), vaults: new Map(this.ledger.vaults), grants: new Map(this.ledger.grants) };
    const move = (from: string, lamports: bigint): void => {
      const had = next.lamports.get(from) ?? 0n;
      if (had < lamports) throw had === 0n ? new Refused("AccountNotFound") : custom(1);
      next.lamports.set(from, had - lamports);
    };
    move(read.feePayer, FEE * BigInt(read.signers.length));
    for (const { program, data, accounts } of read.instructions) {
      if (program === SYSTEM && data[0] === 2) {
        const lamports = new DataView(data.buffer, data.byteOffset).getBigUint64(4, true);
        move(String(accounts[0]), lamports);
        next.lamports.set(String(accounts[1]), (next.lamports.get(String(accounts[1])) ?? 0n) + lamports);
        continue;
      }
      const ours = PROGRAMS.find(({ address }) => address === program);
      const found = ours && decode(ours, data, accounts as string[]);
      if (found) this.#ours_run(next, move, found.instruction.name, found.values, found.accounts);
    }
    return next;
  }

  #ours_run(next: Ledger, move: (from: string, lamports: bigint) => void, name: string, values: Record<string, Value>, accounts: Record<string, string>): void {
    const number = (field: string): bigint => values[field] as bigint;
    const owner = accounts["owner"] ?? "";
    const zero = address(SYSTEM);
    if (name === "depositVault") {
      move(accounts["payer"] ?? "", number("amount"));
      const before = next.vaults.get(owner) ?? { header: header(5, 1), owner: address(owner), rentPayer: zero, balance: 0n, held: 0n, openJobs: 0, deposited: 0n, withdrawn: 0n, spent: 0n, createdSlot: 1n, updatedSlot: 1n };
      next.vaults.set(owner, { ...before, balance: BigInt(before.balance) + number("amount") });
    } else if (name === "withdrawVault") {
      const before = next.vaults.get(owner);
      if (!before || BigInt(before.balance) < number("amount")) throw custom(601);
      next.vaults.set(owner, { ...before, balance: BigInt(before.balance) - number("amount") });
      next.lamports.set(owner, (next.lamports.get(owner) ?? 0n) + number("amount"));
    } else if (name === "grantSpend") {
      const delegate = accounts["delegate"] ?? "";
      const before = next.grants.get(`${owner}/${delegate}`);
      if (BigInt(before?.lifetimeSpent ?? 0n) !== number("spent")) throw custom(612);
      next.grants.set(`${owner}/${delegate}`, {
        header: header(6, 1), owner: address(owner), delegate: address(delegate), rentPayer: zero, perJobMax: number("perJobMax"), windowMax: number("windowMax"),
        windowSlots: Number(number("windowSlots")), windowStart: before?.windowStart ?? 0n, windowSpent: before?.windowSpent ?? 0n, lifetimeCap: number("lifetimeCap"),
        lifetimeSpent: number("spent"), expirySlot: number("expirySlot"), createdSlot: 1n, updatedSlot: 1n, revokedSlot: 0n, openJobs: 0, modelCount: 0, models: [zero, zero, zero, zero],
      });
    } else if (name === "revokeGrant") {
      for (const [key, grant] of next.grants) if (grant.owner === owner) next.grants.set(key, { ...grant, header: header(6, 2) });
    } else if (name === "requestInference") {
      this.#request(next, move, number, accounts);
    }
  }

  #request(next: Ledger, move: (from: string, lamports: bigint) => void, number: (field: string) => bigint, accounts: Record<string, string>): void {
    move(accounts["payer"] ?? "", RENT);
    const price = ceiling({ promptTokens: number("promptTokens"), maxOutputTokens: number("maxOutputTokens"), priceIn: number("priceIn"), priceOut: number("priceOut") });
    const requester = accounts["requester"] ?? "";
    const [key, grant] = [...next.grants].find(([, one]) => one.delegate === requester) ?? [];
    const owner = accounts["grant"] === undefined ? requester : String(grant?.owner);
    const vault = next.vaults.get(owner);
    if (!vault || BigInt(vault.balance) < price) throw custom(601);
    if (accounts["grant"] !== undefined && key !== undefined && grant) {
      if (grant.header.status !== 1) throw custom(603);
      if (BigInt(grant.expirySlot) <= BigInt(this.slot)) throw custom(604);
      if (price > BigInt(grant.perJobMax)) throw custom(608);
      if (BigInt(grant.windowSpent) + price > BigInt(grant.windowMax)) throw custom(609);
      next.grants.set(key, { ...grant, windowStart: BigInt(this.slot), windowSpent: BigInt(grant.windowSpent) + price, lifetimeSpent: BigInt(grant.lifetimeSpent) + price });
    }
    next.vaults.set(owner, { ...vault, balance: BigInt(vault.balance) - price, spent: BigInt(vault.spent) + price });
  }
}
