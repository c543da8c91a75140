import { MythicAI } from "@mythic/ai-sdk";

const ai = new MythicAI({
  gatewayUrl: process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002",
  rpcUrl: process.env["MYTHIC_RPC_URL"] ?? "http://127.0.0.1:8899",
});

const answer = await ai.chat("Explain in one sentence why the sky is blue.", { temperature: 0 });
console.log(answer.output);
console.log(`${answer.cost} lamports to ${answer.validator}, job ${answer.jobId}`);

const found = await ai.receipts.verify(answer.receipt);
console.log(found.verdict);
for (const { ok, says } of found.checks) {
  console.log(ok === null ? "  not checked:" : ok ? "  holds:" : "  DOES NOT HOLD:", says);
}
