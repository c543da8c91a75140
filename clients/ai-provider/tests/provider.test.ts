import { generateText, streamText } from "ai";
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
