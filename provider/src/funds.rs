//! What an operator must be able to pay: the rent of leases, which comes back, fees of proofs, and answers to disputes. Who can't answer a
//! dispute loses half of the stake behind a lease, so nothing is accepted that eats into that. Pure.

use mythic_client::{Bids, LAMPORTS_PER_SIGNATURE};
use mythic_interface::market::{
    meter,
    params::Grid,
    state::{NAMED_ELEMENTS, Provider},
};

/// Seconds of proofs that are paid for beforehand: a day, in which somebody sends the operator more.
const SECONDS: u64 = 86_400;
/// Disputes about each unit that are answered without it.
const DISPUTES: u64 = 4;
/// Transactions of the longest answer: of each element its own and those of two roots, and what decides.
pub const ANSWER: u64 = 3 * NAMED_ELEMENTS as u64 + 1;
/// Leases of each unit whose rent is held at once: one that runs, and one that ended and can still be disputed.
const RENTS: u64 = 2;

/// Lamports that an operator needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Rent of a lease's account.
    pub rent: u64,
    /// Kept for each unit that is leased.
    pub reserve: u64,
}

impl Needs {
    /// Those of a provider's units under a grid, with these bids.
    pub fn new(rent: u64, grid: &Grid, stake_per_unit: u64, bids: &Bids) -> Self {
        let epochs = SECONDS.div_ceil(u64::from(grid.epoch_seconds.get()).max(1));
        let transactions = epochs + DISPUTES * ANSWER;
        let fees = transactions.saturating_mul(LAMPORTS_PER_SIGNATURE);
        let bid = bids.all(loss(stake_per_unit)).saturating_mul(ANSWER);
        Self {
            rent,
            reserve: fees.saturating_add(bid),
        }
    }

    /// What must be there to accept a lease, so that with it `leases` are promised and `units` are leased.
    pub fn to_accept(&self, leases: u64, units: u64) -> u64 {
        let rents = self.rent.saturating_mul(leases);
        rents.saturating_add(self.reserve.saturating_mul(units))
    }

    /// What an operator of so many units is sent at first.
    pub fn to_begin(&self, units: u64) -> u64 {
        self.to_accept(RENTS * units, units)
    }
}

/// What each transaction of an answer bids for: its part of what a refuted proof costs a unit.
pub fn loss(stake_per_unit: u64) -> u64 {
    let unit = meter::refuted_stake(stake_per_unit, 1).unwrap_or(u64::MAX);
    unit / ANSWER
}

/// The same of a lease of so many units of a provider.
pub fn loss_of(provider: &Provider, units: u8) -> u64 {
    loss(provider.stake_per_unit.get()).saturating_mul(units.into())
}

#[cfg(test)]
mod tests {
    use mythic_interface::le::U32;

    use super::*;

    fn needs(epoch_seconds: u32, stake_per_unit: u64) -> Needs {
        let grid = Grid {
            epoch_slots: U32::new(150),
            epoch_seconds: U32::new(epoch_seconds),
        };
        Needs::new(26_434_080, &grid, stake_per_unit, &Bids::default())
    }

    #[test]
    fn a_day_of_proofs_and_the_answers_of_disputes_are_kept_for_each_unit() {
        let minutes = needs(60, 100_000_000);
        // 1,440 proofs, a hundred transactions of answers, and three times a tenth of half of the stake.
        assert_eq!(minutes.reserve, (1_440 + 100) * 5_000 + 15_000_000);
        assert!(needs(1_800, 100_000_000).reserve < minutes.reserve);
        // However much is at stake, no transaction bids more than the configuration allows.
        let dear = needs(60, 1_000_000_000_000);
        assert_eq!(dear.reserve, 1_540 * 5_000 + ANSWER * 30_000_000);
    }

    #[test]
    fn what_is_sent_at_first_is_enough_for_every_unit_and_grows_with_them() {
        let needs = needs(60, 100_000_000);
        for units in [1, 2, 8] {
            assert!(needs.to_begin(units) >= needs.to_accept(units, units));
        }
        assert_eq!(needs.to_begin(8), 8 * needs.to_begin(1));
    }
}
