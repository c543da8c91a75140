//! What reaches a job's task, and what it is started with.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32},
};

use mythic_client::AccountSnapshot;
use mythic_wire::{NodeEvent, PromptBody};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use tokio::sync::mpsc;

use super::{admit::Work, backend::ServedModel, fsm::Origin, sources::Wait};
use crate::keep::journal::{JobRecord, Prompt};

/// What reaches a job's task from outside.
#[derive(Debug)]
pub enum Msg {
    /// The account as read.
    Chain {
        /// What was read.
        snapshot: AccountSnapshot,
        /// At `finalized`.
        finalized: bool,
    },
    /// Our request or accept was refused.
    Refused(String),
    /// The chain's node passes our request on.
    Taken,
    /// The request with this signature can no longer land.
    Expired(Signature),
    /// The prompt came, or not.
    Prompt(Result<PromptBody, String>),
    /// Ask the engine again.
    Engine,
    /// Whose acceptance of a shared job the chain has.
    Claim(Held),
    /// The gateway asks for the same job again, with a newer transaction: it was restarted, or signed anew.
    Attach {
        /// Co-signed by us.
        transaction: Box<VersionedTransaction>,
        /// What it asks for.
        work: Box<Work>,
        /// The stream that replaces the earlier one.
        client: mpsc::Sender<NodeEvent>,
        delivery: Arc<Delivery>,
    },
}

/// Whose a job is that any worker of the validator may have accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Held {
    #[default]
    Unknown,
    Ours,
    /// Another worker's.
    Anothers,
}

/// What the client of a co-signed job's stream and its task share.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Tokens that the stream has taken over.
    pub tokens: AtomicU32,
    /// The last event was taken over.
    pub done: AtomicBool,
}

/// A job to be run.
pub struct Start {
    /// Its account.
    pub job: Pubkey,
    /// How it came.
    pub origin: Origin,
    pub model: ServedModel,
    /// What to compute, when known before the chain is read.
    pub work: Option<Work>,
    /// The co-signed transaction.
    pub transaction: Option<VersionedTransaction>,
    /// Base URL of the gateway that holds the prompt and takes the result.
    pub source: String,
    pub prompt: Option<Prompt>,
    /// The client's stream.
    pub client: Option<(mpsc::Sender<NodeEvent>, Arc<Delivery>)>,
    /// From the journal, after a restart.
    pub record: Option<JobRecord>,
    /// Other workers may accept it in the validator's name too.
    pub shared: bool,
    /// Its place among the prompts that are waited for.
    pub wait: Option<Wait>,
    /// The client wants to know log-probabilities.
    pub logprobs: bool,
    /// Of the request that brought it.
    pub span: mythic_trace::Span,
}
