// Checking a receipt in the page: the SDK does it, and is loaded when somebody asks.
import type { Verification } from "@mythic/ai-sdk";

export interface With {
  /** Of who paid: evidence holds the prompt, and is shown to nobody else. */
  apiKey: string;
  /** The chain's RPC; without one the chain is not asked. */
  rpcUrl: string;
}

export async function check(job: string, { apiKey, rpcUrl }: With, signal: AbortSignal): Promise<Verification> {
  const { MythicAI } = await import("@mythic/ai-sdk");
  const ai = new MythicAI({ gatewayUrl: location.origin, ...(apiKey ? { apiKey } : {}) });
  return ai.receipts.verify(job, { signal, ...(rpcUrl ? { rpcUrl } : {}) });
}
