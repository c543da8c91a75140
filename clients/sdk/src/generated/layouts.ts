// Made from programs/idl/ai_precompiles.codama.json by `npm run generate`; do not edit.

import type { Reader } from "../verify/reader.js";

/** The program that owns these accounts. */
export const PROGRAM = "MythicAiPrecompi1es111111111111111111111111";

/** Layout version of these accounts. */
export const LAYOUT_VERSION = 4;

/** First 16 bytes of every account. */
export interface Header {
  /** Type of the account, never 0. */
  discriminator: number;
  /** Layout version, `VERSION`. */
  version: number;
  /** Bump of the address: the canonical one, but for a job whose requester chose another. */
  bump: number;
  /** Status; which values there are depends on the account. */
  status: number;
  /** Zero. */
  reserved: Uint8Array;
  /** Number of writes of this account: the creation is 1, each later write adds 1. */
  seq: bigint;
}

export function readHeader(reader: Reader): Header {
  return {
    discriminator: reader.u8(),
    version: reader.u8(),
    bump: reader.u8(),
    status: reader.u8(),
    reserved: reader.bytes(4),
    seq: reader.u64(),
  };
}

/** The immutable part of a model; with who registered it, it gives the model's identity. */
export interface ModelSpec {
  /** SHA-256 of the weights' file. */
  weightsHash: Uint8Array;
  /** SHA-256 of the tokenizer, as the engine canonicalises it. */
  tokenizerHash: Uint8Array;
  /** SHA-256 of the chat template's UTF-8. */
  chatTemplateHash: Uint8Array;
  /** The weights' quantisation: GGUF's `general.file_type`. */
  quantisation: number;
  /** `KernelProfile`. */
  kernelProfile: number;
  /** Longest context, tokens. */
  contextLength: number;
  /** Most prompt and output tokens of a job together. */
  maxJobTokens: number;
  /** Threshold τ₁ of the relative error, parts per million; 0 with `miss_ppm` 0 = no jury. */
  errorPpm: number;
  /** Threshold τ₃ of the share of missed fourth places, parts per million. */
  missPpm: number;
  /** Slots in which jurors commit. */
  commitSlots: number;
  /** Least GPU memory, MiB; 0 = runs on a CPU. */
  minVramMib: number;
  /** Used part of `eos_ids`. */
  eosCount: number;
  /** End-of-sequence token ids, ascending; the rest zero. */
  eosIds: number[];
}

export function readModelSpec(reader: Reader): ModelSpec {
  return {
    weightsHash: reader.bytes(32),
    tokenizerHash: reader.bytes(32),
    chatTemplateHash: reader.bytes(32),
    quantisation: reader.u16(),
    kernelProfile: reader.u16(),
    contextLength: reader.u32(),
    maxJobTokens: reader.u32(),
    errorPpm: reader.u32(),
    missPpm: reader.u32(),
    commitSlots: reader.u16(),
    minVramMib: reader.u32(),
    eosCount: reader.u8(),
    eosIds: Array.from({ length: 8 }, () => reader.u32()),
  };
}

/** The rules of one job: a snapshot of the config at its request, hashed into its terms. */
export interface Rules {
  /** Slots after a result in which a case can be opened, and after its answer in which others join it. */
  windowSlots: number;
  /** Slots after the opening of a case, and after the end of joining, in which leaves and output must be posted; a slot more for every four chunks of output. */
  openingsSlots: number;
  /** Slots after the commits of a jury in which it reveals. */
  revealSlots: number;
  /** Slots after a cancel in which the validator may still submit what it has, beside those in which it reads the prompt; slots after acceptance in which it declines for nothing. */
  cancelGraceSlots: number;
  /** Prompt tokens that a validator is expected to read in a slot. */
  prefillTokensPerSlot: number;
  /** Slots for which a punished validator is jailed; at most the unbonding time, so that nobody leaves and comes back instead. */
  jailSlots: number;
  /** Slots that a terminal account stays before it can be closed. */
  closeDelaySlots: number;
  /** Slots for which a validator was registered and served the model before the request, to claim against the result or judge it. */
  maturitySlots: number;
  /** Validator's share of a fee, basis points. */
  validatorBps: number;
  /** Foundation's share of a fee, basis points; the rest is burned. */
  foundationBps: number;
  /** Share of a guilty submitter's stake that is slashed, basis points. */
  slashBps: number;
  /** Part of a bond at stake, basis points of the slash: so much for the first that says `false`, twice for the second, and on. */
  bondBps: number;
  /** Seats of a jury. */
  jurySeats: number;
  /** Ceilings of a validator's open jobs together, basis points of its active stake; one job's at most half of it. */
  exposureBps: number;
  /** Least active stake of a juror, lamports. */
  juryStake: bigint;
  /** Pay of a juror, lamports, whatever seats it has and whatever the verdict. */
  jurorTariff: bigint;
  /** Most lamports of the job's fee that a juror gets beside it where the jury decides. */
  tariffCap: bigint;
  /** Lamports that a juror loses for each seat by silence or by a vote against a decided group. */
  jurorPenalty: bigint;
  /** Lamports for each transaction in which a submitter had to show something: a chunk of output, or leaves. */
  answeringFee: bigint;
  /** Lamports of active stake that each open job takes up. */
  stakePerJob: bigint;
  /** Least active stake of a validator that takes jobs, lamports. */
  minStake: bigint;
  /** Lamports that a validator loses which took an open job and stayed silent. */
  noShow: bigint;
}

export function readRules(reader: Reader): Rules {
  return {
    windowSlots: reader.u32(),
    openingsSlots: reader.u32(),
    revealSlots: reader.u32(),
    cancelGraceSlots: reader.u32(),
    prefillTokensPerSlot: reader.u32(),
    jailSlots: reader.u32(),
    closeDelaySlots: reader.u32(),
    maturitySlots: reader.u32(),
    validatorBps: reader.u16(),
    foundationBps: reader.u16(),
    slashBps: reader.u16(),
    bondBps: reader.u16(),
    jurySeats: reader.u16(),
    exposureBps: reader.u16(),
    juryStake: reader.u64(),
    jurorTariff: reader.u64(),
    tariffCap: reader.u64(),
    jurorPenalty: reader.u64(),
    answeringFee: reader.u64(),
    stakePerJob: reader.u64(),
    minStake: reader.u64(),
    noShow: reader.u64(),
  };
}

/** What requester and validator agreed on, in the order in which it is hashed. */
export interface Terms {
  /** Whose vault pays. */
  owner: string;
  /** Who signed the request: the owner or a delegate. */
  requester: string;
  /** Who may cancel beside owner and requester (the gateway); zero = nobody. */
  canceller: string;
  /** Expiry slot (8 bytes, little-endian) and 8 bytes that tell attempts apart. */
  nonce: Uint8Array;
  /** Address of the `Model`. */
  model: string;
  /** `prompt_hash`. */
  promptHash: Uint8Array;
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Most tokens of the output. */
  maxOutputTokens: number;
  /** Lamports per 1,000 prompt tokens. */
  priceIn: number;
  /** Lamports per 1,000 output tokens. */
  priceOut: number;
  /** `job_seed` of the job and the requester's seed. */
  seed: Uint8Array;
  /** Temperature in thousandths; 0 = the largest logit. */
  temperatureMilli: number;
  /** `SamplingProfile`. */
  samplingProfile: number;
  /** Sampling profile 1: `stop_hash`; 2: `options_hash`; zero = no stop strings and no options. */
  optionsHash: Uint8Array;
  /** Base URL of the gateway that holds the prompt: hostile. */
  promptSource: string;
  /** Slots from the request to the deadline. */
  deadlineSlots: number;
  /** The network's rules at the request. */
  rules: Rules;
}

export function readTerms(reader: Reader): Terms {
  return {
    owner: reader.key(),
    requester: reader.key(),
    canceller: reader.key(),
    nonce: reader.bytes(16),
    model: reader.key(),
    promptHash: reader.bytes(32),
    promptTokens: reader.u32(),
    maxOutputTokens: reader.u32(),
    priceIn: reader.u32(),
    priceOut: reader.u32(),
    seed: reader.bytes(32),
    temperatureMilli: reader.u16(),
    samplingProfile: reader.u8(),
    optionsHash: reader.bytes(32),
    promptSource: reader.text(97),
    deadlineSlots: reader.u32(),
    rules: readRules(reader),
  };
}

/** A model that jobs can name. */
export interface Model {
  /** Status: `ModelStatus`. */
  header: Header;
  /** `ModelSpec::identity`. */
  identity: Uint8Array;
  /** Key that registered it: a part of the identity. */
  creator: string;
  /** Key that may change prices, name and retirement: the creator, until it hands over. */
  registrant: string;
  /** Key that may take over as registrant. */
  pendingRegistrant: string;
  /** Who paid the rent. */
  rentPayer: string;
  /** Name; free for anyone to choose, so never an identity. */
  name: string;
  /** Lamports per 1,000 prompt tokens. */
  priceIn: number;
  /** Lamports per 1,000 output tokens. */
  priceOut: number;
  /** Lamports burned at registration. */
  feeBurned: bigint;
  /** Slot of registration. */
  registeredSlot: bigint;
  /** Slot of the last change. */
  updatedSlot: bigint;
  /** Slot of retirement, 0 while active. */
  retiredSlot: bigint;
  /** What never changes. */
  spec: ModelSpec;
}

export function readModel(reader: Reader): Model {
  return {
    header: readHeader(reader),
    identity: reader.bytes(32),
    creator: reader.key(),
    registrant: reader.key(),
    pendingRegistrant: reader.key(),
    rentPayer: reader.key(),
    name: reader.text(49),
    priceIn: reader.u32(),
    priceOut: reader.u32(),
    feeBurned: reader.u64(),
    registeredSlot: reader.u64(),
    updatedSlot: reader.u64(),
    retiredSlot: reader.u64(),
    spec: readModelSpec(reader),
  };
}

/** First byte and length of a Model account. */
export const MODEL = { discriminator: 3, bytes: 420 } as const;

/** A job from its request to its end. */
export interface Job {
  /** Status: `JobStatus`. */
  header: Header;
  /** What was agreed. */
  terms: Terms;
  /** `Terms::hash`. */
  termsHash: Uint8Array;
  /** Who paid the rent and gets it back. */
  rentPayer: string;
  /** Address of the `SpendGrant` it was requested under; zero = requested by the owner. */
  grant: string;
  /** Window of the grant that it counts in. */
  grantWindowStart: bigint;
  /** Authority of the validator; zero while open. */
  validator: string;
  /** Slot of the request. */
  requestedSlot: bigint;
  /** Slot of acceptance. */
  acceptedSlot: bigint;
  /** Slot from which no result is taken. */
  deadlineSlot: bigint;
  /** Slot in which a cancel was recorded. */
  cancelSlot: bigint;
  /** Slot of the result. */
  submittedSlot: bigint;
  /** Slot in which its case was opened. */
  caseSlot: bigint;
  /** Slot of the end. */
  endedSlot: bigint;
  /** 1 if it was requested without a validator, and whoever took it chose it. */
  open: number;
  /** `EndReason`, 0 while it runs. */
  endReason: number;
  /** `FinishReason`, 0 before a result. */
  finishReason: number;
  /** Tokens of the output. */
  outputTokens: number;
  /** `output_root`. */
  outputRoot: Uint8Array;
  /** `fingerprint`. */
  fingerprint: Uint8Array;
  /** Stake of the validator in the slot of the result, active and unbonding: what a bond against it is computed on. */
  stakeAtResult: bigint;
  /** Most lamports it can cost; lies in this account until the end. */
  ceiling: bigint;
  /** Lamports that lie in this account for it: the ceiling, then 0. */
  escrow: bigint;
  /** Fee, at the end. */
  fee: bigint;
  /** Validator's part of the fee. */
  validatorAmount: bigint;
  /** Foundation's part of the fee. */
  foundationAmount: bigint;
  /** Burned part of the fee. */
  burnedAmount: bigint;
  /** Lamports that went back to the vault. */
  refundedAmount: bigint;
  /** Lamports of stake slashed for it. */
  slashedAmount: bigint;
  /** Lamports of stake that its validator lost because it took an open job and stayed silent; burned. */
  noShowAmount: bigint;
}

export function readJob(reader: Reader): Job {
  return {
    header: readHeader(reader),
    terms: readTerms(reader),
    termsHash: reader.bytes(32),
    rentPayer: reader.key(),
    grant: reader.key(),
    grantWindowStart: reader.u64(),
    validator: reader.key(),
    requestedSlot: reader.u64(),
    acceptedSlot: reader.u64(),
    deadlineSlot: reader.u64(),
    cancelSlot: reader.u64(),
    submittedSlot: reader.u64(),
    caseSlot: reader.u64(),
    endedSlot: reader.u64(),
    open: reader.u8(),
    endReason: reader.u8(),
    finishReason: reader.u8(),
    outputTokens: reader.u32(),
    outputRoot: reader.bytes(32),
    fingerprint: reader.bytes(32),
    stakeAtResult: reader.u64(),
    ceiling: reader.u64(),
    escrow: reader.u64(),
    fee: reader.u64(),
    validatorAmount: reader.u64(),
    foundationAmount: reader.u64(),
    burnedAmount: reader.u64(),
    refundedAmount: reader.u64(),
    slashedAmount: reader.u64(),
    noShowAmount: reader.u64(),
  };
}

/** First byte and length of a Job account. */
export const JOB = { discriminator: 7, bytes: 827 } as const;

/** Where a job's terms lie in its account, and in them the text that is hashed without its padding. */
export const TERMS = {
  at: 16,
  bytes: 468,
  promptSource: 259,
  deadlineSlots: 356,
} as const;

/** Where a model's immutable part lies in its account. */
export const SPEC = { at: 265, bytes: 155 } as const;

/** Values of `JobStatus`. */
export const JOB_STATUS: Readonly<Record<number, string>> = {
  1: "open",
  2: "accepted",
  3: "submitted",
  4: "disputed",
  5: "settled",
  6: "refunded",
  7: "slashed",
};

/** Values of `EndReason`. */
export const END_REASON: Readonly<Record<number, string>> = {
  1: "claimed",
  2: "cancelled",
  3: "declined",
  4: "expired",
  5: "notGuilty",
  6: "void",
  7: "guilty",
  8: "fault",
};

/** Values of `FinishReason`. */
export const FINISH_REASON: Readonly<Record<number, string>> = {
  1: "eos",
  2: "length",
  3: "stopped",
  4: "cancelled",
};

/** Values of `KernelProfile`. */
export const KERNEL_PROFILE: Readonly<Record<number, string>> = {
  1: "cpuCandle",
  3: "cpuWA8",
};

/** Values of `SamplingProfile`. */
export const SAMPLING_PROFILE: Readonly<Record<number, string>> = {
  1: "seededTop4",
  2: "seededFull",
};
