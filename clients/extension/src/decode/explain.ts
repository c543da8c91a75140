/** What a transaction does, in words, before anybody signs it. */

import { PROGRAMS } from "../generated/idl";
import { count, short, slotsAsTime, sol } from "../format";
import { decode, type Decoded, type Value } from "./program";
import { isMessage, type ReadInstruction, type ReadTransaction } from "./message";
import { type Said, said } from "./system";

/** One instruction in words. */
export interface Line {
  program: string;
  title: string;
  says: string;
  warns?: string;
  /** All that the instruction holds, for who wants to see it. */
  details: [name: string, value: string][];
}

export interface Explained {
  lines: Line[];
  /** What the wallet has no words for: signing it is signing blindly. */
  blind: string[];
  warnings: string[];
}

const STAKES = "It stakes lamports, which are lost where the program finds a fault.";

type Words = (values: Values, accounts: Record<string, string>) => { says: string; warns?: string };

/** Values by name, as the sentences need them. */
class Values {
  readonly #values: Record<string, Value>;

  constructor(values: Record<string, Value>) {
    this.#values = values;
  }

  number(name: string): bigint {
    const value = this.#values[name];
    return typeof value === "bigint" ? value : 0n;
  }

  text(name: string): string {
    const value = this.#values[name];
    return typeof value === "string" ? value : "";
  }

  list(name: string): Value[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value : [];
  }
}

const who = (key: string | undefined): string => (key === undefined ? "nobody" : short(key));

/** Most lamports of a job: the price of its prompt and of all tokens that it may get. */
export function ceiling(values: { promptTokens: bigint; maxOutputTokens: bigint; priceIn: bigint; priceOut: bigint }): bigint {
  return (values.promptTokens * values.priceIn + values.maxOutputTokens * values.priceOut + 999n) / 1_000n;
}

/** Sentences for what people sign. The rest is told by the IDL's own words. */
const WORDS: Readonly<Record<string, Words>> = {
  "AI Precompiles/depositVault": (v, a) => ({ says: `Puts ${sol(v.number("amount"))} into the vault of ${who(a["owner"])}, from which answers are paid.` }),
  "AI Precompiles/withdrawVault": (v, a) => ({ says: `Takes ${sol(v.number("amount"))} out of the vault of ${who(a["owner"])}, back to its wallet.` }),
  "AI Precompiles/closeVault": () => ({ says: "Closes the vault; what is in it and its rent go back." }),
  "AI Precompiles/grantSpend": (v, a) => {
    const models = v.list("models").slice(0, Number(v.number("modelCount"))).map(String);
    const which = models.length > 0 ? ` for ${models.map(short).join(", ")} only` : "";
    return {
      says: `Lets ${a["delegate"] ?? ""} spend from the vault of ${who(a["owner"])}${which}: at most ${sol(v.number("perJobMax"))} a job, ${sol(v.number("windowMax"))} in ${slotsAsTime(v.number("windowSlots"))}, ${sol(v.number("lifetimeCap"))} in all, until slot ${count(v.number("expirySlot"))}.`,
      warns: "Until then it needs no further word from you. The chain enforces these limits, and you can revoke them.",
    };
  },
  "AI Precompiles/revokeGrant": () => ({ says: "Ends a spending limit: nothing more can be spent under it. Jobs that run go on." }),
  "AI Precompiles/closeGrant": () => ({ says: "Closes a spending limit that is over; its rent goes back." }),
  "AI Precompiles/requestInference": (v, a) => {
    const most = ceiling({ promptTokens: v.number("promptTokens"), maxOutputTokens: v.number("maxOutputTokens"), priceIn: v.number("priceIn"), priceOut: v.number("priceOut") });
    const under = a["grant"] === undefined ? "" : " under a spending limit";
    return { says: `Buys an answer of at most ${count(v.number("maxOutputTokens"))} tokens to a prompt of ${count(v.number("promptTokens"))} tokens, for ${sol(most)} at most out of the vault${under}. What is not used comes back to the vault.` };
  },
  "AI Precompiles/registerValidator": (v) => ({ says: `Registers a validator with a stake of ${sol(v.number("stake"))}.`, warns: STAKES }),
  "AI Precompiles/addStake": (v) => ({ says: `Adds ${sol(v.number("amount"))} to a validator's stake.`, warns: STAKES }),
  "AI Precompiles/verifyLogits": (v) => ({ says: `Claims that a job's result is wrong or right, with a bond of ${sol(v.number("bond"))}.`, warns: "The bond is lost if the jury finds otherwise." }),
  "AI Precompiles/proposeAdmin": (v) => ({ says: `Proposes ${v.text("newAdmin")} as the program's admin.`, warns: "The admin rules the network." }),
  "AI Precompiles/proposeOwner": (v) => ({ says: `Proposes ${v.text("newOwner")} as the owner of a validator and its stake.`, warns: "The new owner gets the validator's stake and earnings." }),
  "Compute Market/requestCompute": (v) => {
    const most = v.number("price") * v.number("units") * v.number("seconds");
    return { says: `Asks for ${count(v.number("units"))} units of capacity for ${count(v.number("seconds"))} seconds, and puts ${sol(most)} into escrow for it.` };
  },
  "Compute Market/cancelRequest": () => ({ says: "Takes back a request for capacity; its escrow comes back." }),
  "Compute Market/topUp": (v) => ({ says: `Adds ${count(v.number("seconds"))} seconds to a lease, and pays for them into its escrow.` }),
  "Compute Market/acknowledgeStart": () => ({ says: "States that the leased capacity works as agreed: from here on it is paid for." }),
  "Compute Market/closeLease": () => ({ says: "Gives notice of a lease, or ends it; what is not used of its escrow comes back." }),
  "Compute Market/withdrawLease": () => ({ says: "Takes out what a lease owes back to its tenant." }),
  "Compute Market/registerProvider": (v) => ({ says: `Registers a provider of ${count(v.number("units"))} units with a stake of ${sol(v.number("stake"))}.`, warns: STAKES }),
  "Compute Market/addStake": (v) => ({ says: `Adds ${sol(v.number("amount"))} to a provider's stake.`, warns: STAKES }),
  "Compute Market/disputeLease": (v) => ({ says: `Disputes a proof of a lease; bond and fees are at most ${sol(v.number("most"))}.`, warns: "The bond is lost if the proof turns out right." }),
  "Compute Market/proposeAdmin": (v) => ({ says: `Proposes ${v.text("newAdmin")} as the program's admin.`, warns: "The admin rules the market." }),
};

/** `perJobMax` is per job max. */
const spaced = (name: string): string => name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function shown(value: Value): string {
  if (typeof value === "bigint") return count(value);
  if (typeof value === "string") return value === "" ? "(empty)" : value;
  if (Array.isArray(value)) return value.map(shown).join(", ");
  return Object.entries(value).map(([name, part]) => `${spaced(name)} ${shown(part)}`).join(", ");
}

function ours({ program, instruction, values, accounts }: Decoded): Line {
  const words = WORDS[`${program.title}/${instruction.name}`]?.(new Values(values), accounts) ?? { says: instruction.about };
  return {
    program: program.title,
    title: capital(spaced(instruction.name)),
    ...words,
    details: [
      ...instruction.fields.map(([name]): [string, string] => [spaced(name), shown(values[name] ?? "")]),
      ...Object.entries(accounts).map(([name, key]): [string, string] => [`${spaced(name)} (account)`, key]),
    ],
  };
}

function line(instruction: ReadInstruction): { line: Line; said?: Said } | null {
  const program = PROGRAMS.find(({ address }) => address === instruction.program);
  if (program) {
    // Accounts that a table names could be any: then nothing is known about them.
    if (instruction.accounts.includes(null)) return null;
    const decoded = decode(program, instruction.data, instruction.accounts as string[]);
    return decoded && { line: ours(decoded) };
  }
  const known = said(instruction);
  if (!known) return null;
  const { title, says, warns } = known;
  return { line: { program: "Solana", title, says, ...(warns !== undefined && { warns }), details: [] }, said: known };
}

/** `me` is the account that is asked to sign. */
export function explain(transaction: ReadTransaction, me: string): Explained {
  const explained: Explained = { lines: [], blind: [], warnings: [] };
  for (const instruction of transaction.instructions) {
    const found = line(instruction);
    if (found) {
      explained.lines.push(found.line);
      continue;
    }
    const bytes = `${instruction.data.length} bytes for ${instruction.accounts.length} accounts`;
    explained.lines.push({ program: "unknown program", title: "Not readable", says: `Nobody can say what this does: ${bytes}, to program ${instruction.program}.`, details: [] });
    explained.blind.push(`program ${instruction.program} is asked for something that this wallet has no words for`);
  }
  if (transaction.usesTables) explained.blind.push("it names accounts through a table that may change until it runs");
  if (transaction.instructions.length === 0) explained.warnings.push("The transaction does nothing, and costs its fee.");
  if (transaction.feePayer === me) explained.warnings.push(...fees(transaction));
  else explained.warnings.push(`${short(transaction.feePayer)} pays the fee; you sign beside it.`);
  return explained;
}

function fees({ signers }: ReadTransaction): string[] {
  return signers.length > 2 ? [`You pay the fee of ${signers.length} signatures.`] : [];
}

/** What a page wants signed as a text. */
export interface ExplainedText {
  /** As text, if it is one. */
  text: string | null;
  warnings: string[];
  /** Nobody can read it: signing it is signing blindly. */
  isBlind: boolean;
  /** The site that asks would act with it somewhere else: as the user, there. */
  actsAt: string | null;
  /** It must not be signed: it is a transaction in disguise. */
  refuse: string | null;
}

const HTTP = "mythic/http/v2";

export function explainText(message: Uint8Array, origin: string): ExplainedText {
  if (isMessage(message)) return { text: null, warnings: [], isBlind: false, actsAt: null, refuse: "this is a transaction, disguised as a text" };
  const request = signedRequest(message);
  if (request) {
    const { method, receiver, path, purpose } = request;
    const warnings = [`Whoever has this signature can send this one request to ${receiver} within a minute, as you.`];
    const isElsewhere = origin !== receiver && origin !== "wallet";
    if (isElsewhere) warnings.push(`It is for ${receiver}, and ${origin} asks for it.`);
    return { text: `${method} ${path}\nto ${receiver}\nfor: ${purpose}`, warnings, isBlind: false, actsAt: isElsewhere ? receiver : null, refuse: null };
  }
  let text: string | null = null;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(message);
  } catch {
    // Not a text.
  }
  // Joiners are parts of words and emoji, and move nothing.
  const isReadable = text !== null && !/[\p{Cc}\p{Cf}]/u.test(text.replace(/[\n\r\t\u200c\u200d]/g, ""));
  const warnings = isReadable ? [] : ["It has parts that can't be shown: what it means to whoever gets it is not known."];
  return { text: isReadable ? text : null, warnings, isBlind: !isReadable, actsAt: null, refuse: null };
}

/** A signed request to a gateway or node (docs/api.md, Signed requests), if the bytes are one. */
export function signedRequest(message: Uint8Array): { method: string; receiver: string; path: string; purpose: string } | null {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    if (decoder.decode(message.subarray(0, HTTP.length)) !== HTTP) return null;
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    let at = HTTP.length;
    const part = (): string => {
      const length = view.getUint32(at, true);
      const text = decoder.decode(message.subarray(at + 4, at + 4 + length));
      at += 4 + length;
      // Nothing in it may look like a line of the window.
      if (!/^[\x21-\x7e]*$/.test(text)) throw new RangeError("not a part of a request");
      return text;
    };
    const [method, receiver, path, purpose] = [part(), part(), part(), part()];
    // A hash, a time and a nonce follow.
    if (at + 32 + 8 + 16 !== message.length) return null;
    return { method, receiver, path, purpose };
  } catch {
    return null;
  }
}
