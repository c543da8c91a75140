/** JSON whose integers may be larger than a double holds: amounts of lamports are up to 2^63. */

/** Marks an integer that JSON.parse would round. U+FFFF is no character, so no text begins with it by chance. */
const MARK = "\uffff";
const STRING_OR_LARGE = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;

/** Parses JSON; integers beyond 2^53 become bigints. */
export function parseJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  const marked = text.replace(STRING_OR_LARGE, (found) => (found.startsWith('"') ? found : `"${MARK}${found}"`));
  return JSON.parse(marked, (_key, value: unknown) => {
    if (typeof value !== "string" || !value.startsWith(MARK)) return value;
    const digits = value.slice(MARK.length);
    return /^-?\d+$/.test(digits) ? whole(BigInt(digits)) : value;
  });
}

function whole(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Writes JSON in which bigints are decimal strings: JSON.stringify refuses them. */
export function stringify(value: unknown, space?: number): string {
  return JSON.stringify(value, (_key, part: unknown) => (typeof part === "bigint" ? part.toString() : part), space);
}
