//! Leases from acceptance to their last lamport. In builders `state` is the lease as read.

use super::*;
use crate::hash::Hash;
use crate::le::{U32, U64};

instructions! {
    /// Takes a request: the lease begins, with the price of its seconds. By the provider's operator, who pays the rent.
    AcceptJob = 56 {
        /// [`crate::market::state::RequestTerms::hash`] of the request.
        terms_hash: Hash,
    } [pays("operator"), write("provider"), read("class"), write("request"), write("lease"), read("system_program")]

    /// Says that the lease runs and how the tenant reaches it; its meter starts.
    StartLease = 57 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// [`crate::hash::access_hash`].
        access_hash: Hash,
    } [signs("operator"), read("provider"), write("lease")]

    /// Says that the tenant has reached the lease; from now on it is paid.
    AcknowledgeStart = 58 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// [`crate::hash::access_hash`] of what the tenant used.
        access_hash: Hash,
    } [signs("tenant"), write("lease")]

    /// Proves the current epoch and meters the seconds since the last proof.
    SubmitProof = 59 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// The epoch.
        epoch: U64,
        /// Its first slot that was not skipped.
        first_slot: U64,
        /// The hash of that slot.
        hash: Hash,
        /// The Merkle root of all rounds' roots.
        proof: Hash,
    } [signs("operator"), write("provider"), write("lease")]

    /// Pays every epoch whose time for disputes is over, but for the oldest about which one is open, and newer ones. Anyone.
    VerifyAndRelease = 60 {} [write("provider"), write("lease")]

    /// Adds seconds to a lease, until a minute before its end. Anyone.
    TopUp = 61 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// Seconds.
        seconds: U32,
    } [pays("payer"), write("lease"), read("system_program")]

    /// Ends a lease, or gives the provider's notice. Who may depends on the reason.
    CloseLease = 62 {
        /// [`crate::market::state::LeaseTerms::hash`] of the lease.
        terms_hash: Hash,
        /// [`crate::market::state::CloseReason`].
        reason: u8,
        /// 1 if a provider's authority ends it now, at the price of its notice; 0 if the provider gives notice.
        now: u8,
        /// [`crate::market::state::LeaseStatus`] that the lease must have: what an end costs depends on it.
        expected: u8,
    } [signs("closer"), write("provider"), write("lease")]

    /// Pays a tenant what the lease holds for it. Anyone.
    WithdrawLease = 63 {} [write("lease"), write("tenant")]

    /// Closes a lease that ended long enough ago and of which nothing is pending. The tenant gets what is its own, unless its wallet
    /// is too empty to hold so little: that is burned. The rent goes to who paid it. Anyone.
    CloseLeaseAccount = 64 {} [write("lease"), write("provider"), write("tenant"), write("rent_payer")]
}

#[cfg(feature = "client")]
pub use builders::*;

#[cfg(feature = "client")]
mod builders {
    use super::*;
    use crate::ix::build::{Call, Named, SYSTEM, fixed};
    use crate::market::address;
    use crate::market::state::{CloseReason, Lease, Request};

    /// Takes a request as `provider`; `state` is the request.
    pub fn accept_job(
        operator: impl Named,
        provider: impl Named,
        request: impl Named,
        state: &Request,
    ) -> Call {
        let args = AcceptJob {
            terms_hash: state.terms_hash,
        };
        let accounts = [
            operator.pubkey(),
            address::provider(provider),
            state.terms.class.pubkey(),
            request.pubkey(),
            address::lease(request),
            SYSTEM,
        ];
        fixed(&args, accounts)
    }

    /// Says that a lease runs.
    pub fn start_lease(
        operator: impl Named,
        lease: impl Named,
        state: &Lease,
        access_hash: Hash,
    ) -> Call {
        let args = StartLease {
            terms_hash: state.terms_hash,
            access_hash,
        };
        let accounts = [
            operator.pubkey(),
            address::provider(state.terms.provider),
            lease.pubkey(),
        ];
        fixed(&args, accounts)
    }

    /// Says that the tenant has reached a lease.
    pub fn acknowledge_start(lease: impl Named, state: &Lease) -> Call {
        let args = AcknowledgeStart {
            terms_hash: state.terms_hash,
            access_hash: state.access_hash,
        };
        fixed(&args, [state.terms.tenant.pubkey(), lease.pubkey()])
    }

    /// Proves an epoch.
    pub fn submit_proof(
        operator: impl Named,
        provider: impl Named,
        lease: impl Named,
        args: &SubmitProof,
    ) -> Call {
        let accounts = [
            operator.pubkey(),
            address::provider(provider),
            lease.pubkey(),
        ];
        fixed(args, accounts)
    }

    /// Pays what is due of a lease.
    pub fn verify_and_release(lease: impl Named, state: &Lease) -> Call {
        let accounts = [address::provider(state.terms.provider), lease.pubkey()];
        fixed(&VerifyAndRelease {}, accounts)
    }

    /// Adds seconds to a lease.
    pub fn top_up(payer: impl Named, lease: impl Named, state: &Lease, seconds: u32) -> Call {
        let args = TopUp {
            terms_hash: state.terms_hash,
            seconds: U32::new(seconds),
        };
        let accounts = [payer.pubkey(), lease.pubkey(), SYSTEM];
        fixed(&args, accounts)
    }

    /// Ends a lease for a reason, or gives a provider's notice, if its status is still the one that was read.
    pub fn close_lease(
        closer: impl Named,
        lease: impl Named,
        state: &Lease,
        reason: CloseReason,
        now: bool,
    ) -> Call {
        let args = CloseLease {
            terms_hash: state.terms_hash,
            reason: reason as u8,
            now: now.into(),
            expected: state.header.status,
        };
        let accounts = [
            closer.pubkey(),
            address::provider(state.terms.provider),
            lease.pubkey(),
        ];
        fixed(&args, accounts)
    }

    /// Pays a tenant what its lease holds for it.
    pub fn withdraw_lease(lease: impl Named, state: &Lease) -> Call {
        let accounts = [lease.pubkey(), state.terms.tenant.pubkey()];
        fixed(&WithdrawLease {}, accounts)
    }

    /// Closes a lease's account.
    pub fn close_lease_account(lease: impl Named, state: &Lease) -> Call {
        let accounts = [
            lease.pubkey(),
            address::provider(state.terms.provider),
            state.terms.tenant.pubkey(),
            state.rent_payer.pubkey(),
        ];
        fixed(&CloseLeaseAccount {}, accounts)
    }
}
