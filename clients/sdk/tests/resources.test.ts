/** Every route that reads has its call, which asks by the gateway's names and reads lists to their end. */

import { readFile } from "node:fs/promises";
import { MythicAI } from "@mythic/ai-sdk";
import { beforeEach, expect, test } from "vitest";
import { faultServer, type FaultServer, json } from "./support/faults.js";

let server: FaultServer;
let ai: MythicAI;

beforeEach(async () => {
  server = await faultServer();
  ai = new MythicAI({ gatewayUrl: server.url });
  return () => server.close();
});

const page = (data: unknown[], hasMore = false) => json({ object: "list", data, has_more: hasMore });

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const row of rows) found.push(row);
  return found;
}

test("the market's lists are read to their end, each by what its rows are named by", async () => {
  const query = { status: "active", tenant: "T", provider: "P", class: "cpu" };
  const lists: [route: string, rows: [object, object], after: string, read: () => AsyncIterable<unknown>][] = [
    ["/v1/providers", [{ id: "a" }, { id: "b" }], "a", () => ai.market.providers({ class: "cpu" })],
    ["/v1/classes", [{ id: "a" }, { id: "b" }], "a", () => ai.market.classes()],
    ["/v1/requests", [{ id: "a" }, { id: "b" }], "a", () => ai.market.requests(query)],
    ["/v1/leases", [{ id: "a" }, { id: "b" }], "a", () => ai.market.leases(query)],
    ["/v1/leases/L/epochs", [{ epoch: 9 }, { epoch: 8 }], "9", () => ai.market.epochs("L")],
    ["/v1/leases/L/disputes", [{ number: 2 }, { number: 1 }], "2", () => ai.market.disputes("L")],
    ["/v1/models/tiny/prices", [{ slot: 70 }, { slot: 5 }], "70", () => ai.prices("tiny")],
    ["/v1/stats/burned", [{ cursor: "x" }, { cursor: "y" }], "x", () => ai.stats("burned")],
    ["/v1/stats/market", [{ cursor: "x" }, { cursor: "y" }], "x", () => ai.stats("market")],
  ];
  for (const [route, [first, second], after, read] of lists) {
    server.on(`GET ${route}`, page([first], true), page([second]));
    expect(await all(read()), route).toEqual([first, second]);
    expect(server.asked.at(-1)?.query.get("after"), route).toBe(after);
  }
  const asked = server.asked.find(({ path }) => path === "/v1/leases");
  expect(Object.fromEntries(asked!.query)).toEqual(query);
});

test("the market's amounts are bigints", async () => {
  server.on("GET /v1/market", json({ object: "market", escrow_lamports: 7, leased_units: 3, epoch_seconds: null }));
  expect(await ai.market.show()).toMatchObject({ escrowLamports: 7n, leasedUnits: 3, epochSeconds: null });
  server.on("GET /v1/providers/P", json({ id: "P", price_lamports: 5, free_units: 2 }));
  expect(await ai.market.provider("P")).toMatchObject({ priceLamports: 5n, freeUnits: 2 });
  server.on("GET /v1/requests/R", json({ id: "R", escrow_lamports: 6 }));
  expect(await ai.market.request("R")).toMatchObject({ id: "R", escrowLamports: 6n });
  server.on("GET /v1/leases/L", json({ id: "L", paid_lamports: 5, epochs: [{ epoch: 1, amount_lamports: 4 }], events: [] }));
  expect(await ai.market.lease("L", { commitment: "finalized" })).toMatchObject({ paidLamports: 5n, epochs: [{ epoch: 1, amountLamports: 4n }] });
  expect(server.asked.at(-1)?.query.get("commitment")).toBe("finalized");
});

/** What no client of the SDK asks: machines and nodes do, and OpenAI's own clients. */
const OTHERS = new Set([
  "/livez",
  "/metrics",
  "/readyz",
  "/v1/completions",
  "/v1/jobs/{id}/result",
  "/v1/nodes/{validator}",
  "/v1/prompts/{prompt_hash}",
  "/v1/responses",
  "/ws",
]);

test("every route of the gateway for people is one that the SDK asks", async () => {
  const { paths } = JSON.parse(await readFile(new URL("../openapi.json", import.meta.url), "utf8")) as { paths: Record<string, unknown> };
  const folders = ["client.ts", "events/events.ts", ...["jobs", "keys", "market", "network"].map((name) => `resources/${name}.ts`)];
  const source = (await Promise.all(folders.map((name) => readFile(new URL(`../src/${name}`, import.meta.url), "utf8")))).join("");
  const missing = Object.keys(paths).filter((path) => !OTHERS.has(path) && !source.includes(path.split("/{")[0]!));
  expect(missing).toEqual([]);
});
