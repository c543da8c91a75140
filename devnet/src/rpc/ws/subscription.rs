//! One subscription: what it follows.

use solana_account_decoder::{UiAccountEncoding, UiDataSliceConfig};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::config::RpcAccountInfoConfig;
use solana_rpc_client_api::filter::RpcFilterType;
use solana_signature::Signature;

use crate::chain::Level;
use crate::node::Place;

/// How an account is shown.
#[derive(Clone, Copy)]
pub struct Shown {
    pub encoding: UiAccountEncoding,
    pub slice: Option<UiDataSliceConfig>,
}

impl Shown {
    /// As the configuration of a call asks for it.
    pub fn of(config: &RpcAccountInfoConfig) -> Self {
        Self {
            encoding: config.encoding.unwrap_or(UiAccountEncoding::Binary),
            slice: config.data_slice,
        }
    }
}

/// What is followed, and from which level on.
pub enum Subscription {
    Account {
        key: Pubkey,
        level: Level,
        shown: Shown,
    },
    Program {
        id: Pubkey,
        filters: Vec<RpcFilterType>,
        level: Level,
        shown: Shown,
    },
    Signature {
        signature: Signature,
        level: Level,
        /// Held while the arrival of the transaction is to be told too.
        received: Option<Place>,
    },
    Logs {
        mentions: Option<Pubkey>,
        level: Level,
    },
    Slot,
    SlotsUpdates,
    Root,
}
