import { MythicAI } from "@mythic/ai-sdk";

const gatewayUrl = process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002";
const ai = new MythicAI({ gatewayUrl });

console.log((await ai.chat("Explain gravity to a child.")).output);
const completion = await ai.chatCompletions([{ role: "user", content: "And to a physicist." }]);
console.log(completion.choices[0]?.message.content);
console.log((await ai.estimate("My prompt", 512)).estimatedCostSol);
console.log((await ai.network()).activeValidators);
