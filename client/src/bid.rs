//! What is bid to have a step in time. A block has little room for what writes one account, and anybody can fill it cheaply: so who
//! would lose something by being late bids more the nearer the end comes, up to a share of that. Pure.

use serde::{Deserialize, Serialize};

/// What is bid at most, and at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bids {
    /// Lamports that every transaction bids from the beginning.
    pub min_priority_fee_lamports: u64,
    /// Most lamports that one transaction bids, whatever it would lose.
    pub max_priority_fee_lamports: u64,
    /// Most that is bid of what would be lost, basis points.
    pub loss_bps: u16,
}

impl Default for Bids {
    fn default() -> Self {
        Self {
            min_priority_fee_lamports: 0,
            max_priority_fee_lamports: 10_000_000,
            loss_bps: 1_000,
        }
    }
}

/// When a step must have landed, and what is lost otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Slot from which it can be done.
    pub from: u64,
    /// Slot from which it can't any more.
    pub end: u64,
    /// Lamports that are lost then.
    pub loss: u64,
}

impl Due {
    /// Nothing is lost, whenever it lands.
    pub const NEVER: Self = Self {
        from: 0,
        end: u64::MAX,
        loss: 0,
    };
}

/// The least first bid above none.
const FIRST: u64 = 1_000;
/// Most that a configuration allows for one transaction, lamports.
const MOST: u64 = 1_000_000_000;
/// Part of what others paid that is bid above it: a quarter.
const ABOVE_OTHERS: u64 = 4;

impl Bids {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if self.loss_bps > 10_000 {
            return Err(format!(
                "bids.loss_bps = {}: allowed are 0 to 10000",
                self.loss_bps
            ));
        }
        if self.max_priority_fee_lamports > MOST {
            return Err(format!(
                "bids.max_priority_fee_lamports = {}: allowed are 0 to {MOST}",
                self.max_priority_fee_lamports
            ));
        }
        if self.min_priority_fee_lamports > self.max_priority_fee_lamports {
            return Err(format!(
                "bids.min_priority_fee_lamports = {}: allowed are 0 to max_priority_fee_lamports ({})",
                self.min_priority_fee_lamports, self.max_priority_fee_lamports
            ));
        }
        Ok(())
    }

    /// Most that a transaction bids that would lose as much.
    pub fn most(&self, loss: u64) -> u64 {
        let share = u128::from(loss) * u128::from(self.loss_bps) / 10_000;
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        share.clamp(
            self.min_priority_fee_lamports,
            self.max_priority_fee_lamports,
        )
    }

    /// What is bid in a slot: the least in the first quarter of the time, then more with the square of what is gone, all in the last
    /// quarter, so that several tries are left with it. `others` is what others are said to have paid for room in the same accounts: a
    /// little more is bid at once, but never more than in the end.
    pub fn lamports(&self, due: &Due, slot: u64, others: u64) -> u64 {
        let (most, least) = (self.most(due.loss), self.min_priority_fee_lamports);
        let quarter = due.end.saturating_sub(due.from) / 4;
        let gone = slot.saturating_sub(due.from).saturating_sub(quarter);
        let whole = u128::from(quarter) * 2;
        let gone = u128::from(gone).min(whole);
        let rise = u128::from(most - least);
        let risen = match whole {
            0 => rise,
            _ => rise.saturating_mul(gone * gone) / (whole * whole),
        };
        let risen = least + u64::try_from(risen).unwrap_or(u64::MAX);
        let others = match others {
            0 => 0,
            paid => paid.saturating_add((paid / ABOVE_OTHERS).max(1)),
        };
        risen.max(others).min(most)
    }

    /// Whether a bid is worth a new transaction beside one that bids `last`: twice as much, or all there is. So all that were sent
    /// for one step together cost at most three times the highest.
    pub fn raises(&self, due: &Due, last: u64, next: u64) -> bool {
        let step = next >= last.saturating_mul(2).max(FIRST) || next == self.most(due.loss);
        next > last && step
    }

    /// Most that a step costs in bids, whatever happens.
    pub fn all(&self, loss: u64) -> u64 {
        self.most(loss).saturating_mul(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Due = Due {
        from: 1_000,
        end: 1_100,
        loss: 50_000_000,
    };

    #[test]
    fn a_bid_rises_from_nothing_to_its_bound_and_never_beyond() {
        let bids = Bids::default();
        let at = |slot| bids.lamports(&DUE, slot, 0);
        assert_eq!((at(900), at(1_000), at(1_025)), (0, 0, 0));
        assert_eq!(at(1_050), 1_250_000, "half of the time");
        assert_eq!(
            (at(1_075), at(1_099), at(2_000)),
            (5_000_000, 5_000_000, 5_000_000)
        );
        assert!((1_000..1_100).all(|slot| at(slot) <= at(slot + 1)));
        // The bound of the configuration, whatever is at stake.
        let rich = Due {
            loss: u64::MAX,
            ..DUE
        };
        assert_eq!(bids.lamports(&rich, 1_099, 0), 10_000_000);
        // Nothing to lose, nothing bid; a time without length is late from the beginning.
        let nothing = Due { loss: 0, ..DUE };
        assert_eq!(bids.lamports(&nothing, 1_099, 7), 0);
        let none = Due { end: 1_000, ..DUE };
        assert_eq!(bids.lamports(&none, 1_000, 0), 5_000_000);
        let least = Bids {
            min_priority_fee_lamports: 700,
            ..bids
        };
        assert_eq!(least.lamports(&nothing, 1_000, 0), 700);
        assert_eq!(least.lamports(&DUE, 1_000, 0), 700);
    }

    #[test]
    fn what_others_paid_is_outbid_within_the_bound_whoever_says_so() {
        let bids = Bids::default();
        assert_eq!(bids.lamports(&DUE, 1_000, 4_000), 5_000);
        assert_eq!(bids.lamports(&DUE, 1_000, 1), 2);
        assert_eq!(bids.lamports(&DUE, 1_000, u64::MAX), 5_000_000);
    }

    #[test]
    fn all_that_is_sent_for_a_step_costs_three_times_the_highest_at_most() {
        let bids = Bids::default();
        let (mut last, mut all) = (0, 0);
        for slot in 1_000..1_100 {
            let next = bids.lamports(&DUE, slot, 0);
            if bids.raises(&DUE, last, next) {
                (last, all) = (next, all + next);
            }
        }
        assert_eq!(last, bids.most(DUE.loss), "the last one bids all");
        assert!(all <= bids.all(DUE.loss), "{all}");
        assert!(!bids.raises(&DUE, last, last));
        assert!(!bids.raises(&DUE, 0, 999) && bids.raises(&DUE, 0, 1_000));
        // A bound below the first step is reached at once.
        let little = Due { loss: 5_000, ..DUE };
        assert!(bids.raises(&little, 0, 500));
    }

    #[test]
    fn a_wrong_value_is_named() {
        assert_eq!(Bids::default().validate(), Ok(()));
        let bids = Bids {
            loss_bps: 10_001,
            ..Bids::default()
        };
        assert!(
            bids.validate()
                .unwrap_err()
                .contains("bids.loss_bps = 10001")
        );
        let bids = Bids {
            min_priority_fee_lamports: 10_000_001,
            ..Bids::default()
        };
        let error = bids.validate().unwrap_err();
        assert!(error.contains("bids.min_priority_fee_lamports"), "{error}");
    }
}
