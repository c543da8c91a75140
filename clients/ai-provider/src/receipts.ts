/** What was paid for an answer, out of the gateway's answers. */

import type { MetadataExtractor } from "@ai-sdk/openai-compatible";

/** `providerMetadata.mythic` of an answer. */
export type MythicMetadata = {
  /** Address of the job; `receipts.verify` of `@mythic/ai-sdk` checks it. */
  job: string | null;
  /** Authority of the validator that answered. */
  validator: string | null;
  /** Lamports, in decimal digits: metadata is JSON. */
  costLamports: string | null;
  /** Where the receipt is: a URL, which `receipts.verify` takes too. */
  receipt: string | null;
  /** The chain did not show the result in time: nobody vouches for the answer yet. */
  unconfirmed: boolean;
  /** The model's identity, and how tokens are chosen. */
  systemFingerprint: string | null;
};

type Metadata = { mythic: MythicMetadata };

const object = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const text = (value: unknown): string | null => (typeof value === "string" ? value : null);

/** The metadata of an answer or of a chunk; `undefined` where it says nothing of what was paid. */
function metadataOf(answer: unknown): Metadata | undefined {
  const { mythic, system_fingerprint: fingerprint } = object(answer);
  if (mythic === undefined || mythic === null) return undefined;
  const { job, validator, cost_lamports: cost, receipt, unconfirmed } = object(mythic);
  return {
    mythic: {
      job: text(job),
      validator: text(validator),
      costLamports: typeof cost === "number" ? String(cost) : null,
      receipt: text(receipt),
      unconfirmed: unconfirmed === true,
      systemFingerprint: text(fingerprint),
    },
  };
}

/** Reads whole answers and streams, whose last chunk says what was paid. */
export const receipts: MetadataExtractor = {
  extractMetadata: async ({ parsedBody }) => metadataOf(parsedBody),
  createStreamExtractor: () => {
    let found: Metadata | undefined;
    return {
      processChunk(chunk: unknown) {
        found = metadataOf(chunk) ?? found;
      },
      buildMetadata: () => found,
    };
  },
};
