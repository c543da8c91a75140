// Makes what tests need, unless it is there: the programs' clients, built of their IDLs. Fails if what is committed of the SDK is not what
// its descriptions give. `npm run prepare:tests` lets one process at a time in: a build empties what another one's tests read.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const clients = fileURLToPath(new URL("..", import.meta.url));
const mark = join(clients, "node_modules/.mythic-prepared");
/** All that this reads, and all that it makes. */
const parts = [
  "package.json", "package-lock.json", "tsconfig.base.json", "scripts", "sdk/openapi.json", "sdk/src/generated", "../programs/idl",
  "../programs/interface/src/state/mod.rs", "../programs/interface/src/tables.rs",
  ...["package.json", "tsconfig.json", "tsup.config.ts", "src", "dist"].map((part) => `program/${part}`),
];

async function files(path) {
  const is = await stat(path).catch(() => undefined);
  if (!is?.isDirectory()) return is ? [path] : [];
  return (await Promise.all((await readdir(path)).map((name) => files(join(path, name))))).flat();
}

/** A hash of all parts. */
async function state() {
  const hash = createHash("sha256");
  const found = await Promise.all(parts.map((part) => files(join(clients, part))));
  for (const file of found.flat().sort()) {
    hash.update(`${createHash("sha256").update(await readFile(file)).digest("hex")} ${file}\n`);
  }
  return hash.digest("hex");
}

const run = (...args) => {
  const { status } = spawnSync("npm", ["run", ...args], { cwd: clients, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
};

if ((await readFile(mark, "utf8").catch(() => "")) !== (await state())) {
  run("generate", "--", "--check");
  run("build", "--workspace", "program");
  await writeFile(mark, await state());
}
