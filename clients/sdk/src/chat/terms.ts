/** What was asked for, held against what a gateway makes of it: before a job is signed, and when its receipt is verified. */

import { ProtocolError, TermsRefusedError } from "../errors.js";
import { SAMPLING_PROFILE } from "../generated/layouts.js";
import { hex, unhex } from "../verify/bytes.js";
import { stopHash, stopOptionsHash, thousandths } from "../verify/hashes.js";
import type { Expected } from "../verify/verify.js";
import type { Estimate } from "../wire/types.js";
import type { ChatBody } from "./request.js";

/** Most tokens of an answer for which none were named. */
const DEFAULT_MAX_TOKENS = 512;
const DEFAULT_TEMPERATURE = 1;

/** Parameters that are no options of the choice of tokens. */
const PLAIN: ReadonlySet<string> = new Set([
  "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "stop", "seed", "n", "stream", "stream_options", "user", "store", "metadata",
  "logprobs", "top_logprobs", "reasoning_effort", "enable_thinking", "chat_template_kwargs", "documents",
]);

const stopsOf = ({ stop }: ChatBody): readonly string[] => (stop == null ? [] : typeof stop === "string" ? [stop] : stop);
const maxTokensOf = (body: ChatBody): number | undefined => body.max_completion_tokens ?? body.max_tokens ?? undefined;

/** What the job of a request has to be. */
export function expectedOf(body: ChatBody, owner: string | undefined): Expected {
  const maxTokens = maxTokensOf(body);
  return {
    ...(owner !== undefined && { owner }),
    ...(body.model != null && { model: body.model }),
    temperature: body.temperature ?? DEFAULT_TEMPERATURE,
    ...(maxTokens !== undefined && { maxTokens }),
    stop: stopsOf(body),
    ...(body.seed != null && { seed: body.seed }),
  };
}

/** Compares what the terms bind of stops and options; of other options than stops their bytes are the gateway's word. */
function checkOptions({ samplingProfile, optionsHash, salt }: Estimate["terms"], body: ChatBody, refuse: (what: string, found: string, wanted: string) => never): void {
  const isByOptions = SAMPLING_PROFILE[samplingProfile] === "seededFull";
  if (isByOptions && Object.entries(body).some(([name, value]) => value != null && !PLAIN.has(name))) return;
  const stops = stopsOf(body);
  const wanted = hex(isByOptions ? stopOptionsHash(unhex(salt, 16) ?? new Uint8Array(), stops) : stopHash(stops));
  if (optionsHash !== wanted) refuse("texts that end the answer of hash", optionsHash, wanted);
}

/** Throws unless an estimate is of what was asked for, and within what it may cost. */
export function checkTerms(estimate: Estimate, body: ChatBody, maxLamports: bigint | undefined): void {
  const { terms, maxOutputTokens } = estimate;
  const refuse = (what: string, found: string | number | bigint, wanted: string | number | bigint): never => {
    throw new TermsRefusedError(`the gateway's terms have ${what} ${found}, and ${wanted} was asked for`);
  };
  const { model } = body;
  const isNamed = model == null || estimate.model === model || estimate.model.slice(0, estimate.model.lastIndexOf("@")) === model;
  if (!isNamed) refuse("the model", estimate.model, model);
  const most = maxTokensOf(body);
  if (most === undefined ? !(maxOutputTokens <= DEFAULT_MAX_TOKENS) : maxOutputTokens !== most) {
    refuse("an answer of most tokens", maxOutputTokens, most ?? DEFAULT_MAX_TOKENS);
  }
  const temperature = thousandths(body.temperature ?? DEFAULT_TEMPERATURE);
  if (terms.temperatureMilli !== temperature) refuse("a temperature in thousandths of", terms.temperatureMilli, temperature);
  checkOptions(terms, body, refuse);
  const counts = [estimate.promptTokens, maxOutputTokens, estimate.priceInLamportsPer1k, estimate.priceOutLamportsPer1k];
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0)) throw new ProtocolError("an estimate whose tokens or prices are no numbers");
  const milli =
    BigInt(estimate.promptTokens) * BigInt(estimate.priceInLamportsPer1k) + BigInt(maxOutputTokens) * BigInt(estimate.priceOutLamportsPer1k);
  const ceiling = (milli + 999n) / 1_000n;
  if (maxLamports !== undefined && ceiling > maxLamports) {
    throw new TermsRefusedError(`the job may cost ${ceiling} lamports, and ${maxLamports} were allowed`);
  }
}
