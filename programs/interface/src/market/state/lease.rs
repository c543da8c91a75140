//! A lease: what was agreed, its meter, and a ring of its latest epochs.

use super::*;
use crate::hash::{domain, sha256};
use crate::le::U32;
use crate::market::meter::{self, Meter};
use crate::market::params::{ANSWER_SLOTS, DISPUTE_EPOCHS, Grid, MarketRules};

byte_enum! {
    /// `header.status` of [`Lease`].
    LeaseStatus {
        /// A provider has taken it.
        Accepted = 1 "accepted",
        /// The provider says that it runs; the meter does.
        Started = 2 "started",
        /// The tenant says so too.
        Active = 3 "active",
        /// The provider has given notice.
        Closing = 4 "closing",
        /// Over. What is pending is still disputed and released.
        Ended = 5 "ended",
    }
}

byte_enum! {
    /// Why a lease ended: `Lease::reason`, 0 while it runs.
    CloseReason {
        /// Its time was over.
        Completed = 1 "completed",
        /// The tenant closed it.
        ClosedByTenant = 2 "closed_by_tenant",
        /// The provider closed it.
        ClosedByProvider = 3 "closed_by_provider",
        /// The provider did not start in time.
        NeverStarted = 4 "never_started",
        /// The tenant did not acknowledge the start in time.
        NeverAcknowledged = 5 "never_acknowledged",
        /// Too many epochs in a row had no proof.
        MissedProofs = 6 "missed_proofs",
        /// A proof was refuted.
        ProofRefuted = 7 "proof_refuted",
    }
}

byte_enum! {
    /// What became of an epoch: `LeaseEpoch::state`, 0 where the ring has none.
    EpochState {
        /// Metered; lies in the lease until its window is over.
        Pending = 1 "pending",
        /// Paid.
        Released = 2 "released",
        /// The tenant said that it was not served: burned.
        Unserved = 3 "unserved",
        /// A proof of the lease was refuted: refunded.
        Refuted = 4 "refuted",
        /// The start was never acknowledged: burned.
        Forfeited = 5 "forfeited",
    }
}

/// What tenant and provider agreed on, in the order in which it is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LeaseTerms {
    /// Address of the [`Request`].
    pub request: Key,
    /// [`RequestTerms::hash`] of the request.
    pub request_hash: Hash,
    /// Who uses it and gets refunds.
    pub tenant: Key,
    /// Authority of the provider.
    pub provider: Key,
    /// Address of the [`Class`].
    pub class: Key,
    /// What each unit proves.
    pub probe: Probe,
    /// Units.
    pub units: u8,
    /// Lamports a second for each unit.
    pub price: U64,
    /// Seconds from start to end, without what is added later.
    pub seconds: U32,
    /// The grid of epochs.
    pub grid: Grid,
    /// The market's rules at the request.
    pub rules: MarketRules,
}

impl LeaseTerms {
    /// `SHA256("mythic/lease-terms/v1" ‖ the terms in their order)`.
    pub fn hash(&self) -> Hash {
        sha256(&[domain::LEASE_TERMS, bytemuck::bytes_of(self)])
    }

    /// Lamports of so many seconds of all units.
    pub fn price_of(&self, seconds: u64) -> Result<u64, crate::error::MythicError> {
        meter::price_of(self.price.get(), self.units, seconds)
    }

    /// Lamports of an epoch.
    pub fn epoch_price(&self) -> Result<u64, crate::error::MythicError> {
        self.price_of(self.grid.epoch_seconds.get().into())
    }
}

/// An epoch of a lease: its proof, or the seconds behind the last proof (`proof` zero).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LeaseEpoch {
    /// Number of the epoch.
    pub epoch: U64,
    /// Hash of the epoch's first slot, which the proof begins with.
    pub hash: Hash,
    /// The proof; zero for the seconds behind the last one.
    pub proof: Hash,
    /// Seconds that were metered.
    pub seconds: U32,
    /// Lamports of them.
    pub amount: U64,
    /// Slot in which they were metered.
    pub slot: U64,
    /// Disputes about the proof that are not resolved.
    pub open_disputes: U32,
    /// [`EpochState`], 0 where there is none.
    pub state: u8,
}

impl LeaseEpoch {
    /// Whether its lamports still lie in the lease.
    pub fn is_pending(&self) -> bool {
        self.state == EpochState::Pending as u8
    }

    /// Slot from which it cannot be disputed any more.
    pub fn dispute_end(&self, rules: &MarketRules) -> u64 {
        self.slot
            .get()
            .saturating_add(rules.dispute_slots.get().into())
    }

    /// Whether it can be paid at `slot`; see [`Lease::held_from`].
    pub fn is_due(&self, rules: &MarketRules, held_from: u64, slot: u64) -> bool {
        self.is_pending()
            && self.epoch.get() < held_from
            && !crate::window::open(slot, self.dispute_end(rules))
    }
}

/// A lease from its acceptance to the last lamport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Lease {
    /// Status: [`LeaseStatus`].
    pub header: Header,
    /// What was agreed.
    pub terms: LeaseTerms,
    /// [`LeaseTerms::hash`].
    pub terms_hash: Hash,
    /// [`crate::hash::access_hash`] of what the provider gave the tenant to reach it; zero before the start.
    pub access_hash: Hash,
    /// Who paid the rent and gets it back.
    pub rent_payer: Key,
    /// [`CloseReason`], 0 while it runs.
    pub reason: u8,
    /// Slot of acceptance.
    pub accepted_slot: U64,
    /// Slot of the start.
    pub started_slot: U64,
    /// Slot of the acknowledgement.
    pub acknowledged_slot: U64,
    /// Epoch in which the provider gave notice.
    pub notice_epoch: U64,
    /// Later epochs that were proved.
    pub notice_proved: U32,
    /// Slot of the end.
    pub ended_slot: U64,
    /// Slot in which a proof of it was refuted.
    pub refuted_slot: U64,
    /// Second of the start (Unix).
    pub started_at: U64,
    /// Second up to which it is metered (Unix).
    pub mark: U64,
    /// Second from which nothing is metered (Unix).
    pub ends_at: U64,
    /// Epoch of the last proof; of the start, before there is one.
    pub last_proved: U64,
    /// Epochs missed.
    pub missed: U64,
    /// Disputes in total.
    pub disputes: U32,
    /// Disputes that are not resolved: the latest ones, since the oldest is decided first.
    pub open_disputes: U32,
    /// Lamports that were paid in: by the request, and for seconds added.
    pub deposited: U64,
    /// Lamports of the provider's stake for the tenant.
    pub compensated: U64,
    /// Lamports that lie here for seconds to come.
    pub escrow: U64,
    /// Lamports that lie here for epochs whose window is not over.
    pub pending: U64,
    /// Lamports that lie here for the tenant.
    pub tenant_due: U64,
    /// Lamports paid to the provider.
    pub paid: U64,
    /// Lamports paid to the foundation.
    pub foundation: U64,
    /// Lamports burned.
    pub burned: U64,
    /// Lamports returned to the tenant, with those that still lie here: what was deposited and compensated is escrow, pending,
    /// paid, foundation, burned and these.
    pub refunded: U64,
    /// Lamports of stake slashed for it, with those for the tenant.
    pub slashed: U64,
    /// The latest epochs: epoch `e` in place `e % 32`.
    pub ring: [LeaseEpoch; RING],
}
account!(Lease, 37);

impl Lease {
    /// The status; `None` for a byte that is not listed.
    pub fn status(&self) -> Option<LeaseStatus> {
        LeaseStatus::from_u8(self.header.status)
    }

    /// Place of an epoch in the ring.
    pub const fn place(epoch: u64) -> usize {
        (epoch % RING as u64) as usize
    }

    /// An epoch, if the ring has it.
    pub fn epoch(&self, epoch: u64) -> Option<&LeaseEpoch> {
        let entry = &self.ring[Self::place(epoch)];
        (entry.state != 0 && entry.epoch.get() == epoch).then_some(entry)
    }

    /// Its meter.
    pub fn meter(&self) -> Meter {
        Meter {
            started_at: self.started_at.get(),
            mark: self.mark.get(),
            ends_at: self.ends_at.get(),
            last_proved: self.last_proved.get(),
            grid: self.terms.grid,
            proof_slots: self.terms.probe.proof_slots.get(),
        }
    }

    /// Slot from which it has not been started in time.
    pub fn start_end(&self) -> u64 {
        let slots = self.terms.rules.start_slots.get();
        self.accepted_slot.get().saturating_add(slots.into())
    }

    /// Slot from which its start has not been acknowledged in time.
    pub fn ack_end(&self) -> u64 {
        let slots = self.terms.rules.ack_slots.get();
        self.started_slot.get().saturating_add(slots.into())
    }

    /// The first epoch after the notice.
    pub fn notice_end(&self) -> u64 {
        let epochs = self.terms.rules.notice_epochs.get();
        self.notice_epoch
            .get()
            .saturating_add(u64::from(epochs) + 1)
    }

    /// Slot until which stake behind what is metered at `slot` may be asked for.
    pub fn obliged_until(&self, slot: u64) -> u64 {
        let rules = &self.terms.rules;
        let dispute = u64::from(rules.dispute_slots.get()) + u64::from(rules.openings_slots.get());
        slot.saturating_add(dispute)
    }

    /// Whether an epoch of it was proved, so that stake stays behind it until its account is closed.
    pub fn was_proved(&self) -> bool {
        self.last_proved.get() > meter::epoch_of(self.started_slot.get(), &self.terms.grid)
    }

    /// The oldest epoch about which a dispute is open: it and the newer ones are not paid, because all may be refunded.
    pub fn held_from(&self) -> u64 {
        let disputed = self
            .ring
            .iter()
            .filter(|entry| entry.open_disputes.get() != 0);
        disputed
            .map(|entry| entry.epoch.get())
            .min()
            .unwrap_or(u64::MAX)
    }

    /// The oldest dispute that is open.
    pub const fn oldest_dispute(&self) -> u32 {
        self.disputes.get().saturating_sub(self.open_disputes.get())
    }

    /// Slot from which nothing is opened of a dispute that begins at `slot`: with more time for each that is open already, as long
    /// as all are over before an epoch's place in the ring is needed again.
    pub fn openings_end(&self, slot: u64) -> u64 {
        let rules = &self.terms.rules;
        let ring = u64::from(DISPUTE_EPOCHS) * u64::from(self.terms.grid.epoch_slots.get());
        let most = ring.saturating_sub(rules.dispute_slots.get().into());
        let others = u64::from(ANSWER_SLOTS) * u64::from(self.open_disputes.get());
        slot.saturating_add(most.min(u64::from(rules.openings_slots.get()) + others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::params::MarketParams;

    /// A lease under the rules of a development network, whose thirty epochs are 4,500 slots, with so many open disputes.
    fn disputed(open: u32) -> Lease {
        let mut lease = Lease::zeroed();
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.grid.epoch_slots.set(150);
        lease.open_disputes.set(open);
        lease
    }

    #[test]
    fn an_answer_has_more_time_for_each_open_dispute_but_no_more_than_the_ring() {
        for (open, slots) in [
            (0, 50),
            (1, 74),
            (181, 4_394),
            (182, 4_400),
            (u32::MAX, 4_400),
        ] {
            assert_eq!(disputed(open).openings_end(1_000), 1_000 + slots);
        }
    }

    #[test]
    fn what_is_newer_than_a_disputed_epoch_is_held() {
        let mut lease = disputed(2);
        assert_eq!(lease.held_from(), u64::MAX);
        for epoch in [40u64, 45] {
            let entry = &mut lease.ring[Lease::place(epoch)];
            entry.epoch.set(epoch);
            entry.open_disputes.set(1);
        }
        assert_eq!(lease.held_from(), 40);
        lease.disputes.set(5);
        assert_eq!(lease.oldest_dispute(), 3);
    }
}
