// Writes what the wallet has to know of both programs, from their IDLs: instructions with words, fields and accounts, and what refusals say.
//
//   npm run generate              writes src/generated/idl.ts
//   npm run generate -- --check   fails if the committed file is not what the IDLs give

import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const PROGRAMS = { ai_precompiles: "AI Precompiles", compute_market: "Compute Market" };

/** A field's type: `u64`, `key`, `bytes:32`, `text:97`, `rest`, `[key;4]`, `{name}`. */
function type(node) {
  switch (node.kind) {
    case "numberTypeNode":
      return node.format;
    case "publicKeyTypeNode":
      return "key";
    case "bytesTypeNode":
      return "rest";
    case "fixedSizeTypeNode":
      return `${node.type.kind === "bytesTypeNode" ? "bytes" : "text"}:${node.size}`;
    case "arrayTypeNode":
      return `[${type(node.item)};${node.count.value}]`;
    case "definedTypeLinkNode":
      return `{${node.name}}`;
    default:
      throw new Error(`a field of kind ${node.kind}`);
  }
}

const fields = (list) => list.filter(({ name }) => name !== "discriminator").map((one) => [one.name, type(one.type), one.docs.join(" ")]);

/** Structures that an instruction's fields are made of. */
function used(list, types, found = {}) {
  for (const [, of] of list) {
    const name = /\{(\w+)\}/.exec(of)?.[1];
    if (name && !found[name]) {
      found[name] = fields(types.get(name).type.fields);
      used(found[name], types, found);
    }
  }
  return found;
}

export async function idlSource() {
  const programs = [];
  const errors = new Map();
  for (const [file, title] of Object.entries(PROGRAMS)) {
    const { program } = JSON.parse(await readFile(join(here, `../../../programs/idl/${file}.codama.json`), "utf8"));
    const types = new Map(program.definedTypes.map((one) => [one.name, one]));
    const instructions = program.instructions.map((one) => ({
      tag: one.arguments.find(({ name }) => name === "discriminator").defaultValue.number,
      name: one.name,
      about: one.docs.join(" "),
      fields: fields(one.arguments),
      accounts: one.accounts.map(({ name, isOptional }) => (isOptional ? `${name}?` : name)),
    }));
    programs.push({
      title,
      address: program.publicKey,
      instructions,
      structures: Object.assign({}, ...instructions.map((one) => used(one.fields, types))),
    });
    for (const { code, message } of program.errors) errors.set(code, message);
  }
  const words = Object.fromEntries([...errors].sort(([a], [b]) => a - b));
  return `// Made from programs/idl by \`npm run generate\`; do not edit.
import type { Program } from "../decode/program";

export const PROGRAMS: readonly Program[] = ${JSON.stringify(programs, null, 1)};

/** What the programs' refusals say, by their numbers. */
export const REFUSALS: Readonly<Record<number, string>> = ${JSON.stringify(words, null, 1)};
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(here, "../src/generated/idl.ts");
  const text = await idlSource();
  if (!process.argv.includes("--check")) await writeFile(file, text);
  else if ((await readFile(file, "utf8").catch(() => "")) !== text) {
    console.error("clients/extension/src/generated/idl.ts is not what the IDLs give: run `npm run generate --workspace extension` in clients/");
    process.exitCode = 1;
  }
}
