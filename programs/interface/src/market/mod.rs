//! The Compute Market: what its program, providers, tenants, the indexer and clients must agree on, byte for byte.
//!
//! - [`state`]: account layouts; [`ix`]: instructions and their builders; [`errors`]: why it refuses
//! - [`params`]: parameters of the market; [`meter`]: epochs, seconds, lamports
//! - [`probe`]: the proof of throughput, from its seed to one element
//! - [`pda`]: seeds of addresses (derived by `address`, feature `client`)
//!
//! Headers, texts, integers, hashes and Merkle trees are those of the rest of this crate.

#[cfg(feature = "client")]
pub mod address;
pub mod errors;
pub mod ix;
pub mod meter;
pub mod params;
pub mod pda;
pub mod probe;
pub mod state;
