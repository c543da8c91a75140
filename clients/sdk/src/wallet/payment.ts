/** The half-signed request: what a wallet signs for a job, and the validator's operator signs after it. */

import { type Address, address, createNoopSigner, getBase64Decoder, type Instruction } from "@solana/kit";
import { fetchModel, findJobPda, findSpendGrantPda, findValidatorPda, findVaultPda, getRequestInferenceInstructionAsync } from "@mythic/program/ai-precompiles";
import { MythicError, TermsRefusedError } from "../errors.js";
import { concat, hex, u64le, unhex } from "../verify/bytes.js";
import { MODEL_DIGITS, ownSeed } from "../verify/hashes.js";
import type { Schemas } from "../wire/types.js";
import type { Chain } from "./chain.js";
import type { PaymentRequest } from "./contract.js";

/** Slots that a request may take to reach the chain. */
const NONCE_SLOTS = 150n;

/** Signs a job's request with the terms of its estimate. `owner` is whose vault pays, under a grant if it is not the signer's own. */
export async function pay(chain: Chain, request: PaymentRequest, owner = chain.signer.address): Promise<Schemas["Payment"]> {
  const { terms } = request.estimate;
  if (terms.validator == null || terms.operator == null) {
    throw new MythicError("no validator is free for this request now: ask again");
  }
  await checkModel(chain, request);
  const expiry = (await chain.slot()) + NONCE_SLOTS;
  const nonce = concat([u64le(expiry), crypto.getRandomValues(new Uint8Array(8))]);
  const instruction = await requestInference({ owner, requester: chain.signer.address }, nonce, request, {
    authority: address(terms.validator),
    operator: address(terms.operator),
  });
  const { bytes } = await chain.sign([instruction]);
  return { transaction: getBase64Decoder().decode(bytes), salt: terms.salt };
}

/** The gateway names the model by its id and by its address; whether they are one model the chain knows, and so the prices. */
async function checkModel(chain: Chain, { estimate }: PaymentRequest): Promise<void> {
  const { terms, model: id } = estimate;
  const { identity, priceIn, priceOut } = (await fetchModel(chain.rpc, address(terms.model))).data;
  const digits = hex(new Uint8Array(identity)).slice(0, MODEL_DIGITS);
  if (!id.endsWith(`@${digits}`)) throw new TermsRefusedError(`the estimate is of ${id}, and its terms name a model …@${digits}`);
  if (estimate.priceInLamportsPer1k !== priceIn || estimate.priceOutLamportsPer1k !== priceOut) {
    const said = `${estimate.priceInLamportsPer1k} and ${estimate.priceOutLamportsPer1k}`;
    throw new TermsRefusedError(`the gateway asks ${said} lamports for 1,000 tokens, and the model costs ${priceIn} and ${priceOut}`);
  }
}

async function requestInference(
  { owner, requester }: { owner: Address; requester: Address },
  nonce: Uint8Array,
  { estimate, seed }: PaymentRequest,
  validator: { authority: Address; operator: Address },
): Promise<Instruction> {
  const { terms } = estimate;
  const signer = createNoopSigner(requester);
  const [[job, bump], [vault], [account], [grant]] = await Promise.all([
    findJobPda({ owner, nonce }),
    findVaultPda({ owner }),
    findValidatorPda({ authority: validator.authority }),
    findSpendGrantPda({ owner, delegate: requester }),
  ]);
  return getRequestInferenceInstructionAsync({
    payer: signer,
    requester: signer,
    model: address(terms.model),
    vault,
    ...(requester !== owner && { grant }),
    job,
    validator: account,
    operator: createNoopSigner(validator.operator),
    nonce,
    canceller: address(terms.canceller),
    promptHash: digest("prompt_hash", terms.promptHash),
    promptTokens: estimate.promptTokens,
    maxOutputTokens: estimate.maxOutputTokens,
    priceIn: estimate.priceInLamportsPer1k,
    priceOut: estimate.priceOutLamportsPer1k,
    userSeed: userSeed(seed),
    temperatureMilli: terms.temperatureMilli,
    samplingProfile: terms.samplingProfile,
    optionsHash: digest("options_hash", terms.optionsHash),
    promptSource: terms.promptSource,
    deadlineSlots: terms.deadlineSlots,
    rulesHash: digest("rules_hash", terms.rulesHash),
    bump,
  });
}

function digest(name: string, text: string): Uint8Array {
  const bytes = unhex(text, 32);
  if (!bytes) throw new MythicError(`the gateway's estimate has a ${name} that is none`);
  return bytes;
}

/** What the requester puts into the job's seed: a number of its own, or chance. */
function userSeed(seed: number | undefined): Uint8Array {
  if (seed === undefined) return crypto.getRandomValues(new Uint8Array(32));
  return ownSeed(seed);
}
