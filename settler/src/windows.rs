//! What a look at the network shows: accounts that may need something.

use mythic_interface::state::{Case, Job, Output, Votes};
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

/// A case that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub case: Box<Case>,
    /// Its job, as long as there is one.
    pub job: Option<Job>,
    /// The votes of its jury, if anybody said `false`.
    pub votes: Option<Box<Votes>>,
    /// Authorities among its parties whose accounts are closed: what is due to them is burned.
    pub closed: Vec<Pubkey>,
}

impl CaseWindow {
    /// Authorities that have something to receive or to lose of a resolved case, each once.
    pub(crate) fn parties(&self) -> impl Iterator<Item = Pubkey> + use<> {
        let parties = self.case.due_parties().into_iter();
        parties.map(Pubkey::new_from_array)
    }
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
    /// Cases.
    pub cases: Vec<CaseWindow>,
    /// Posted output.
    pub outputs: Vec<OutputWindow>,
}
