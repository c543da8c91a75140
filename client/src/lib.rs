//! Client of the chain: keys, addresses, instruction builders, RPC and subscriptions for the AI Precompiles program.
//!
//! [`keys`] reads and writes key files; [`pda`] derives addresses; [`ix`] builds one instruction each; [`request`] is the
//! half-signed request that gateways and validators exchange; [`ChainClient`] reads accounts, sends transactions
//! (`care.rs`; `pursuit.rs` where others may crowd it out, with [`units`] and [`Bids`]), looks transactions up (`transaction.rs`) and
//! follows what changes (`ws.rs`); [`Filter`] says which accounts a list holds.

#![forbid(unsafe_code)]

pub mod account;
mod bid;
mod care;
mod chain;
mod error;
mod filter;
pub mod keys;
mod pursuit;
pub mod request;
mod rpc;
mod transaction;
pub mod units;
mod ws;

pub use bid::{Bids, Due};
pub use chain::{
    Blockhash, ChainClient, Commitment, LAMPORTS_PER_SIGNATURE, SignatureState, base_fee, pubkeys,
    sign, sign_partly,
};
pub use error::ClientError;
pub use filter::Filter;
pub use mythic_interface::{address as pda, ix};
pub use pursuit::{Bidding, Landing, Pursuit};
pub use transaction::Landed;
pub use ws::{AccountSnapshot, AccountWatch, SlotInfo, SlotWatch};
