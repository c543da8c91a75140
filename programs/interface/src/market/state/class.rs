//! A class: how much a unit of capacity must be able to compute, and the stake behind it.

use super::*;
use crate::error::MythicError;
use crate::le::{Text, U32};
use crate::market::params::{Grid, MIN_PROOF_SLOTS};
use crate::market::probe::{BLOCK, MAX_ROUNDS, MAX_SIDE};
use crate::params::{MAX_LAMPORTS, MAX_WINDOW_SLOTS};

byte_enum! {
    /// `header.status` of [`Class`].
    ClassStatus {
        /// Leased.
        Active = 1 "active",
        /// No new providers, no new requests.
        Retired = 2 "retired",
    }
}

/// What each unit of a class proves in each epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Probe {
    /// Side of the matrices, a multiple of 16.
    pub n: U32,
    /// Rounds of each unit.
    pub rounds: U32,
    /// Slots from the beginning of an epoch in which its proof is taken.
    pub proof_slots: U32,
    /// Lamports of active stake that each leased unit takes up.
    pub stake_per_unit: U64,
}

impl Probe {
    /// Checks every range; at most half an epoch is for proofs.
    pub fn validate(&self, grid: &Grid) -> Result<(), MythicError> {
        let n = self.n.get();
        let longest = MAX_WINDOW_SLOTS.min(grid.epoch_slots.get() / 2);
        let valid = n > 0
            && n <= MAX_SIDE
            && n.is_multiple_of(BLOCK as u32)
            && (1..=MAX_ROUNDS).contains(&self.rounds.get())
            && (MIN_PROOF_SLOTS..=longest).contains(&self.proof_slots.get())
            && (1..=MAX_LAMPORTS).contains(&self.stake_per_unit.get());
        match valid {
            true => Ok(()),
            false => Err(MythicError::ClassOutOfRange),
        }
    }
}

/// A class of capacity. Nothing of it changes but that it is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Class {
    /// Status: [`ClassStatus`].
    pub header: Header,
    /// Name, which its address is made of.
    pub name: Text<CLASS_NAME_LEN>,
    /// What each unit proves.
    pub probe: Probe,
    /// GPU memory of a unit, MiB, as the class says; nothing proves it. 0 = CPU only.
    pub vram_mib: U32,
    /// 1 if the probe's time was measured on the device that the class is named after.
    pub calibrated: u8,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Slot of registration.
    pub registered_slot: U64,
    /// Slot of retirement.
    pub retired_slot: U64,
}
account!(Class, 34);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_ranges() {
        let grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        };
        let good = Probe {
            n: U32::new(512),
            rounds: U32::new(8),
            proof_slots: U32::new(50),
            stake_per_unit: U64::new(1),
        };
        assert_eq!(good.validate(&grid), Ok(()));
        let refused = |change: fn(&mut Probe)| {
            let mut probe = good;
            change(&mut probe);
            assert_eq!(probe.validate(&grid), Err(MythicError::ClassOutOfRange));
        };
        refused(|p| p.n.set(0));
        refused(|p| p.n.set(24));
        refused(|p| p.n.set(16_400));
        refused(|p| p.rounds.set(0));
        refused(|p| p.rounds.set(4_097));
        refused(|p| p.proof_slots.set(11));
        refused(|p| p.proof_slots.set(76));
        refused(|p| p.stake_per_unit.set(0));
        refused(|p| p.stake_per_unit.set(1 << 63));
    }
}
