import { readFile } from "node:fs/promises";
import { MythicAI } from "@mythic/ai-sdk";
import { keyWallet } from "@mythic/ai-sdk/wallet";

const gatewayUrl = process.env["MYTHIC_GATEWAY_URL"] ?? "http://127.0.0.1:4002";
const rpcUrl = process.env["MYTHIC_RPC_URL"] ?? "http://127.0.0.1:8899";
const file = process.env["MYTHIC_KEYPAIR"] ?? "wallet.json";
const secret = Uint8Array.from(JSON.parse(await readFile(file, "utf8")) as number[]);

const wallet = await keyWallet(secret, { rpcUrl });
const ai = new MythicAI({ gatewayUrl, rpcUrl, wallet });

// A vault pays for answers; who may spend from it, and how much, the chain enforces.
await wallet.deposit(100_000_000n);
const key = await ai.keys.create({ name: "my app" });
await wallet.grant({ delegate: key.delegate, perJob: 100_000n, perWindow: 10_000_000n, lifetime: 50_000_000n, validSlots: 6_480_000n });
const app = new MythicAI({ gatewayUrl, apiKey: key.key });
console.log((await app.chat("Hello!")).output);

// Or sign each job yourself: nobody holds a key of yours.
const answer = await ai.chat("Hello again!", { pay: "wallet", temperature: 0 });
console.log(answer.output, (await ai.receipts.verify(answer.receipt)).verdict);
