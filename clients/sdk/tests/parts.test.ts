import { describe, expect, test } from "vitest";
import { ProtocolError } from "../src/errors.js";
import { mayRetry, pauseMs, retryAfterMs } from "../src/http/retry.js";
import { SseParser } from "../src/http/sse.js";
import { signedBytes } from "../src/http/signed.js";
import { hex } from "../src/verify/bytes.js";
import { parseJson, stringify } from "../src/wire/json.js";
import { shape, withAmounts } from "../src/wire/shape.js";

describe("JSON", () => {
  test("integers beyond 2^53 are exact, others are numbers, and texts stay texts", () => {
    const text = String.raw`{"a": 9007199254740993, "b": 12, "c": "9007199254740993", "d": "x\"9007199254740993", "e": [-9223372036854775808], "f": 1234567890123456.5, "g": 9007199254740991}`;
    expect(parseJson(text)).toEqual({
      a: 9007199254740993n,
      b: 12,
      c: "9007199254740993",
      d: 'x"9007199254740993',
      e: [-9223372036854775808n],
      f: 1234567890123456.5,
      g: 9007199254740991,
    });
  });

  test("fractions and exponents of many digits are numbers, and no text becomes one", () => {
    const text = String.raw`[-0.00012345678901234567, 0.1234567890123456, 12345678901234567.5, 1.2345678901234567e-5, 1e-0000000000000003, "\uffff1234567890123456"]`;
    expect(parseJson(text)).toEqual([-0.00012345678901234567, 0.1234567890123456, 12345678901234567.5, 1.2345678901234567e-5, 1e-3, "\uffff1234567890123456"]);
    expect(() => parseJson("[0012345678901234567]")).toThrow(SyntaxError);
  });

  test("bigints are written as digits", () => {
    expect(stringify({ cost: 12n })).toBe('{"cost":"12"}');
  });

  test("what is no JSON is refused", () => {
    expect(() => parseJson('{"a": 9007199254740993')).toThrow(SyntaxError);
  });
});

describe("shape", () => {
  const wire = { fee_lamports: 5, price_in_lamports_per_1k: 25, nested: [{ stake: 7, gpu_name: "x" }], none_lamports: null, new_field: { deep_er: 1 } };

  test("names are camelCase, amounts are bigints, and unknown fields are kept", () => {
    expect(shape(wire)).toEqual({
      feeLamports: 5n,
      priceInLamportsPer1k: 25,
      nested: [{ stake: 7n, gpuName: "x" }],
      noneLamports: null,
      newField: { deepEr: 1 },
    });
  });

  test("answers in OpenAI's shape keep their names", () => {
    expect(withAmounts({ mythic: { cost_lamports: 3 }, finish_reason: "stop" })).toEqual({ mythic: { cost_lamports: 3n }, finish_reason: "stop" });
  });
});

describe("retries", () => {
  const headers = (all: Record<string, string>): Headers => new Headers(all);

  test("the gateway's word goes before the status", () => {
    expect(mayRetry(429, headers({}))).toBe(true);
    expect(mayRetry(502, headers({ "x-should-retry": "false" }))).toBe(false);
    expect(mayRetry(400, headers({}))).toBe(false);
    expect(mayRetry(400, headers({ "x-should-retry": "true" }))).toBe(true);
  });

  test("Retry-After is seconds or a date, and nonsense is nothing", () => {
    const now = Date.parse("Tue, 01 Dec 2026 10:00:00 GMT");
    expect(retryAfterMs(headers({ "retry-after": "2" }), now)).toBe(2_000);
    expect(retryAfterMs(headers({ "retry-after": "Tue, 01 Dec 2026 10:00:05 GMT" }), now)).toBe(5_000);
    expect(retryAfterMs(headers({ "retry-after": "Tue, 01 Dec 2026 09:00:00 GMT" }), now)).toBe(0);
    expect(retryAfterMs(headers({ "retry-after": "soon" }), now)).toBeUndefined();
    expect(retryAfterMs(headers({}), now)).toBeUndefined();
  });

  test("pauses grow to a bound", () => {
    expect([0, 1, 2, 20].map((attempt) => pauseMs(attempt, () => 1))).toEqual([250, 500, 1_000, 8_000]);
    expect(pauseMs(0, () => 0)).toBeLessThan(250);
  });
});

describe("server-sent events", () => {
  const text = "\ufeff: connected\n\nid: 7\nevent: gap\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\nretry: 5\n\n\ndata: last\rid: 8\r\r data: no\n\n";
  const wanted = [
    { event: "gap", data: '{"a":\n1}', id: "7" },
    { event: "message", data: "x", id: "7" },
    { event: "message", data: "last", id: "8" },
  ];

  test("events are the same wherever the line cuts them", () => {
    for (const size of [1, 2, 3, 5, 7, text.length]) {
      const parser = new SseParser();
      const found = [];
      for (let at = 0; at < text.length; at += size) found.push(...parser.push(text.slice(at, at + size)));
      expect(found, `pieces of ${size}`).toEqual(wanted);
    }
  });

  test("half an event at the end is none", () => {
    expect([...new SseParser().push("data: half")]).toEqual([]);
  });

  test("an event without end is refused", () => {
    const parser = new SseParser();
    expect(() => {
      for (let i = 0; i < 100; i++) [...parser.push("x".repeat(100_000))];
    }).toThrow(ProtocolError);
  });
});

test("signed bytes are as docs/api.md says", () => {
  const request = { gatewayUrl: "http://127.0.0.1:4002/base", method: "POST", path: "/v1/keys", purpose: "keys", body: "" };
  const found = hex(signedBytes(request, 1, new Uint8Array(16)));
  const part = (text: string): string => `${text.length.toString(16).padStart(2, "0")}000000${Buffer.from(text).toString("hex")}`;
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  expect(found).toBe(
    Buffer.from("mythic/http/v2").toString("hex") +
      part("POST") +
      part("http://127.0.0.1:4002") +
      part("/v1/keys") +
      part("keys") +
      empty +
      `01${"00".repeat(7)}` +
      "00".repeat(16),
  );
});
