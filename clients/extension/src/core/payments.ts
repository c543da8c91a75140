/**
 * Jobs of the chat: paid by the session key within its limit, or by the account where somebody says so for this one. A payment is written
 * down before it leaves, under the name of its question: whoever is killed finds the same one again, so that a question is paid once.
 */

import type { Estimate, PaymentRequest } from "@mythic/ai-sdk";
import { signerWallet, type Signer } from "@mythic/ai-sdk/wallet";
import { address } from "@solana/kit";
import { base58, base64 } from "@scure/base";
import { balanceOf, compile, FEE, latest, transfer } from "../chain/build";
import { isBroke, isLimit } from "../chain/refusal";
import type { Rpc } from "../chain/rpc";
import { simulate } from "../chain/simulate";
import { type AccountKey, sign } from "../crypto/phrase";
import { ceiling, signedRequest } from "../decode/explain";
import { WalletError } from "./error";
import type { Keyring } from "./keyring";
import type { Account, Network } from "./records";
import { pinned, withSignature } from "./requests";
import type { Store } from "./store";

export interface PaymentsOptions {
  store: Store;
  keyring: Keyring;
  rpc: (url: string) => Rpc;
}

/** Who pays: the session key within its limit, or the account itself. */
export type Payer = "limit" | "account";

export interface PaymentAsked {
  /** Names the question. */
  id: string;
  by: Payer;
  estimate: Estimate;
  seed: number | undefined;
  /** What was shown as the most that it costs, lamports. */
  most: bigint;
}

/** A payment as it goes to the gateway. */
export interface Payment {
  transaction: string;
  salt: string;
}

export interface Holder {
  account: Account;
  network: Network;
}

export class Payments {
  readonly #options: PaymentsOptions;

  constructor(options: PaymentsOptions) {
    this.#options = options;
  }

  /** The session key's address on a network. */
  async delegate(holder: Holder): Promise<string> {
    return (await this.#key("limit", await this.#met(holder))).address;
  }

  async #met({ account, network }: Holder): Promise<{ account: Account; network: Network & { genesis: string } }> {
    const met = await pinned(this.#options, network);
    return { account, network: { ...met, genesis: met.genesis ?? "" } };
  }

  async #key(by: Payer, { account, network }: { account: Account; network: Network & { genesis: string } }): Promise<AccountKey> {
    const { keyring } = this.#options;
    return by === "account" ? keyring.account(account.index) : keyring.session(account, network.genesis, 0);
  }

  async pay(holder: Holder, asked: PaymentAsked): Promise<Payment> {
    const { store, rpc } = this.#options;
    const name = `payment:${asked.id}`;
    const before = (await store.area.get(name)) as Partial<Payment> | undefined;
    if (typeof before?.transaction === "string" && typeof before.salt === "string") return { transaction: before.transaction, salt: before.salt };
    const { estimate, seed, most } = asked;
    const price = ceiling({
      promptTokens: BigInt(estimate.promptTokens),
      maxOutputTokens: BigInt(estimate.maxOutputTokens),
      priceIn: BigInt(estimate.priceInLamportsPer1k),
      priceOut: BigInt(estimate.priceOutLamportsPer1k),
    });
    if (price > most) throw new WalletError("limit", "the gateway asks for more now than what was shown: look at the price again");
    const { account, network } = await this.#met(holder);
    const key = await this.#key(asked.by, { account, network });
    const wallet = signerWallet(signerOf(key), { rpcUrl: network.rpcUrl, owner: account.address });
    const request: PaymentRequest = { estimate, seed };
    const payment = await wallet.pay(request);
    await this.#tried(rpc(network.rpcUrl), key.address, payment.transaction, asked.by);
    await store.area.set(name, payment);
    return payment;
  }

  /** Asks the chain before the gateway does: a limit that bites costs nothing, and its refusal is the chain's own. */
  async #tried(rpc: Rpc, payer: string, transaction: string, by: Payer): Promise<void> {
    const bytes = base64.decode(transaction);
    const { ok, words, code } = await simulate(rpc, bytes, payer, false);
    if (ok) return;
    const signature = base58.encode(bytes.subarray(1, 65));
    const hint = isBroke(code) && by === "limit" ? ". The session key pays fees and rent: it may need more lamports" : "";
    throw new WalletError(isLimit(code) ? "limit" : "chain", `${words ?? "it gives no reason"}${hint}`, signature);
  }

  /** A question is over: its payment is not needed any more. */
  forget(id: string): Promise<void> {
    return this.#options.store.area.remove([`payment:${id}`]);
  }

  /** Signs the question for evidence of a job, and nothing else: it goes to the network's gateway. */
  async signEvidence(holder: Holder, by: Payer, message: Uint8Array): Promise<Uint8Array> {
    const request = signedRequest(message);
    const { origin } = new URL(holder.network.gatewayUrl);
    if (!request || request.method !== "GET" || request.receiver !== origin || !/^evidence:[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(request.purpose)) {
      throw new WalletError("refused", "this is no question for a job's evidence");
    }
    const { secret } = await this.#key(by, await this.#met(holder));
    return sign(secret, message);
  }

  /** Sends what lies on the session key back to the account. Resolves with the signature, or null where nothing is worth a fee. */
  async sweep(holder: Holder): Promise<string | null> {
    const { account, network } = await this.#met(holder);
    const rpc = this.#options.rpc(network.rpcUrl);
    const key = await this.#key("limit", { account, network });
    const lamports = (await balanceOf(rpc, key.address)) - FEE;
    if (lamports <= 0n) return null;
    const bytes = compile(key.address, [transfer(key.address, account.address, lamports)], await latest(rpc));
    const signed = withSignature(bytes, key.address, key.secret);
    await rpc("sendTransaction", [base64.encode(signed), { encoding: "base64", preflightCommitment: "confirmed" }]);
    return base58.encode(signed.subarray(1, 65));
  }
}

function signerOf({ address: key, secret }: AccountKey): Signer {
  return {
    address: address(key),
    signMessage: async (message) => sign(secret, message),
    signTransaction: async (transaction) => withSignature(transaction, key, secret),
  };
}
