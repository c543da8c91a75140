/**
 * A stream of chunks that is joined again when the line breaks: the same request under the same idempotency key is the same answer,
 * which the gateway tells from its beginning. What was told already is left out, and has to be the same.
 */

import {
  AbortedError,
  type ApiError,
  apiError,
  ConnectionError,
  type ErrorDetail,
  MythicError,
  ProtocolError,
  StreamInterruptedError,
} from "../errors.js";
import { chunksOf } from "../http/body.js";
import { pauseMs, sleep } from "../http/retry.js";
import { serverSentEvents } from "../http/sse.js";
import type { Call, Transport } from "../http/transport.js";
import { parseJson } from "../wire/json.js";
import { withAmounts } from "../wire/shape.js";
import type { ChatCompletionChunk, Schemas } from "../wire/types.js";

/** Milliseconds without a byte after which a stream counts as cut: the gateway pings every ten seconds. */
export const IDLE_MS = 45_000;

/** Where a stream stands. */
export interface Standing {
  jobId: string | undefined;
  /** What was told of each choice. */
  told: Map<number, string>;
  /** What was told of each call of a function: its name, a blank, and its arguments so far; by its choice and its number. */
  calls: Map<string, string>;
  /** Whether the first line told a stored answer again; undefined before it. */
  replayed?: boolean;
}

/** The stream broke in a way that joining it again may mend. */
class Cut extends MythicError {}

/** The chunks of a streamed answer, each part of it once. */
export async function* joinedChunks(
  transport: Transport,
  call: Call,
  standing: Standing,
  { rejoins, idleMs }: { rejoins: number; idleMs: number },
): AsyncGenerator<ChatCompletionChunk> {
  for (let attempt = 0; ; attempt++) {
    try {
      yield* attempt === 0
        ? read(transport, call, standing, idleMs)
        : rejoined(transport, { ...call, sentBefore: attempt }, standing, idleMs);
      return;
    } catch (cause) {
      if (call.signal?.aborted) throw new AbortedError(standing.jobId, { cause });
      if (!(cause instanceof Cut)) throw cause;
      if (attempt >= rejoins) throw interrupted(standing, cause);
      await sleep(pauseMs(attempt), call.signal).catch((reason: unknown) => {
        throw new AbortedError(standing.jobId, { cause: reason });
      });
    }
  }
}

function interrupted(standing: Standing, cause: Error): StreamInterruptedError {
  const why = cause.cause instanceof Error ? cause.cause.message : cause.message;
  const job = standing.jobId ? `; job ${standing.jobId} may have gone on, its receipt says` : "";
  return new StreamInterruptedError(`the stream broke: ${why}${job}`, standing.jobId, standing.told.get(0) ?? "", { cause });
}

/** Reads the answer from its beginning and leaves out what was told. */
async function* rejoined(transport: Transport, call: Call, standing: Standing, idleMs: number): AsyncGenerator<ChatCompletionChunk> {
  const before: Standing = { jobId: standing.jobId, told: new Map(standing.told), calls: new Map(standing.calls) };
  const again: Standing = { jobId: standing.jobId, told: new Map(), calls: new Map() };
  try {
    for await (const chunk of read(transport, call, again, idleMs)) {
      standing.jobId = again.jobId;
      const rest = unheard(chunk, before, again);
      keepLonger(standing.told, again.told);
      keepLonger(standing.calls, again.calls);
      if (rest) yield sinceTheFirst(rest, standing);
    }
  } catch (error) {
    if (error instanceof Cut || call.signal?.aborted) throw error;
    // The answer was begun: that it can't be joined is not a refusal of the request.
    throw interrupted(standing, error instanceof Error ? error : new Error(String(error)));
  }
}

/** An answer that was made for the first line is told again to the second one: it is no replay for that. */
function sinceTheFirst(chunk: ChatCompletionChunk, { replayed }: Standing): ChatCompletionChunk {
  return chunk.mythic?.replayed && replayed === false ? { ...chunk, mythic: { ...chunk.mythic, replayed: false } } : chunk;
}

function keepLonger<Key>(kept: Map<Key, string>, texts: Map<Key, string>): void {
  for (const [key, text] of texts) {
    if (text.length > (kept.get(key)?.length ?? -1)) kept.set(key, text);
  }
}

/** What of `more`, the end of `now`, was not told before. */
function fresh(told: string, now: string, more: string): string {
  if (!now.startsWith(told) && !told.startsWith(now)) {
    throw new ProtocolError("the answer differs from what came before the line broke");
  }
  return more.slice(Math.min(more.length, Math.max(0, told.length - (now.length - more.length))));
}

type Delta = ChatCompletionChunk["choices"][number]["delta"];
type CallDelta = NonNullable<Delta["tool_calls"]>[number];

const callKey = (choice: number, { index }: CallDelta): string => `${choice}/${index}`;
/** What a chunk adds to a call. Names have no blanks, and come whole. */
const added = ({ function: { name, arguments: text } }: CallDelta): string => (name == null ? text : `${name} ${text}`);

/** What of a chunk's calls was not told before the cut. */
function unheardCalls(choice: number, delta: Delta, before: Standing, again: Standing): CallDelta[] {
  return (delta.tool_calls ?? []).flatMap((call) => {
    const key = callKey(choice, call);
    const told = before.calls.get(key);
    if (told === undefined) return [call];
    const rest = fresh(told, again.calls.get(key) ?? "", added(call));
    return rest === "" ? [] : [{ index: call.index, function: { arguments: rest } }];
  });
}

/** What of a chunk was not told before the cut; `undefined` if nothing. */
function unheard(chunk: ChatCompletionChunk, before: Standing, again: Standing): ChatCompletionChunk | undefined {
  const choices = chunk.choices.flatMap((choice) => {
    const told = before.told.get(choice.index);
    if (told === undefined) return [choice];
    const content = fresh(told, again.told.get(choice.index) ?? "", choice.delta.content ?? "");
    const calls = unheardCalls(choice.index, choice.delta, before, again);
    if (content === "" && calls.length === 0 && choice.finish_reason == null) return [];
    return [{ ...choice, delta: { ...(content !== "" && { content }), ...(calls.length > 0 && { tool_calls: calls }) } }];
  });
  const isHeard = choices.length === 0 && chunk.choices.length > 0;
  return isHeard && !chunk.usage && !chunk.mythic ? undefined : { ...chunk, choices };
}

async function* read(transport: Transport, call: Call, standing: Standing, idleMs: number): AsyncGenerator<ChatCompletionChunk> {
  const response = await transport.request(call, "head");
  standing.jobId = response.headers.get("x-mythic-job-id") ?? standing.jobId;
  standing.replayed ??= response.headers.get("x-mythic-replayed") === "true";
  if (!response.body) throw new ProtocolError("a stream without a body");
  try {
    for await (const { data } of serverSentEvents(chunksOf(response.body, idleMs))) {
      if (data === "[DONE]") return;
      const chunk = parseChunk(data);
      note(chunk, standing);
      yield chunk;
    }
  } catch (cause) {
    // Of the errors that reading a body gives, only ours are no cut of the line.
    if (cause instanceof MythicError && !(cause instanceof ConnectionError)) throw cause;
    throw new Cut("the line broke", { cause });
  }
  throw new Cut("it ended without [DONE]");
}

function note(chunk: ChatCompletionChunk, standing: Standing): void {
  standing.jobId = chunk.mythic?.job ?? standing.jobId ?? (chunk.id.startsWith("chatcmpl-") ? chunk.id.slice(9) : undefined);
  for (const { index, delta } of chunk.choices) {
    standing.told.set(index, (standing.told.get(index) ?? "") + (delta.content ?? ""));
    for (const call of delta.tool_calls ?? []) {
      const key = callKey(index, call);
      standing.calls.set(key, (standing.calls.get(key) ?? "") + added(call));
    }
  }
}

function parseChunk(data: string): ChatCompletionChunk {
  let value: unknown;
  try {
    value = parseJson(data);
  } catch (cause) {
    throw new ProtocolError(`an event of the stream is not JSON: ${data.slice(0, 100)}`, { cause });
  }
  if (typeof value !== "object" || value === null) throw new ProtocolError("an event of the stream is no object");
  if ("error" in value) throw told(value.error as ErrorDetail);
  const chunk = withAmounts<Schemas["ChatCompletionChunk"]>(value);
  if (!Array.isArray(chunk.choices) || typeof chunk.id !== "string") {
    throw new ProtocolError("an event of the stream is no chunk of a completion");
  }
  return chunk;
}

/** A failure that the gateway tells in the stream. One that stops hands its jobs to the next: the answer can be joined there. */
function told(detail: ErrorDetail): Cut | ApiError {
  const error = apiError(detail.type === "server_error" ? 502 : 400, detail);
  return detail.code === "gateway_stopping" ? new Cut("the gateway stops", { cause: error }) : error;
}
