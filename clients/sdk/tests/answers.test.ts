/** Answers on bad days: each test is what the gateway or the line does, and what the caller sees. */

import { MythicAI } from "@mythic/ai-sdk";
import { beforeEach, expect, test } from "vitest";
import * as errors from "../src/errors.js";
import { answerEvents, callEvents, chunk, faultServer, type FaultServer, type Handler, hangUp, JOB, json, MYTHIC, refuse, stream, USAGE, VALIDATOR } from "./support/faults.js";

const CHAT = "POST /v1/chat/completions";
let server: FaultServer;
let ai: MythicAI;

beforeEach(async () => {
  server = await faultServer();
  ai = new MythicAI({ gatewayUrl: server.url });
  return () => server.close();
});

const keys = (): unknown[] => server.asked.map(({ headers }) => headers["idempotency-key"]);

test("the first lines that anybody types work", async () => {
  server.on(CHAT, stream(answerEvents(["It is", " blue."])));
  server.on("POST /v1/estimate", json({ object: "estimate", estimated_cost_lamports: 1_650, estimated_cost_sol: 0.00000165, terms: {} }));
  server.on("GET /v1/network", json({ object: "network", active_validators: 5, burned_lamports: 7 }));
  const answer = await ai.chat("Why is the sky blue?");
  expect(answer).toMatchObject({
    output: "It is blue.",
    jobId: JOB,
    cost: 1_650n,
    costSol: 0.00000165,
    validator: VALIDATOR,
    receipt: { jobId: JOB },
    finishReason: "stop",
    usage: USAGE,
    unconfirmed: false,
    replayed: false,
  });
  expect((await ai.estimate("My prompt", 512)).estimatedCostSol).toBe(0.00000165);
  expect((await ai.network()).activeValidators).toBe(5);
  const [chat, estimate] = server.asked;
  expect(chat?.body).toEqual({ messages: [{ role: "user", content: "Why is the sky blue?" }], stream: true, stream_options: { include_usage: true } });
  expect(estimate?.body).toEqual({ prompt: "My prompt", max_tokens: 512 });
});

test("chatCompletions has OpenAI's parameters and answers, with amounts as bigints", async () => {
  const completion = {
    id: `chatcmpl-${JOB}`,
    object: "chat.completion",
    created: 1,
    model: "tiny@00000000",
    choices: [{ index: 0, message: { role: "assistant", content: "hi", annotations: [] }, finish_reason: "stop" }],
    usage: USAGE,
    mythic: MYTHIC,
  };
  server.on(CHAT, json(completion), stream(answerEvents(["a", "b"])));
  const messages = [{ role: "user", content: "hi" }];
  const whole = await ai.chatCompletions(messages, { max_completion_tokens: 5, temperature: 0 });
  expect(whole.choices[0]?.message.content).toBe("hi");
  expect(whole.mythic.cost_lamports).toBe(1_650n);
  expect(server.asked[0]?.body).toEqual({ messages, max_completion_tokens: 5, temperature: 0 });
  const texts = [];
  for await (const part of ai.chatCompletions(messages, { stream: true })) texts.push(part.choices[0]?.delta.content ?? "");
  expect(texts.join("")).toBe("ab");
});

test("functions, formats and what tokens are drawn by are asked for by the SDK's names, and calls are told by them", async () => {
  const calls = callEvents([
    { index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } },
    { index: 0, function: { arguments: '{"city":"Bern"}' } },
  ]);
  const end = [chunk(null, { choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: "tool_calls" }], mythic: MYTHIC }), "[DONE]"];
  server.on(CHAT, stream([...calls, ...end]), stream(answerEvents(["Sunny."])));
  const tools = [{ name: "weather", description: "of a city", parameters: { type: "object" } }];
  const options = { tools, toolChoice: { name: "weather" }, parallelToolCalls: false, thinking: false, topP: 0.9, topK: 40, logitBias: { 7: -1 } } as const;
  const { toolCalls, finishReason, output } = await ai.chat("Weather?", options);
  expect([output, finishReason]).toEqual(["", "tool_calls"]);
  expect(toolCalls).toEqual([{ id: "call_1", name: "weather", arguments: '{"city":"Bern"}' }]);
  expect(server.asked[0]?.body).toMatchObject({
    tools: [{ type: "function", function: { name: "weather", description: "of a city", parameters: { type: "object" } } }],
    tool_choice: { type: "function", function: { name: "weather" } },
    parallel_tool_calls: false,
    enable_thinking: false,
    top_p: 0.9,
    top_k: 40,
    logit_bias: { 7: -1 },
  });

  const told = [
    { role: "user", content: "Weather?" },
    { role: "assistant", content: "", toolCalls },
    { role: "tool", content: "sunny", toolCallId: "call_1" },
  ] as const;
  const schema = { type: "object", properties: { sky: { type: "string" } } };
  const answer = await ai.chat(told, { thinking: "low", responseFormat: { schema } });
  expect([answer.output, answer.toolCalls]).toEqual(["Sunny.", []]);
  expect(server.asked[1]?.body).toMatchObject({
    messages: [
      { role: "user", content: "Weather?" },
      { role: "assistant", content: "", tool_calls: [{ id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bern"}' } }] },
      { role: "tool", content: "sunny", tool_call_id: "call_1" },
    ],
    reasoning_effort: "low",
    response_format: { type: "json_schema", json_schema: { name: "answer", schema } },
  });
  server.on("POST /v1/estimate", json({ object: "estimate", terms: {} }));
  await ai.estimate("Weather?", 9, { tools });
  expect(server.asked[2]?.body).toMatchObject({ messages: [{ role: "user", content: "Weather?" }], tools: [{ type: "function" }], max_tokens: 9 });
});

test("a stream is text, its end has the receipt, and a Response can be made of it", async () => {
  server.on(CHAT, stream(answerEvents(["It is", " blue."])));
  const streamed = ai.stream("why?");
  const texts = [];
  for await (const text of streamed) texts.push(text);
  expect(texts).toEqual(["It is", " blue."]);
  expect((await streamed.final()).jobId).toBe(JOB);
  expect(await new Response(ai.stream("why?").toReadableStream()).text()).toBe("It is blue.");
  const events = await new Response(ai.chatCompletions([{ role: "user", content: "why?" }], { stream: true }).toReadableStream()).text();
  expect(events.endsWith("data: [DONE]\n\n")).toBe(true);
});

test("a storm of 429s is waited out as the gateway asks, under one idempotency key", async () => {
  const storm = refuse(429, "rate_limit_exceeded", "slow down", {}, { "retry-after": "0.3" });
  server.on(CHAT, storm, storm, stream(answerEvents(["done"])));
  const began = Date.now();
  expect((await ai.chat("hi")).output).toBe("done");
  expect(Date.now() - began).toBeGreaterThanOrEqual(600);
  expect(new Set(keys()).size).toBe(1);
  expect(server.asked.map(({ headers }) => headers["x-stainless-retry-count"])).toEqual([undefined, "1", "2"]);
});

test("who asks for more patience than there is gets the error at once", async () => {
  server.on(CHAT, refuse(429, "rate_limit_exceeded", "tomorrow", {}, { "retry-after": "86400" }));
  await expect(ai.chat("hi")).rejects.toMatchObject({ name: "RateLimitError", retryAfterMs: 86_400_000 });
  expect(server.asked).toHaveLength(1);
});

test("a grant that is exhausted in the middle of the day is said in the gateway's words", async () => {
  server.on(CHAT, stream(answerEvents(["ok"])), refuse(402, "spend_limit_exceeded", "the grant's window is spent"));
  await ai.chat("one");
  await expect(ai.chat("two")).rejects.toMatchObject({ name: "PaymentRequiredError", code: "spend_limit_exceeded", message: "spend_limit_exceeded: the grant's window is spent" });
});

test("a failure with a job is not sent again, and names the job", async () => {
  server.on(CHAT, refuse(502, "validator_failed", "gone", { job_id: JOB }, { "x-should-retry": "false" }));
  const error = await ai.chat("hi").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(errors.BadGatewayError);
  expect(error).toMatchObject({ status: 502, code: "validator_failed", jobId: JOB, requestId: "r-1" });
  expect(server.asked).toHaveLength(1);
});

test("every status has its class", async () => {
  const classes: [number, string][] = [
    [400, "BadRequestError"],
    [401, "AuthenticationError"],
    [402, "PaymentRequiredError"],
    [403, "PermissionDeniedError"],
    [404, "NotFoundError"],
    [405, "MethodNotAllowedError"],
    [408, "RequestTimeoutError"],
    [409, "ConflictError"],
    [410, "GoneError"],
    [413, "PayloadTooLargeError"],
    [414, "UriTooLongError"],
    [415, "UnsupportedMediaTypeError"],
    [422, "UnprocessableEntityError"],
    [426, "UpgradeRequiredError"],
    [429, "RateLimitError"],
    [431, "HeadersTooLargeError"],
    [500, "InternalServerError"],
    [502, "BadGatewayError"],
    [503, "ServiceUnavailableError"],
    [418, "ApiError"],
  ];
  for (const [status, name] of classes) {
    server.on("GET /v1/network", refuse(status, "some_code", "why"));
    await expect(ai.network({ maxRetries: 0 }), String(status)).rejects.toMatchObject({ name, status, code: "some_code" });
  }
});

test("a proxy's page is an error with its words", async () => {
  server.on("GET /v1/network", (response) => {
    response.writeHead(413, { "content-type": "text/html" });
    response.end("<h1>Too large</h1>");
  });
  await expect(ai.network()).rejects.toThrow("HTTP 413 Payload Too Large: <h1>Too large</h1>");
});

test("an answer that is no JSON is the gateway's fault, and said so", async () => {
  server.on("GET /v1/network", (response) => response.end("{half"));
  await expect(ai.network()).rejects.toBeInstanceOf(errors.ProtocolError);
});

test("a gateway that is away is tried again, then said to be away", async () => {
  server.on("GET /v1/network", hangUp, hangUp, json({ object: "network", active_validators: 1 }));
  expect((await ai.network()).activeValidators).toBe(1);
  await server.close();
  await expect(ai.network({ maxRetries: 0 })).rejects.toThrow("can't be reached");
});

test("a slow gateway is a time-out", async () => {
  server.on("GET /v1/network", () => undefined);
  await expect(ai.network({ timeoutMs: 50, maxRetries: 0 })).rejects.toBeInstanceOf(errors.TimeoutError);
});

test("a stream that is cut is joined under its key, and nothing is told twice", async () => {
  const events = answerEvents(["It is", " blue", "."]);
  server.on(CHAT, stream(events.slice(0, 3), "cut"), stream(events.slice(0, 2), "cut"), stream(events));
  const texts = [];
  const streamed = ai.stream("why?");
  for await (const text of streamed) texts.push(text);
  expect(texts.join("")).toBe("It is blue.");
  expect(texts).toEqual(["It is", " blue", "."]);
  expect((await streamed.final()).output).toBe("It is blue.");
  expect(new Set(keys()).size).toBe(1);
  // Without it the gateway would answer 409 while the first still runs.
  expect(server.asked.map(({ headers }) => headers["x-stainless-retry-count"])).toEqual([undefined, "1", "2"]);
});

test("an answer that was made for this call is no replay because its line broke; one that was told again from the start is", async () => {
  const again = answerEvents(["It is", " blue."], { ...MYTHIC, replayed: true });
  const stored: Handler = (response, asked) => {
    response.setHeader("x-mythic-replayed", "true");
    return stream(again)(response, asked);
  };
  server.on(CHAT, stream(again.slice(0, 2), "cut"), stored);
  expect((await ai.chat("why?")).replayed).toBe(false);
  server.on(CHAT, stored);
  expect((await ai.chat("why?", { idempotencyKey: "k" })).replayed).toBe(true);
});

test("a joined stream may cut its texts at other places", async () => {
  server.on(CHAT, stream(answerEvents(["It is bl"]).slice(0, 2), "cut"), stream(answerEvents(["It", " is blue", "."])));
  expect((await ai.chat("why?")).output).toBe("It is blue.");
});

test("a joined stream that says something else is refused", async () => {
  server.on(CHAT, stream(answerEvents(["It is"]).slice(0, 2), "cut"), stream(answerEvents(["No."])));
  const error = await ai.chat("why?").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(errors.StreamInterruptedError);
  expect(error).toMatchObject({ jobId: JOB, partial: "It is" });
});

test("a stream that is cut among the arguments of a call is joined there, and the call begins once", async () => {
  const opening = [chunk(null, { choices: [{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }] })];
  const calls = callEvents([
    { index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } },
    { index: 0, function: { arguments: '{"city": ' } },
    { index: 0, function: { arguments: '"Bern"}' } },
    { index: 1, id: "call_2", type: "function", function: { name: "time", arguments: "" } },
    { index: 1, function: { arguments: "{}" } },
  ]);
  const recut = callEvents([
    { index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } },
    { index: 0, function: { arguments: '{"city": "Be' } },
    { index: 0, function: { arguments: 'rn"}' } },
  ]);
  const end = [chunk(null, { choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: "tool_calls" }], mythic: MYTHIC }), "[DONE]"];
  server.on(
    CHAT,
    stream([...opening, ...calls.slice(0, 2)], "cut"),
    stream([...opening, ...recut], "cut"),
    stream([...opening, ...calls, ...end]),
  );
  const parts: { index: number; id?: string | null; function: { arguments: string } }[] = [];
  for await (const part of ai.chatCompletions([{ role: "user", content: "a" }], { stream: true })) {
    parts.push(...part.choices.flatMap(({ delta }) => delta.tool_calls ?? []));
  }
  expect(parts.map(({ id }) => id).filter(Boolean)).toEqual(["call_1", "call_2"]);
  const of = (wanted: number): string => parts.filter(({ index }) => index === wanted).map((part) => part.function.arguments).join("");
  expect([of(0), of(1)]).toEqual(['{"city": "Bern"}', "{}"]);

  const other = callEvents([{ index: 0, id: "call_1", type: "function", function: { name: "time", arguments: "" } }]);
  server.on(CHAT, stream([...opening, ...calls.slice(0, 1)], "cut"), stream([...opening, ...other]));
  await expect(ai.chat("why?")).rejects.toBeInstanceOf(errors.StreamInterruptedError);
});

test("a stream that can't be joined says its job and what had come", async () => {
  const cut = stream(answerEvents(["half"]).slice(0, 2), "cut");
  server.on(CHAT, cut);
  await expect(ai.chat("why?", { maxRetries: 1 })).rejects.toMatchObject({ name: "StreamInterruptedError", jobId: JOB, partial: "half" });
  expect(server.asked).toHaveLength(2);
  server.on(CHAT, cut, refuse(410, "answer_expired", "gone"));
  await expect(ai.chat("why?")).rejects.toMatchObject({ name: "StreamInterruptedError", jobId: JOB });
});

test("a gateway that stops in the middle is left for the next one", async () => {
  const stopping = JSON.stringify({ error: { message: "stops", type: "server_error", param: null, code: "gateway_stopping" } });
  server.on(CHAT, stream([...answerEvents(["It"]).slice(0, 2), stopping]), stream(answerEvents(["It", " is"])));
  expect((await ai.chat("why?")).output).toBe("It is");
});

test("a failure that the stream tells is that error, and is not tried again", async () => {
  const failed = JSON.stringify({ error: { message: "gone", type: "server_error", param: null, code: "validator_failed", job_id: JOB } });
  server.on(CHAT, stream([...answerEvents(["It"]).slice(0, 2), failed]));
  await expect(ai.chat("why?")).rejects.toMatchObject({ name: "BadGatewayError", code: "validator_failed", jobId: JOB });
  expect(server.asked).toHaveLength(1);
});

test("malformed events are the gateway's fault", async () => {
  for (const event of ["{half", "7", "[]", '{"id": 5, "choices": 1}']) {
    server.on(CHAT, stream([event]));
    await expect(ai.chat("why?"), event).rejects.toBeInstanceOf(errors.ProtocolError);
  }
});

test("an end without job and price is no answer", async () => {
  server.on(CHAT, stream([chunk("hi"), "[DONE]"]));
  await expect(ai.chat("why?")).rejects.toBeInstanceOf(errors.ProtocolError);
});

test("a stream that drips letter by letter is read, comments and unknown fields among it", async () => {
  const text = answerEvents(["über", "🙂"]).map((event) => `: ping\nretry: 5\nfoo: bar\ndata: ${event.replace('"created"', '"new_field":{"a":1},"created"')}\r\n\r\n`).join("");
  const bytes = Buffer.from(text);
  server.on(CHAT, async (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let at = 0; at < bytes.length; at += 3) {
      response.write(bytes.subarray(at, at + 3));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  });
  expect((await ai.chat("why?")).output).toBe("über🙂");
});

test("an answer that stalls is cut and joined", async () => {
  const { joinedChunks } = await import("../src/chat/joined.js");
  const { Transport } = await import("../src/http/transport.js");
  server.on(CHAT, stream(answerEvents(["It"]).slice(0, 2), "stall"), stream(answerEvents(["It", " is"])));
  const transport = new Transport({ gatewayUrl: server.url, apiKey: undefined, fetch, headers: {}, maxRetries: 0 });
  const call = { method: "POST", path: "/v1/chat/completions", body: {} } as const;
  const standing = { jobId: undefined, told: new Map<number, string>(), calls: new Map<string, string>() };
  let output = "";
  for await (const part of joinedChunks(transport, call, standing, { rejoins: 1, idleMs: 100 })) output += part.choices[0]?.delta.content ?? "";
  expect(output).toBe("It is");
});

test("who aborts learns the job, and then what it cost", async () => {
  server.on(CHAT, stream(answerEvents(["It", " is"]).slice(0, 2), "stall"));
  server.on(`GET /v1/jobs/${JOB}`, refuse(404, "job_not_found", "not yet"), json(jobRow({ status: "accepted" })), json(jobRow({ status: "submitted", output_tokens: 10 })));
  const abort = new AbortController();
  const streamed = ai.stream("why?", { signal: abort.signal });
  const read = (async () => {
    for await (const text of streamed) if (text === "It") abort.abort();
  })();
  const error = await read.catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(errors.AbortedError);
  expect(error).toMatchObject({ name: "AbortError", jobId: JOB });
  expect(await ai.jobs.cost(JOB)).toEqual({ lamports: 600n, final: false });
  expect(server.asked.filter(({ method }) => method === "POST")).toHaveLength(1);
});

test("aborting before anything came is an AbortError too", async () => {
  server.on(CHAT, () => undefined);
  const abort = new AbortController();
  const asked = ai.chat("why?", { signal: abort.signal });
  setTimeout(() => abort.abort(), 20);
  await expect(asked).rejects.toMatchObject({ name: "AbortError", jobId: undefined });
  await expect(ai.chat("why?", { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
});

test("leaving the loop closes the line", async () => {
  let closed: () => void;
  const gone = new Promise<void>((resolve) => (closed = resolve));
  server.on(CHAT, (response, asked) => {
    response.on("close", () => closed());
    return stream(answerEvents(["It", " is"]).slice(0, 3), "stall")(response, asked);
  });
  for await (const _text of ai.stream("why?")) break;
  await gone;
});

test("the caller's model, key, headers and fetch are used", async () => {
  server.on(CHAT, stream(answerEvents(["x"])));
  const seen: string[] = [];
  const own = new MythicAI({
    gatewayUrl: `${server.url}/v1/`,
    apiKey: "mk-1",
    model: "tiny",
    headers: { "x-team": "blue" },
    fetch: (url, init) => {
      seen.push(url);
      return fetch(url, init);
    },
  });
  await own.chat([{ role: "user", content: "a" }], { system: "be brief", maxTokens: 3, stop: ["x"], seed: 1, idempotencyKey: "mine" });
  const [asked] = server.asked;
  expect(seen).toEqual([`${server.url}/v1/chat/completions`]);
  expect(asked?.headers).toMatchObject({ authorization: "Bearer mk-1", "x-team": "blue", "idempotency-key": "mine" });
  expect(asked?.body).toMatchObject({
    model: "tiny",
    messages: [
      { role: "system", content: "be brief" },
      { role: "user", content: "a" },
    ],
    max_completion_tokens: 3,
    stop: ["x"],
    seed: 1,
  });
  await own.chat("b", { model: "other" });
  expect(server.asked[1]?.body["model"]).toBe("other");
});

test("lists are a page or all of it", async () => {
  const page = (ids: number[], more: boolean) => json({ object: "list", data: ids.map((id) => jobRow({ id: String(id) })), has_more: more });
  server.on("GET /v1/jobs", page([1, 2], true), page([1, 2], true), page([3], false));
  const first = await ai.jobs.list({ limit: 2, status: "settled" });
  expect([first.data.map(({ id }) => id), first.hasMore]).toEqual([["1", "2"], true]);
  const ids = [];
  for await (const job of ai.jobs.list({ limit: 2 })) ids.push(job.id);
  expect(ids).toEqual(["1", "2", "3"]);
  expect(server.asked.map(({ query }) => query.toString())).toEqual(["limit=2&status=settled", "limit=2", "limit=2&after=2"]);
});

test("health of a gateway that is down is an answer", async () => {
  server.on("GET /health", json({ object: "health", status: "down" }, 503));
  expect((await ai.health()).status).toBe("down");
});

function jobRow(more: Record<string, unknown>): Record<string, unknown> {
  return {
    id: JOB,
    status: "open",
    prompt_tokens: 100,
    price_in: 1_000,
    price_out: 50_000,
    ceiling_lamports: 10_000,
    output_tokens: null,
    fee_lamports: null,
    commitment: "processed",
    ...more,
  };
}
