/** Both programs, each under its name: they have accounts and instructions of equal names. */
export * as aiPrecompiles from "./ai-precompiles.js";
export * as computeMarket from "./compute-market.js";
