//! The Compute Market: what its program, providers, tenants, the indexer and clients must agree on, byte for byte.
//!
//! - [`state`]: account layouts; [`ix`]: instructions and their builders; [`errors`]: why it refuses
//! - [`params`]: parameters of the market; [`meter`]: epochs, seconds, lamports
//! - `due`: what anyone may have done, and from when; the programs do without it
//! - [`probe`]: the proof of throughput, from its seed to one element
//! - [`pda`]: seeds of addresses (derived by `address`, feature `client`)
//!
//! Headers, texts, integers, hashes and Merkle trees are those of the rest of this crate.

#[cfg(feature = "client")]
pub mod address;
#[cfg(not(any(target_os = "solana", target_arch = "bpf")))]
pub mod due;
pub mod errors;
pub mod ix;
pub mod meter;
pub mod params;
pub mod pda;
pub mod probe;
pub mod state;
