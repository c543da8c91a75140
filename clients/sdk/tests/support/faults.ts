/** A gateway that misbehaves as a test says: a real HTTP server, so that lines really break. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll } from "vitest";

/** A request as it came. */
export interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage["headers"];
  text: string;
  /** The body as JSON. */
  body: Record<string, unknown>;
}

export type Handler = (response: ServerResponse, asked: Asked) => unknown;

export interface FaultServer {
  url: string;
  /** Every request, in order. */
  asked: Asked[];
  /** What answers a route, or `*` every other one; of several each answers once, the last one for ever. */
  on(route: string, ...handlers: Handler[]): void;
  close(): Promise<void>;
}

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

export async function faultServer(): Promise<FaultServer> {
  const handlers = new Map<string, Handler[]>();
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? "/", "http://here");
      const text = await read(request);
      const body = text.startsWith("{") ? (JSON.parse(text) as Record<string, unknown>) : {};
      const one: Asked = { method: request.method ?? "", path: url.pathname, query: url.searchParams, headers: request.headers, text, body };
      asked.push(one);
      const left = handlers.get(`${one.method} ${one.path}`) ?? handlers.get("*");
      const handler = left && left.length > 1 ? left.shift() : left?.[0];
      if (handler) await handler(response, one);
      else refuse(404, "unknown_route", "no such route")(response, one);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(() => resolve()));
  };
  afterAll(close);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    on: (route, ...all) => void handlers.set(route, all),
    close,
  };
}

/** Answers JSON. */
export const json =
  (value: unknown, status = 200, headers: Record<string, string> = {}): Handler =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(value));
  };

/** Refuses in the gateway's shape. */
export const refuse = (status: number, code: string, message: string, more: Record<string, unknown> = {}, headers: Record<string, string> = {}): Handler =>
  json({ error: { message, type: status >= 500 ? "server_error" : "invalid_request_error", param: null, code, ...more } }, status, {
    "x-request-id": "r-1",
    ...headers,
  });

/** Drops the line without a word. */
export const hangUp: Handler = (response) => {
  response.destroy();
};

/** A chunk of a streamed answer. */
export const chunk = (content: string | null, more: Record<string, unknown> = {}): string => {
  const delta = content === null ? {} : { content };
  const choices = [{ index: 0, delta, logprobs: null, finish_reason: content === null ? "stop" : null }];
  return JSON.stringify({ ...CHUNK, choices, ...more });
};

/** Chunks that each add to a call of a function. */
export const callEvents = (deltas: readonly object[]): string[] =>
  deltas.map((delta) => chunk(null, { choices: [{ index: 0, delta: { tool_calls: [delta] }, logprobs: null, finish_reason: null }] }));

export const JOB = "2b3yh5ckFyvFTN8r2bMsbNsYcYGTVYHPRiZwxvSHShtM";
export const VALIDATOR = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM";

const CHUNK = {
  id: `chatcmpl-${JOB}`,
  object: "chat.completion.chunk",
  created: 5,
  model: "tiny@00000000",
  system_fingerprint: "fp_00000000_top4",
  service_tier: "default",
};

export const MYTHIC = { job: JOB, validator: VALIDATOR, cost_lamports: 1_650, receipt: `http://g/v1/jobs/${JOB}/receipt` };
export const USAGE = {
  prompt_tokens: 4,
  completion_tokens: 2,
  total_tokens: 6,
  prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
};

/** The events of a whole answer that says these texts. */
export const answerEvents = (texts: readonly string[], mythic: Record<string, unknown> = MYTHIC, model = CHUNK.model): string[] => [
  chunk("", { model, choices: [{ index: 0, delta: { role: "assistant", content: "" }, logprobs: null, finish_reason: null }] }),
  ...texts.map((text) => chunk(text, { model })),
  chunk(null, { model, mythic }),
  JSON.stringify({ ...CHUNK, model, choices: [], usage: USAGE }),
  "[DONE]",
];

/** Streams events; `then` is what happens behind the last of them. */
export const stream =
  (events: readonly string[], then: "end" | "cut" | "stall" = "end"): Handler =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "x-mythic-job-id": JOB });
    response.write(": ping\n\n");
    for (const event of events) response.write(`data: ${event}\n\n`);
    if (then === "end") response.end();
    // What was written has to be out before the line breaks.
    if (then === "cut") setTimeout(() => response.destroy(), 20);
  };
