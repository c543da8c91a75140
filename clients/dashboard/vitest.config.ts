import { mergeConfig } from "vitest/config";
import built from "./vite.config.js";

export default mergeConfig(built, { test: { include: ["tests/*.test.ts"] } });
