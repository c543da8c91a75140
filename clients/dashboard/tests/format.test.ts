import { describe, expect, test } from "vitest";
import { kept, parse } from "../src/api";
import { ago, count, decimal, duration, lamports, outOf, percent, short, sol, time, words } from "../src/format";

describe("what is not known is a dash, never a zero", () => {
  test.each([count(null), count(undefined), decimal(null, 1), decimal(Number.NaN, 1), percent(null), sol(null), lamports(undefined), short(null), time(null), time("nonsense"), duration(null), ago(null, 0), words(null), outOf(1, null)])(
    "%s", (shown) => expect(shown).toBe("–"),
  );
  test("and a zero is a zero", () => {
    expect([count(0), sol(0), lamports(0), percent(0), duration(0)]).toEqual(["0", "0 SOL", "0 lamports", "0 %", "0 s"]);
  });
});

describe("money is exact to the lamport", () => {
  test.each([
    [1, "0.000000001 SOL", "1 lamport"],
    [16_000, "0.000016 SOL", "16,000 lamports"],
    [1_500_000_000, "1.5 SOL", "1,500,000,000 lamports"],
    [9_007_199_254_740_993n, "9,007,199.254740993 SOL", "9,007,199,254,740,993 lamports"],
    [-5_000_000_000, "−5 SOL", "-5,000,000,000 lamports"],
  ])("%s", (amount, inSol, inLamports) => {
    expect(sol(amount)).toBe(inSol);
    expect(lamports(amount)).toBe(inLamports);
  });
  test("also where JavaScript's numbers end", () => {
    const text = '{"stake": 9007199254740993, "small": 12, "speed": 0.30000000000000004, "list": [-18446744073709551615], "name": "a \\"9007199254740993, \\\\"}';
    expect(parse(text)).toEqual({
      stake: 9_007_199_254_740_993n, small: 12, speed: 0.30000000000000004, list: [-18_446_744_073_709_551_615n], name: 'a "9007199254740993, \\',
    });
  });
});

describe("times", () => {
  test("say how long ago, and never less than nothing", () => {
    const now = Date.parse("2026-03-01T12:00:00Z");
    expect(ago("2026-03-01T11:59:18Z", now)).toBe("42 s ago");
    expect(ago("2026-03-01T11:00:00Z", now)).toBe("60 min ago");
    expect(ago("2026-03-01T12:00:09Z", now)).toBe("0 s ago");
  });
  test.each([[89, "89 s"], [90, "2 min"], [5_400, "2 h"], [129_600, "2 days"]])("%d seconds", (seconds, shown) => expect(duration(seconds)).toBe(shown));
});

test("keys are short in lists, and short texts are whole", () => {
  expect(short("7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2")).toBe("7Np4…T4K2");
  expect(short("tiny")).toBe("tiny");
});

test("what changes slowly is asked for now and then, and what failed at once", async () => {
  let asked = 0;
  const ask = kept(60, () => (++asked === 1 ? Promise.reject(new Error("away")) : Promise.resolve(asked)));
  const { signal } = new AbortController();
  await expect(ask(signal)).rejects.toThrow("away");
  expect([await ask(signal), await ask(signal)]).toEqual([2, 2]);
});
