import { fileURLToPath } from "node:url";
import { defineConfig } from "tsup";

const program = fileURLToPath(new URL("../program/src", import.meta.url));

export default defineConfig({
  entry: { index: "src/index.ts", wallet: "src/wallet/index.ts" },
  format: ["esm", "cjs"],
  dts: true,
  // Of the programs' client only what is used goes into the bundle: nobody installs it beside.
  noExternal: [/^@mythic\//],
  external: ["@solana/kit"],
  esbuildOptions(options) {
    options.alias = {
      "@mythic/program/ai-precompiles": `${program}/ai-precompiles.ts`,
      "@mythic/program/compute-market": `${program}/compute-market.ts`,
    };
  },
  // One copy of the errors for both entries, in CJS too: instanceof has to work.
  splitting: true,
  clean: true,
  target: "es2022",
});
