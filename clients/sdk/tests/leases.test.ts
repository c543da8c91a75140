/** A lease from the offer to its end, with a chain and a provider that a test tells what to say. */

import { keyWallet, type Wallet } from "@mythic/ai-sdk/wallet";
import {
  COMPUTE_MARKET_ERROR__NOTHING_TO_WITHDRAW,
  COMPUTE_MARKET_PROGRAM_ADDRESS,
  findLeasePda,
  findRequestPda,
  getLeaseDecoder,
  getLeaseEncoder,
  getLeaseSize,
  getMarketConfigDecoder,
  getMarketConfigEncoder,
  getMarketConfigSize,
  getProviderDecoder,
  getProviderEncoder,
  getProviderSize,
  getRequestDecoder,
  getRequestEncoder,
  getRequestSize,
  identifyComputeMarketInstruction,
  ComputeMarketInstruction,
  type LeaseArgs,
  parseRequestComputeInstruction,
} from "@mythic/program/compute-market";
import { getModelDecoder, getModelEncoder, getModelSize } from "@mythic/program/ai-precompiles";
import { address, decompileTransactionMessage, getCompiledTransactionMessageDecoder, getTransactionDecoder } from "@solana/kit";
import { beforeEach, expect, test } from "vitest";
import { AbortedError, ChainRefusedError, ConnectionError, LeaseError } from "../src/errors.js";
import { PROGRAM } from "../src/generated/layouts.js";
import { base58 } from "../src/verify/base58.js";
import { base64, hex, unbase64, utf8 } from "../src/verify/bytes.js";
import { sha256 } from "../src/verify/sha256.js";
import { type Asked, faultServer, type FaultServer } from "./support/faults.js";

const key = (byte: number): string => base58(new Uint8Array(32).fill(byte));
const [PROVIDER, OPERATOR, MODEL] = [3, 4, 5].map(key) as [string, string, string];
const [STARTED, ACTIVE, ENDED] = [2, 3, 5];
const SIGNATURE = base58(new Uint8Array(64).fill(1));

let server: FaultServer;
let wallet: Wallet;

beforeEach(async () => {
  server = await faultServer();
  wallet = await keyWallet(new Uint8Array(32).fill(9), { rpcUrl: `${server.url}/rpc` });
  return () => server.close();
});

type Sent = Parameters<typeof parseRequestComputeInstruction>[0];

/** Why the chain does not take a transaction. */
class Refusal {
  readonly error: unknown;

  constructor(index: number, code: number) {
    const err = { InstructionError: [index, { Custom: code }] };
    this.error = { code: -32_002, message: `custom program error: ${code}`, data: { accounts: null, err, logs: [], unitsConsumed: 0, returnData: null } };
  }
}

/** A market with one provider. */
class Market {
  /** Instructions that were sent, in order. */
  readonly sent: Sent[] = [];
  spec = "";
  status = STARTED;
  word: unknown = { status: "waiting", reason: "loading" };
  operator = OPERATOR;
  statedAccess: string | undefined;
  taken = true;
  model = "tiny@05050505";
  /** Which model the endpoint says it serves, and to which key it said so. */
  served = "tiny@05050505";
  triedUnder: string | undefined;
  /** What the tenant has due once the lease has ended. */
  due = 600n;

  answer = async (response: Parameters<Parameters<FaultServer["on"]>[1]>[0], asked: Asked): Promise<void> => {
    if (asked.path !== "/rpc") return void response.end(await this.provider(asked));
    const { id, method, params } = asked.body as { id: number; method: string; params: string[] };
    response.setHeader("content-type", "application/json");
    const result = await this.chain(method, params);
    response.end(JSON.stringify({ jsonrpc: "2.0", id, ...(result instanceof Refusal ? { error: result.error } : { result }) }));
  };

  async provider({ method, path, text, headers }: Asked): Promise<string> {
    if (path === "/lease/v1/models") {
      this.triedUnder = headers.authorization;
      return JSON.stringify({ object: "list", data: [{ id: this.served }] });
    }
    if (method === "PUT") this.spec = text;
    if (path.endsWith("/access")) return this.access(path.split("/")[3]!);
    return path.startsWith("/v1/requests/") ? JSON.stringify(this.word) : "";
  }

  access(lease: string): string {
    return JSON.stringify({ lease, base_url: `${server.url}/lease/v1`, model: this.model, max_concurrent: 2, operator: this.operator });
  }

  async chain(method: string, params: string[]): Promise<unknown> {
    const at = { slot: 1_000 };
    const owner = params[0] === MODEL ? PROGRAM : COMPUTE_MARKET_PROGRAM_ADDRESS;
    const account = (bytes: Uint8Array | undefined) => bytes && { owner, lamports: 1, data: [base64(bytes), "base64"], executable: false, space: bytes.length };
    switch (method) {
      case "getSlot":
        return 1_000;
      case "getBlockHeight":
        return 900;
      case "getLatestBlockhash":
        return { context: at, value: { blockhash: key(6), lastValidBlockHeight: 1_100 } };
      case "getSignatureStatuses":
        return { context: at, value: [{ slot: 1_000, confirmations: 1, err: null, confirmationStatus: "confirmed", status: { Ok: null } }] };
      case "sendTransaction":
        return this.send(params[0]!) ?? SIGNATURE;
      case "getProgramAccounts": {
        const [{ dataSize }] = (params[1] as unknown as { filters: [{ dataSize: number }] }).filters;
        const bytes = dataSize === getProviderSize() ? this.providerAccount() : this.lease(await this.leaseAddress());
        return [{ pubkey: key(7), account: account(bytes) }];
      }
      default:
        return { context: at, value: account(await this.account(params[0]!)) ?? null };
    }
  }

  /** Takes a transaction, or refuses all of it where the program refuses one of its instructions. */
  send(transaction: string): Refusal | undefined {
    const { messageBytes } = getTransactionDecoder().decode(unbase64(transaction));
    const message = decompileTransactionMessage(getCompiledTransactionMessageDecoder().decode(messageBytes) as never);
    const instructions = message.instructions as unknown as Sent[];
    let [due, status] = [this.status === ENDED ? this.due : 0n, this.status];
    for (const [index, kind] of instructions.map(kindOf).entries()) {
      if (kind === ComputeMarketInstruction.AcknowledgeStart) status = ACTIVE;
      if (kind === ComputeMarketInstruction.CloseLease) [due, status] = [this.due, ENDED];
      if (kind === ComputeMarketInstruction.WithdrawLease) {
        if (due === 0n) return new Refusal(index, COMPUTE_MARKET_ERROR__NOTHING_TO_WITHDRAW);
        due = 0n;
      }
    }
    this.sent.push(...instructions);
    this.status = status;
    if (status === ENDED) this.due = due;
    return undefined;
  }

  async account(name: string): Promise<Uint8Array | undefined> {
    if (name === MODEL) return modelAccount();
    const request = await this.requestAddress();
    if (name === request) return this.request();
    if (request && name === (await findLeasePda({ request: address(request) }))[0]) return this.taken ? this.lease(name) : undefined;
    return request ? undefined : this.config();
  }

  async requestAddress(): Promise<string | undefined> {
    const asked = this.sent.find((one) => kindOf(one) === ComputeMarketInstruction.RequestCompute);
    if (!asked) return undefined;
    const { nonce } = parseRequestComputeInstruction(asked).data;
    return (await findRequestPda({ tenant: address(wallet.address), nonce }))[0];
  }

  async leaseAddress(): Promise<string> {
    const request = await this.requestAddress();
    return request ? (await findLeasePda({ request: address(request) }))[0] : key(8);
  }

  config(): Uint8Array {
    const blank = getMarketConfigDecoder().decode(new Uint8Array(getMarketConfigSize()));
    const params = { ...blank.params, maxRequestSlots: 1_500, maxNonceLifeSlots: 500 };
    return new Uint8Array(getMarketConfigEncoder().encode({ ...blank, header: { ...blank.header, discriminator: 1 }, params }));
  }

  providerAccount(): Uint8Array {
    const blank = getProviderDecoder().decode(new Uint8Array(getProviderSize()));
    const own = { authority: address(PROVIDER), operator: address(OPERATOR), endpoint: server.url, price: 1_000n, units: 8, leased: 3, proved: 9n };
    return new Uint8Array(getProviderEncoder().encode({ ...blank, ...own, header: { ...blank.header, status: 1 } }));
  }

  request(): Uint8Array {
    const blank = getRequestDecoder().decode(new Uint8Array(getRequestSize()));
    return new Uint8Array(getRequestEncoder().encode({ ...blank, header: { ...blank.header, status: this.taken ? 2 : 1 }, deadlineSlot: 1_150n }));
  }

  lease(name: string): Uint8Array {
    const blank = getLeaseDecoder().decode(new Uint8Array(getLeaseSize()));
    const accessHash = sha256(utf8("mythic/lease-access/v1"), utf8(this.statedAccess ?? this.access(name)));
    const terms = { ...blank.terms, provider: address(PROVIDER), tenant: address(wallet.address), units: 1, price: 1_000n };
    const state: LeaseArgs = { ...blank, terms, accessHash, header: { ...blank.header, status: this.status }, escrow: 600n, endsAt: 77n, tenantDue: this.status === ENDED ? this.due : 0n };
    return new Uint8Array(getLeaseEncoder().encode(state));
  }
}

function modelAccount(): Uint8Array {
  const blank = getModelDecoder().decode(new Uint8Array(getModelSize()));
  return new Uint8Array(getModelEncoder().encode({ ...blank, identity: new Uint8Array(32).fill(5) }));
}

const kindOf = (instruction: Sent) => identifyComputeMarketInstruction({ data: instruction.data } as never);
const kinds = (market: Market) => market.sent.map(kindOf);

function market(): Market {
  const made = new Market();
  server.on("*", made.answer);
  return made;
}

test("offers say who leases out what", async () => {
  market();
  expect(await wallet.leases.offers()).toMatchObject([{ provider: PROVIDER, className: "cpu", price: 1_000n, freeUnits: 5, endpoint: server.url, proved: 9n }]);
});

test("a lease is paid, waited for, compared with the chain and acknowledged", async () => {
  const made = market();
  const leased = await wallet.leases.request({ model: MODEL, seconds: 600 });
  expect(leased).toMatchObject({ lease: await made.leaseAddress(), baseUrl: `${server.url}/lease/v1`, model: "tiny@05050505" });
  expect(kinds(made)).toEqual([ComputeMarketInstruction.RequestCompute, ComputeMarketInstruction.AcknowledgeStart]);
  expect(made.triedUnder).toBe(`Bearer ${leased.apiKey}`);
  const { data, accounts } = parseRequestComputeInstruction(made.sent[0]!);
  expect(data).toMatchObject({ model: MODEL, seconds: 600, units: 1, price: 1_000n, provider: PROVIDER, deadlineSlots: 150 });
  expect(accounts.tenant.address).toBe(wallet.address);
  const [salt = "", spec = ""] = made.spec.split("\n");
  expect(hex(new Uint8Array(data.specHash))).toBe(hex(sha256(utf8("mythic/lease-spec/v1"), Buffer.from(salt, "hex"), utf8(spec))));
  expect(data.specSource).toBe(`${server.url}/specs/${hex(new Uint8Array(data.specHash)).slice(0, 32)}`);
  // The key itself goes to nobody.
  expect(JSON.parse(spec)).toEqual({ version: 1, endpoint: { key_hash: hex(sha256(utf8("mythic/lease-key/v1"), utf8(leased.apiKey))), max_concurrent: 2 } });
});

test("what the provider did not state on chain, or was not asked for, is not acknowledged", async () => {
  const stated = market();
  stated.statedAccess = "something else";
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("not what it stated on chain");
  expect(kinds(stated)).toEqual([ComputeMarketInstruction.RequestCompute]);
  const asked = market();
  asked.operator = key(9);
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("not what was asked for");
});

test("an endpoint of another model, or one that does not serve under the key, is not acknowledged", async () => {
  const another = market();
  another.model = another.served = "tiny@06060606";
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("not what was asked for");
  const lying = market();
  lying.served = "tiny@06060606";
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("the lease is of tiny@05050505, and its endpoint serves tiny@06060606");
  const closed = market();
  server.on("GET /lease/v1/models", (response) => response.writeHead(401).end());
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("the provider answers 401");
  for (const made of [another, lying, closed]) expect(kinds(made)).toEqual([ComputeMarketInstruction.RequestCompute]);
});

const failed = (asked: Promise<unknown>): Promise<unknown> => asked.then(() => undefined, (error: unknown) => error);

test("what fails once money has moved says where it is, and has the key", async () => {
  const made = market();
  made.statedAccess = "something else";
  const pending: unknown[] = [];
  const error = await failed(wallet.leases.request({ model: MODEL, seconds: 600, onPending: (one) => void pending.push({ ...one, sent: made.sent.length }) }));
  expect(error).toBeInstanceOf(LeaseError);
  const { request, lease, apiKey, message } = error as LeaseError;
  expect([request, lease]).toEqual([await made.requestAddress(), await made.leaseAddress()]);
  expect(message).toContain(request);
  // The tenant's own code has them before the money moves.
  expect(pending).toEqual([{ request, lease, apiKey, sent: 0 }]);
  const [, spec = ""] = made.spec.split("\n");
  expect(JSON.parse(spec)).toMatchObject({ endpoint: { key_hash: hex(sha256(utf8("mythic/lease-key/v1"), utf8(apiKey))) } });
  expect(JSON.stringify(error) + String(error)).not.toContain(apiKey);
});

test("an aborted request says where its money is; one aborted before moves none", async () => {
  const made = market();
  made.taken = false;
  const stop = new AbortController();
  const asked = failed(wallet.leases.request({ model: MODEL, seconds: 600, signal: stop.signal, onPending: () => void setTimeout(() => stop.abort(), 200) }));
  const error = await asked;
  expect(error).toMatchObject({ name: "AbortError", request: await made.requestAddress(), lease: await made.leaseAddress() });
  expect((error as Error).cause).toBeInstanceOf(AbortedError);
  const untouched = market();
  const early = await failed(wallet.leases.request({ model: MODEL, seconds: 600, signal: AbortSignal.abort() }));
  expect(early).toBeInstanceOf(AbortedError);
  expect(untouched.sent).toEqual([]);
});

test("a request that the program refuses has moved nothing and is the chain's refusal, and one whose line broke may have", async () => {
  const made = market();
  made.send = () => new Refusal(0, 101);
  const error = await failed(wallet.leases.request({ model: MODEL, seconds: 600 }));
  expect(error).toBeInstanceOf(ChainRefusedError);
  // A line that breaks is no refusal: the transaction may have reached the chain.
  server.on("POST /rpc", (response, one) => {
    if (one.body["method"] === "sendTransaction") return void response.writeHead(502).end();
    return made.answer(response, one);
  });
  expect(await failed(wallet.leases.request({ model: MODEL, seconds: 600 }))).toBeInstanceOf(LeaseError);
});

test("a lease that ended before it was reached is no started one", async () => {
  const made = market();
  made.status = ENDED;
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("has ended before it was reached");
  expect(kinds(made)).toEqual([ComputeMarketInstruction.RequestCompute]);
});

test("providers are asked by the fetch that the wallet was given", async () => {
  market();
  const asked: string[] = [];
  const own = await keyWallet(new Uint8Array(32).fill(9), {
    rpcUrl: `${server.url}/rpc`,
    fetch: async (url, init) => {
      asked.push(url.replace(server.url, ""));
      return fetch(url, init);
    },
  });
  const { lease } = await own.leases.request({ model: MODEL, seconds: 600 });
  expect(asked).toEqual([expect.stringMatching(/^\/specs\//), `/v1/leases/${lease}/access`, "/lease/v1/models"]);
  const away = await keyWallet(new Uint8Array(32).fill(9), { rpcUrl: `${server.url}/rpc`, fetch: () => Promise.reject(new Error("no line")) });
  await expect(away.leases.request({ model: MODEL, seconds: 600 })).rejects.toBeInstanceOf(ConnectionError);
});

test("a request that the provider declines is taken back", async () => {
  const made = market();
  made.taken = false;
  made.word = { status: "declined", reason: "no memory" };
  await expect(wallet.leases.request({ model: MODEL, seconds: 600 })).rejects.toThrow("the provider declines: no memory");
  expect(kinds(made)).toEqual([ComputeMarketInstruction.RequestCompute, ComputeMarketInstruction.CancelRequest]);
});

test("a lease that runs is closed and paid out, one that has ended only paid out", async () => {
  const made = market();
  const { lease } = await wallet.leases.request({ model: MODEL, seconds: 600 });
  expect(await wallet.leases.get(lease)).toMatchObject({ address: lease, provider: PROVIDER, status: "active", escrow: 600n, endsAt: 77n });
  expect(await wallet.leases.list()).toMatchObject([{ status: "active" }]);
  await wallet.leases.topUp(lease, 60);
  expect(await wallet.leases.close(lease)).toEqual({ returned: 600n, signatures: [expect.any(String), expect.any(String)] });
  made.due = 5n;
  expect(await wallet.leases.close(lease)).toEqual({ returned: 5n, signatures: [expect.any(String)] });
  const { TopUp, CloseLease, WithdrawLease } = ComputeMarketInstruction;
  expect(kinds(made).slice(2)).toEqual([TopUp, CloseLease, WithdrawLease, WithdrawLease]);
});

test("a lease of which nothing is due ends too, and one that has ended is left alone", async () => {
  const made = market();
  made.due = 0n;
  const { lease } = await wallet.leases.request({ model: MODEL, seconds: 600 });
  expect(await wallet.leases.close(lease)).toEqual({ returned: 0n, signatures: [expect.any(String)] });
  expect((await wallet.leases.get(lease))?.status).toBe("ended");
  expect(await wallet.leases.close(lease)).toEqual({ returned: 0n, signatures: [] });
  expect(kinds(made).slice(2)).toEqual([ComputeMarketInstruction.CloseLease]);
});
