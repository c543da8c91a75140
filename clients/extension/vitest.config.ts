import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  test: { include: ["tests/*.test.ts"], testTimeout: 180_000 },
  resolve: {
    alias: [
      { find: "@mythic/ai-sdk/wallet", replacement: here("../sdk/src/wallet/index.ts") },
      { find: "@mythic/ai-sdk", replacement: here("../sdk/src/index.ts") },
    ],
  },
});
