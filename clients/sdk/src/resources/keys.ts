/** What a wallet does by signed requests: API keys, and credit for fees. */

import { MythicError } from "../errors.js";
import type { Call, RequestOptions, Transport } from "../http/transport.js";
import { type MessageSigner, signRequest } from "../http/signed.js";
import { shape } from "../wire/shape.js";
import type { ApiKey, Credit, Schemas } from "../wire/types.js";

/** Sends requests that the client's wallet signs. */
class Signed {
  readonly #transport: Transport;
  readonly #signer: MessageSigner | undefined;

  constructor(transport: Transport, signer: MessageSigner | undefined) {
    this.#transport = transport;
    this.#signer = signer;
  }

  json(call: Omit<Call, "sign">, purpose: string): Promise<unknown> {
    const signer = this.#signer;
    if (!signer) throw new MythicError("this needs a wallet: new MythicAI({ gatewayUrl, wallet })");
    const { gatewayUrl } = this.#transport;
    return this.#transport.json({ ...call, sign: (request) => signRequest(signer, { gatewayUrl, purpose, ...request }) });
  }
}

/** API keys of the client's wallet. */
export class Keys {
  readonly #signed: Signed;

  constructor(transport: Transport, signer: MessageSigner | undefined) {
    this.#signed = new Signed(transport, signer);
  }

  /**
   * Makes a key. It is shown this once, and spends nothing before the wallet grants its `delegate` something:
   * `wallet.grant({ delegate: key.delegate, … })`.
   */
  async create(options: RequestOptions & { name?: string } = {}): Promise<ApiKey & { key: string }> {
    const { name, ...about } = options;
    const body = name === undefined ? {} : { name };
    const made = await this.#signed.json({ method: "POST", path: "/v1/keys", body, once: true, ...about }, "keys");
    return shape<Schemas["ApiKey"]>(made) as ApiKey & { key: string };
  }

  /** The wallet's keys, newest first, without their secrets. */
  async list(options: RequestOptions = {}): Promise<ApiKey[]> {
    const found = await this.#signed.json({ method: "GET", path: "/v1/keys", ...options }, "keys");
    return shape<Schemas["ApiKeys"]>(found).data;
  }

  /** Revokes a key. `wallet.revokeGrant(key.delegate)` ends its spending on chain, wherever the key may be. */
  async revoke(id: string, options: RequestOptions = {}): Promise<void> {
    await this.#signed.json({ method: "DELETE", path: `/v1/keys/${encodeURIComponent(id)}`, ...options }, "keys");
  }
}

/** What the client's wallet has prepaid for fees and rent. */
export class Credits {
  readonly #signed: Signed;

  constructor(transport: Transport, signer: MessageSigner | undefined) {
    this.#signed = new Signed(transport, signer);
  }

  /** What is left, and where to pay. */
  async show(options: RequestOptions = {}): Promise<Credit> {
    return shape<Schemas["Credit"]>(await this.#signed.json({ method: "GET", path: "/v1/credit", ...options }, "credit"));
  }

  /** Tells the gateway of a finalized transfer to `payTo`. Each is credited once. */
  async payIn(signature: string, options: RequestOptions = {}): Promise<Credit> {
    const call = { method: "POST", path: "/v1/credit", body: { signature }, ...options } as const;
    return shape<Schemas["Credit"]>(await this.#signed.json(call, "credit"));
  }
}
