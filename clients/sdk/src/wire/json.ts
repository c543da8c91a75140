/** JSON whose integers may be larger than a double holds: amounts of lamports are up to 2^63. */

/** Marks an integer that JSON.parse would round. Nobody who writes a text can know it. */
const MARK = `\uffff${Math.random()}:`;
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g;
const LARGE = /^-?[1-9]\d{15,}$/;

/** Parses JSON; integers beyond 2^53 become bigints. */
export function parseJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const marked = text.replace(STRING_OR_NUMBER, (found) => (LARGE.test(found) ? `"${MARK}${found}"` : found));
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? whole(BigInt(value.slice(MARK.length))) : value,
  );
}

function whole(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Writes JSON in which bigints are decimal strings: JSON.stringify refuses them. */
export function stringify(value: unknown, space?: number): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part), space);
}
