/** A gateway and its chain over HTTP: prices, answers paid by own transactions, receipts with true evidence. */

import { getModelDecoder, getModelEncoder } from "@mythic/program/ai-precompiles";
import { base64 } from "@scure/base";
import { bytesToHex } from "@noble/hashes/utils.js";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { story, type Story } from "../../../sdk/tests/support/chain";
import { ceiling } from "../../src/decode/explain";
import { readTransaction } from "../../src/decode/message";
import { decode } from "../../src/decode/program";
import { PROGRAMS } from "../../src/generated/idl";
import { accountKey } from "../../src/crypto/phrase";
import { RpcError } from "../../src/chain/rpc";
import { FakeChain } from "./chain";
import { PHRASE } from "./world";

const [VALIDATOR, OPERATOR, CANCELLER, LARGE_MODEL = ""] = [20, 21, 22, 23].map((index) => accountKey(PHRASE, index).address);
/** Whose vault paid for the job. */
const OWNER = accountKey(PHRASE, 0).address;

/** What the gateway tells of its one job: of sampling profile 2 with tokens that no logits replay. */
export const told = (samplingProfile = 1, owner = OWNER): Story => story(samplingProfile, 1_000, owner);

const { modelId, modelAddress, modelBytes } = told();
const MODEL = { id: modelId, name: "tiny", address: modelAddress, in: 25_000, out: 50_000 };
const LARGE = { id: "large@11111111", name: "large-<b>model</b>", address: LARGE_MODEL, in: 250_000, out: 900_000 };

/** The other model's account, as far as who pays looks at it. */
function largeBytes(): Uint8Array {
  const model = getModelDecoder().decode(modelBytes);
  return new Uint8Array(getModelEncoder().encode({ ...model, identity: new Uint8Array(32).fill(0x11), priceIn: LARGE.in, priceOut: LARGE.out }));
}

interface Answered {
  body: string;
  events: string[];
}

export class FakeGateway {
  readonly chain = new FakeChain();
  told: Story = told();
  /** Requests that were answered, by their idempotency keys. */
  readonly answered = new Map<string, Answered>();
  /** Words of the next answers; each waits so long before the next word. */
  words = ["The", " sky", " is", " blue", "."];
  pauseMs = 0;
  /** Every request's path, with how it was sent. */
  readonly asked: { path: string; headers: IncomingMessage["headers"]; body: string }[] = [];
  url = "";
  /** Closes the line in the middle of this many answers. */
  cuts = 0;
  #server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.chain.accounts.set(LARGE.address, largeBytes());
    this.tell(this.told);
  }

  /** From here on gateway and chain have this story of the job. */
  tell(story: Story): void {
    this.told = story;
    this.chain.accounts.set(story.jobId, story.jobBytes);
    this.chain.accounts.set(story.modelAddress, story.modelBytes);
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts).toString();
    const { pathname } = new URL(request.url ?? "/", "http://here");
    this.asked.push({ path: pathname, headers: request.headers, body });
    const json = (value: unknown, status = 200): void => void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    const refuse = (status: number, code: string, message: string): void => json({ error: { message, code, type: "invalid_request_error", param: null } }, status);
    if (pathname === "/rpc") return this.#rpc(body, json);
    if (pathname === "/favicon.ico") return void response.writeHead(204).end();
    if (pathname === "/page") return void response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>A site</title><h1>A site</h1>");
    if (pathname === "/v1/models") return json({ object: "list", has_more: false, data: [MODEL, LARGE].map((one, i) => ({ object: "model", id: one.id, name: one.name, address: one.address, identity: "00".repeat(32), is_default: i === 0, created: 1, owned_by: null, status: "active", context_length: 2_048, max_job_tokens: 2_048, kernel_profile: null, validators: 1, judges: null, price_in_lamports_per_1k: one.in, price_out_lamports_per_1k: one.out })) });
    if (pathname === "/v1/estimate") return json(this.#estimate(JSON.parse(body) as Asked));
    if (pathname === "/v1/chat/completions") return this.#chat(request, response, body, refuse);
    if (pathname === "/v1/jobs") return json({ object: "list", has_more: false, data: this.answered.size > 0 ? [this.#job()] : [] });
    if (pathname === `/v1/jobs/${this.told.jobId}`) return json(this.#job());
    if (pathname === `/v1/jobs/${this.told.jobId}/receipt`) return json(this.told.receipt);
    if (pathname === `/v1/jobs/${this.told.jobId}/evidence`) return request.headers["x-mythic-signature"] ? json(this.told.evidence) : refuse(403, "evidence_forbidden", "not yours");
    refuse(404, "unknown_route", pathname);
  }

  async #rpc(body: string, json: (value: unknown) => void): Promise<void> {
    const { id, method, params } = JSON.parse(body) as { id: unknown; method: string; params?: unknown[] };
    try {
      json({ jsonrpc: "2.0", id, result: await this.chain.rpc(method, params) });
    } catch (error) {
      const data = error instanceof RpcError ? { err: error.transaction } : undefined;
      json({ jsonrpc: "2.0", id, error: { code: -32_000, message: String(error), data } });
    }
  }

  #estimate({ model, messages, prompt, max_tokens = 512 }: Asked): Record<string, unknown> {
    const chosen = model === LARGE.id ? LARGE : MODEL;
    const promptTokens = Math.ceil(JSON.stringify(messages ?? prompt).length / 4);
    const price = (out: number): number => Number(ceiling({ promptTokens: BigInt(promptTokens), maxOutputTokens: BigInt(out), priceIn: BigInt(chosen.in), priceOut: BigInt(chosen.out) }));
    return {
      object: "estimate", model: chosen.id, prompt_tokens: promptTokens, max_output_tokens: max_tokens, expected_output_tokens: Math.min(20, max_tokens),
      price_in_lamports_per_1k: chosen.in, price_out_lamports_per_1k: chosen.out, estimated_cost_lamports: price(Math.min(20, max_tokens)), estimated_cost_sol: 0, ceiling_cost_lamports: price(max_tokens), ceiling_cost_sol: 0,
      terms: {
        model: chosen.address, canceller: CANCELLER, salt: bytesToHex(crypto.getRandomValues(new Uint8Array(16))), prompt_hash: "11".repeat(32), sampling_profile: 2, options_hash: "00".repeat(32), rules_hash: "33".repeat(32),
        temperature_milli: 1_000, prompt_source: "http://g", deadline_slots: 100, validator: VALIDATOR, operator: OPERATOR,
      },
    };
  }

  #job(): Record<string, unknown> {
    const { receipt } = this.told;
    return {
      object: "job", id: this.told.jobId, status: "settled", commitment: "finalized", model: MODEL.id, model_address: this.told.modelAddress, owner: receipt.owner, requester: receipt.owner, validator: receipt.validator,
      prompt_tokens: receipt.prompt_tokens, output_tokens: receipt.output_tokens, max_output_tokens: 512, price_in: 25_000, price_out: 50_000, fee_lamports: receipt.fee_lamports, ceiling_lamports: receipt.ceiling_lamports,
      requested_slot: 900, temperature_milli: 800, prompt_hash: receipt.prompt_hash, transitions: [],
    };
  }

  async #chat(request: IncomingMessage, response: ServerResponse, body: string, refuse: (status: number, code: string, message: string) => void): Promise<void> {
    const key = String(request.headers["idempotency-key"] ?? "");
    const before = this.answered.get(key);
    if (before && before.body !== body) return refuse(422, "idempotency_key_reused", "another body under this key");
    const { mythic } = JSON.parse(body) as { mythic?: { transaction: string } };
    if (!before) {
      const why = await this.#paid(mythic?.transaction);
      if (why) return refuse(402, "spend_limit_exceeded", why);
    }
    const answer = before ?? { body, events: this.#events() };
    this.answered.set(key, answer);
    response.writeHead(200, { "content-type": "text/event-stream", "x-mythic-job-id": this.told.jobId });
    for (const [i, event] of answer.events.entries()) {
      response.write(`data: ${event}\n\n`);
      if (i === 2 && this.cuts > 0) {
        this.cuts--;
        await new Promise((resolve) => setTimeout(resolve, 50));
        return void response.destroy();
      }
      if (this.pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, this.pauseMs));
    }
    response.end();
  }

  /** Lands a payment as the validator's operator would; why the chain refuses it, if it does. */
  async #paid(transaction: string | undefined): Promise<string | null> {
    if (transaction === undefined) return "nobody pays";
    const bytes = base64.decode(transaction);
    const read = readTransaction(bytes);
    if (typeof read === "string") return read;
    const [request] = read.instructions;
    const found = request && decode(PROGRAMS[0]!, request.data, request.accounts as string[]);
    if (found?.instruction.name !== "requestInference" || found.accounts["operator"] !== OPERATOR) return "not a request for this validator";
    const err = await this.chain.land(bytes);
    return err === null ? null : JSON.stringify(err);
  }

  #events(): string[] {
    const base = { id: `chatcmpl-${this.told.jobId}`, object: "chat.completion.chunk", created: 5, model: MODEL.id };
    const chunk = (delta: Record<string, unknown>, finish: string | null, more: Record<string, unknown> = {}): string =>
      JSON.stringify({ ...base, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...more });
    const mythic = { job: this.told.jobId, validator: this.told.receipt.validator, cost_lamports: this.told.receipt.fee_lamports, receipt: "" };
    return [chunk({ role: "assistant", content: "" }, null), ...this.words.map((content) => chunk({ content }, null)), chunk({}, "stop", { mythic }), "[DONE]"];
  }
}

interface Asked {
  model?: string;
  messages?: unknown;
  prompt?: string;
  max_tokens?: number;
}
