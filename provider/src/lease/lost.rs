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

/// Those that the last list had.
#[derive(Debug, Default)]
pub struct Lost(Mutex<Vec<(Pubkey, Lease)>>);

impl Lost {
    /// Replaces them by those of a newer list.
    pub fn set(&self, leases: Vec<(Pubkey, Lease)>) {
        *self.0.lock() = leases;
    }

    /// All of them.
    pub fn all(&self) -> Vec<(Pubkey, Lease)> {
        self.0.lock().clone()
    }
}

/// What is done about a lost lease whose promise can't be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing yet: what it was promised may be found, and another process may serve it.
    Wait,
    /// It is seen to its end, and not served.
    Settle,
    /// The same, after notice of it was given: what that costs is its tenant's.
    Notice,
}

/// Gives a lease up once an epoch went by in which nobody proved it, or its time to begin did.
pub fn left(state: &Lease, slot: u64) -> Left {
    let meter = state.meter();
    let epoch = meter::epoch_of(slot, &meter.grid);
    let is_over = !window::open(slot, meter.proof_end(epoch));
    let missed = meter.missed(epoch + u64::from(is_over)) > 0;
    match state.status() {
        Some(LeaseStatus::Accepted) if !window::open(slot, state.start_end()) => Left::Settle,
        Some(LeaseStatus::Started) if !window::open(slot, state.ack_end()) => Left::Settle,
        Some(LeaseStatus::Active) if missed => Left::Notice,
        Some(LeaseStatus::Closing) if missed => Left::Settle,
        _ => Left::Wait,
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

    #[test]
    fn a_lost_lease_is_given_up_only_when_nobody_proved_it_for_an_epoch() {
        use LeaseStatus::{Accepted, Active, Closing, Ended, Started};
        // Epoch 7 is the slots from 1,050 on; its proof is taken before 1,100.
        for (status, slot, expected) in [
            (Accepted, 1_059, Left::Wait),
            (Accepted, 1_060, Left::Settle),
            (Started, 1_019, Left::Wait),
            (Started, 1_020, Left::Settle),
            (Active, 1_099, Left::Wait),
            (Active, 1_100, Left::Notice),
            (Closing, 1_099, Left::Wait),
            (Closing, 1_100, Left::Settle),
            (Ended, 9_999, Left::Wait),
        ] {
            assert_eq!(left(&lease(status), slot), expected, "{status:?} at {slot}");
        }
        // Another process that proves it has it.
        let mut proved = lease(Active);
        proved.last_proved.set(7);
        assert_eq!(left(&proved, 1_100), Left::Wait);
        assert_eq!(left(&proved, 1_249), Left::Wait);
        assert_eq!(left(&proved, 1_250), Left::Notice);
    }
}
