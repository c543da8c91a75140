// Writes what is made from descriptions: the programs' clients from their IDLs, and of the SDK the types of
// the gateway's API, the layouts of accounts and the tables of the sampler.
//
//   npm run generate              writes all of it
//   npm run generate -- --check   fails if a committed file is not what its description gives
//
// The programs' clients are not committed: the build makes them. What the SDK is made of is: the API's types, so that a change of the
// gateway's schema shows in the diff of what users see, the layouts of accounts, and the tables of the sampler's noise.

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createFromRoot } from "codama";
import { renderVisitor } from "@codama/renderers-js";
import openapiTS, { astToString } from "openapi-typescript";
import { accountLayouts, programErrors } from "./layouts.mjs";

const clients = join(dirname(fileURLToPath(import.meta.url)), "..");
const programs = { "ai-precompiles": "ai_precompiles", "compute-market": "compute_market" };

async function renderPrograms() {
  for (const [folder, file] of Object.entries(programs)) {
    const idl = JSON.parse(await readFile(join(clients, `../programs/idl/${file}.codama.json`), "utf8"));
    await createFromRoot(idl).accept(
      renderVisitor(join(clients, "program"), {
        generatedFolder: `src/generated/${folder}`,
        kitImportStrategy: "rootOnly",
        syncPackageJson: false,
      }),
    );
    await mend(join(clients, "program/src/generated", folder));
  }
}

/**
 * What the renderer writes for an older @solana/kit and a looser compiler: types that are imported as values, and a plugin for that
 * release's clients, which the present one's types refuse.
 */
async function mend(folder) {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const text = await readFile(file, "utf8");
    const mended = text
      .replace(/import \{[^}]*\} from "..\/pdas"/g, (line) => line.replace(/(?<!type )\b(\w+Seeds)\b/g, "type $1"))
      .replace(/\nexport type \w+Plugin = \{[^]*$/, "");
    if (mended !== text) await writeFile(file, mended);
  }
}

/** The types of the API, as openapi-typescript makes them. */
async function apiTypes() {
  const described = JSON.parse(await readFile(join(clients, "sdk/openapi.json"), "utf8"));
  const ast = await openapiTS(described, { alphabetize: true, exportType: true });
  return `// Made from clients/sdk/openapi.json by \`npm run generate\`; do not edit.\n\n${astToString(ast)}`;
}

/** The tables of the sampler's noise, as the programs have them. */
async function noiseTables() {
  const source = await readFile(join(clients, "../programs/interface/src/tables.rs"), "utf8");
  const tables = [...source.matchAll(/\/\/\/ (.*)\npub\(crate\) static (\w+): \[u32; \d+\] = (\[[^\]]*\]);/g)];
  const text = tables.map(([, about, name, values]) => `/** ${about} */\nexport const ${name}: readonly number[] = ${values};\n`);
  return `// Made from programs/interface/src/tables.rs by \`npm run generate\`; do not edit.\n\n${text.join("\n")}`;
}

const made = {
  "api.ts": await apiTypes(),
  "layouts.ts": await accountLayouts(
    join(clients, "../programs/idl/ai_precompiles.codama.json"),
    join(clients, "../programs/interface/src/state/mod.rs"),
  ),
  "errors.ts": await programErrors(Object.values(programs).map((file) => join(clients, `../programs/idl/${file}.codama.json`))),
  "tables.ts": await noiseTables(),
};
const folder = join(clients, "sdk/src/generated");
await mkdir(folder, { recursive: true });
for (const [name, text] of Object.entries(made)) {
  const file = join(folder, name);
  if (!process.argv.includes("--check")) {
    await writeFile(file, text);
  } else if ((await readFile(file, "utf8").catch(() => "")) !== text) {
    console.error(`clients/sdk/src/generated/${name} is not what its description gives: run \`npm run generate\` in clients/`);
    process.exitCode = 1;
  }
}
if (!process.argv.includes("--no-programs")) {
  await renderPrograms();
}
