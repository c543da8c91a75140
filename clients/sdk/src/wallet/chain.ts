/** Transactions: built, signed by the wallet, sent, and waited for; a refusal of the chain comes in its own words. */

import {
  appendTransactionMessageInstructions,
  compileTransaction,
  createSolanaRpc,
  createTransactionMessage,
  getBase64Decoder,
  getTransactionDecoder,
  getTransactionEncoder,
  type Instruction,
  isSolanaError,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
  type Base64EncodedWireTransaction,
  getSignatureFromTransaction,
  type Rpc,
  type Signature,
  SOLANA_ERROR__INSTRUCTION_ERROR__CUSTOM,
  type SolanaRpcApi,
} from "@solana/kit";
import { ChainRefusedError, ConnectionError, TimeoutError } from "../errors.js";
import { PROGRAM_ERRORS } from "../generated/errors.js";
import { sleep } from "../http/retry.js";
import type { Signer } from "./signers.js";

const LOOK_MS = 500;

export class Chain {
  readonly rpc: Rpc<SolanaRpcApi>;
  readonly signer: Signer;

  constructor(rpcUrl: string, signer: Signer) {
    this.rpc = createSolanaRpc(rpcUrl);
    this.signer = signer;
  }

  /** The newest slot that is processed. */
  async slot(): Promise<bigint> {
    return this.rpc.getSlot({ commitment: "processed" }).send();
  }

  /** A transaction of the wallet with its signature, and those of others lacking. */
  async sign(instructions: readonly Instruction[]): Promise<{ bytes: Uint8Array; lastValidBlockHeight: bigint }> {
    const { value: lifetime } = await this.rpc.getLatestBlockhash({ commitment: "confirmed" }).send();
    const message = pipe(
      createTransactionMessage({ version: 0 }),
      (empty) => setTransactionMessageFeePayer(this.signer.address, empty),
      (paid) => setTransactionMessageLifetimeUsingBlockhash(lifetime, paid),
      (timed) => appendTransactionMessageInstructions(instructions, timed),
    );
    const unsigned = new Uint8Array(getTransactionEncoder().encode(compileTransaction(message)));
    return { bytes: await this.signer.signTransaction(unsigned), lastValidBlockHeight: lifetime.lastValidBlockHeight };
  }

  /** Signs, sends and waits until it is confirmed. Resolves with the signature. */
  async send(instructions: readonly Instruction[]): Promise<string> {
    const { bytes, lastValidBlockHeight } = await this.sign(instructions);
    const encoded = getBase64Decoder().decode(bytes) as Base64EncodedWireTransaction;
    const signature = getSignatureFromTransaction(getTransactionDecoder().decode(bytes));
    await this.#sent(encoded).catch((error: unknown) => {
      throw refusal(error, undefined);
    });
    await this.#landed(signature, encoded, lastValidBlockHeight);
    return signature;
  }

  async #sent(encoded: Base64EncodedWireTransaction): Promise<void> {
    await this.rpc.sendTransaction(encoded, { encoding: "base64", preflightCommitment: "confirmed" }).send();
  }

  /** Waits for a transaction; it is sent again while it can land, since a first sending may be lost. */
  async #landed(signature: Signature, encoded: Base64EncodedWireTransaction, last: bigint): Promise<void> {
    for (;;) {
      const { value } = await this.rpc.getSignatureStatuses([signature]).send();
      const status = value[0];
      if (status?.err) throw new ChainRefusedError(words(customCode(status.err)), signature, customCode(status.err));
      if (status?.confirmationStatus === "confirmed" || status?.confirmationStatus === "finalized") return;
      const height = await this.rpc.getBlockHeight({ commitment: "confirmed" }).send();
      if (height > last) throw new TimeoutError(`transaction ${signature} did not land before its blockhash expired`);
      await sleep(LOOK_MS);
      if (!status) await this.#sent(encoded).catch(() => undefined);
    }
  }
}

/** The program's number in a status's error: `{ InstructionError: [index, { Custom: number }] }`. */
function customCode(error: unknown): number | undefined {
  const instruction = (error as { InstructionError?: readonly [unknown, unknown] }).InstructionError;
  const custom = (instruction?.[1] as { Custom?: number | bigint } | undefined)?.Custom;
  return custom === undefined ? undefined : Number(custom);
}

function words(code: number | undefined): string {
  const said = code === undefined ? undefined : PROGRAM_ERRORS[code];
  return said ? `the chain refuses: ${said} (${code})` : `the chain refuses the transaction${code === undefined ? "" : ` (${code})`}`;
}

/** Why a transaction was not taken, from what the RPC answers. */
function refusal(error: unknown, signature: string | undefined): Error {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (isSolanaError(cause, SOLANA_ERROR__INSTRUCTION_ERROR__CUSTOM)) {
      const code = Number(cause.context.code);
      return new ChainRefusedError(words(code), signature, code, { cause: error });
    }
  }
  if (isSolanaError(error)) {
    const inner = error.cause instanceof Error ? error.cause.message : error.message;
    return new ChainRefusedError(`the chain refuses: ${inner}`, signature, undefined, { cause: error });
  }
  return new ConnectionError("the chain can't be reached", { cause: error });
}
