import { defineConfig } from "tsup";

export default defineConfig({
  entry: { index: "src/index.ts", wallet: "src/wallet/index.ts" },
  format: ["esm", "cjs"],
  // The programs' client goes into the bundle: nobody installs it beside.
  dts: { resolve: [/^@mythic\//] },
  noExternal: [/^@mythic\//],
  external: ["@solana/kit"],
  // One copy of the errors for both entries, in CJS too: instanceof has to work.
  splitting: true,
  clean: true,
  target: "es2022",
});
