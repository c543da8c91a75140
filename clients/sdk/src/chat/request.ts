/** What a chat asks, as the gateway takes it. */

import type { RequestOptions } from "../http/transport.js";
import type { Schemas } from "../wire/types.js";

/** A message of a conversation. */
export interface Message {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content: string;
}

/** A prompt, or a conversation. */
export type ChatInput = string | readonly Message[];

/** What an answer shall be. */
export interface AnswerOptions {
  /** A model of `models()`; without one the client's, else the gateway's default. */
  model?: string;
  /** Most tokens of the answer; 512 or what fits without one. */
  maxTokens?: number;
  /** 0 to 2, 1 without one. Tokens are drawn from the four likeliest at every temperature. */
  temperature?: number;
  /** Fixes the draw for a job. Requests are different jobs: answers repeat only at temperature 0. */
  seed?: number;
  /** Up to four texts that end the answer. */
  stop?: string | readonly string[];
}

/** How an answer is paid for. */
export interface PaymentOptions {
  /** `wallet`: by an own transaction that the client's wallet signs; `key`: by the API key. */
  pay?: "key" | "wallet";
  /**
   * With `pay: "wallet"`: most lamports that the job may cost, for the longest answer. Without it the tokens of the prompt are the gateway's
   * word; prices are the chain's, and the most tokens of the answer are yours.
   */
  maxLamports?: bigint;
  /** Names the request: sent again under the same name, it is answered once and paid once. Made by the client without one. */
  idempotencyKey?: string;
}

/** Options of `chat` and `stream`. */
export interface ChatOptions extends AnswerOptions, PaymentOptions, RequestOptions {
  /** What the model is told before the conversation. */
  system?: string;
}

/** Parameters of `chatCompletions`, by OpenAI's names. */
export type CompletionParameters = Omit<Schemas["ChatBody"], "messages" | "mythic" | "stream"> & PaymentOptions & RequestOptions;

/** A message as it is sent. Content in parts and fields that this version does not know go on as they are. */
export type CompletionMessage = Schemas["RequestMessage"];

/** Body of a chat request. */
export type ChatBody = Schemas["ChatBody"];

export function messagesOf(input: ChatInput, system?: string): Message[] {
  const messages: Message[] = typeof input === "string" ? [{ role: "user", content: input }] : [...input];
  return system === undefined ? messages : [{ role: "system", content: system }, ...messages];
}

/** The parameters of an answer by the gateway's names; what is not given is left out. */
export function answerParameters(options: AnswerOptions): Partial<Pick<ChatBody, "model" | "temperature" | "seed" | "stop">> {
  return {
    ...(options.model !== undefined && { model: options.model }),
    ...(options.temperature !== undefined && { temperature: options.temperature }),
    ...(options.seed !== undefined && { seed: options.seed }),
    ...(options.stop !== undefined && { stop: typeof options.stop === "string" ? options.stop : [...options.stop] }),
  };
}

/** Splits what is sent in the body from what is about the request. */
export function splitParameters(parameters: CompletionParameters): {
  body: Omit<ChatBody, "messages">;
  options: PaymentOptions & RequestOptions;
} {
  const { pay, maxLamports, idempotencyKey, signal, timeoutMs, maxRetries, ...body } = parameters;
  return {
    body,
    options: {
      ...(pay !== undefined && { pay }),
      ...(maxLamports !== undefined && { maxLamports }),
      ...(idempotencyKey !== undefined && { idempotencyKey }),
      ...(signal !== undefined && { signal }),
      ...(timeoutMs !== undefined && { timeoutMs }),
      ...(maxRetries !== undefined && { maxRetries }),
    },
  };
}
