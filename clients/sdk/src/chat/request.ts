/** What a chat asks, as the gateway takes it. */

import type { RequestOptions } from "../http/transport.js";
import type { Schemas } from "../wire/types.js";

/** A function that the model calls, and the caller runs. */
export interface ToolCall {
  /** What the message with its result names as `toolCallId`. */
  id: string;
  name: string;
  /** JSON, of the schema that the request gave; cut off where the answer was. */
  arguments: string;
}

/** A message of a conversation. */
export interface Message {
  role: "system" | "developer" | "user" | "assistant" | "tool";
  content: string;
  /** Of an assistant: what it called, as `answer.toolCalls` has it. */
  toolCalls?: readonly ToolCall[];
  /** Of a tool: the id of the call whose result `content` is. */
  toolCallId?: string;
}

/** A prompt, or a conversation. */
export type ChatInput = string | readonly Message[];

/** A function that the model may call. */
export interface Tool {
  /** 1 to 64 letters, digits, `_` or `-`. */
  name: string;
  /** What it is for. */
  description?: string;
  /** JSON schema of its arguments, an object's; they follow it. None without it. */
  parameters?: Readonly<Record<string, unknown>>;
}

/** What the text of an answer has to be: a JSON object, or JSON of a schema of an object. */
export type ResponseFormat = "text" | "json" | { schema: Readonly<Record<string, unknown>>; name?: string };

/** What an answer shall be. */
export interface AnswerOptions {
  /** A model of `models()`; without one the client's, else the gateway's default. */
  model?: string;
  /** Most tokens of the answer; 512 or what fits without one. */
  maxTokens?: number;
  /**
   * 0 to 2, 1 without one. At 0 a receipt replays every token. Above it a model whose arithmetic is exact draws from all tokens, where only
   * validators can tell the choice; any other one draws from the four likeliest.
   */
  temperature?: number;
  /** Fixes the draw for a job. Requests are different jobs: answers repeat only at temperature 0. */
  seed?: number;
  /** Up to four texts that end the answer. */
  stop?: string | readonly string[];
  /** Draws from the likeliest tokens that together have this share of probability, 0 to 1. As all of the following it needs a model whose `isExact` is true. */
  topP?: number;
  /** Draws from this many of the likeliest tokens; 0 is all of them, and 4 what every model can do. */
  topK?: number;
  /** Draws only tokens with at least this share of the likeliest one's probability, 0 to 1. */
  minP?: number;
  /** Off the logits of tokens that the answer has, -2 to 2. */
  presencePenalty?: number;
  /** Off the logits for each time that the answer has the token, -2 to 2. */
  frequencyPenalty?: number;
  /** Divides the logits of tokens that the answer has, 0.001 to 10. */
  repetitionPenalty?: number;
  /** From token ids to what is added to their logits, -100 to 100; at most 1,024. */
  logitBias?: Readonly<Record<string, number>>;
  /** What the text has to be. */
  responseFormat?: ResponseFormat;
}

/** What a conversation is told and may do beside its messages. */
export interface ConversationOptions {
  /** What the model is told before the conversation. */
  system?: string;
  /** Functions that the model may call, at most 128. It runs none: `answer.toolCalls` says what to run, messages of role `tool` what came of it. */
  tools?: readonly Tool[];
  /** Whether it calls: as it likes without this, not at all, at least one function, or this one. */
  toolChoice?: "auto" | "none" | "required" | { name: string };
  /** Several calls in one answer; true without it. */
  parallelToolCalls?: boolean;
  /** Whether the model thinks before it answers, or how much, where its template can be told so. */
  thinking?: boolean | "low" | "medium" | "high";
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
export interface ChatOptions extends AnswerOptions, ConversationOptions, PaymentOptions, RequestOptions {}

/** Parameters of `chatCompletions`, by OpenAI's names. */
export type CompletionParameters = Omit<Schemas["ChatBody"], "messages" | "mythic" | "stream"> & PaymentOptions & RequestOptions;

/** A message as it is sent. Content in parts and fields that this version does not know go on as they are. */
export type CompletionMessage = Schemas["RequestMessage"];

/** Body of a chat request. */
export type ChatBody = Schemas["ChatBody"];

/** What is asked of an answer, by the gateway's names. */
type AnswerParameters = Pick<
  ChatBody,
  | "model"
  | "temperature"
  | "seed"
  | "stop"
  | "top_p"
  | "top_k"
  | "min_p"
  | "presence_penalty"
  | "frequency_penalty"
  | "repetition_penalty"
  | "logit_bias"
  | "response_format"
>;

/** What is told beside messages, by the gateway's names. */
type ConversationParameters = Pick<ChatBody, "tools" | "tool_choice" | "parallel_tool_calls" | "enable_thinking" | "reasoning_effort">;

export function messagesOf(input: ChatInput, system?: string): CompletionMessage[] {
  const messages: readonly Message[] = typeof input === "string" ? [{ role: "user", content: input }] : input;
  const sent = messages.map(({ toolCalls, toolCallId, ...message }) => ({
    ...message,
    ...(toolCalls !== undefined && {
      tool_calls: toolCalls.map(({ id, name, arguments: text }) => ({ id, type: "function", function: { name, arguments: text } })),
    }),
    ...(toolCallId !== undefined && { tool_call_id: toolCallId }),
  }));
  return system === undefined ? sent : [{ role: "system", content: system }, ...sent];
}

function formatOf(format: ResponseFormat): NonNullable<ChatBody["response_format"]> {
  if (format === "text") return { type: "text" };
  if (format === "json") return { type: "json_object" };
  return { type: "json_schema", json_schema: { name: format.name ?? "answer", schema: { ...format.schema } } };
}

/** The parameters of an answer by the gateway's names; what is not given is left out. */
export function answerParameters(options: AnswerOptions): AnswerParameters {
  return {
    ...(options.model !== undefined && { model: options.model }),
    ...(options.temperature !== undefined && { temperature: options.temperature }),
    ...(options.seed !== undefined && { seed: options.seed }),
    ...(options.stop !== undefined && { stop: typeof options.stop === "string" ? options.stop : [...options.stop] }),
    ...(options.topP !== undefined && { top_p: options.topP }),
    ...(options.topK !== undefined && { top_k: options.topK }),
    ...(options.minP !== undefined && { min_p: options.minP }),
    ...(options.presencePenalty !== undefined && { presence_penalty: options.presencePenalty }),
    ...(options.frequencyPenalty !== undefined && { frequency_penalty: options.frequencyPenalty }),
    ...(options.repetitionPenalty !== undefined && { repetition_penalty: options.repetitionPenalty }),
    ...(options.logitBias !== undefined && { logit_bias: { ...options.logitBias } }),
    ...(options.responseFormat !== undefined && { response_format: formatOf(options.responseFormat) }),
  };
}

/** What a conversation is told beside its messages, by the gateway's names. */
export function conversationParameters({ tools, toolChoice, parallelToolCalls, thinking }: ConversationOptions): ConversationParameters {
  return {
    ...(tools !== undefined && {
      tools: tools.map(({ name, description, parameters }) => ({
        type: "function",
        function: { name, ...(description !== undefined && { description }), ...(parameters !== undefined && { parameters: { ...parameters } }) },
      })),
    }),
    ...(toolChoice !== undefined && {
      tool_choice: typeof toolChoice === "string" ? toolChoice : { type: "function", function: { name: toolChoice.name } },
    }),
    ...(parallelToolCalls !== undefined && { parallel_tool_calls: parallelToolCalls }),
    ...(typeof thinking === "boolean" && { enable_thinking: thinking }),
    ...(typeof thinking === "string" && { reasoning_effort: thinking }),
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
