//! Client of the chain: keys, addresses, instruction builders, RPC and subscriptions for the AI Precompiles program.
//!
//! [`keys`] reads and writes key files; [`pda`] derives addresses; [`ix`] builds one instruction each; [`request`] is the
//! half-signed request that gateways and validators exchange; [`ChainClient`] reads accounts, sends transactions
//! (`care.rs`), looks transactions up (`transaction.rs`) and follows what changes (`ws.rs`); [`Filter`] says which accounts a list holds.

#![forbid(unsafe_code)]

pub mod account;
mod care;
mod chain;
mod error;
mod filter;
pub mod keys;
pub mod request;
mod rpc;
mod transaction;
mod ws;

pub use chain::{
    Blockhash, ChainClient, Commitment, LAMPORTS_PER_SIGNATURE, SignatureState, base_fee, pubkeys,
    sign, sign_partly,
};
pub use error::ClientError;
pub use filter::Filter;
pub use mythic_interface::{address as pda, ix};
pub use transaction::Landed;
pub use ws::{AccountSnapshot, AccountWatch, SlotInfo, SlotWatch};
