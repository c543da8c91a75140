import { mergeConfig } from "vitest/config";
import units from "./vitest.config.ts";

/** In Chromium, one after the other: `npm run build` first. With MYTHIC_GATEWAY_URL and MYTHIC_RPC_URL also against a real network. */
const config = mergeConfig(units, {});
config.test = { include: ["tests/browser/*.test.ts"], testTimeout: 180_000, hookTimeout: 120_000, fileParallelism: false };
export default config;
