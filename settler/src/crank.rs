//! Instructions that anyone may send.

use mythic_client::{ix, pda};
use mythic_interface::state::Case;
use solana_pubkey::Pubkey;

use crate::{
    market::MarketCrank,
    windows::{CaseWindow, JobWindow, OutputWindow},
};

/// An instruction that anyone may send.
#[derive(Clone, Debug, PartialEq)]
pub enum Crank {
    /// Settle a result about which nobody opened a case.
    Claim(JobWindow),
    /// Refund a job without a result.
    Expire(JobWindow),
    /// Close a job that ended long ago.
    Close(JobWindow),
    /// Move what a validator owes; its authority.
    Sweep(Pubkey),
    /// Decide a case.
    Resolve {
        /// Address of the case.
        case: Pubkey,
        /// State on chain.
        state: Box<Case>,
        job: JobWindow,
    },
    /// Move what a case owes one party, and take what it lost.
    Collect {
        /// Address of the case.
        case: Pubkey,
        /// Authority of the party.
        authority: Pubkey,
        /// Whether its account is closed.
        closed: bool,
    },
    /// Close a case that ended long ago, and its votes.
    CloseCase(CaseWindow),
    /// Close a page of output of a job that ended long ago.
    CloseOutput(OutputWindow),
    /// One of the Compute Market.
    Market(MarketCrank),
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
            Self::CloseCase(_) => "close_case",
            Self::CloseOutput(_) => "close_output",
            Self::Market(crank) => crank.name(),
        }
    }

    /// The account it is about.
    pub fn account(&self) -> Pubkey {
        match self {
            Self::Claim(job) | Self::Expire(job) | Self::Close(job) => job.pubkey,
            Self::Sweep(authority) => pda::validator(authority),
            Self::Resolve { case, .. } | Self::Collect { case, .. } => *case,
            Self::CloseCase(window) => window.pubkey,
            Self::CloseOutput(window) => window.pubkey,
            Self::Market(crank) => crank.account(),
        }
    }

    /// The job that it is about, where that is known.
    pub fn job(&self) -> Option<Pubkey> {
        match self {
            Self::Claim(job) | Self::Expire(job) | Self::Close(job) => Some(job.pubkey),
            Self::Resolve { job, .. } => Some(job.pubkey),
            Self::Sweep(_)
            | Self::Collect { .. }
            | Self::CloseCase(_)
            | Self::CloseOutput(_)
            | Self::Market(_) => None,
        }
    }

    /// The lease that it is about, where there is one.
    pub fn lease(&self) -> Option<Pubkey> {
        match self {
            Self::Market(crank) => crank.lease(),
            _ => None,
        }
    }

    /// The instruction, in a transaction that `payer` signs.
    pub fn instruction(&self, payer: &Pubkey) -> solana_instruction::Instruction {
        match self {
            Self::Claim(job) => ix::claim_inference_fee(job.pubkey, &job.job),
            Self::Expire(job) => ix::expire_job(job.pubkey, &job.job),
            Self::Close(job) => ix::close_job(job.pubkey, &job.job),
            Self::Sweep(authority) => ix::sweep(authority),
            Self::Resolve { case, state, job } => ix::resolve_case(case, state, &job.job),
            Self::Collect {
                case,
                authority,
                closed,
            } => ix::collect_case(case, authority, *closed),
            Self::CloseCase(window) => {
                ix::close_case(window.pubkey, &window.case, window.votes.as_deref())
            }
            Self::CloseOutput(window) => ix::close_output(window.pubkey, &window.output),
            Self::Market(crank) => crank.instruction(payer),
        }
    }
}
