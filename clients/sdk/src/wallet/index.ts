/**
 * Wallets for the client: of a key, or of a Wallet Standard wallet in a page. Needs `@solana/kit`.
 *
 * @module
 */

import { type Address, address } from "@solana/kit";
import type { Fetch } from "../http/transport.js";
import { Chain } from "./chain.js";
import type { Wallet } from "./contract.js";
import { MarketLeases } from "./market.js";
import { pay } from "./payment.js";
import { keySigner, type Signer, type StandardAccount, standardSigner, type StandardWallet } from "./signers.js";
import { deposit, grant, grantOf, revokeGrant, vault, withdraw } from "./vault.js";

export type { Grant, GrantLimits, PaymentRequest, Vault, Wallet } from "./contract.js";
export type { ClosedLease, Lease, LeasedEndpoint, LeaseRequest, Leases, Offer, PendingLease } from "./leases.js";
export type { Signer, StandardAccount, StandardWallet } from "./signers.js";

/** How a wallet reaches chain and providers. */
export interface WalletOptions {
  /** JSON-RPC of the chain. */
  rpcUrl: string;
  /** With which providers of leases are asked, instead of the platform's `fetch`. */
  fetch?: Fetch;
}

/** A wallet of a key: the 64 bytes of a `solana-keygen` file, or a seed of 32. */
export async function keyWallet(secret: Uint8Array, options: WalletOptions): Promise<Wallet> {
  return walletOf(await keySigner(secret), options);
}

/** A wallet of a page, as Wallet Standard has it, and the account that it shares. `chain` is, for example, `solana:devnet`. */
export function standardWallet(
  wallet: StandardWallet,
  account: StandardAccount,
  options: WalletOptions & { chain?: string },
): Wallet {
  return walletOf(standardSigner(wallet, account, options.chain), options);
}

/** A wallet of whatever signs. With `owner`, `pay` spends from that wallet's vault, under the grant that it gave the signer. */
export function signerWallet(signer: Signer, options: WalletOptions & { owner?: string }): Wallet {
  return walletOf(signer, options, options.owner === undefined ? undefined : address(options.owner));
}

function walletOf(signer: Signer, { rpcUrl, fetch }: WalletOptions, owner?: Address): Wallet {
  const chain = new Chain(rpcUrl, signer);
  return {
    address: signer.address,
    ...(owner !== undefined && { owner }),
    signMessage: (message) => signer.signMessage(message),
    pay: (request) => pay(chain, request, owner),
    vault: () => vault(chain),
    deposit: (lamports) => deposit(chain, lamports),
    withdraw: (lamports) => withdraw(chain, lamports),
    grant: (limits) => grant(chain, limits),
    grantOf: (delegate) => grantOf(chain, delegate),
    revokeGrant: (delegate) => revokeGrant(chain, delegate),
    leases: new MarketLeases(chain, fetch ?? ((url, init) => globalThis.fetch(url, init))),
  };
}
