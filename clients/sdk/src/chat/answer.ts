/** A whole answer: its text, its job, what it cost, and where its receipt is. */

import { ProtocolError } from "../errors.js";
import { toSol } from "../wire/shape.js";
import type { Expected } from "../verify/verify.js";
import type { ChatCompletionChunk, Usage } from "../wire/types.js";
import type { ToolCall } from "./request.js";

/** Names the receipt of an answer; `receipts.verify` checks it. */
export interface ReceiptReference {
  /** Address of the job. */
  jobId: string;
  /** Where the gateway has the receipt. */
  url: string;
  /** What was asked for, with which the job's terms are compared. */
  expected?: Expected;
}

/** A whole answer. */
export interface Answer {
  /** What the model says; empty where it only calls functions. */
  output: string;
  /** Functions that the caller is to run; none unless the request had `tools`. */
  toolCalls: ToolCall[];
  /** Address of the job that was paid for it. */
  jobId: string;
  /** Lamports. */
  cost: bigint;
  /** The same in SOL, for people. */
  costSol: number;
  /** Authority of the validator that answered. */
  validator: string;
  /** Names the receipt; `receipts.verify(answer.receipt)` checks it. */
  receipt: ReceiptReference;
  /** `stop`, `tool_calls` where functions are called, or `length` where the most tokens allowed were reached. */
  finishReason: string;
  /** The model's id, `name@` and 8 hex digits of its identity. */
  model: string;
  /** Tokens; null where the gateway did not say. */
  usage: Usage | null;
  /** The chain did not show the result in time: nobody vouches for the answer yet, its receipt tells later. */
  unconfirmed: boolean;
  /**
   * A stored answer to a request that was sent before under the same key: this call paid nothing for it. Where the answer to the first
   * sending was lost with its line, that sending paid.
   */
  replayed: boolean;
}

/** An answer while its chunks come. */
export class Collected {
  #output = "";
  readonly #toolCalls: ToolCall[] = [];
  #finish: string | undefined;
  #model = "";
  #usage: Usage | null = null;
  #mythic: NonNullable<ChatCompletionChunk["mythic"]> | undefined;
  readonly #expected: Expected;

  /** `expected` is what was asked for. */
  constructor(expected: Expected) {
    this.#expected = expected;
  }

  add(chunk: ChatCompletionChunk): void {
    this.#model = chunk.model;
    for (const choice of chunk.choices) {
      if (choice.index !== 0) continue;
      this.#output += choice.delta.content ?? "";
      for (const { index, id, function: called } of choice.delta.tool_calls ?? []) {
        const call = (this.#toolCalls[index] ??= { id: "", name: "", arguments: "" });
        call.id ||= id ?? "";
        call.name ||= called.name ?? "";
        call.arguments += called.arguments;
      }
      this.#finish = choice.finish_reason ?? this.#finish;
    }
    this.#usage = chunk.usage ?? this.#usage;
    this.#mythic = chunk.mythic ?? this.#mythic;
  }

  answer(): Answer {
    const mythic = this.#mythic;
    if (!mythic?.job || !mythic.validator || typeof mythic.cost_lamports !== "bigint" || this.#finish === undefined) {
      throw new ProtocolError("the stream ended without the job and price of its answer");
    }
    return {
      output: this.#output,
      toolCalls: this.#toolCalls,
      jobId: mythic.job,
      cost: mythic.cost_lamports,
      costSol: toSol(mythic.cost_lamports),
      validator: mythic.validator,
      receipt: { jobId: mythic.job, url: mythic.receipt ?? "", expected: { ...this.#expected, model: this.#modelId() } },
      finishReason: this.#finish,
      model: this.#model,
      usage: this.#usage,
      unconfirmed: mythic.unconfirmed ?? false,
      replayed: mythic.replayed ?? false,
    };
  }

  /** The model asked for, if it was by an id; a name is anybody's, and the answer says which model bore it. */
  #modelId(): string {
    const { model } = this.#expected;
    return model?.includes("@") ? model : this.#model;
  }
}
