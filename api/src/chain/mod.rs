//! The chain: its client, who pays fees, and what pays for jobs.

pub mod blockhashes;
pub mod clock;
pub mod errors;
pub mod own;
pub mod pay;
pub mod payment;
pub mod purse;

use std::sync::Arc;

use mythic_client::ChainClient;
use solana_keypair::Keypair;

/// The chain as the gateway uses it.
pub struct Chain {
    /// Its RPC and subscriptions.
    pub client: ChainClient,
    /// Pays fees, fronts rent, cancels.
    pub payer: Arc<Keypair>,
    /// The last finalized blockhash.
    pub blockhashes: blockhashes::Blockhashes,
    /// What the payer holds.
    pub purse: purse::Purse,
    /// How long slots take.
    pub clock: clock::Clock,
    /// Base URL of this gateway, without a slash at the end: where validators fetch the prompts of open jobs.
    pub prompt_source: String,
}

#[cfg(test)]
impl Chain {
    /// A chain that never answers, for tests of what needs none.
    pub fn nowhere() -> Arc<Self> {
        Arc::new(Self {
            client: ChainClient::new("http://127.0.0.1:9", "ws://127.0.0.1:9"),
            payer: Arc::new(Keypair::new()),
            blockhashes: blockhashes::Blockhashes::default(),
            purse: purse::Purse::default(),
            clock: clock::Clock::default(),
            prompt_source: "http://127.0.0.1:9".into(),
        })
    }
}
