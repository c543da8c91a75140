//! Leases of this provider that no journal here knows: its data directory was lost, or another process runs for it. The reconciler finds
//! them, the intake reads again what they were promised; what is done where that can't be had is decided here. Pure but for the list.

use mythic_interface::{
    market::{
        meter,
        state::{Lease, LeaseStatus},
    },
    window,
};
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

use crate::journal::Promise;

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    pub lease: Pubkey,
    pub state: Lease,
    /// Slots of the first list of this process that had it, and of the last, which `state` is of.
    pub first: u64,
    pub last: u64,
}

/// Those that the last list had; `None` before there was one.
#[derive(Debug, Default)]
pub struct Lost(Mutex<Option<Vec<Found>>>);

impl Lost {
    /// Replaces them by those of a newer list, of this slot.
    pub fn set(&self, slot: u64, leases: Vec<(Pubkey, Lease)>) {
        let mut held = self.0.lock();
        let before = held.take().unwrap_or_default();
        let found = leases.into_iter().map(|(lease, state)| {
            let known = before.iter().find(|known| known.lease == lease);
            Found {
                lease,
                state,
                first: known.map_or(slot, |known| known.first),
                last: slot,
            }
        });
        *held = Some(found.collect());
    }

    /// All of them.
    pub fn all(&self) -> Vec<Found> {
        self.0.lock().clone().unwrap_or_default()
    }

    /// Whether it is known that there are none.
    pub fn is_clear(&self) -> bool {
        self.0.lock().as_ref().is_some_and(Vec::is_empty)
    }
}

/// What is done about a lost lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing yet: what it was promised may still be found.
    Wait,
    /// Its provider gives notice, whose price is the tenant's.
    Notice,
    /// It is taken into care with this promise.
    Keep(Box<Promise>),
}

/// Takes a lease up once its promise was read again. Gives it up, to be seen to its end and not served, once its time to begin went by, or
/// epochs were missed and its tenant had the time of one to leave its spec again.
pub fn next(promise: Option<Promise>, found: &Found) -> Next {
    if let Some(promise) = promise {
        return Next::Keep(Box::new(promise));
    }
    // What may have been proved since that list counts for nothing here.
    let (state, slot) = (&found.state, found.last);
    let meter = state.meter();
    let epoch = meter::epoch_of(slot, &meter.grid);
    let is_over = !window::open(slot, meter.proof_end(epoch));
    let missed = meter.missed(epoch + u64::from(is_over)) > 0;
    let epoch_slots = u64::from(meter.grid.epoch_slots.get());
    let waited = !window::open(slot, found.first.saturating_add(epoch_slots));
    let given_up = missed && waited;
    let is_late = match state.status() {
        Some(LeaseStatus::Active) if given_up => return Next::Notice,
        Some(LeaseStatus::Accepted) => !window::open(slot, state.start_end()),
        Some(LeaseStatus::Started) => !window::open(slot, state.ack_end()),
        Some(LeaseStatus::Closing) => given_up,
        Some(LeaseStatus::Active | LeaseStatus::Ended) | None => false,
    };
    match is_late {
        true => Next::Keep(Box::new(Promise::unserved(state))),
        false => Next::Wait,
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use mythic_interface::{
        le::U32,
        market::params::{Grid, MarketParams},
    };

    use super::*;

    /// Accepted in slot 910, started in 920: epochs of 150 slots, of which the first 50 are for proofs.
    fn lease(status: LeaseStatus) -> Lease {
        let mut lease = Lease::zeroed();
        lease.header.status = status as u8;
        lease.terms.rules = MarketParams::dev().rules;
        lease.terms.grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        lease.terms.probe.proof_slots = U32::new(50);
        lease.accepted_slot.set(910);
        lease.started_slot.set(920);
        lease.last_proved.set(6);
        lease
    }

    /// A lease as a list of a slot has it, first found in another.
    fn found(state: Lease, first: u64, last: u64) -> Found {
        Found {
            lease: Pubkey::new_from_array([1; 32]),
            state,
            first,
            last,
        }
    }

    /// What is done about a lease that can't be read again.
    fn left(state: &Lease, first: u64, last: u64) -> Next {
        next(None, &found(*state, first, last))
    }

    #[test]
    fn a_lost_lease_is_given_up_only_when_nobody_proved_it_for_an_epoch() {
        use LeaseStatus::{Accepted, Active, Closing, Ended, Started};
        let settle = |status| Next::Keep(Box::new(Promise::unserved(&lease(status))));
        // Epoch 7 is the slots from 1,050 on; its proof is taken before 1,100.
        for (status, slot, expected) in [
            (Accepted, 1_059, Next::Wait),
            (Accepted, 1_060, settle(Accepted)),
            (Started, 1_019, Next::Wait),
            (Started, 1_020, settle(Started)),
            (Active, 1_099, Next::Wait),
            (Active, 1_100, Next::Notice),
            (Closing, 1_099, Next::Wait),
            (Closing, 1_100, settle(Closing)),
            (Ended, 9_999, Next::Wait),
        ] {
            let done = left(&lease(status), 900, slot);
            assert_eq!(done, expected, "{status:?} at {slot}");
        }
        // A proof of whomever holds it.
        let mut proved = lease(Active);
        proved.last_proved.set(7);
        assert_eq!(left(&proved, 900, 1_100), Next::Wait);
        assert_eq!(left(&proved, 900, 1_249), Next::Wait);
        assert_eq!(left(&proved, 900, 1_250), Next::Notice);
    }

    #[test]
    fn after_a_longer_outage_a_tenant_has_an_epoch_to_leave_its_spec_again() {
        let (active, closing) = (lease(LeaseStatus::Active), lease(LeaseStatus::Closing));
        for (last, is_over) in [(1_400, false), (1_549, false), (1_550, true)] {
            assert_eq!(left(&active, 1_400, last) == Next::Notice, is_over);
            assert_eq!(left(&closing, 1_400, last) != Next::Wait, is_over);
        }
        // Left again meanwhile, it is served on.
        let promise = Promise {
            access: "{}".into(),
            ..Promise::default()
        };
        let kept = next(Some(promise.clone()), &found(active, 1_400, 1_549));
        assert_eq!(kept, Next::Keep(Box::new(promise)));
    }

    #[test]
    fn it_is_remembered_when_a_lease_was_found_and_nothing_is_clear_before_a_list() {
        let key = |n: u8| Pubkey::new_from_array([n; 32]);
        let (lost, state) = (Lost::default(), lease(LeaseStatus::Active));
        assert!(!lost.is_clear() && lost.all().is_empty());
        lost.set(7, vec![(key(1), state)]);
        lost.set(9, vec![(key(2), state), (key(1), state)]);
        let slots = |found: &Found| (found.lease, found.first, found.last);
        let slots: Vec<_> = lost.all().iter().map(slots).collect();
        assert_eq!(slots, [(key(2), 9, 9), (key(1), 7, 9)]);
        assert!(!lost.is_clear());
        lost.set(10, Vec::new());
        assert!(lost.is_clear());
    }
}
