/** Providers, leases, proofs and disputes about them: the Compute Market program. */
export * from "./generated/compute-market/index.js";
