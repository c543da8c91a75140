import { describe, expect, test } from "vitest";
import { histogram, quantile } from "../src/metrics";

const TEXT = `# HELP x_seconds y
# TYPE x_seconds histogram
x_seconds_bucket{le="0.5"} 2
x_seconds_bucket{le="1"} 8
x_seconds_bucket{le="2.5"} 10
x_seconds_bucket{le="+Inf"} 10
x_seconds_sum 9
x_seconds_count 10
other_x_seconds_bucket{le="1"} 99
`;

describe("a histogram of the gateway", () => {
  test("gives quantiles within its buckets", () => {
    const found = histogram(TEXT, "x_seconds");
    expect(found?.count).toBe(10);
    expect(found && quantile(found, 0.5)).toBe(0.75);
    expect(found && quantile(found, 0.95)).toBeCloseTo(2.125);
  });
  test("without a value, or without this name, gives none", () => {
    expect(histogram(TEXT, "y")).toBeNull();
    expect(histogram('x_bucket{le="a"} 1', "x")).toBeNull();
    const empty = histogram('x_bucket{le="1"} 0\nx_bucket{le="+Inf"} 0', "x");
    expect(empty && quantile(empty, 0.5)).toBeNull();
  });
  test("gives none beyond its last bound", () => {
    const slow = histogram('x_bucket{le="1"} 1\nx_bucket{le="+Inf"} 10', "x");
    expect(slow && quantile(slow, 0.95)).toBeNull();
  });
});
