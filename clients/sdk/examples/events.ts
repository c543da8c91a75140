import { MythicAI } from "@mythic/ai-sdk";

const ai = new MythicAI({ gatewayUrl: process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002" });

for await (const event of ai.events({ topics: ["jobs", "settlements"], signal: AbortSignal.timeout(2_000) })) {
  if (event.kind === "gap") console.log(`events ${event.from ?? "?"} to ${event.to ?? "?"} are missing: read the lists`);
  else if (event.kind === "retract") console.log(`slot ${event.slot} was left by the chain`);
  else console.log(event.kind, event.topic, event.entity, event.commitment);
}
