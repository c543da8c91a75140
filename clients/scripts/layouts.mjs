// The accounts that the SDK reads without @solana/kit, as interfaces and readers made from the program's IDL.

import { readFile } from "node:fs/promises";

/** Accounts that a receipt's verification reads, and the types whose values it names. */
const ACCOUNTS = ["job", "model"];
const VALUES = ["jobStatus", "endReason", "finishReason", "kernelProfile", "samplingProfile"];

const upper = (name) => name[0].toUpperCase() + name.slice(1);
const constant = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();

/** What a field is in TypeScript, how it is read, and its length in bytes. */
function field(type, types) {
  switch (type.kind) {
    case "numberTypeNode": {
      const bytes = Number(type.format.slice(1)) / 8;
      return { type: bytes === 8 ? "bigint" : "number", read: `reader.${type.format}()`, bytes };
    }
    case "publicKeyTypeNode":
      return { type: "string", read: "reader.key()", bytes: 32 };
    case "definedTypeLinkNode": {
      const bytes = fields(types.get(type.name).type.fields, types).bytes;
      return { type: upper(type.name), read: `read${upper(type.name)}(reader)`, bytes };
    }
    case "fixedSizeTypeNode":
      return type.type.kind === "bytesTypeNode"
        ? { type: "Uint8Array", read: `reader.bytes(${type.size})`, bytes: type.size }
        : { type: "string", read: `reader.text(${type.size})`, bytes: type.size };
    case "arrayTypeNode": {
      const item = field(type.item, types);
      const count = type.count.value;
      return { type: `${item.type}[]`, read: `Array.from({ length: ${count} }, () => ${item.read})`, bytes: count * item.bytes };
    }
    default:
      throw new Error(`a field of kind ${type.kind}`);
  }
}

function fields(list, types) {
  let bytes = 0;
  const all = list.map((one) => {
    const made = { name: one.name, docs: one.docs.join(" "), at: bytes, ...field(one.type, types) };
    bytes += made.bytes;
    return made;
  });
  return { all, bytes };
}

function struct(name, docs, list, types) {
  const { all } = fields(list, types);
  const members = all.map((one) => `  /** ${one.docs} */\n  ${one.name}: ${one.type};`).join("\n");
  const reads = all.map((one) => `    ${one.name}: ${one.read},`).join("\n");
  return `/** ${docs} */
export interface ${upper(name)} {
${members}
}

export function read${upper(name)}(reader: Reader): ${upper(name)} {
  return {
${reads}
  };
}
`;
}

/** Names of the defined types that fields are made of, innermost first. */
function parts(list, types, found = new Set()) {
  for (const { type } of list) {
    if (type.kind === "definedTypeLinkNode") {
      parts(types.get(type.name).type.fields, types, found);
      found.add(type.name);
    }
  }
  return found;
}

export async function accountLayouts(file, stateSource) {
  const { program } = JSON.parse(await readFile(file, "utf8"));
  const types = new Map(program.definedTypes.map((type) => [type.name, type]));
  const text = [
    "// Made from programs/idl/ai_precompiles.codama.json by `npm run generate`; do not edit.\n",
    'import type { Reader } from "../verify/reader.js";\n',
    `/** The program that owns these accounts. */\nexport const PROGRAM = "${program.publicKey}";\n`,
  ];
  const version = /pub const VERSION: u8 = (\d+);/.exec(await readFile(stateSource, "utf8"))[1];
  text.push(`/** Layout version of these accounts. */\nexport const LAYOUT_VERSION = ${version};\n`);
  const accounts = program.accounts.filter(({ name }) => ACCOUNTS.includes(name));
  const used = new Set(accounts.flatMap(({ data }) => [...parts(data.fields, types)]));
  for (const name of used) {
    const type = types.get(name);
    text.push(struct(name, type.docs.join(" "), type.type.fields, types));
  }
  for (const { name, docs, data, discriminators, size } of accounts) {
    const discriminator = discriminators[0].constant.value.number;
    text.push(struct(name, docs.join(" "), data.fields, types));
    text.push(`/** First byte and length of a ${upper(name)} account. */\nexport const ${constant(name)} = { discriminator: ${discriminator}, bytes: ${size} } as const;\n`);
  }
  const job = accounts.find(({ name }) => name === "job");
  const terms = fields(types.get("terms").type.fields, types);
  const at = (list, name) => list.all.find((one) => one.name === name).at;
  text.push(`/** Where a job's terms lie in its account, and in them the text that is hashed without its padding. */
export const TERMS = {
  at: ${at(fields(job.data.fields, types), "terms")},
  bytes: ${terms.bytes},
  promptSource: ${at(terms, "promptSource")},
  deadlineSlots: ${at(terms, "deadlineSlots")},
} as const;
`);
  const model = accounts.find(({ name }) => name === "model");
  const spec = fields(model.data.fields, types).all.find(({ name }) => name === "spec");
  text.push(`/** Where a model's immutable part lies in its account. */\nexport const SPEC = { at: ${spec.at}, bytes: ${spec.bytes} } as const;\n`);
  for (const name of VALUES) {
    const type = types.get(name);
    const values = type.type.variants.map((variant) => `  ${variant.discriminator}: "${variant.name}",`).join("\n");
    text.push(`/** Values of \`${upper(name)}\`. */\nexport const ${constant(name)}: Readonly<Record<number, string>> = {\n${values}\n};\n`);
  }
  return text.join("\n");
}

/** What the programs' refusals say, by their numbers. The two programs share one list. */
export async function programErrors(files) {
  const errors = new Map();
  for (const file of files) {
    const { program } = JSON.parse(await readFile(file, "utf8"));
    for (const { code, message } of program.errors) errors.set(code, message);
  }
  const lines = [...errors].sort(([a], [b]) => a - b).map(([code, message]) => `  ${code}: ${JSON.stringify(message)},`);
  return `// Made from programs/idl by \`npm run generate\`; do not edit.

/** What the programs' refusals say, by their numbers. */
export const PROGRAM_ERRORS: Readonly<Record<number, string>> = {
${lines.join("\n")}
};
`;
}
