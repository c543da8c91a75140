// Numbers, money, times and keys as people read them. What is not known is a dash, never a zero.

/** An integer of the API: lamports beyond 2^53 are bigints. */
export type Amount = number | bigint;
export type Maybe<T> = T | null | undefined;

export const DASH = "–";
const LAMPORTS = 1_000_000_000n;

export function known<T>(value: Maybe<T>): value is T {
  return value !== null && value !== undefined && value !== "";
}

export function count(value: Maybe<Amount>): string {
  return known(value) ? value.toLocaleString("en") : DASH;
}

/** A number with at most so many digits behind the point. */
export function decimal(value: Maybe<number>, digits: number): string {
  return known(value) && Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : DASH;
}

export function percent(part: Maybe<number>): string {
  return known(part) && Number.isFinite(part) ? decimal(part * 100, 1) + " %" : DASH;
}

/** Exact: every lamport is shown. */
export function sol(lamports: Maybe<Amount>): string {
  if (!known(lamports)) return DASH;
  const whole = BigInt(lamports);
  const size = whole < 0n ? -whole : whole;
  const rest = (size % LAMPORTS).toString().padStart(9, "0").replace(/0+$/, "");
  return (whole < 0n ? "−" : "") + (size / LAMPORTS).toLocaleString("en") + (rest ? "." + rest : "") + " SOL";
}

export function lamports(amount: Maybe<Amount>): string {
  return known(amount) ? count(amount) + (BigInt(amount) === 1n ? " lamport" : " lamports") : DASH;
}

/** The first and last four characters of a key. */
export function short(key: Maybe<string>): string {
  if (!known(key)) return DASH;
  return key.length > 12 ? key.slice(0, 4) + "…" + key.slice(-4) : key;
}

const MOMENT: Intl.DateTimeFormatOptions = {
  year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false, timeZoneName: "short",
};

function date(at: Maybe<string>): Date | null {
  if (!known(at)) return null;
  const parsed = new Date(at);
  return Number.isNaN(parsed.getTime()) ? null : parsed;
}

export function time(at: Maybe<string>): string {
  return date(at)?.toLocaleString("en", MOMENT) ?? DASH;
}

export function duration(seconds: Maybe<number>): string {
  if (!known(seconds) || !Number.isFinite(seconds)) return DASH;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return whole + " s";
  if (whole < 5_400) return Math.round(whole / 60) + " min";
  if (whole < 129_600) return Math.round(whole / 3_600) + " h";
  return Math.round(whole / 86_400) + " days";
}

/** How long ago a time was, at `now` in milliseconds. */
export function ago(at: Maybe<string>, now: number): string {
  const then = date(at);
  return then ? duration((now - then.getTime()) / 1000) + " ago" : DASH;
}

/** `commit_end` → `commit end`. */
export function words(name: Maybe<string>): string {
  return known(name) ? name.replaceAll("_", " ") : DASH;
}

export function outOf(some: Maybe<Amount>, all: Maybe<Amount>): string {
  return known(some) && known(all) ? count(some) + " of " + count(all) : DASH;
}
