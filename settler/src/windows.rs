//! What a look at the network shows: accounts that may need something.

use mythic_interface::state::{Dispute, Job, Output};
use solana_pubkey::Pubkey;

/// A job that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct JobWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub job: Job,
}

/// A validator that owes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidatorWindow {
    /// Authority.
    pub authority: Pubkey,
    /// Lamports owed to foundation and burn.
    pub owed: u64,
    /// Slot of the account's last finalized write.
    pub written_slot: u64,
}

/// A dispute that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct DisputeWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub dispute: Box<Dispute>,
    /// Its job, as long as there is one.
    pub job: Option<Job>,
}

/// A page of posted output that may be closed.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub output: Box<Output>,
    /// Its job, as long as there is one.
    pub job: Option<Job>,
}

/// What a look at the network showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Windows {
    /// Jobs.
    pub jobs: Vec<JobWindow>,
    /// Validators.
    pub validators: Vec<ValidatorWindow>,
    /// Disputes.
    pub disputes: Vec<DisputeWindow>,
    /// Posted output.
    pub outputs: Vec<OutputWindow>,
}
