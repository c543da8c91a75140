import OpenAI from "openai";
import { MythicAI } from "@mythic/ai-sdk";

const gatewayUrl = process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002";
const client = new OpenAI({ apiKey: "dev", baseURL: `${gatewayUrl}/v1` }); // the one line that changes

const [model] = await new MythicAI({ gatewayUrl }).models();
const completion = await client.chat.completions.create({
  model: model?.id ?? "",
  messages: [{ role: "user", content: "Why is the sky blue?" }],
});
console.log(completion.choices[0]?.message.content);
// `id` is `chatcmpl-` and the job: that is all a receipt needs.
console.log((await new MythicAI({ gatewayUrl }).receipts.get(completion.id)).feeLamports);
