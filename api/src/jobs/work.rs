//! What a run needs: the plan, who pays, what was asked for.

use std::sync::Arc;

use mythic_http::Trace;
use solana_pubkey::Pubkey;

use crate::{accounts::Account, chain::own::ClientTransaction, intake::plan::Plan};

/// Who pays for a run.
#[derive(Debug, Clone)]
pub enum Payer {
    /// The gateway signs as the delegate of an API key.
    Key(Account),
    /// The client signed.
    Client(Box<ClientTransaction>, Pubkey),
}

impl Payer {
    /// The wallet whose vault pays.
    pub fn owner(&self) -> Pubkey {
        match self {
            Self::Key(account) => account.owner,
            Self::Client(_, owner) => *owner,
        }
    }
}

/// What a run needs.
pub struct Work {
    /// What is asked for.
    pub plan: Arc<Plan>,
    /// Who pays.
    pub payer: Payer,
    /// The part of nonces that makes them this request's.
    pub request_key: String,
    /// Candidates to keep per position.
    pub top_logprobs: Option<u8>,
    /// Under what it is logged here, and by validators.
    pub trace: Trace,
}
