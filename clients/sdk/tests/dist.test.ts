/** What ships, as Node loads it: both module systems, and one copy of the errors for both entries. */

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);

const USE = `
  const wallet = standardWallet({ name: "Paper", features: {} }, { address: "11111111111111111111111111111111", chains: [] }, { rpcUrl: "http://127.0.0.1:1" });
  const ai = new MythicAI({ gatewayUrl: "http://127.0.0.1:1", wallet, maxRetries: 0 });
  const told = async (work) => work.then(() => "nothing", (error) => [error instanceof MythicError, error.name].join());
  (async () => console.log(await told(ai.keys.list()), await told(ai.network())))();
`;
const NAMES = "{ MythicAI, MythicError }";

describe.skipIf(!existsSync(`${root}/dist/index.d.ts`))("the package", () => {
  const systems = {
    "is loaded by require": ["--input-type=commonjs", `const ${NAMES} = require("@mythic/ai-sdk"); const { standardWallet } = require("@mythic/ai-sdk/wallet");`],
    "is loaded by import": ["--input-type=module", `import ${NAMES} from "@mythic/ai-sdk"; import { standardWallet } from "@mythic/ai-sdk/wallet";`],
  } as const;
  for (const [what, [flag, imports]] of Object.entries(systems)) {
    test(what, async () => {
      const { stdout } = await run(process.execPath, [flag, "--eval", imports + USE], { cwd: root });
      expect(stdout.trim()).toBe("true,WalletRefusedError true,ConnectionError");
    });
  }
});
