import { generateText } from "ai";
import { createMythic } from "@mythic/ai-provider";

const mythic = createMythic({ gatewayUrl: process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002" });

const { text, providerMetadata } = await generateText({ model: mythic(), prompt: "Why is the sky blue?" });
console.log(text);
console.log(providerMetadata?.["mythic"]?.["job"], providerMetadata?.["mythic"]?.["costLamports"]);
