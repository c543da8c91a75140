// Streams one chat through the official OpenAI client and prints what it saw as one JSON object.
//
// usage: node chat.mjs BASE_URL API_KEY MODEL PROMPT MAX_TOKENS
import OpenAI from "openai";

const [baseURL, apiKey, model, prompt, maxTokens] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 300_000 });
const { data: stream, response } = await client.chat.completions
  .create({
    model,
    messages: [{ role: "user", content: prompt }],
    max_completion_tokens: Number(maxTokens),
    seed: 7,
    stream: true,
    stream_options: { include_usage: true },
  })
  .withResponse();

let text = "";
let finish_reason = null;
let mythic = null;
let usage = null;
const ids = new Set();
for await (const chunk of stream) {
  ids.add(chunk.id);
  usage = chunk.usage ?? usage;
  mythic = chunk.mythic ?? mythic;
  for (const choice of chunk.choices) {
    text += choice.delta.content ?? "";
    finish_reason = choice.finish_reason ?? finish_reason;
  }
}
console.log(JSON.stringify({ text, finish_reason, mythic, usage, ids: [...ids], job_header: response.headers.get("x-mythic-job-id") }));
