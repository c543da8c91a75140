//! Client of the chain: keys, addresses, instruction builders, RPC and subscriptions for the AI Precompiles program.
//!
//! [`keys`] reads and writes key files; [`pda`] derives addresses; [`ix`] builds one instruction each; [`ChainClient`]
//! reads accounts, sends transactions and follows what changes.

#![forbid(unsafe_code)]

pub mod account;
mod chain;
mod error;
pub mod keys;
mod ws;

pub use chain::{
    Blockhash, ChainClient, Commitment, LAMPORTS_PER_SIGNATURE, SignatureState, base_fee, pubkeys,
    sign, sign_partly,
};
pub use error::ClientError;
pub use mythic_interface::{address as pda, ix};
pub use ws::{AccountSnapshot, AccountWatch, SlotInfo, SlotWatch};
