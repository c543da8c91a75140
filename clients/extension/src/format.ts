/** Amounts, keys and times as people read them. What is not known is a dash, never a zero. */

export type Maybe<T> = T | null | undefined;

export const DASH = "–";
const LAMPORTS = 1_000_000_000n;

/** Exact: every lamport is shown. */
export function sol(lamports: Maybe<bigint>): string {
  if (lamports === null || lamports === undefined) return DASH;
  const size = lamports < 0n ? -lamports : lamports;
  const rest = (size % LAMPORTS).toString().padStart(9, "0").replace(/0+$/, "");
  return `${lamports < 0n ? "−" : ""}${(size / LAMPORTS).toLocaleString("en")}${rest ? `.${rest}` : ""} SOL`;
}

export function count(value: Maybe<number | bigint>): string {
  return value === null || value === undefined ? DASH : value.toLocaleString("en");
}

export function lamports(amount: Maybe<bigint>): string {
  return amount === null || amount === undefined ? DASH : `${count(amount)} ${amount === 1n ? "lamport" : "lamports"}`;
}

/** The first and last four characters of a key. */
export const short = (key: string): string => (key.length > 12 ? `${key.slice(0, 4)}…${key.slice(-4)}` : key);

/** Lamports of an amount of SOL as people type it; null if it is none. Nothing is rounded. */
export function parseSol(text: string): bigint | null {
  const match = /^\s*(\d{1,9})(?:[.,](\d{1,9}))?\s*$/.exec(text);
  return match ? BigInt(match[1] ?? "0") * LAMPORTS + BigInt((match[2] ?? "").padEnd(9, "0")) : null;
}

export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  if (whole < 5_400) return `${Math.round(whole / 60)} min`;
  if (whole < 129_600) return `${Math.round(whole / 3_600)} h`;
  return `${Math.round(whole / 86_400)} days`;
}

/** Slots take 400 ms where nobody says otherwise. */
export const slotsAsTime = (slots: number | bigint): string => `${count(slots)} slots (about ${duration(Number(slots) * 0.4)} at 400 ms a slot)`;

export function time(at: Maybe<number | string>): string {
  if (at === null || at === undefined) return DASH;
  const date = new Date(at);
  return Number.isNaN(date.getTime())
    ? DASH
    : date.toLocaleString("en", { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
}
