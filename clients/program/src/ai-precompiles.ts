/** Models, validators, vaults, jobs and cases: the AI Precompiles program. */
export * from "./generated/ai-precompiles/index.js";
