/**
 * Mythic's gateways for the Vercel AI SDK. Answers carry what was paid for them in `providerMetadata.mythic`.
 *
 * @module
 */

import { createOpenAICompatible, type OpenAICompatibleProvider } from "@ai-sdk/openai-compatible";
import { receipts } from "./receipts.js";

export type { MythicMetadata } from "./receipts.js";

/** How a gateway is reached. */
export interface MythicProviderOptions {
  /** For example `http://127.0.0.1:4002`; with or without `/v1`. */
  gatewayUrl: string;
  /** A key of the gateway, `mk-…`. A development network on this machine needs none. */
  apiKey?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Instead of the platform's `fetch`. */
  fetch?: typeof globalThis.fetch;
}

/** Models of a gateway. */
export interface MythicProvider {
  /** A model by its id or name; without one the gateway's default. */
  (model?: string): ReturnType<OpenAICompatibleProvider["chatModel"]>;
}

/** What the AI SDK calls a model that no request names. */
const DEFAULT = "default";

/**
 * Models of a gateway for `generateText`, `streamText` and what is built on them.
 *
 * @example
 * const mythic = createMythic({ gatewayUrl: "http://127.0.0.1:4002" });
 * const { text, providerMetadata } = await generateText({ model: mythic(), prompt: "Why is the sky blue?" });
 */
export function createMythic({ gatewayUrl, apiKey, headers, fetch }: MythicProviderOptions): MythicProvider {
  const provider = createOpenAICompatible({
    name: "mythic",
    baseURL: `${gatewayUrl.replace(/\/+$/, "").replace(/\/v1$/, "")}/v1`,
    includeUsage: true,
    // Else a schema would be left out, and any JSON object asked for.
    supportsStructuredOutputs: true,
    metadataExtractor: receipts,
    transformRequestBody: withoutDefault,
    ...(apiKey !== undefined && { apiKey }),
    ...(headers !== undefined && { headers }),
    ...(fetch !== undefined && { fetch }),
  });
  return (model = DEFAULT) => provider.chatModel(model);
}

/** Leaves the model out where the gateway is to choose. */
function withoutDefault(body: Record<string, unknown>): Record<string, unknown> {
  const { model, ...rest } = body;
  return model === DEFAULT ? rest : body;
}
