/** Signed requests: whom, what, what for, when, and once only (docs/api.md, Signed requests). */

import { concat, hex, u32le, u64le, utf8 } from "../verify/bytes.js";
import { base58 } from "../verify/base58.js";
import { sha256 } from "../verify/sha256.js";

/** Who signs requests: a wallet, or a key. */
export interface MessageSigner {
  /** Public key, base58. */
  readonly address: string;
  /** Ed25519 over exactly these bytes. */
  signMessage(message: Uint8Array): Promise<Uint8Array>;
}

/** What is signed of a request. */
export interface SignedRequest {
  gatewayUrl: string;
  method: string;
  /** From its first slash, with its query. */
  path: string;
  purpose: string;
  body: string;
}

/** The bytes under the signature. */
export function signedBytes(request: SignedRequest, seconds: number, nonce: Uint8Array): Uint8Array {
  const parts = [request.method, new URL(request.gatewayUrl).origin, request.path, request.purpose].map(utf8);
  return concat([
    utf8("mythic/http/v2"),
    ...parts.flatMap((part) => [u32le(part.length), part]),
    sha256(utf8(request.body)),
    u64le(BigInt(seconds)),
    nonce,
  ]);
}

/** The headers of a signed request. */
export async function signRequest(signer: MessageSigner, request: SignedRequest): Promise<Record<string, string>> {
  const seconds = Math.floor(Date.now() / 1_000);
  const nonce = crypto.getRandomValues(new Uint8Array(16));
  const signature = await signer.signMessage(signedBytes(request, seconds, nonce));
  return {
    "x-mythic-key": signer.address,
    "x-mythic-time": String(seconds),
    "x-mythic-nonce": hex(nonce),
    "x-mythic-purpose": request.purpose,
    "x-mythic-signature": base58(signature),
  };
}
