import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  test: {
    include: ["{sdk,ai-provider}/tests/**/*.test.ts"],
    // Tests wait for conditions with deadlines of their own.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
  resolve: {
    alias: [
      { find: "@mythic/ai-sdk/wallet", replacement: source("sdk/src/wallet/index.ts") },
      { find: "@mythic/ai-provider", replacement: source("ai-provider/src/index.ts") },
      { find: "@mythic/ai-sdk", replacement: source("sdk/src/index.ts") },
    ],
  },
});
