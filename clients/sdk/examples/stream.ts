import { MythicAI } from "@mythic/ai-sdk";

const ai = new MythicAI({ gatewayUrl: process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002" });

const stream = ai.stream("Write a haiku about rivers.", { maxTokens: 60, temperature: 0.7 });
for await (const text of stream) process.stdout.write(text);
const { cost, finishReason } = await stream.final();
console.log(`\n${finishReason}, ${cost} lamports`);
