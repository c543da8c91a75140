// Builds the pages into the gateway's crate, which embeds them. Names have a hash, so that a browser may keep them for ever.
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  base: "/static/",
  // The SDK's sources: the pages need no build of it.
  resolve: { alias: { "@mythic/ai-sdk": here("../sdk/src/index.ts") } },
  build: {
    outDir: here("../../api/static"),
    // The folder's .gitignore stays; scripts/dashboard.sh takes away what was built before.
    emptyOutDir: false,
    assetsDir: "",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: {
      checks: { pluginTimings: false },
      output: {
        entryFileNames: "[name].[hash].js",
        chunkFileNames: "[name].[hash].js",
        assetFileNames: "[name].[hash][extname]",
      },
    },
  },
});
