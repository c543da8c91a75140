//! Parameters of the market. [`MarketParams`] is what the admin sets; its part [`MarketRules`] is copied into every request and
//! from there into its lease, so that no later change touches either. The [`Grid`] of epochs is set once.

use bytemuck::{Pod, Zeroable};

use crate::error::MythicError;
use crate::hash::{Hash, domain, sha256};
use crate::le::{U16, U32, U64};
use crate::params::{BPS, MAX_DURATION_SLOTS, MAX_LAMPORTS, MAX_WINDOW_SLOTS, MIN_OPENINGS_SLOTS};

/// Epochs in which every dispute about a proof must be over: before its place in the ring is needed again.
pub const DISPUTE_EPOCHS: u32 = 30;
/// Shortest time to dispute a proof: what is checked of it is drawn 8 slots later.
pub const MIN_DISPUTE_SLOTS: u32 = 32;
/// Slots that an answer is given beside the rules' for each dispute about the lease that is open already: one for each of its
/// transactions, of which each element needs three at most.
pub const ANSWER_SLOTS: u32 = 24;
/// Shortest time to start a lease, and to acknowledge a start.
pub const MIN_START_SLOTS: u32 = 32;
/// Shortest time for proofs: what is computed in it is longer than the way to the chain.
pub const MIN_PROOF_SLOTS: u32 = 12;
/// Shortest epoch, slots.
pub const MIN_EPOCH_SLOTS: u32 = 32;
/// Seconds before its end from which nothing is added to a lease, so that whoever serves it knows in time whether it ends.
pub const TOP_UP_SECONDS: u64 = 60;
/// Most epochs of notice, and most that may be missed in a row.
pub const MAX_NOTICE_EPOCHS: u32 = 16;
/// Longest lease with all that is added to it, seconds: ten years.
pub const MAX_LEASE_SECONDS: u32 = 315_360_000;
/// Units of a lease at most.
pub const MAX_LEASE_UNITS: u8 = 8;
/// Share of the stake behind a lease's units that a refuted proof costs, basis points.
pub const REFUTED_BPS: u16 = 5_000;
/// Share of that which goes to whoever refuted it, basis points; the rest is burned.
pub const REFUTER_BPS: u16 = 2_500;

/// The grid of epochs: epoch `e` is the slots from `e × epoch_slots` on. Set once, for all leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Grid {
    /// Slots of an epoch.
    pub epoch_slots: U32,
    /// Seconds that an epoch is expected to take.
    pub epoch_seconds: U32,
}

impl Grid {
    /// Checks the range of slots, and that a slot takes 1/20 to 2 seconds: the caps on what a proof pays are in seconds.
    pub fn validate(&self) -> Result<(), MythicError> {
        let range = MIN_EPOCH_SLOTS..=MAX_DURATION_SLOTS;
        let slots = u64::from(self.epoch_slots.get());
        let seconds = u64::from(self.epoch_seconds.get());
        let valid = range.contains(&self.epoch_slots.get())
            && slots <= 20 * seconds
            && seconds <= 2 * slots;
        match valid {
            true => Ok(()),
            false => Err(MythicError::EpochOutOfRange),
        }
    }
}

/// The rules of one lease: a snapshot of the config at its request, hashed into its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarketRules {
    /// Slots after acceptance in which the provider starts.
    pub start_slots: U32,
    /// Slots after the start in which the tenant acknowledges it; at most an epoch.
    pub ack_slots: U32,
    /// Slots after a proof in which it can be disputed.
    pub dispute_slots: U32,
    /// Slots after a dispute in which what it names must be opened.
    pub openings_slots: U32,
    /// Epochs without a proof in a row after which anyone may close a lease.
    pub max_missed: U32,
    /// Epochs that a provider goes on after it has said that it closes, or pays for.
    pub notice_epochs: U32,
    /// Slots for which a provider is jailed whose proof was refuted; at most the unbonding time.
    pub jail_slots: U32,
    /// Slots that an ended account stays before it can be closed.
    pub close_delay_slots: U32,
    /// Longest lease with all that is added to it, seconds.
    pub max_lease_seconds: U32,
    /// Provider's share, basis points.
    pub provider_bps: U16,
    /// Foundation's share, basis points; the rest is burned.
    pub foundation_bps: U16,
    /// Lamports for each transaction of the answer to a dispute; at most `min_epoch_price`.
    pub answering_fee: U64,
    /// Lamports that a provider loses which accepted and did not start, and the least that both lose by a start that is not
    /// acknowledged; at most sixteen times `min_epoch_price`.
    pub no_show: U64,
    /// Least lamports of an epoch of a lease.
    pub min_epoch_price: U64,
    /// Least active stake of a provider that takes leases, lamports.
    pub min_stake: U64,
}

impl MarketRules {
    /// `SHA256("mythic/market-rules/v1" ‖ the bytes of this structure)`: what a request names.
    pub fn hash(&self) -> Hash {
        sha256(&[domain::MARKET_RULES, bytemuck::bytes_of(self)])
    }
}

/// Everything that the admin can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarketParams {
    /// What each request and lease keeps a copy of.
    pub rules: MarketRules,
    /// Longest time from request to acceptance, slots.
    pub max_request_slots: U32,
    /// Longest life of a request's nonce, slots.
    pub max_nonce_life_slots: U32,
    /// Slots until unstaked lamports can be withdrawn, and until added stake counts.
    pub unbonding_slots: U32,
}

impl MarketParams {
    /// Parameters of a real network.
    pub const fn mainnet() -> Self {
        Self {
            rules: MarketRules {
                start_slots: U32::new(2_250),
                ack_slots: U32::new(2_250),
                dispute_slots: U32::new(2_250),
                openings_slots: U32::new(9_000),
                max_missed: U32::new(3),
                notice_epochs: U32::new(2),
                jail_slots: U32::new(9_000),
                close_delay_slots: U32::new(2_250),
                max_lease_seconds: U32::new(2_592_000),
                provider_bps: U16::new(5_000),
                foundation_bps: U16::new(1_000),
                answering_fee: U64::new(10_000),
                no_show: U64::new(1_000_000),
                min_epoch_price: U64::new(100_000),
                min_stake: U64::new(1_000_000_000),
            },
            max_request_slots: U32::new(1_500),
            max_nonce_life_slots: U32::new(1_500),
            unbonding_slots: U32::new(12_050),
        }
    }

    /// Parameters of a development network: everything short.
    pub const fn dev() -> Self {
        let mut params = Self::mainnet();
        params.rules.start_slots = U32::new(150);
        params.rules.ack_slots = U32::new(100);
        params.rules.dispute_slots = U32::new(100);
        params.rules.openings_slots = U32::new(50);
        params.rules.jail_slots = U32::new(950);
        params.unbonding_slots = U32::new(950);
        params
    }

    /// Least `unbonding_slots` that keeps stake for as long as a proof can be disputed and opened, and a jail no longer than the
    /// way out.
    pub const fn least_unbonding_slots(&self) -> u64 {
        let rules = &self.rules;
        let proof = rules.dispute_slots.get() as u64
            + rules.openings_slots.get() as u64
            + 2 * MAX_WINDOW_SLOTS as u64;
        let jail = rules.jail_slots.get() as u64;
        if proof > jail { proof } else { jail }
    }

    /// Checks every range. The first violated one is returned.
    pub fn validate(&self, grid: &Grid) -> Result<(), MythicError> {
        let rules = &self.rules;
        let within = |value: U32, least: u32, most: u32| (least..=most).contains(&value.get());
        let dispute = u64::from(rules.dispute_slots.get()) + u64::from(rules.openings_slots.get());
        let ring = u64::from(DISPUTE_EPOCHS) * u64::from(grid.epoch_slots.get());
        if !within(rules.start_slots, MIN_START_SLOTS, MAX_DURATION_SLOTS)
            || !within(rules.dispute_slots, MIN_DISPUTE_SLOTS, MAX_DURATION_SLOTS)
            || !within(rules.openings_slots, MIN_OPENINGS_SLOTS, MAX_DURATION_SLOTS)
            || !within(rules.ack_slots, MIN_START_SLOTS, grid.epoch_slots.get())
            || dispute > ring
        {
            return Err(MythicError::DisputeTimeOutOfRange);
        }
        if !within(rules.jail_slots, 1, MAX_DURATION_SLOTS)
            || !within(self.max_request_slots, 1, MAX_DURATION_SLOTS)
            || !within(self.max_nonce_life_slots, 1, MAX_DURATION_SLOTS)
            || !within(rules.max_lease_seconds, 1, MAX_LEASE_SECONDS)
        {
            return Err(MythicError::DurationOutOfRange);
        }
        if !within(rules.max_missed, 1, MAX_NOTICE_EPOCHS)
            || !within(rules.notice_epochs, 1, MAX_NOTICE_EPOCHS)
        {
            return Err(MythicError::NoticeOutOfRange);
        }
        if !within(rules.close_delay_slots, 1, MAX_DURATION_SLOTS)
            || rules.close_delay_slots <= self.max_nonce_life_slots
        {
            return Err(MythicError::CloseDelayTooShort);
        }
        if self.unbonding_slots.get() > 2 * MAX_DURATION_SLOTS
            || u64::from(self.unbonding_slots.get()) < self.least_unbonding_slots()
        {
            return Err(MythicError::UnbondingOutOfRange);
        }
        if rules.provider_bps.get() > BPS
            || rules.provider_bps.get() == 0
            || rules.foundation_bps.get() == 0
            || rules.foundation_bps.get() > BPS - rules.provider_bps.get()
        {
            return Err(MythicError::SharesOutOfRange);
        }
        let amounts = [
            rules.answering_fee,
            rules.no_show,
            rules.min_epoch_price,
            rules.min_stake,
        ];
        if amounts.iter().any(|amount| amount.get() > MAX_LAMPORTS) {
            return Err(MythicError::AmountTooLarge);
        }
        if amounts.iter().any(|amount| amount.get() == 0) {
            return Err(MythicError::ZeroAmount);
        }
        // Stake behind a lease's units is worth 32 epochs: half of it pays whatever an end costs, the other half a refuted proof,
        // and a dispute about one element needs less than it brings.
        let no_show = rules.no_show.get().div_ceil(MAX_NOTICE_EPOCHS.into());
        if rules.answering_fee > rules.min_epoch_price || no_show > rules.min_epoch_price.get() {
            return Err(MythicError::AmountsOutOfRange);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        epoch_slots: U32::new(4_500),
        epoch_seconds: U32::new(1_800),
    };
    const SHORT: Grid = Grid {
        epoch_slots: U32::new(150),
        epoch_seconds: U32::new(60),
    };

    #[test]
    fn both_parameter_sets_are_valid_and_their_unbonding_is_the_least() {
        for (params, grid) in [
            (MarketParams::mainnet(), GRID),
            (MarketParams::dev(), SHORT),
        ] {
            assert_eq!(grid.validate(), Ok(()));
            assert_eq!(params.validate(&grid), Ok(()));
            assert_eq!(
                u64::from(params.unbonding_slots.get()),
                params.least_unbonding_slots()
            );
        }
    }

    #[test]
    fn an_epoch_has_a_length() {
        let check = |slots, seconds| {
            let grid = Grid {
                epoch_slots: U32::new(slots),
                epoch_seconds: U32::new(seconds),
            };
            grid.validate()
        };
        for (slots, seconds) in [(31, 12), (150, 0), (10_000_001, 4_000_000)] {
            assert_eq!(check(slots, seconds), Err(MythicError::EpochOutOfRange));
        }
        // A slot of a twentieth of a second, and one of two seconds.
        assert_eq!(check(160, 8), Ok(()));
        assert_eq!(check(161, 8), Err(MythicError::EpochOutOfRange));
        assert_eq!(check(150, 300), Ok(()));
        assert_eq!(check(150, 301), Err(MythicError::EpochOutOfRange));
    }

    #[test]
    fn each_range_is_refused_by_its_own_error() {
        let check = |change: fn(&mut MarketParams), error| {
            let mut params = MarketParams::mainnet();
            change(&mut params);
            assert_eq!(params.validate(&GRID), Err(error));
        };
        use MythicError::*;
        check(|p| p.rules.dispute_slots.set(31), DisputeTimeOutOfRange);
        check(|p| p.rules.openings_slots.set(49), DisputeTimeOutOfRange);
        check(|p| p.rules.ack_slots.set(31), DisputeTimeOutOfRange);
        check(|p| p.rules.ack_slots.set(4_501), DisputeTimeOutOfRange);
        // The ring has no room for what is disputed longer.
        check(
            |p| p.rules.openings_slots.set(132_751),
            DisputeTimeOutOfRange,
        );
        check(|p| p.rules.start_slots.set(31), DisputeTimeOutOfRange);
        check(|p| p.rules.jail_slots.set(0), DurationOutOfRange);
        check(|p| p.max_request_slots.set(0), DurationOutOfRange);
        check(|p| p.max_nonce_life_slots.set(0), DurationOutOfRange);
        check(|p| p.rules.max_lease_seconds.set(0), DurationOutOfRange);
        check(|p| p.rules.max_missed.set(17), NoticeOutOfRange);
        check(|p| p.rules.notice_epochs.set(0), NoticeOutOfRange);
        check(|p| p.rules.close_delay_slots.set(1_500), CloseDelayTooShort);
        check(|p| p.unbonding_slots.set(12_049), UnbondingOutOfRange);
        check(|p| p.rules.provider_bps.set(0), SharesOutOfRange);
        check(|p| p.rules.foundation_bps.set(5_001), SharesOutOfRange);
        check(|p| p.rules.no_show.set(0), ZeroAmount);
        check(|p| p.rules.answering_fee.set(1 << 63), AmountTooLarge);
        check(|p| p.rules.answering_fee.set(100_001), AmountsOutOfRange);
        check(|p| p.rules.no_show.set(1_600_001), AmountsOutOfRange);
    }
}
