/** What other tests stand on is not taken from under them. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const clients = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

test.runIf(existsSync(join(clients, "node_modules/.mythic-prepared")))("what is prepared is left as it is, by two at once too", async () => {
  const dist = join(clients, "program/dist");
  const seen = async () => Promise.all((await readdir(dist)).sort().map(async (name) => [name, (await stat(join(dist, name))).mtimeMs]));
  const before = await seen();
  await Promise.all([1, 2].map(() => run("npm", ["run", "prepare:tests"], { cwd: clients })));
  expect(before.length).toBeGreaterThan(0);
  expect(await seen()).toEqual(before);
});
