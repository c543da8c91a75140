/**
 * What the gateway's answers are in JavaScript: `snake_case` is `camelCase`, and every amount of lamports is a bigint. Fields that this
 * version does not know are kept, by the same rule.
 */

/** `fee_lamports` is `feeLamports`. */
export type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** Fields that are lamports although their names do not end in `_lamports`: those of a validator's account. */
const AMOUNTS = [
  "lamports",
  "stake",
  "activating",
  "unbonding",
  "claimable",
  "earned",
  "slashed",
  "owed_foundation",
  "owed_burn",
] as const;

type AmountName = (typeof AMOUNTS)[number] | `${string}_lamports`;
type Amount<T> = T extends number ? bigint : T;

/** An answer with its amounts as bigints, its names as the gateway writes them. */
export type WithAmounts<T> = T extends readonly (infer Item)[]
  ? WithAmounts<Item>[]
  : T extends object
    ? { [Name in keyof T]: Name extends AmountName ? Amount<T[Name]> : WithAmounts<T[Name]> }
    : T;

/** An answer with its amounts as bigints and its names in camelCase. */
export type Shaped<T> = T extends readonly (infer Item)[]
  ? Shaped<Item>[]
  : T extends object
    ? {
        [Name in keyof T as Name extends string ? CamelCase<Name> : Name]: Name extends AmountName
          ? Amount<T[Name]>
          : Shaped<T[Name]>;
      }
    : T;

const isAmount = (name: string): boolean =>
  name.endsWith("_lamports") || (AMOUNTS as readonly string[]).includes(name);

const camelCase = (name: string): string => name.replace(/_(\w)/g, (_all, letter: string) => letter.toUpperCase());

function amount(value: unknown): unknown {
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
}

function walk(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => walk(item, rename));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, field]): [string, unknown] => [
    rename(name),
    isAmount(name) ? amount(field) : walk(field, rename),
  ]);
  return Object.fromEntries(entries);
}

/** An answer of the API as the SDK shows it. `T` is what the schema says of it. */
export function shape<T>(value: unknown): Shaped<T> {
  return walk(value, camelCase) as Shaped<T>;
}

/** The same with the gateway's own names, for answers that have OpenAI's shape. */
export function withAmounts<T>(value: unknown): WithAmounts<T> {
  return walk(value, (name) => name) as WithAmounts<T>;
}

/** Lamports as SOL, for people: amounts that are reckoned with stay lamports. */
export function toSol(lamports: bigint): number {
  return Number(lamports) / 1e9;
}
