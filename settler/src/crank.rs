//! Instructions that anyone may send.

use mythic_client::{ix, pda};
use solana_pubkey::Pubkey;

use crate::windows::{DisputeWindow, JobWindow, OutputWindow};

/// An instruction that anyone may send.
#[derive(Clone, Debug, PartialEq)]
pub enum Crank {
    /// Settle a result that nobody challenged, or whose challenges ended before its window did.
    Claim(JobWindow),
    /// Refund a job without a result.
    Expire(JobWindow),
    /// Close a job that ended long ago.
    Close(JobWindow),
    /// Move what a validator owes; its authority.
    Sweep(Pubkey),
    /// Decide a dispute.
    Resolve { dispute: Pubkey, job: JobWindow },
    /// Move what a dispute owes one party, and take what it lost.
    Collect {
        /// Address of the dispute.
        dispute: Pubkey,
        /// Authority of the party.
        authority: Pubkey,
    },
    /// Close a dispute that ended long ago.
    CloseDispute(DisputeWindow),
    /// Close a page of output of a job that ended long ago.
    CloseOutput(OutputWindow),
}

impl Crank {
    /// Name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Claim(_) => "claim",
            Self::Expire(_) => "expire",
            Self::Close(_) => "close",
            Self::Sweep(_) => "sweep",
            Self::Resolve { .. } => "resolve",
            Self::Collect { .. } => "collect",
            Self::CloseDispute(_) => "close_dispute",
            Self::CloseOutput(_) => "close_output",
        }
    }

    /// The account it is about.
    pub fn account(&self) -> Pubkey {
        match self {
            Self::Claim(job) | Self::Expire(job) | Self::Close(job) => job.pubkey,
            Self::Sweep(authority) => pda::validator(authority),
            Self::Resolve { dispute, .. } | Self::Collect { dispute, .. } => *dispute,
            Self::CloseDispute(window) => window.pubkey,
            Self::CloseOutput(window) => window.pubkey,
        }
    }

    /// The job that it is about, where that is known.
    pub fn job(&self) -> Option<Pubkey> {
        match self {
            Self::Claim(job) | Self::Expire(job) | Self::Close(job) => Some(job.pubkey),
            Self::Resolve { job, .. } => Some(job.pubkey),
            Self::Sweep(_)
            | Self::Collect { .. }
            | Self::CloseDispute(_)
            | Self::CloseOutput(_) => None,
        }
    }

    pub fn instruction(&self) -> solana_instruction::Instruction {
        match self {
            Self::Claim(job) => ix::claim_inference_fee(job.pubkey, &job.job),
            Self::Expire(job) => ix::expire_job(job.pubkey, &job.job),
            Self::Close(job) => ix::close_job(job.pubkey, &job.job),
            Self::Sweep(authority) => ix::sweep(authority),
            Self::Resolve { dispute, job } => ix::resolve_dispute(dispute, job.pubkey, &job.job),
            Self::Collect { dispute, authority } => ix::collect_dispute(dispute, authority),
            Self::CloseDispute(window) => ix::close_dispute(window.pubkey, &window.dispute),
            Self::CloseOutput(window) => ix::close_output(window.pubkey, &window.output),
        }
    }
}
