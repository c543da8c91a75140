/** Between a page and the wallet's relay in it. The page may forge any of it: the relay's answers are for the page alone. */

export const CHANNEL = "mythic-wallet";

export interface FromPage {
  channel: typeof CHANNEL;
  to: "relay";
  id: string;
  method: string;
  params: Record<string, unknown>;
}

export interface FromRelay {
  channel: typeof CHANNEL;
  to: "page";
  /** Null: something has changed. */
  id: string | null;
  accounts?: string[];
  chain?: string;
  result?: Uint8Array;
  signature?: string;
  error?: string;
}
