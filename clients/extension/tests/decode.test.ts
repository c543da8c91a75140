/** What transactions are said to do. */

import {
  findSpendGrantPda, findVaultPda, getDepositVaultInstruction, getGrantSpendInstruction, getRequestInferenceInstructionAsync,
} from "@mythic/program/ai-precompiles";
import {
  AccountRole, address, appendTransactionMessageInstructions, type Blockhash, compileTransaction, createNoopSigner, createTransactionMessage, type Instruction, pipe,
  setTransactionMessageFeePayer, setTransactionMessageLifetimeUsingBlockhash,
} from "@solana/kit";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { compile, transfer } from "../src/chain/build";
import { withSignature } from "../src/core/requests";
import { accountKey } from "../src/crypto/phrase";
import { explain, explainText, signedRequest } from "../src/decode/explain";
import { isMessage, readMessage, readTransaction, type ReadTransaction, withBlockhash } from "../src/decode/message";
import { decode } from "../src/decode/program";
import { PROGRAMS } from "../src/generated/idl";
import { signedBytes } from "../../sdk/src/http/signed";
import { idlSource } from "../scripts/idl.mjs";
import { PHRASE } from "./support/world";

const { address: ME, secret: SECRET } = accountKey(PHRASE, 0);
const OTHER = accountKey(PHRASE, 1).address;
const LIFETIME = { blockhash: "4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM", lastValidBlockHeight: 9 };
const me = createNoopSigner(address(ME));

function read(...instructions: Instruction[]): ReadTransaction {
  const found = readTransaction(compile(ME, instructions, LIFETIME));
  if (typeof found === "string") throw new Error(found);
  return found;
}

const says = (...instructions: Instruction[]): string[] => explain(read(...instructions), ME).lines.map((line) => line.says);

test("a transfer and a deposit are said in SOL", async () => {
  const [vault] = await findVaultPda({ owner: address(ME) });
  const told = says(transfer(ME, OTHER, 1_500_000_001n), getDepositVaultInstruction({ payer: me, owner: me.address, vault, amount: 20_000_000n }));
  expect(told).toEqual([`Sends 1.500000001 SOL from HAgk…Kpqk to ${OTHER}.`, "Puts 0.02 SOL into the vault of HAgk…Kpqk, from which answers are paid."]);
});

test("a grant is said with every limit, and warned of", async () => {
  const [grant] = await findSpendGrantPda({ owner: address(ME), delegate: address(OTHER) });
  const zero = address("11111111111111111111111111111111");
  const instruction = getGrantSpendInstruction({
    payer: me, owner: me, delegate: address(OTHER), grant, spent: 0n, perJobMax: 500_000n, windowMax: 10_000_000n, windowSlots: 216_000, lifetimeCap: 100_000_000n,
    expirySlot: 2_000_000n, modelCount: 1, models: [address(OTHER), zero, zero, zero],
  });
  const [line] = explain(read(instruction), ME).lines;
  expect(line?.says).toContain(`Lets ${OTHER} spend`);
  for (const part of ["0.0005 SOL a job", "0.01 SOL in 216,000 slots (about 24 h", "0.1 SOL in all", "until slot 2,000,000", "only"]) expect(line?.says).toContain(part);
  expect(line?.warns).toContain("The chain enforces these limits");
});

test("a request for an answer says the most that it costs", async () => {
  const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(1);
  const instruction = await getRequestInferenceInstructionAsync({
    payer: me, requester: me, model: address(OTHER), vault: address(OTHER), job: address(OTHER), nonce: bytes(16), canceller: address(OTHER), promptHash: bytes(32),
    promptTokens: 3, maxOutputTokens: 512, priceIn: 25_000, priceOut: 50_000, userSeed: bytes(32), temperatureMilli: 800, samplingProfile: 2, optionsHash: bytes(32),
    promptSource: "http://g", deadlineSlots: 100, rulesHash: bytes(32), bump: 255,
  });
  // 3 × 25 + 512 × 50 lamports.
  expect(says(instruction)).toEqual(["Buys an answer of at most 512 tokens to a prompt of 3 tokens, for 0.000025675 SOL at most out of the vault. What is not used comes back to the vault."]);
  const details = Object.fromEntries(explain(read(instruction), ME).lines[0]?.details ?? []);
  expect([details["sampling profile"], details["options hash"]]).toEqual(["2", "01".repeat(32)]);
});

test("every instruction of both programs has words, and none without its exact bytes", () => {
  expect(PROGRAMS.map(({ instructions }) => instructions.length > 30)).toEqual([true, true]);
  for (const program of PROGRAMS) {
    for (const instruction of program.instructions) {
      const length = instruction.fields.reduce((sum, [, type]) => sum + size(type, program.structures), 0);
      const data = new Uint8Array(1 + length);
      data[0] = instruction.tag;
      const accounts = instruction.accounts.map(() => OTHER);
      const found = decode(program, data, accounts);
      expect(found?.instruction.name, instruction.name).toBe(instruction.name);
      expect(decode(program, data, accounts.slice(1)), instruction.name).toBeNull();
      if (!instruction.fields.some(([, type]) => type === "rest")) {
        expect(decode(program, new Uint8Array([...data, 0]), accounts), instruction.name).toBeNull();
        if (length > 0) expect(decode(program, data.subarray(0, -1), accounts), instruction.name).toBeNull();
      }
      const line = explain(read({ programAddress: address(program.address), accounts: accounts.map((key) => ({ address: address(key), role: AccountRole.READONLY })), data }), ME);
      expect([line.blind, line.lines[0]?.says !== ""], instruction.name).toEqual([[], true]);
    }
  }
});

function size(type: string, structures: (typeof PROGRAMS)[number]["structures"]): number {
  const number = /^[ui](\d+)$/.exec(type)?.[1];
  if (number) return Number(number) / 8;
  const sized = /^(?:bytes|text):(\d+)$/.exec(type)?.[1];
  if (sized) return Number(sized);
  const array = /^\[(.+);(\d+)\]$/.exec(type);
  if (array) return size(array[1]!, structures) * Number(array[2]);
  const structure = structures[/^\{(\w+)\}$/.exec(type)?.[1] ?? ""];
  if (structure) return structure.reduce((sum, [, of]) => sum + size(of, structures), 0);
  return type === "key" ? 32 : 0;
}

test("an unknown program and unknown bytes of a known one are blind", () => {
  const strange = { programAddress: address(OTHER), accounts: [], data: Uint8Array.of(1, 2) };
  expect(explain(read(strange), ME).blind).toHaveLength(1);
  // Assign: it would give the account away, and has no words.
  const assign = { programAddress: address("11111111111111111111111111111111"), accounts: [{ address: address(ME), role: AccountRole.WRITABLE_SIGNER }], data: new Uint8Array(36).fill(1, 0, 1) };
  expect(explain(read(assign), ME).blind).toHaveLength(1);
  const garbled = { programAddress: address(PROGRAMS[0]!.address), accounts: [], data: Uint8Array.of(43, 1) };
  expect(explain(read(garbled), ME).blind).toHaveLength(1);
});

test("what others wrote into a transaction can't write over the window", () => {
  const program = PROGRAMS[1]!;
  const instruction = program.instructions.find(({ name }) => name === "registerProvider")!;
  const length = instruction.fields.reduce((sum, [, type]) => sum + size(type, program.structures), 0);
  const data = new Uint8Array(1 + length).fill(0x1b);
  data[0] = instruction.tag;
  const found = decode(program, data, instruction.accounts.map(() => OTHER));
  expect(JSON.stringify(found?.values["endpoint"])).not.toContain("\\u001b");
});

test("bytes that are not exactly one transaction are refused", () => {
  const { bytes } = read(transfer(ME, OTHER, 1n));
  expect(readTransaction(new Uint8Array([...bytes, 0]))).toBeTypeOf("string");
  expect(readTransaction(bytes.subarray(0, -1))).toBeTypeOf("string");
  expect(readTransaction(new Uint8Array(2_000))).toContain("2000 bytes");
  expect(readTransaction(Uint8Array.of(1))).toBeTypeOf("string");
});

test("a signature goes to its signer's place, a blockhash is replaced once", () => {
  const { bytes } = read(transfer(ME, OTHER, 1n));
  const other = "GfVcyD4kkTrj4bKc7WA9sZCin9JDbdT4Zkd3EittNR1W";
  const fresh = readTransaction(withSignature(withBlockhash(bytes, other), ME, SECRET)) as ReadTransaction;
  expect([fresh.blockhash, fresh.signed]).toEqual([other, [ME]]);
  expect(() => withSignature(bytes, OTHER, SECRET)).toThrow("does not ask");
});

test("a transaction that is given as a text is seen through", () => {
  const { message } = read(transfer(ME, OTHER, 1n));
  expect(explainText(message, "https://a").refuse).toContain("disguised");
  const text = new TextEncoder().encode("Sign in to app.example");
  expect(explainText(text, "https://a")).toEqual({ text: "Sign in to app.example", warnings: [], isBlind: false, actsAt: null, refuse: null });
});

test("a transaction of a version that the wallet can't read is none of its texts either", () => {
  const later = pipe(
    createTransactionMessage({ version: 1 }),
    (empty) => setTransactionMessageFeePayer(address(ME), empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: LIFETIME.blockhash as Blockhash, lastValidBlockHeight: 9n }, paid),
    (timed) => appendTransactionMessageInstructions([transfer(ME, OTHER, 1n)], timed),
  );
  const message = new Uint8Array(compileTransaction(later).messageBytes);
  expect(readMessage(message)).toContain("version");
  for (const bytes of [message, Uint8Array.of(0x82, 1, 2, 3), Uint8Array.of(0xbf)]) {
    expect(isMessage(bytes)).toBe(true);
    expect(explainText(bytes, "https://a").refuse).toContain("disguised");
  }
  for (const text of ["", "Sign in", "Привет", "👍"]) expect(isMessage(new TextEncoder().encode(text)), text).toBe(false);
});

test("what the bot's page wants signed can be read, whatever its account is called", () => {
  for (const name of ["@ann, Ann", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645, without a user name", "@o, \u{1f468}\u200d\u{1f469}\u200d\u{1f467}"]) {
    const text = `bot.example wants you to sign in with your Solana account:\n${ME}\n\nLink this wallet to the Telegram account ${name} (number 7) in the bot @mythic_bot. Sign only if that account is yours.\n\nURI: https://bot.example\nVersion: 1`;
    expect(explainText(new TextEncoder().encode(text), "https://bot.example")).toEqual({ text, warnings: [], isBlind: false, actsAt: null, refuse: null });
  }
});

test("a text with hidden direction marks is not shown as text", () => {
  expect(explainText(new TextEncoder().encode("pay \u202E100"), "https://a")).toMatchObject({ text: null, isBlind: true });
  expect(explainText(Uint8Array.of(0xff, 0xfe), "https://a")).toMatchObject({ warnings: [expect.stringContaining("can't be shown")], isBlind: true });
});

test("a signed request is read as what it is, and another site's asking for it is warned of", () => {
  const bytes = signedBytes({ gatewayUrl: "https://gateway.example/x", method: "POST", path: "/v1/keys", purpose: "keys", body: "{}" }, 5, new Uint8Array(16));
  expect(signedRequest(bytes)).toEqual({ method: "POST", receiver: "https://gateway.example", path: "/v1/keys", purpose: "keys" });
  expect(explainText(bytes, "https://evil.example")).toMatchObject({ warnings: [expect.any(String), expect.stringContaining("evil.example asks")], actsAt: "https://gateway.example" });
  expect(explainText(bytes, "https://gateway.example")).toMatchObject({ warnings: [expect.any(String)], actsAt: null });
  expect(signedRequest(bytes.subarray(0, -1))).toBeNull();
});

test("a signed request whose parts could look like other lines of the window is none that can be read", () => {
  for (const path of ["/v1/keys\nto https://honest.example", "/v1/keys\u202e", "/a b"]) {
    const bytes = signedBytes({ gatewayUrl: "https://evil.example", method: "POST", path, purpose: "keys", body: "{}" }, 5, new Uint8Array(16));
    expect(signedRequest(bytes), path).toBeNull();
    expect(explainText(bytes, "https://evil.example"), path).toMatchObject({ text: null, isBlind: true });
  }
});

test("what the wallet knows of the programs is what their IDLs say", async () => {
  const file = new URL("../src/generated/idl.ts", import.meta.url);
  expect(await readFile(file, "utf8")).toBe(await idlSource());
});
