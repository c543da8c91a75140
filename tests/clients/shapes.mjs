// Calls a function, asks for JSON and streams a response through the official OpenAI client; prints what it saw as one JSON object.
//
// usage: node shapes.mjs BASE_URL API_KEY MODEL
import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 300_000 });
const parameters = {
  type: "object",
  properties: { city: { type: "string", enum: ["Bern", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};

// The client's own loop: it runs the function and sends its result back.
const seen = [];
const runner = client.chat.completions.runTools(
  {
    model,
    messages: [{ role: "user", content: "How is the weather in Bern?" }],
    tools: [
      {
        type: "function",
        function: {
          name: "weather",
          description: "The weather of a city.",
          parameters,
          parse: JSON.parse,
          function: ({ city }) => {
            seen.push(city);
            return "sunny";
          },
        },
      },
    ],
    tool_choice: { type: "function", function: { name: "weather" } },
    max_completion_tokens: 120,
    temperature: 0,
  },
  { maxChatCompletions: 1 },
);
await runner.done();

const json = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Name a city as JSON." }],
  response_format: { type: "json_schema", json_schema: { name: "city", strict: true, schema: parameters } },
  max_completion_tokens: 120,
  temperature: 0,
});

const events = [];
let text = "";
const stream = await client.responses.create({
  model,
  input: [{ role: "user", content: "Name three colours." }],
  max_output_tokens: 16,
  temperature: 0,
  stream: true,
});
for await (const event of stream) {
  events.push(event.type);
  if (event.type === "response.output_text.delta") text += event.delta;
}
console.log(JSON.stringify({ seen, json: JSON.parse(json.choices[0].message.content), events: [events[0], events.at(-1)], text }));
