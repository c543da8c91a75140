//! Client of the chain: keys, addresses, instruction builders, RPC and subscriptions for both programs; of the Compute Market under
//! [`market`].
//!
//! [`keys`] reads and writes key files; [`pda`] derives addresses; [`ix`] builds one instruction each; [`request`] is the
//! half-signed request that gateways and validators exchange; [`ChainClient`] reads accounts, sends transactions
//! (`care.rs`; `pursuit.rs` where others may crowd it out, with [`units`] and [`Bids`]), looks transactions up (`transaction.rs`) and
//! follows what changes (`ws.rs`); [`Filter`] says which accounts a list holds; [`slot_hashes`] reads what proofs begin with, [`clock`]
//! what time it is for a program.

#![forbid(unsafe_code)]

pub mod account;
mod bid;
mod care;
mod chain;
pub mod clock;
mod error;
mod filter;
pub mod keys;
mod pursuit;
pub mod request;
mod rpc;
pub mod slot_hashes;
mod transaction;
pub mod units;
mod ws;

pub use bid::{Bids, Due};
pub use care::patiently;
pub use chain::{
    BareAccount, Blockhash, ChainClient, Commitment, LAMPORTS_PER_SIGNATURE, Listed, Rents,
    SignatureState, base_fee, pubkeys, sign, sign_partly,
};
pub use error::ClientError;
pub use filter::Filter;
pub use mythic_interface::{address as pda, ix, market};
pub use pursuit::{Bidding, Landing, Pursuit};
pub use transaction::Landed;
pub use ws::{AccountSnapshot, AccountWatch, SlotInfo, SlotWatch};
