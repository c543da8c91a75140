//! Instructions of the market that anyone may send.

use mythic_client::market::{address, ix};
use mythic_interface::market::state::CloseReason;
use solana_pubkey::Pubkey;

use super::windows::{LeaseDisputeWindow, LeaseWindow, RequestWindow};

/// An instruction of the market that anyone may send.
#[derive(Clone, Debug, PartialEq)]
pub enum MarketCrank {
    /// Decide a dispute.
    Resolve(LeaseDisputeWindow),
    /// End a lease.
    CloseLease {
        /// The lease.
        lease: LeaseWindow,
        /// Why anyone may.
        reason: CloseReason,
    },
    /// Refund a request that nobody took.
    ExpireRequest(RequestWindow),
    /// Pay epochs that nobody can dispute any more.
    Release(LeaseWindow),
    /// Pay a tenant what is its own.
    Withdraw(LeaseWindow),
    /// Pay a dispute's disputer, and close it.
    CloseDispute(LeaseDisputeWindow),
    /// Move what a provider owes; its authority.
    SweepProvider(Pubkey),
    /// Close a lease that ended long ago; its tenant is paid.
    CloseLeaseAccount(LeaseWindow),
    /// Close a request that ended long ago.
    CloseRequest(RequestWindow),
}

impl MarketCrank {
    /// Name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "resolve_lease_dispute",
            Self::CloseLease { .. } => "close_lease",
            Self::ExpireRequest(_) => "expire_request",
            Self::Release(_) => "release_epochs",
            Self::Withdraw(_) => "withdraw_lease",
            Self::CloseDispute(_) => "close_lease_dispute",
            Self::SweepProvider(_) => "sweep_provider",
            Self::CloseLeaseAccount(_) => "close_lease_account",
            Self::CloseRequest(_) => "close_request",
        }
    }

    /// The account it is about.
    pub fn account(&self) -> Pubkey {
        match self {
            Self::CloseLease { lease, .. }
            | Self::Release(lease)
            | Self::Withdraw(lease)
            | Self::CloseLeaseAccount(lease) => lease.pubkey,
            Self::ExpireRequest(window) | Self::CloseRequest(window) => window.pubkey,
            Self::Resolve(window) | Self::CloseDispute(window) => window.pubkey,
            Self::SweepProvider(authority) => address::provider(authority),
        }
    }

    /// The lease that it is about, where there is one.
    pub fn lease(&self) -> Option<Pubkey> {
        match self {
            Self::CloseLease { .. }
            | Self::Release(_)
            | Self::Withdraw(_)
            | Self::CloseLeaseAccount(_) => Some(self.account()),
            Self::Resolve(window) | Self::CloseDispute(window) => {
                Some(Pubkey::new_from_array(window.dispute.lease))
            }
            Self::ExpireRequest(_) | Self::CloseRequest(_) | Self::SweepProvider(_) => None,
        }
    }

    /// The instruction; whoever pays is who closes a lease.
    pub fn instruction(&self, payer: &Pubkey) -> solana_instruction::Instruction {
        match self {
            Self::Resolve(window) => ix::resolve_lease_dispute(window.pubkey, &window.dispute),
            Self::CloseLease { lease, reason } => {
                ix::close_lease(payer, lease.pubkey, &lease.lease, *reason, false)
            }
            Self::ExpireRequest(window) => ix::expire_request(window.pubkey, &window.request),
            Self::Release(window) => ix::verify_and_release(window.pubkey, &window.lease),
            Self::Withdraw(window) => ix::withdraw_lease(window.pubkey, &window.lease),
            Self::CloseDispute(window) => ix::close_lease_dispute(window.pubkey, &window.dispute),
            Self::SweepProvider(authority) => ix::sweep(authority),
            Self::CloseLeaseAccount(window) => {
                ix::close_lease_account(window.pubkey, &window.lease)
            }
            Self::CloseRequest(window) => ix::close_request(window.pubkey, &window.request),
        }
    }
}
