/** The feed on bad days. */

import { type FeedEvent, type FeedGap, MythicAI } from "@mythic/ai-sdk";
import { readFile } from "node:fs/promises";
import { beforeEach, expect, test } from "vitest";
import * as errors from "../src/errors.js";
import { faultServer, type FaultServer, type Handler, hangUp, json, refuse } from "./support/faults.js";

const FEED = "GET /v1/stream";
let server: FaultServer;
let ai: MythicAI;

beforeEach(async () => {
  server = await faultServer();
  ai = new MythicAI({ gatewayUrl: server.url });
  return () => server.close();
});

interface Row {
  seq: number;
  op?: string;
  entity?: string | null;
}

const feed =
  (rows: readonly (Row | string)[], then: "cut" | "stay" = "cut"): Handler =>
  (response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(": connected\n\n");
    for (const row of rows) response.write(typeof row === "string" ? row : event(row));
    if (then === "cut") setTimeout(() => response.destroy(), 20);
  };

const event = ({ seq, op = "add", entity = "J" }: Row): string =>
  `id: ${seq}\ndata: ${JSON.stringify({ seq, topic: "jobs", op, entity, slot: seq, blockhash: "b", commitment: "processed", payload: { fee_lamports: 5, new_field: 1 }, at: "t" })}\n\n`;
const gap = (from: number, to: number): string => `event: gap\nid: ${to}\ndata: {"gap": {"from": ${from}, "to": ${to}}}\n\n`;

async function take(count: number, options: Parameters<MythicAI["events"]>[0] = {}): Promise<(FeedEvent | FeedGap)[]> {
  const found: (FeedEvent | FeedGap)[] = [];
  for await (const one of ai.events(options)) {
    found.push(one);
    if (found.length === count) break;
  }
  return found;
}

const brief = (all: (FeedEvent | FeedGap)[]): unknown[] =>
  all.map((one) => (one.kind === "gap" ? `gap ${one.from}-${one.to}` : `${one.kind} ${one.seq} ${one.entity}`));
const cursors = (): (string | null)[] => server.asked.map(({ query }) => query.get("after"));

test("events have their names in camelCase and their amounts as bigints, and what is asked is passed on", async () => {
  server.on(FEED, feed([{ seq: 3 }], "stay"));
  const [first] = await take(1, { topics: ["jobs", "results"], after: 2, owner: "O" });
  expect(first).toMatchObject({ kind: "add", seq: 3, payload: { feeLamports: 5n, newField: 1 } });
  expect(server.asked[0]?.query.toString()).toBe("topics=jobs%2Cresults&after=2&owner=O");
});

test("the feed is asked by every filter that the gateway has", async () => {
  server.on(FEED, feed([{ seq: 3 }], "stay"));
  const filters = { entity: "E", job: "J", validator: "V", owner: "O", model: "M", lease: "L", request: "R", tenant: "T", provider: "P" };
  await take(1, filters);
  expect(Object.fromEntries(server.asked[0]!.query)).toEqual(filters);
  const document = JSON.parse(await readFile(new URL("../openapi.json", import.meta.url), "utf8")) as {
    paths: { "/v1/stream": { get: { parameters: { name: string }[] } } };
  };
  const known = document.paths["/v1/stream"].get.parameters.map(({ name }) => name);
  expect(known.filter((name) => name !== "topics" && name !== "after").sort()).toEqual(Object.keys(filters).sort());
});

test("a feed that is cut goes on where it was, each event once", async () => {
  server.on(FEED, feed([{ seq: 1 }, { seq: 2 }]), feed([{ seq: 2 }, { seq: 3 }]), feed([{ seq: 3 }, { seq: 4 }], "stay"));
  expect(brief(await take(4))).toEqual(["add 1 J", "add 2 J", "add 3 J", "add 4 J"]);
  // The last number is asked for again: the line may have broken among its rows.
  expect(cursors()).toEqual([null, "1", "2"]);
});

test("rows of one number that the cut parted are all told, none twice", async () => {
  const rows: Row[] = ["A", "B", "C"].map((entity) => ({ seq: 7, op: "finalize", entity }));
  server.on(FEED, feed(rows.slice(0, 2)), feed([...rows, { seq: 8 }], "stay"));
  expect(brief(await take(4, { after: 6 }))).toEqual(["finalize 7 A", "finalize 7 B", "finalize 7 C", "add 8 J"]);
  expect(cursors()).toEqual(["6", "6"]);
});

test("duplicates are dropped", async () => {
  server.on(FEED, feed([{ seq: 5 }, { seq: 5 }, { seq: 4 }, { seq: 6 }], "stay"));
  expect(brief(await take(2, { after: 4 }))).toEqual(["add 5 J", "add 6 J"]);
});

test("a gap is said, and what follows it goes on from there", async () => {
  server.on(FEED, feed([{ seq: 1 }, gap(2, 9)]), feed([{ seq: 10 }], "stay"));
  expect(brief(await take(3))).toEqual(["add 1 J", "gap 2-9", "add 10 J"]);
  expect(cursors()).toEqual([null, "9"]);
});

test("a line that breaks before the first event leaves a gap of which nobody knows the numbers", async () => {
  server.on(FEED, feed([]), feed([{ seq: 5 }], "stay"));
  expect(brief(await take(2))).toEqual(["gap null-null", "add 5 J"]);
});

test("a retraction is said", async () => {
  server.on(FEED, feed([{ seq: 1 }, { seq: 2, op: "retract", entity: null }], "stay"));
  expect(brief(await take(2))).toEqual(["add 1 J", "retract 2 null"]);
});

test("what is no longer kept is an error, or a gap to whoever wants that", async () => {
  const expired = refuse(410, "feed_expired", "read the lists");
  server.on(FEED, expired);
  await expect(take(1, { after: 5 })).rejects.toBeInstanceOf(errors.GoneError);
  server.on(FEED, expired, feed([{ seq: 90 }], "stay"));
  expect(brief(await take(2, { after: 5, whenExpired: "skip" }))).toEqual(["gap 6-null", "add 90 J"]);
  expect(cursors().at(-1)).toBeNull();
});

test("a gateway that is away, full or stopping is come back to", async () => {
  const stopping = 'event: error\ndata: {"error": {"code": "gateway_stopping"}}\n\n';
  server.on(FEED, hangUp, refuse(503, "database_unavailable", "away"), refuse(429, "too_many_subscribers", "full"), feed([{ seq: 1 }, stopping]), feed([{ seq: 2 }], "stay"));
  expect(brief(await take(2))).toEqual(["add 1 J", "add 2 J"]);
});

test("a refusal of what is asked ends it", async () => {
  server.on(FEED, refuse(400, "invalid_request", "no topic"));
  await expect(take(1)).rejects.toBeInstanceOf(errors.BadRequestError);
  server.on(FEED, hangUp);
  await expect(take(1, { maxFailures: 1 })).rejects.toBeInstanceOf(errors.ConnectionError);
});

test("events that are none are the gateway's fault", async () => {
  for (const row of ["data: {half\n\n", 'data: {"seq": 1, "op": "jump"}\n\n', 'data: {"op": "add"}\n\n', "event: gap\ndata: {}\n\n"]) {
    server.on(FEED, feed([row], "stay"));
    await expect(take(1), row).rejects.toBeInstanceOf(errors.ProtocolError);
  }
});

test("the caller's signal ends the feed without an error", async () => {
  server.on(FEED, feed([{ seq: 1 }], "stay"));
  const abort = new AbortController();
  const found = [];
  for await (const one of ai.events({ signal: abort.signal })) {
    found.push(one);
    abort.abort();
  }
  expect(found).toHaveLength(1);
});

test("a job is watched from change to change until it has ended", async () => {
  const at = (status: string, commitment: string): Handler => json({ id: "J", status, commitment, transitions: [], dispute: null });
  server.on(FEED, feed([{ seq: 1 }, { seq: 2 }, { seq: 3 }, { seq: 4 }, { seq: 5 }], "stay"));
  server.on("GET /v1/jobs/J", at("accepted", "processed"), at("accepted", "processed"), at("submitted", "processed"), at("settled", "processed"), at("settled", "finalized"));
  const seen = [];
  for await (const job of ai.jobs.watch("J")) seen.push(`${job.status} ${job.commitment}`);
  expect(seen).toEqual(["accepted processed", "submitted processed", "settled processed", "settled finalized"]);
  expect(server.asked.find(({ path }) => path === "/v1/stream")?.query.get("job")).toBe("J");
});
