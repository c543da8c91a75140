/** Who signs: a key in memory, or a wallet of a browser. */

import {
  type Address,
  address,
  createKeyPairFromBytes,
  createKeyPairFromPrivateKeyBytes,
  getAddressFromPublicKey,
  getTransactionDecoder,
  getTransactionEncoder,
  partiallySignTransaction,
  signBytes,
} from "@solana/kit";
import { WalletRefusedError } from "../errors.js";
import type { MessageSigner } from "../http/signed.js";
import { equal } from "../verify/bytes.js";

/** Signs messages, and transactions that may lack other signatures. */
export interface Signer extends MessageSigner {
  readonly address: Address;
  /** Adds its signature to a serialised transaction. */
  signTransaction(transaction: Uint8Array): Promise<Uint8Array>;
}

/** A key: 64 bytes as `solana-keygen` writes them, or the 32 of a seed. */
export async function keySigner(secret: Uint8Array): Promise<Signer> {
  const pair = secret.length === 32 ? await createKeyPairFromPrivateKeyBytes(secret) : await createKeyPairFromBytes(secret);
  return {
    address: await getAddressFromPublicKey(pair.publicKey),
    signMessage: async (message) => signBytes(pair.privateKey, message),
    signTransaction: async (bytes) => {
      const signed = await partiallySignTransaction([pair], getTransactionDecoder().decode(bytes));
      return new Uint8Array(getTransactionEncoder().encode(signed));
    },
  };
}

/** An account of a wallet, as Wallet Standard has it: what is used of it. */
export interface StandardAccount {
  readonly address: string;
  readonly chains: readonly string[];
}

/** A wallet, as Wallet Standard has it: what is used of it. */
export interface StandardWallet {
  readonly name: string;
  readonly features: Readonly<Record<string, unknown>>;
}

interface SignMessage {
  signMessage(input: { account: StandardAccount; message: Uint8Array }): Promise<readonly { signature: Uint8Array; signedMessage: Uint8Array }[]>;
}

interface SignTransaction {
  signTransaction(input: {
    account: StandardAccount;
    transaction: Uint8Array;
    chain?: string;
  }): Promise<readonly { signedTransaction: Uint8Array }[]>;
}

/** A wallet of a page, connected to one of its accounts. `chain` is, for example, `solana:localnet`. */
export function standardSigner(wallet: StandardWallet, account: StandardAccount, chain?: string): Signer {
  const feature = <T>(name: string): T => {
    const found = wallet.features[name];
    if (found === undefined) throw new WalletRefusedError(`${wallet.name} can't do ${name}`);
    return found as T;
  };
  return {
    address: address(account.address),
    async signMessage(message) {
      const { signMessage } = feature<SignMessage>("solana:signMessage");
      const [signed] = await asked(wallet, signMessage({ account, message }));
      // A wallet may sign something around the message: then the signature is of other bytes, and no gateway takes it.
      if (signed && !equal(signed.signedMessage, message)) {
        throw new WalletRefusedError(`${wallet.name} signed another message than it was given`);
      }
      if (!signed) throw new WalletRefusedError(`${wallet.name} gave no signature`);
      return signed.signature;
    },
    async signTransaction(transaction) {
      const { signTransaction } = feature<SignTransaction>("solana:signTransaction");
      const [signed] = await asked(wallet, signTransaction({ account, transaction, ...(chain !== undefined && { chain }) }));
      if (!signed) throw new WalletRefusedError(`${wallet.name} gave no signature`);
      return signed.signedTransaction;
    },
  };
}

async function asked<T>(wallet: StandardWallet, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new WalletRefusedError(`${wallet.name} refuses: ${why}`, { cause });
  }
}

