import { AbortedError, MythicAI, RateLimitError } from "@mythic/ai-sdk";

const ai = new MythicAI({ gatewayUrl: process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002" });

try {
  const answer = await ai.chat("Count to a thousand.", { maxTokens: 400, signal: AbortSignal.timeout(2_000) });
  console.log(answer.output);
} catch (error) {
  if (error instanceof AbortedError && error.jobId) {
    const cost = await ai.jobs.cost(error.jobId);
    console.log(`aborted; it cost ${cost.lamports} lamports`);
  } else if (error instanceof RateLimitError) {
    console.log(`too much at once; again in ${error.retryAfterMs} ms`);
  } else {
    throw error;
  }
}
