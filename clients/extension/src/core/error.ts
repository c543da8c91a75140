/** What the wallet refuses: a stable word for its pages, and words for people. */

export type ErrorCode =
  | "phrase" | "password" | "wait" | "exists" | "none" | "damaged" | "locked"
  | "unknown" | "over" | "refused" | "network" | "account" | "blind" | "fails" | "invalid" | "limit" | "chain";

export class WalletError extends Error {
  readonly code: ErrorCode;
  /** The transaction that the chain refuses, if one is meant. */
  readonly signature: string | null;

  constructor(code: ErrorCode, message: string, signature: string | null = null) {
    super(message);
    this.code = code;
    this.signature = signature;
  }
}
