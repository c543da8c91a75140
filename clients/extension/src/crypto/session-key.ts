/**
 * The session key: a delegate that may spend within limits that the chain enforces. It is made of the account's secret, the chain and a
 * number, so that it is nowhere on disk, and what lies on it is never lost: the account can always make it again.
 */

import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { addressOf, type AccountKey } from "./phrase";

const DOMAIN = utf8ToBytes("mythic/wallet/session-key/v1");

/** `genesis` is the chain's genesis hash, base58: a key of one chain is not one of another. */
export function sessionKey(account: Uint8Array, genesis: string, number: number): AccountKey {
  const secret = hkdf(sha256, account, DOMAIN, utf8ToBytes(`${genesis}/${number}`), 32);
  return { address: addressOf(secret), secret };
}
