import { defineConfig } from "tsup";

export default defineConfig({
  entry: { index: "src/index.ts", wallet: "src/wallet/index.ts" },
  format: ["esm", "cjs"],
  // The programs' client goes into the bundle: nobody installs it beside.
  dts: { resolve: [/^@mythic\//] },
  noExternal: [/^@mythic\//],
  external: ["@solana/kit"],
  clean: true,
  target: "es2022",
});
