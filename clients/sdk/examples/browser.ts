import { MythicAI } from "@mythic/ai-sdk";

const page = new URLSearchParams(location.search);
const ai = new MythicAI({
  gatewayUrl: page.get("gateway") ?? "http://127.0.0.1:4002",
  apiKey: page.get("key") ?? "",
  rpcUrl: page.get("rpc") ?? "http://127.0.0.1:8899",
});

const [output, verdict] = [document.createElement("p"), document.createElement("p")];
document.body.append(output, verdict);
const stream = ai.stream("Why is the sky blue?", { temperature: 0 });
for await (const text of stream) output.append(text);
const { receipt } = await stream.final();
verdict.textContent = (await ai.receipts.verify(receipt)).verdict;
