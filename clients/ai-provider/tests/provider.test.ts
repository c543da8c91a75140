import { generateObject, generateText, jsonSchema, streamText, tool } from "ai";
import { beforeEach, expect, test } from "vitest";
import { answerEvents, faultServer, type FaultServer, JOB, json, MYTHIC, stream, USAGE, VALIDATOR } from "../../sdk/tests/support/faults.js";
import { createMythic, type MythicMetadata } from "../src/index.js";

const CHAT = "POST /v1/chat/completions";
let server: FaultServer;

beforeEach(async () => {
  server = await faultServer();
  return () => server.close();
});

const paid: MythicMetadata = {
  job: JOB,
  validator: VALIDATOR,
  costLamports: "1650",
  receipt: MYTHIC.receipt,
  unconfirmed: false,
  systemFingerprint: "fp_00000000_top4",
};

test("a text has what was paid for it, and no model has to be named", async () => {
  const choices = [{ index: 0, message: { role: "assistant", content: "It is blue." }, finish_reason: "stop" }];
  server.on(CHAT, json({ id: `chatcmpl-${JOB}`, object: "chat.completion", created: 1, model: "tiny@00000000", choices, usage: USAGE, system_fingerprint: "fp_00000000_top4", mythic: MYTHIC }));
  const mythic = createMythic({ gatewayUrl: `${server.url}/v1`, apiKey: "mk-1", headers: { "x-team": "blue" } });
  const { text, providerMetadata } = await generateText({ model: mythic(), prompt: "why?", maxOutputTokens: 9 });
  expect(text).toBe("It is blue.");
  expect(providerMetadata?.["mythic"]).toMatchObject(paid);
  const [asked] = server.asked;
  expect(asked?.headers).toMatchObject({ authorization: "Bearer mk-1", "x-team": "blue" });
  expect(asked?.body).not.toHaveProperty("model");
  expect(asked?.body).toMatchObject({ max_tokens: 9 });
});

test("schemas are sent as such, and functions are called", async () => {
  const city = '{"city":"Bern"}';
  const said = (message: object, reason: string) =>
    json({ id: `chatcmpl-${JOB}`, object: "chat.completion", created: 1, model: "tiny@00000000", choices: [{ index: 0, message, finish_reason: reason }], usage: USAGE, mythic: MYTHIC });
  const call = { id: "call_1", type: "function", function: { name: "weather", arguments: city } };
  server.on(
    CHAT,
    said({ role: "assistant", content: city }, "stop"),
    said({ role: "assistant", content: null, tool_calls: [call] }, "tool_calls"),
  );
  const model = createMythic({ gatewayUrl: server.url })();
  const schema = jsonSchema<{ city: string }>({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
  const { object } = await generateObject({ model, schema, prompt: "Name a city." });
  expect(object).toEqual({ city: "Bern" });
  expect(server.asked[0]?.body["response_format"]).toMatchObject({ type: "json_schema", json_schema: { schema: { required: ["city"] } } });
  const tools = { weather: tool({ description: "of a city", inputSchema: schema }) };
  const { toolCalls, finishReason } = await generateText({ model, prompt: "Weather?", tools });
  expect(toolCalls).toMatchObject([{ toolName: "weather", input: { city: "Bern" } }]);
  expect(finishReason).toBe("tool-calls");
  expect(server.asked[1]?.body["tools"]).toMatchObject([{ type: "function", function: { name: "weather" } }]);
});

test("a stream has it at its end", async () => {
  server.on(CHAT, stream(answerEvents(["It is", " blue."])));
  const answer = streamText({ model: createMythic({ gatewayUrl: server.url })("tiny"), prompt: "why?" });
  let text = "";
  for await (const part of answer.textStream) text += part;
  expect(text).toBe("It is blue.");
  expect((await answer.providerMetadata)?.["mythic"]).toMatchObject(paid);
  expect((await answer.usage).totalTokens).toBe(6);
  expect(server.asked[0]?.body["model"]).toBe("tiny");
});
