import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Source } from "../src/feed";
import { follow, pause } from "../src/feed";

class Fake implements Source {
  onopen: Source["onopen"] = null;
  onmessage: Source["onmessage"] = null;
  onerror: Source["onerror"] = null;
  gap = (): void => {};
  readyState = 0;
  closed = false;
  constructor(readonly address: string) {}
  addEventListener(_name: "gap", then: () => void): void {
    this.gap = then;
  }
  close(): void {
    this.closed = true;
  }
}

describe("following the feed", () => {
  let made: Fake[];
  let said: string[];
  let changes: number;
  const begin = (): (() => void) =>
    follow("?job=x", { changed: () => changes++, connection: (state) => said.push(state) }, (address) => {
      const source = new Fake(address);
      made.push(source);
      return source;
    });
  beforeEach(() => {
    vi.useFakeTimers();
    [made, said, changes] = [[], [], 0];
  });
  afterEach(() => vi.useRealTimers());

  test("reads again after an event, a gap, and when it is connected", () => {
    begin();
    const source = made[0]!;
    expect(source.address).toBe("/v1/stream?job=x");
    source.onopen?.({} as Event);
    source.onmessage?.({} as MessageEvent);
    source.gap();
    expect([changes, said]).toEqual([3, ["connecting", "live"]]);
  });
  test("says that it reconnects, and leaves a broken connection to the browser", () => {
    begin();
    made[0]!.onopen?.({} as Event);
    made[0]!.onerror?.({} as Event);
    vi.advanceTimersByTime(120_000);
    expect([said.at(-1), made.length]).toEqual(["reconnecting", 1]);
    made[0]!.onopen?.({} as Event);
    expect([said.at(-1), changes]).toEqual(["live", 2]);
  });
  test("comes back anew after a refusal, later each time", () => {
    begin();
    for (const tries of [1, 2, 3]) {
      const source = made.at(-1)!;
      source.readyState = 2;
      source.onerror?.({} as Event);
      expect(source.closed).toBe(true);
      vi.advanceTimersByTime(30_000);
      expect(made.length).toBe(tries + 1);
    }
    expect(pause(0, 0)).toBe(500);
    expect(pause(3, 1)).toBe(8_000);
    expect(pause(60, 1)).toBe(30_000);
  });
  test("ends when it is told to", () => {
    const end = begin();
    made[0]!.readyState = 2;
    made[0]!.onerror?.({} as Event);
    end();
    vi.advanceTimersByTime(60_000);
    expect(made.length).toBe(1);
  });
});
