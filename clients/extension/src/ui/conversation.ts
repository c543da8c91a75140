/**
 * A conversation with a model: each question is written down before it is sent, under a name that makes it one question for the gateway
 * and one payment for the chain. So a page that closes, or a worker that dies, loses nothing: who opens the chat again goes on.
 */

import { AbortedError, ApiError, type Estimate, type Message, MythicAI, StreamInterruptedError, type Verification } from "@mythic/ai-sdk";
import { signerWallet, type Signer } from "@mythic/ai-sdk/wallet";
import { address } from "@solana/kit";
import { WalletError } from "../core/error";
import type { Payer } from "../core/payments";
import type { Account, Network } from "../core/records";
import { wallet } from "../messages";
import { pack, unpack } from "../wire";

export type TurnState = "asked" | "done" | "stopped" | "failed";

/** A question and its answer. */
export interface Turn {
  /** Names the question: 32 hex digits. */
  id: string;
  at: number;
  prompt: string;
  model: string;
  maxTokens: number;
  by: Payer;
  /** The most that it costs, as it was shown, lamports. */
  most: bigint;
  state: TurnState;
  output: string;
  jobId: string | null;
  cost: bigint | null;
  validator: string | null;
  /** What went wrong. */
  words: string | null;
  /** The refusal was the chain's, of this transaction. */
  signature: string | null;
  byChain: boolean;
}

/** Turns that are kept, and told to the model. */
const MOST_TURNS = 50;

/** The client of a network's gateway, paid by the wallet. */
export function clientOf(account: Account, network: Network, by: Payer, payer: string, turn?: Turn): MythicAI {
  const signer: Signer = {
    address: address(payer),
    signMessage: (message) => wallet.signEvidence(by, message),
    signTransaction: () => Promise.reject(new WalletError("refused", "transactions are signed by the worker")),
  };
  const paying = {
    ...signerWallet(signer, { rpcUrl: network.rpcUrl, owner: account.address }),
    pay: ({ estimate, seed }: { estimate: Estimate; seed: number | undefined }) =>
      turn ? wallet.pay({ id: turn.id, by, estimate, seed, most: turn.most }) : Promise.reject(new WalletError("refused", "there is nothing to pay")),
  };
  return new MythicAI({ gatewayUrl: network.gatewayUrl, rpcUrl: network.rpcUrl, wallet: paying });
}

const nameOf = (account: Account, network: Network): string => `${account.address}-${network.id}`;

export async function load(account: Account, network: Network): Promise<Turn[]> {
  const text = await wallet.chat(nameOf(account, network));
  if (text === null) return [];
  try {
    const turns = unpack(text);
    return Array.isArray(turns) ? (turns as Turn[]) : [];
  } catch {
    return [];
  }
}

/** Changes what is kept of a conversation. Two pages that show it take turns, and neither overwrites what the other one wrote. */
export async function update(account: Account, network: Network, change: (turns: Turn[]) => Turn[]): Promise<Turn[]> {
  const name = nameOf(account, network);
  return await navigator.locks.request(`chat ${name}`, async () => {
    const turns = change(await load(account, network)).slice(-MOST_TURNS);
    await wallet.setChat(name, turns.length === 0 ? null : pack(turns));
    return turns;
  });
}

/** With a turn as it is now. */
export const withTurn = (turns: Turn[], turn: Turn): Turn[] => turns.map((one) => (one.id === turn.id ? turn : one));

/** Answers of a conversation come one at a time, whichever page shows them. */
export async function alone(account: Account, network: Network, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  await navigator.locks.request(`answer ${nameOf(account, network)}`, { signal }, work);
}

export function newTurn(asked: Pick<Turn, "prompt" | "model" | "maxTokens" | "by" | "most">): Turn {
  const id = crypto.randomUUID().replaceAll("-", "");
  return { ...asked, id, at: Date.now(), state: "asked", output: "", jobId: null, cost: null, validator: null, words: null, signature: null, byChain: false };
}

/** What the model is told: the conversation up to a question. */
export function messagesFor(turns: readonly Turn[], prompt: string): Message[] {
  const before = turns.filter(({ state, output }) => output !== "" && (state === "done" || state === "stopped"));
  const told = before.flatMap((turn): Message[] => [{ role: "user", content: turn.prompt }, { role: "assistant", content: turn.output }]);
  return [...told, { role: "user", content: prompt }];
}

/** Why a question is left alone: its page is gone. Whoever opens the chat again goes on with it. */
export const LEFT = new Error("the page is gone");

/** Asks, or goes on with what was asked. `heard` gets the turn each time that it has changed. */
export async function run(ai: MythicAI, before: readonly Turn[], turn: Turn, signal: AbortSignal, heard: (turn: Turn) => void): Promise<Turn> {
  let here = turn;
  const change = (change: Partial<Turn>): Turn => {
    here = { ...here, ...change };
    heard(here);
    return here;
  };
  const stream = ai.stream(messagesFor(before, turn.prompt), { model: turn.model, maxTokens: turn.maxTokens, pay: "wallet", idempotencyKey: turn.id, signal });
  try {
    let output = "";
    for await (const text of stream) {
      output += text;
      change({ output, jobId: stream.jobId ?? here.jobId });
    }
    const answer = await stream.final();
    return change({ state: "done", output: answer.output, jobId: answer.jobId, cost: answer.cost, validator: answer.validator });
  } catch (error) {
    return signal.reason === LEFT ? turn : change(ended(error, here, stream.jobId));
  }
}

/** What a failure makes of a turn. */
export function ended(error: unknown, turn: Turn, jobId: string | undefined): Partial<Turn> {
  const job = jobId ?? (error instanceof ApiError ? error.jobId : undefined) ?? turn.jobId;
  if (error instanceof AbortedError) return { state: "stopped", jobId: job ?? null, words: "stopped" };
  if (error instanceof StreamInterruptedError) return { state: "failed", jobId: job ?? null, output: error.partial, words: error.message };
  if (error instanceof WalletError) {
    const byChain = error.code === "limit" || error.code === "chain";
    return { state: "failed", words: error.message, byChain: byChain && error.signature !== null, signature: error.signature };
  }
  const byChain = error instanceof ApiError && ["spend_limit_exceeded", "grant_not_usable", "chain_refused", "insufficient_funds"].includes(error.code);
  return { state: "failed", jobId: job ?? null, words: error instanceof Error ? error.message : String(error), byChain };
}

/** What a stopped answer came to, once the chain knows. */
export async function settle(ai: MythicAI, turn: Turn): Promise<Turn> {
  if (turn.jobId === null || turn.cost !== null) return turn;
  const { lamports } = await ai.jobs.cost(turn.jobId);
  return { ...turn, cost: lamports };
}

/** Checks a receipt here, in the extension: also that the job is of the account whose vault pays, and of the model that was chosen. */
export const verify = (ai: MythicAI, jobId: string, { address: owner }: Account, { model }: Turn): Promise<Verification> =>
  ai.receipts.verify(jobId, { expected: { owner, model } });
