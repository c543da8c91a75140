//! Epochs, seconds and lamports of a lease: what an epoch pays, what was missed, what an end costs.
//!
//! Products are of visibly small operands or go through [`checked_mul`], as in [`crate::money`].

use super::params::{Grid, MarketRules, REFUTED_BPS, REFUTER_BPS};
use crate::error::MythicError;
use crate::money::{self, amount, checked_mul, share};

/// Lamports of `seconds` of `units` units at `price` lamports a second for each.
pub fn price_of(price: u64, units: u8, seconds: u64) -> Result<u64, MythicError> {
    checked_mul(price, u64::from(units))
        .and_then(|a_second| checked_mul(a_second, seconds))
        .ok_or(MythicError::AmountTooLarge)
        .and_then(amount)
}

/// The epoch of a slot.
pub const fn epoch_of(slot: u64, grid: &Grid) -> u64 {
    match slot.checked_div(grid.epoch_slots.get() as u64) {
        Some(epoch) => epoch,
        None => 0,
    }
}

/// The first slot of an epoch; `u64::MAX` where there is none.
pub fn epoch_start(epoch: u64, grid: &Grid) -> u64 {
    checked_mul(epoch, grid.epoch_slots.get().into()).unwrap_or(u64::MAX)
}

/// Where a lease's meter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Second of the start.
    pub started_at: u64,
    /// Second up to which it is metered.
    pub mark: u64,
    /// Second from which nothing is metered.
    pub ends_at: u64,
    /// Epoch of the last proof; of the start, before there is one.
    pub last_proved: u64,
    /// The grid of epochs.
    pub grid: Grid,
    /// Slots from the beginning of an epoch in which its proof is taken.
    pub proof_slots: u32,
}

impl Meter {
    /// Slot from which no proof of an epoch is taken.
    pub fn proof_end(&self, epoch: u64) -> u64 {
        epoch_start(epoch, &self.grid).saturating_add(self.proof_slots.into())
    }

    /// Epochs without a proof between the last one and `epoch`.
    pub const fn missed(&self, epoch: u64) -> u64 {
        epoch.saturating_sub(self.last_proved).saturating_sub(1)
    }

    /// Epochs in a row without a proof at `slot`: once the time is over, as many as fit what was not metered, since nobody proves
    /// what is not paid any more.
    pub fn silent(&self, now: u64, slot: u64) -> u64 {
        let missed = self.missed(epoch_of(slot, &self.grid));
        let whole = u64::from(self.grid.epoch_seconds.get());
        match self.unmetered(now).checked_div(whole) {
            Some(epochs) if now >= self.ends_at => missed.min(epochs),
            _ => missed,
        }
    }

    /// Seconds from the mark to `now` or the end, without a cap.
    pub fn unmetered(&self, now: u64) -> u64 {
        now.min(self.ends_at).saturating_sub(self.mark)
    }

    /// Seconds that the proof of `epoch` pays: at most one and a half epochs, after a missed one at most one. Otherwise whoever
    /// proves every second epoch would be paid for all.
    pub fn metered(&self, now: u64, epoch: u64) -> u64 {
        let whole = u64::from(self.grid.epoch_seconds.get());
        let most = match self.missed(epoch) {
            0 => whole + whole / 2,
            _ => whole,
        };
        self.unmetered(now).min(most)
    }

    /// Whether a proof is overdue at `slot`: that of an epoch whose time for proofs is over.
    pub fn is_overdue(&self, slot: u64) -> bool {
        let epoch = epoch_of(slot, &self.grid);
        let closed = !crate::window::open(slot, self.proof_end(epoch));
        self.last_proved < epoch.saturating_sub(u64::from(!closed))
    }

    /// Seconds behind the last proof that an end at `slot` pays: none if a proof is overdue.
    pub fn tail(&self, now: u64, slot: u64) -> u64 {
        match self.is_overdue(slot) {
            true => 0,
            false => self.metered(now, epoch_of(slot, &self.grid)),
        }
    }

    /// Seconds whose price an end at `now` costs that needed `epochs` more of notice: never more than the lease has left after
    /// `from`, nor than it has run.
    pub fn owed(&self, epochs: u64, from: u64, now: u64) -> u64 {
        let left = self.ends_at.saturating_sub(from.max(self.mark));
        let most = left.min(now.saturating_sub(self.started_at));
        checked_mul(epochs, self.grid.epoch_seconds.get().into())
            .map_or(most, |owed| owed.min(most))
    }
}

/// What it costs to say that a proof is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefuteBond {
    /// For the answer.
    pub fee: u64,
    /// Burned if the proof is right.
    pub at_stake: u64,
}

/// The bond of a dispute that `transactions` answer: a fee for each, and half of an epoch's price, as often as there are disputes
/// about the lease with it.
pub fn refute_bond(
    rules: &MarketRules,
    transactions: u8,
    epoch_price: u64,
    open_disputes: u32,
) -> Result<RefuteBond, MythicError> {
    let fee = checked_mul(rules.answering_fee.get(), transactions.into())
        .ok_or(MythicError::AmountTooLarge)?;
    let at_stake = checked_mul(half(epoch_price), u64::from(open_disputes) + 1)
        .ok_or(MythicError::AmountTooLarge)?;
    money::add(fee, at_stake)?;
    Ok(RefuteBond { fee, at_stake })
}

/// Half of an amount, rounded up.
pub const fn half(lamports: u64) -> u64 {
    lamports / 2 + lamports % 2
}

/// Stake that a refuted proof costs: half of what stands behind the lease's units.
pub fn refuted_stake(stake_per_unit: u64, units: u8) -> Result<u64, MythicError> {
    let behind = checked_mul(stake_per_unit, units.into()).ok_or(MythicError::AmountTooLarge)?;
    Ok(share(behind, REFUTED_BPS))
}

/// What of it goes to whoever refuted the proof.
pub const fn refuter_reward(slashed: u64) -> u64 {
    share(slashed, REFUTER_BPS)
}

/// What of it goes to whose dispute was not answered: as much as its bond at most. The chain can't see whether the proof is false or
/// its provider was out of reach, so nobody earns by putting it there.
pub fn unanswered_reward(slashed: u64, bond: u64) -> u64 {
    refuter_reward(slashed).min(bond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::le::U32;
    use proptest::prelude::*;

    const METER: Meter = Meter {
        started_at: 900,
        mark: 1_000,
        ends_at: 10_000,
        last_proved: 10,
        grid: Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(60),
        },
        proof_slots: 50,
    };

    #[test]
    fn a_proof_pays_at_most_one_and_a_half_epochs_and_after_a_missed_one_at_most_one() {
        assert_eq!(METER.metered(1_060, 11), 60);
        assert_eq!(METER.metered(1_090, 11), 90);
        assert_eq!(METER.metered(1_091, 11), 90);
        assert_eq!(METER.metered(1_120, 12), 60);
        assert_eq!(METER.metered(999, 11), 0);
    }

    #[test]
    fn nothing_counts_beyond_the_end() {
        let late = Meter {
            mark: 9_990,
            ..METER
        };
        assert_eq!(late.metered(10_050, 11), 10);
        assert_eq!(late.unmetered(20_000), 10);
        let over = Meter {
            mark: 10_000,
            ..METER
        };
        assert_eq!(over.metered(10_050, 11), 0);
    }

    #[test]
    fn who_proves_every_second_epoch_is_paid_half() {
        let mut meter = METER;
        let mut paid = 0;
        for epoch in (12..=110).step_by(2) {
            let now = METER.mark + 60 * (epoch - 10);
            paid += meter.metered(now, epoch);
            meter.mark = now.min(meter.ends_at);
            meter.last_proved = epoch;
        }
        assert_eq!(paid, 50 * 60);
    }

    #[test]
    fn a_proof_is_overdue_once_its_time_is_over() {
        // Epoch 11 is the slots from 1,650 on; its proof is taken before 1,700.
        assert!(!METER.is_overdue(1_650) && !METER.is_overdue(1_699));
        assert!(METER.is_overdue(1_700) && METER.is_overdue(1_800));
        let proved = Meter {
            last_proved: 11,
            ..METER
        };
        assert!(!proved.is_overdue(1_700) && !proved.is_overdue(1_849));
        assert_eq!(METER.tail(1_060, 1_699), 60);
        assert_eq!(METER.tail(1_060, 1_700), 0);
        assert_eq!(METER.missed(11), 0);
        assert_eq!(METER.missed(13), 2);
        assert_eq!(METER.missed(10), 0);
    }

    #[test]
    fn an_end_without_notice_costs_no_more_than_is_left_nor_than_there_was() {
        assert_eq!(METER.owed(2, 5_000, 5_000), 120);
        assert_eq!(METER.owed(2, 9_940, 9_940), 60);
        assert_eq!(METER.owed(0, 5_000, 5_000), 0);
        assert_eq!(METER.owed(u64::MAX, 6_000, 6_000), 4_000);
        // What lies before the mark is paid already.
        assert_eq!(METER.owed(u64::MAX, 0, 20_000), 9_000);
        // Who leaves at once leaves for what it could have earned.
        assert_eq!(METER.owed(2, 1_000, 1_000), 100);
        assert_eq!(METER.owed(2, 900, 900), 0);
    }

    #[test]
    fn who_is_silent_to_the_end_missed_what_would_have_been_paid() {
        assert_eq!(METER.silent(1_300, 150 * 14), 3);
        assert_eq!(METER.silent(9_999, 150 * 200), 189);
        let last = Meter {
            mark: 9_821,
            ..METER
        };
        // Two whole epochs before the end, whatever has passed since.
        assert_eq!(last.silent(10_000, 150 * 200), 2);
        assert_eq!(last.silent(99_999, 150 * 200), 2);
        assert_eq!(last.silent(10_000, 150 * 12), 1);
    }

    #[test]
    fn bonds_and_slashes() {
        let rules = crate::market::params::MarketParams::mainnet().rules;
        for (open, at_stake) in [(0, 51), (1, 102), (65_535, 51 * 65_536)] {
            let fee = 50_000;
            let bond = refute_bond(&rules, 5, 101, open);
            assert_eq!(bond, Ok(RefuteBond { fee, at_stake }));
        }
        let dear = refute_bond(&rules, 5, 1 << 62, 4);
        assert_eq!(dear, Err(MythicError::AmountTooLarge));
        assert_eq!(refuted_stake(1_000_000_001, 3), Ok(1_500_000_001));
        assert_eq!(refuter_reward(1_500_000_001), 375_000_000);
        assert_eq!(unanswered_reward(1_500_000_001, 320_000), 320_000);
        assert_eq!(unanswered_reward(1_000, 320_000), 250);
        assert_eq!(refuted_stake(u64::MAX, 2), Err(MythicError::AmountTooLarge));
        assert_eq!(price_of(7, 3, 60), Ok(1_260));
        assert_eq!(price_of(u64::MAX, 3, 60), Err(MythicError::AmountTooLarge));
        assert_eq!(price_of(1 << 62, 1, 2), Err(MythicError::AmountTooLarge));
    }

    proptest! {
        /// However it is metered, the sum never exceeds what lies between start and end.
        #[test]
        fn no_meter_runs_ahead_of_the_clock(steps in proptest::collection::vec((0u64..4, 0u64..200), 1..200)) {
            let mut meter = METER;
            let (mut now, mut epoch, mut sum) = (METER.mark, METER.last_proved, 0);
            for (epochs, seconds) in steps {
                now += seconds;
                epoch += 1 + epochs;
                sum += meter.metered(now, epoch);
                meter.mark = now.min(meter.ends_at).max(meter.mark);
                meter.last_proved = epoch;
                prop_assert!(sum <= now.min(METER.ends_at).saturating_sub(METER.mark));
            }
        }
    }
}
