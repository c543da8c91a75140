/** What goes between parts of the extension, and into its storage, as JSON: amounts are bigints, bytes are bytes. */

import { base64 } from "@scure/base";

export function pack(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === "bigint") return { $int: part.toString() };
    if (part instanceof Uint8Array) return { $bytes: base64.encode(part) };
    return part;
  });
}

/** Throws for what is no such text. */
export function unpack(text: string): unknown {
  return JSON.parse(text, (_key, part: unknown) => {
    if (typeof part !== "object" || part === null) return part;
    const { $int, $bytes } = part as { $int?: unknown; $bytes?: unknown };
    if (typeof $int === "string" && /^-?\d{1,40}$/.test($int)) return BigInt($int);
    if (typeof $bytes === "string") return base64.decode($bytes);
    return part;
  });
}
