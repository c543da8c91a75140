// Builds the pages into the gateway's crate, which embeds them. Names have a hash, so that a browser may keep them for ever.
import { defineConfig } from "vite";

export default defineConfig({
  base: "/static/",
  build: {
    outDir: "../../api/static",
    // The folder's .gitignore stays; scripts/dashboard.sh takes away what was built before.
    emptyOutDir: false,
    assetsDir: "",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: {
      output: {
        entryFileNames: "[name].[hash].js",
        chunkFileNames: "[name].[hash].js",
        assetFileNames: "[name].[hash][extname]",
      },
    },
  },
});
