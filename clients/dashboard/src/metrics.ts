// Histograms out of Prometheus text: how the gateway says how fast it was.

export interface Histogram {
  /** Upper bounds in seconds with the count of all at or below, ascending; the last bound is infinite. */
  buckets: [number, number][];
  count: number;
}

/** The histogram without labels of this name; null where the text has none. */
export function histogram(text: string, name: string): Histogram | null {
  const buckets: [number, number][] = [];
  for (const line of text.split("\n")) {
    if (!line.startsWith(name + '_bucket{le="')) continue;
    const bound = line.slice(name.length + '_bucket{le="'.length).split('"', 1)[0] ?? "";
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    const least = bound === "+Inf" ? Number.POSITIVE_INFINITY : Number(bound);
    if (Number.isNaN(least) || Number.isNaN(value)) return null;
    buckets.push([least, value]);
  }
  buckets.sort(([a], [b]) => a - b);
  const all = buckets.at(-1);
  return all ? { buckets, count: all[1] } : null;
}

/** A quantile, evenly within its bucket as Prometheus reckons it; null before the first value and beyond the last finite bound. */
export function quantile({ buckets, count }: Histogram, part: number): number | null {
  if (count === 0) return null;
  const rank = part * count;
  let [below, lower] = [0, 0];
  for (const [bound, through] of buckets) {
    if (through >= rank && through > below) {
      if (!Number.isFinite(bound)) return null;
      return lower + (bound - lower) * ((rank - below) / (through - below));
    }
    [below, lower] = [through, bound];
  }
  return null;
}
