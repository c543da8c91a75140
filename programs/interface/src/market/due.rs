//! What anyone may have done about the market's accounts, and from when, as the program decides it. For whoever sends it, shows it or
//! lists it: the programs themselves do without. Pure.

use super::meter::{epoch_of, epoch_start};
use super::state::{
    CloseReason, Lease, LeaseDispute, LeaseDisputeStatus, LeaseEpoch, LeaseStatus, Request,
    RequestStatus,
};
use crate::window;

/// What a call is judged by: the Clock of the block in which it lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Slot.
    pub slot: u64,
    /// Unix second.
    pub second: u64,
}

/// Why anyone can end a lease now; `None` while only its parties can, or nobody.
pub fn close_reason(lease: &Lease, now: Moment) -> Option<CloseReason> {
    let meter = lease.meter();
    let running = matches!(lease.status()?, LeaseStatus::Active | LeaseStatus::Closing);
    if running && meter.tail(now.second, now.slot) > 0 && rest_is_barred(lease) {
        return None;
    }
    let over = now.second >= meter.ends_at;
    let late = |end: u64| !window::open(now.slot, end);
    match lease.status()? {
        LeaseStatus::Accepted => late(lease.start_end()).then_some(CloseReason::NeverStarted),
        LeaseStatus::Started => {
            (over || late(lease.ack_end())).then_some(CloseReason::NeverAcknowledged)
        }
        LeaseStatus::Active | LeaseStatus::Closing if over => Some(CloseReason::Completed),
        // What is left of the price of its notice is the tenant's; silence burns it.
        LeaseStatus::Closing if notice_is_over(lease, now.slot) => {
            Some(CloseReason::ClosedByProvider)
        }
        LeaseStatus::Active | LeaseStatus::Closing => {
            let most = u64::from(lease.terms.rules.max_missed.get());
            let silent = meter.silent(now.second, now.slot) >= most;
            silent.then_some(CloseReason::MissedProofs)
        }
        LeaseStatus::Ended => None,
    }
}

/// Whether the seconds behind the last proof can't be metered: an open dispute about an epoch of long ago still needs their place.
fn rest_is_barred(lease: &Lease) -> bool {
    let next = lease.last_proved.get().saturating_add(1);
    let old = &lease.ring[Lease::place(next)];
    old.state != 0 && old.epoch.get() >= lease.held_from()
}

/// Whether the epochs of a provider's notice have passed.
pub fn notice_is_over(lease: &Lease, slot: u64) -> bool {
    lease.status() == Some(LeaseStatus::Closing)
        && epoch_of(slot, &lease.terms.grid) >= lease.notice_end()
}

/// Epochs that can be paid at a slot. Nothing is paid before the start is acknowledged.
pub fn releasable(lease: &Lease, slot: u64) -> impl Iterator<Item = &LeaseEpoch> {
    let rules = &lease.terms.rules;
    let (acknowledged, held_from) = (lease.acknowledged_slot.get() != 0, lease.held_from());
    let ring = lease.ring.iter();
    ring.filter(move |entry| acknowledged && entry.is_due(rules, held_from, slot))
}

/// Slot from which the account of a lease can be closed; `None` while something of it is open.
pub fn account_end(lease: &Lease) -> Option<u64> {
    let over = lease.status() == Some(LeaseStatus::Ended)
        && lease.open_disputes.get() == 0
        && lease.pending.get() == 0;
    let rules = &lease.terms.rules;
    let delay = rules.close_delay_slots.get().max(rules.dispute_slots.get());
    over.then(|| lease.ended_slot.get().saturating_add(delay.into()))
}

/// First slot from which anyone may have something done about a lease as its account stands, but for what its `ends_at` brings, which
/// is a second: end it, have epochs or the tenant paid, close its account. `None` until the account is written again.
pub fn lease_slot(lease: &Lease) -> Option<u64> {
    let grid = &lease.terms.grid;
    let silence = || {
        let most = u64::from(lease.terms.rules.max_missed.get());
        let epoch = lease.last_proved.get().saturating_add(most + 1);
        epoch_start(epoch, grid)
    };
    let life = match lease.status()? {
        LeaseStatus::Accepted => Some(lease.start_end()),
        LeaseStatus::Started => Some(lease.ack_end()),
        LeaseStatus::Active => Some(silence()),
        LeaseStatus::Closing => Some(silence().min(epoch_start(lease.notice_end(), grid))),
        LeaseStatus::Ended => account_end(lease),
    };
    // Those that wait for nothing but the end of their time for disputes.
    let paid = releasable(lease, u64::MAX)
        .map(|entry| entry.dispute_end(&lease.terms.rules))
        .min();
    let owed = (lease.tenant_due.get() > 0).then(|| lease.accepted_slot.get());
    [life, paid, owed].into_iter().flatten().min()
}

/// Slot from which a request can be ended or its account closed by anyone; of one that was accepted, once the lease's account is gone.
pub fn request_slot(request: &Request) -> Option<u64> {
    match RequestStatus::from_u8(request.header.status)? {
        RequestStatus::Open => Some(request.deadline_slot.get()),
        RequestStatus::Accepted | RequestStatus::Cancelled | RequestStatus::Expired => {
            let delay = request.terms.rules.close_delay_slots.get();
            let ended = request.ended_slot.get();
            Some(window::stay_end(ended, &request.terms.nonce, delay))
        }
    }
}

/// What can be done about a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeStep {
    /// An older one about the lease is decided first.
    Older,
    /// What it names can be opened until this slot.
    Openings(u64),
    /// It can be decided.
    Resolve,
    /// It is decided; its account stays until this slot.
    Stays(u64),
    /// Its account can be closed, which pays its disputer.
    Collect,
}

impl DisputeStep {
    /// Of a dispute at a slot. The lease may have no account any more: then no dispute about it is open.
    pub fn of(dispute: &LeaseDispute, lease: Option<&Lease>, slot: u64) -> Self {
        let status = LeaseDisputeStatus::from_u8(dispute.header.status);
        if status == Some(LeaseDisputeStatus::Resolved) {
            return match window::open(slot, dispute.retention_end()) {
                true => Self::Stays(dispute.retention_end()),
                false => Self::Collect,
            };
        }
        let Some(lease) = lease.filter(|lease| dispute.number.get() == lease.oldest_dispute())
        else {
            return Self::Older;
        };
        let convicted = lease.refuted_slot.get() != 0;
        match !convicted && window::open(slot, verdict_slot(dispute)) {
            true => Self::Openings(dispute.openings_end.get()),
            false => Self::Resolve,
        }
    }
}

/// Slot from which an open dispute can be decided, once it is the lease's oldest: at once when all is opened or an element is wrong.
fn verdict_slot(dispute: &LeaseDispute) -> u64 {
    let wrong = dispute.header.status == LeaseDisputeStatus::Wrong as u8;
    match wrong || dispute.opened == dispute.all() {
        true => dispute.opened_slot.get(),
        false => dispute.openings_end.get(),
    }
}

/// First slot from which anyone may have a dispute decided or its account closed, as it stands. A conviction in another dispute makes an
/// open one due before that.
pub fn dispute_slot(dispute: &LeaseDispute) -> Option<u64> {
    match LeaseDisputeStatus::from_u8(dispute.header.status)? {
        LeaseDisputeStatus::Open | LeaseDisputeStatus::Wrong => Some(verdict_slot(dispute)),
        LeaseDisputeStatus::Resolved => Some(dispute.retention_end()),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use crate::market::params::MarketParams;
    use crate::market::state::EpochState;
    use bytemuck::Zeroable;
    use std::vec::Vec;

    /// Under the rules of a development network: epochs of 150 slots and 60 s, 100 slots to dispute, three missed, two of notice.
    fn lease(status: LeaseStatus) -> Lease {
        let mut lease = Lease::zeroed();
        lease.header.status = status as u8;
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.grid.epoch_slots.set(150);
        lease.terms.grid.epoch_seconds.set(60);
        lease.terms.probe.proof_slots.set(50);
        lease.terms.units = 1;
        lease.accepted_slot.set(1_000);
        if status != LeaseStatus::Accepted {
            lease.started_slot.set(1_100);
            lease.started_at.set(5_000);
            lease.mark.set(5_000);
            lease.ends_at.set(9_000);
            lease.last_proved.set(7);
        }
        if !matches!(status, LeaseStatus::Accepted | LeaseStatus::Started) {
            lease.acknowledged_slot.set(1_110);
        }
        lease
    }

    fn reason(lease: &Lease, slot: u64, second: u64) -> Option<CloseReason> {
        close_reason(lease, Moment { slot, second })
    }

    /// The first slot with a reason, and the reason.
    fn first(lease: &Lease, second: u64) -> Option<(u64, CloseReason)> {
        (0..10_000).find_map(|slot| Some((slot, reason(lease, slot, second)?)))
    }

    #[test]
    fn anyone_ends_what_was_not_started_or_not_acknowledged_in_time() {
        let accepted = lease(LeaseStatus::Accepted);
        let never = Some((1_150, CloseReason::NeverStarted));
        assert_eq!(first(&accepted, 0), never);
        assert_eq!(lease_slot(&accepted), Some(1_150));
        let started = lease(LeaseStatus::Started);
        let never = Some((1_200, CloseReason::NeverAcknowledged));
        assert_eq!(first(&started, 8_999), never);
        assert_eq!(lease_slot(&started), Some(1_200));
        // Its time may be over before.
        let over = reason(&started, 1_101, 9_000);
        assert_eq!(over, Some(CloseReason::NeverAcknowledged));
    }

    #[test]
    fn silence_a_notice_and_the_end_of_its_time_end_a_lease() {
        let active = lease(LeaseStatus::Active);
        // The last proof is of epoch 7: in epoch 11 three in a row have none.
        let silent = Some((11 * 150, CloseReason::MissedProofs));
        assert_eq!(first(&active, 8_999), silent);
        assert_eq!(lease_slot(&active), Some(11 * 150));
        assert_eq!(reason(&active, 0, 9_000), Some(CloseReason::Completed));
        let mut closing = lease(LeaseStatus::Closing);
        closing.notice_epoch.set(7);
        let noticed = Some((10 * 150, CloseReason::ClosedByProvider));
        assert_eq!(first(&closing, 8_999), noticed);
        assert_eq!(lease_slot(&closing), Some(10 * 150));
        assert!(notice_is_over(&closing, 1_500) && !notice_is_over(&closing, 1_499));
        // A notice that comes after silence ends nothing before silence does.
        closing.notice_epoch.set(9);
        assert_eq!(first(&closing, 8_999), silent);
        assert!(!notice_is_over(&active, 100_000));
    }

    #[test]
    fn what_ended_or_says_what_nobody_knows_is_not_ended_again() {
        assert_eq!(first(&lease(LeaseStatus::Ended), 10_000), None);
        let mut strange = lease(LeaseStatus::Active);
        strange.header.status = 99;
        assert_eq!(
            (first(&strange, 10_000), lease_slot(&strange)),
            (None, None)
        );
    }

    fn pending(lease: &mut Lease, epoch: u64, slot: u64) -> &mut LeaseEpoch {
        let entry = &mut lease.ring[Lease::place(epoch)];
        entry.epoch.set(epoch);
        entry.slot.set(slot);
        entry.amount.set(7);
        entry.state = EpochState::Pending as u8;
        entry
    }

    #[test]
    fn an_epoch_is_paid_when_its_time_is_over_unless_it_or_an_older_one_is_disputed() {
        let mut active = lease(LeaseStatus::Active);
        pending(&mut active, 8, 1_210);
        pending(&mut active, 9, 1_360);
        let paid = |lease: &Lease, slot| -> Vec<u64> {
            releasable(lease, slot)
                .map(|entry| entry.epoch.get())
                .collect()
        };
        assert!(paid(&active, 1_309).is_empty());
        assert_eq!(paid(&active, 1_310), [8]);
        assert_eq!(lease_slot(&active), Some(1_310));
        assert_eq!(paid(&active, 1_460), [8, 9]);
        active.ring[Lease::place(9)].open_disputes.set(1);
        assert_eq!(paid(&active, 9_999), [8]);
        active.ring[Lease::place(8)].open_disputes.set(1);
        assert!(paid(&active, 9_999).is_empty());
        assert_eq!(lease_slot(&active), Some(11 * 150));
        let mut unseen = lease(LeaseStatus::Started);
        pending(&mut unseen, 8, 1_110);
        assert!(paid(&unseen, 9_999).is_empty());
        assert_eq!(lease_slot(&unseen), Some(1_200));
    }

    #[test]
    fn a_lease_whose_rest_has_no_place_ends_when_the_dispute_about_what_is_there_is_decided() {
        // In epoch 33, all of it up to 32 proved, it is over; its rest takes the place of epoch 1.
        let mut active = lease(LeaseStatus::Active);
        active.last_proved.set(32);
        let slot = 33 * 150 + 5;
        pending(&mut active, 1, 300).open_disputes.set(1);
        assert_eq!(reason(&active, slot, 9_000), None);
        active.ring[Lease::place(1)].open_disputes.set(0);
        assert_eq!(reason(&active, slot, 9_000), Some(CloseReason::Completed));
        pending(&mut active, 0, 200).open_disputes.set(1);
        assert_eq!(reason(&active, slot, 9_000), None, "an older one is");
        // Once a proof is overdue, there is nothing to meter.
        let late = slot + 150;
        assert_eq!(reason(&active, late, 9_000), Some(CloseReason::Completed));
    }

    #[test]
    fn an_account_stays_until_nothing_of_it_can_be_disputed() {
        let mut ended = lease(LeaseStatus::Ended);
        ended.ended_slot.set(2_000);
        assert_eq!(account_end(&ended), Some(2_000 + 2_250));
        assert_eq!(lease_slot(&ended), Some(2_000 + 2_250));
        ended.terms.rules.dispute_slots.set(3_000);
        assert_eq!(account_end(&ended), Some(5_000));
        ended.pending.set(7);
        pending(&mut ended, 8, 1_990);
        assert_eq!(account_end(&ended), None);
        assert_eq!(lease_slot(&ended), Some(4_990));
        ended.open_disputes.set(1);
        ended.ring[Lease::place(8)].open_disputes.set(1);
        assert_eq!(lease_slot(&ended), None, "its dispute comes first");
        ended.tenant_due.set(1);
        assert_eq!(
            lease_slot(&ended),
            Some(1_000),
            "the tenant waits for nothing"
        );
        assert_eq!(account_end(&lease(LeaseStatus::Closing)), None);
    }

    #[test]
    fn a_request_expires_at_its_deadline_and_its_account_stays_until_its_nonce_is_dead() {
        let mut request = Request::zeroed();
        request.terms.rules = MarketParams::dev().rules;
        request.terms.nonce = window::nonce(9_999, [0; 8]);
        request.header.status = RequestStatus::Open as u8;
        request.deadline_slot.set(700);
        assert_eq!(request_slot(&request), Some(700));
        request.header.status = RequestStatus::Expired as u8;
        request.ended_slot.set(710);
        assert_eq!(request_slot(&request), Some(10_000));
        request.ended_slot.set(9_000);
        assert_eq!(request_slot(&request), Some(11_250));
        request.header.status = 0;
        assert_eq!(request_slot(&request), None);
    }

    #[test]
    fn what_can_be_done_about_a_dispute_is_what_the_program_takes() {
        let (mut lease, mut dispute) = (lease(LeaseStatus::Active), LeaseDispute::zeroed());
        lease.disputes.set(2);
        lease.open_disputes.set(2);
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.count = 1;
        dispute.opened_slot.set(10);
        dispute.openings_end.set(50);
        dispute.number.set(1);
        let step = |lease: &Lease, dispute: &LeaseDispute, slot| {
            DisputeStep::of(dispute, Some(lease), slot)
        };
        assert_eq!(step(&lease, &dispute, 99), DisputeStep::Older);
        lease.open_disputes.set(1);
        assert_eq!(step(&lease, &dispute, 49), DisputeStep::Openings(50));
        assert_eq!(
            step(&lease, &dispute, 50),
            DisputeStep::Resolve,
            "nobody answered"
        );
        assert_eq!(dispute_slot(&dispute), Some(50));
        dispute.header.status = LeaseDisputeStatus::Wrong as u8;
        assert_eq!(step(&lease, &dispute, 20), DisputeStep::Resolve);
        assert_eq!(dispute_slot(&dispute), Some(10));
        dispute.header.status = LeaseDisputeStatus::Open as u8;
        dispute.opened = 1;
        assert_eq!(
            step(&lease, &dispute, 20),
            DisputeStep::Resolve,
            "all is shown"
        );
        dispute.opened = 0;
        lease.refuted_slot.set(10);
        assert_eq!(
            step(&lease, &dispute, 20),
            DisputeStep::Resolve,
            "another one convicted"
        );
        dispute.header.status = LeaseDisputeStatus::Resolved as u8;
        dispute.resolved_slot.set(20);
        dispute.close_delay_slots.set(30);
        assert_eq!(step(&lease, &dispute, 49), DisputeStep::Stays(50));
        assert_eq!(step(&lease, &dispute, 50), DisputeStep::Collect);
        assert_eq!(dispute_slot(&dispute), Some(50));
        assert_eq!(
            DisputeStep::of(&dispute, None, 50),
            DisputeStep::Collect,
            "without its lease"
        );
        dispute.header.status = 0;
        assert_eq!(dispute_slot(&dispute), None);
    }
}
