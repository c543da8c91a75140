/** Why the chain refuses a transaction, in words. */

import { REFUSALS } from "../generated/idl";
import { at } from "./rpc";

const PLAIN: Readonly<Record<string, string>> = {
  BlockhashNotFound: "it is too old, or was made for another chain",
  AccountNotFound: "the account that pays has nothing",
  InsufficientFundsForFee: "the account that pays can't pay the fee",
  InsufficientFundsForRent: "an account would be left with less than its rent",
  AlreadyProcessed: "it has run already",
  SignatureFailure: "a signature is wrong",
};

/** Numbers of the system program, which gives jobs and accounts their rent. */
const SYSTEM: Readonly<Record<number, string>> = { 0: "an account is there already", 1: "an account has too few lamports for it" };

/** What to do about it, where the program's words don't say. */
const THEN: Readonly<Record<number, string>> = { 612: "a question was asked or ended meanwhile, so go back and make the change anew" };

/** The program's number in an error `{ InstructionError: [place, { Custom: number }] }`. */
export function programError(error: unknown): number | null {
  const custom = at(error, "InstructionError", 1, "Custom");
  return typeof custom === "number" ? custom : null;
}

export function refusalWords(error: unknown): string {
  const code = programError(error);
  if (code !== null) {
    const said = REFUSALS[code] ?? SYSTEM[code];
    const then = THEN[code] === undefined ? "" : `: ${THEN[code]}`;
    return said === undefined ? `the program refuses (${code})` : `${said} (${code})${then}`;
  }
  const name = typeof error === "string" ? error : (Object.keys(error ?? {})[0] ?? "");
  if (name === "InstructionError") return `an instruction fails: ${JSON.stringify(at(error, "InstructionError", 1))}`;
  return PLAIN[name] ?? (name || "it gives no reason");
}

/** Numbers of refusals that mean a spending limit. */
export const isLimit = (code: number | null): boolean => code !== null && [603, 604, 607, 608, 609, 610].includes(code);
/** Whoever pays fee or rent has too little. */
export const isBroke = (code: number | null): boolean => code === null || code === 1;
