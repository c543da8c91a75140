//! Parameters of the network. [`Params`] is what the admin sets; its part [`Rules`] is copied into every
//! job when it is requested, so that no later change touches a running job.

use bytemuck::{Pod, Zeroable};

use crate::error::MythicError;
use crate::hash::{Hash, domain, sha256};
use crate::le::{U16, U32, U64};

/// Largest amount that any instruction or parameter may state: what fits a signed 64-bit column.
pub const MAX_LAMPORTS: u64 = i64::MAX as u64;
/// Basis points in a whole.
pub const BPS: u16 = 10_000;
/// Shortest challenge window: the sample of a result is drawn up to 20 slots after it, and nobody can
/// challenge before it is known.
pub const MIN_CHALLENGE_SLOTS: u32 = 32;
/// Shortest time of a jury's reveals.
pub const MIN_REVEAL_SLOTS: u32 = 32;
/// Shortest time for openings and output.
pub const MIN_OPENINGS_SLOTS: u32 = 50;
/// Least share of a guilty submitter's stake that is slashed, basis points.
pub const MIN_SLASH_BPS: u16 = 1_000;
/// Least part of a bond at stake, basis points.
pub const MIN_BOND_BPS: u16 = 50;
/// Fewest jury seats: with two, one silent juror stops every verdict.
pub const MIN_JURY_SEATS: u16 = 3;
/// Largest window that relies on slot hashes (the runtime keeps 512).
pub const MAX_WINDOW_SLOTS: u32 = 400;
/// Most jury seats, which is the room of a [`crate::state::Case`].
pub const MAX_JURY_SEATS: usize = 15;
/// Most output tokens of a job: the path of a chunk of a longer output does not fit a transaction beside its ids, so
/// nobody could show it in a case.
pub const MAX_OUTPUT_TOKENS: u32 = 1 << 16;
/// Largest sampling temperature, in thousandths.
pub const MAX_TEMPERATURE_MILLI: u16 = 2_000;
/// Largest duration of any other kind, in slots (about 46 days).
pub const MAX_DURATION_SLOTS: u32 = 10_000_000;

/// The rules of one job: a snapshot of the config at its request, hashed into its terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Rules {
    /// Slots after a result in which a case can be opened, and after its answer in which others join it.
    pub window_slots: U32,
    /// Slots after the opening of a case, and after the end of joining, in which leaves and output must be posted; a slot more for
    /// every four chunks of output.
    pub openings_slots: U32,
    /// Slots after the commits of a jury in which it reveals.
    pub reveal_slots: U32,
    /// Slots after a cancel in which the validator may still submit what it has, beside those in which it reads the prompt;
    /// slots after acceptance in which it declines for nothing.
    pub cancel_grace_slots: U32,
    /// Prompt tokens that a validator is expected to read in a slot.
    pub prefill_tokens_per_slot: U32,
    /// Slots for which a punished validator is jailed; at most the unbonding time, so that nobody leaves and comes back instead.
    pub jail_slots: U32,
    /// Slots that a terminal account stays before it can be closed.
    pub close_delay_slots: U32,
    /// Slots for which a validator was registered and served the model before the request, to claim against the result or judge it.
    pub maturity_slots: U32,
    /// Validator's share of a fee, basis points.
    pub validator_bps: U16,
    /// Foundation's share of a fee, basis points; the rest is burned.
    pub foundation_bps: U16,
    /// Share of a guilty submitter's stake that is slashed, basis points.
    pub slash_bps: U16,
    /// Part of a bond at stake, basis points of the slash: so much for the first that says `false`, twice for the second, and on.
    pub bond_bps: U16,
    /// Seats of a jury.
    pub jury_seats: U16,
    /// Ceilings of a validator's open jobs together, basis points of its active stake; one job's at most half of it.
    pub exposure_bps: U16,
    /// Least active stake of a juror, lamports.
    pub jury_stake: U64,
    /// Pay of a juror, lamports, whatever seats it has and whatever the verdict.
    pub juror_tariff: U64,
    /// Most lamports of the job's fee that a juror gets beside it where the jury decides.
    pub tariff_cap: U64,
    /// Lamports that a juror loses for each seat by silence or by a vote against a decided group.
    pub juror_penalty: U64,
    /// Lamports for each transaction in which a submitter had to show something: a chunk of output, or leaves.
    pub answering_fee: U64,
    /// Lamports of active stake that each open job takes up.
    pub stake_per_job: U64,
    /// Least active stake of a validator that takes jobs, lamports.
    pub min_stake: U64,
    /// Lamports that a validator loses which took an open job and stayed silent.
    pub no_show: U64,
}

impl Rules {
    /// `SHA256("mythic/rules/v1" ‖ the bytes of this structure)`: what a request names.
    pub fn hash(&self) -> Hash {
        sha256(&[domain::RULES, bytemuck::bytes_of(self)])
    }
}

/// Everything that the admin can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Params {
    /// What each job keeps a copy of.
    pub rules: Rules,
    /// Longest time from request to deadline, slots.
    pub max_job_slots: U32,
    /// Longest life of a job's nonce, slots.
    pub max_nonce_life_slots: U32,
    /// Slots until unstaked lamports can be withdrawn; added stake counts after these or the maturity, whichever is longer.
    pub unbonding_slots: U32,
    /// Lamports burned at the registration of a model.
    pub registration_fee: U64,
    /// Lamports per 1,000 prompt tokens that a new model starts with.
    pub default_price_in: U32,
    /// Lamports per 1,000 output tokens that a new model starts with.
    pub default_price_out: U32,
}

impl Params {
    /// Parameters of a real network.
    pub const fn mainnet() -> Self {
        Self {
            rules: Rules {
                window_slots: U32::new(100),
                openings_slots: U32::new(9_000),
                reveal_slots: U32::new(300),
                cancel_grace_slots: U32::new(50),
                prefill_tokens_per_slot: U32::new(40),
                jail_slots: U32::new(9_000),
                close_delay_slots: U32::new(2_250),
                maturity_slots: U32::new(11_400),
                validator_bps: U16::new(5_000),
                foundation_bps: U16::new(1_000),
                slash_bps: U16::new(5_000),
                bond_bps: U16::new(150),
                jury_seats: U16::new(15),
                exposure_bps: U16::new(1_000),
                jury_stake: U64::new(1_000_000_000),
                juror_tariff: U64::new(20_000),
                tariff_cap: U64::new(10_000_000),
                juror_penalty: U64::new(50_000_000),
                answering_fee: U64::new(5_000),
                stake_per_job: U64::new(50_000_000),
                min_stake: U64::new(1_000_000_000),
                no_show: U64::new(1_000_000),
            },
            max_job_slots: U32::new(1_500),
            max_nonce_life_slots: U32::new(1_500),
            unbonding_slots: U32::new(11_400),
            registration_fee: U64::new(100_000_000),
            default_price_in: U32::new(25_000),
            default_price_out: U32::new(50_000),
        }
    }

    /// Parameters of a development network: a small jury, short openings and reveals, and who has just registered judges.
    pub const fn dev() -> Self {
        let mut params = Self::mainnet();
        params.rules.openings_slots = U32::new(50);
        params.rules.reveal_slots = U32::new(50);
        params.rules.bond_bps = U16::new(1_000);
        params.rules.jury_seats = U16::new(3);
        params.rules.jail_slots = U32::new(2_450);
        params.rules.maturity_slots = U32::new(1);
        params.unbonding_slots = U32::new(2_450);
        params
    }

    /// Slots until added stake counts: all active stake is as old as who judges must be.
    pub const fn activation_slots(&self) -> u32 {
        let (unbonding, maturity) = (self.unbonding_slots.get(), self.rules.maturity_slots.get());
        if unbonding > maturity {
            unbonding
        } else {
            maturity
        }
    }

    /// Least `unbonding_slots` that keeps stake slashable for as long as any job it could have backed, and a jail no longer
    /// than the way out.
    pub const fn least_unbonding_slots(&self) -> u64 {
        let job = self.max_job_slots.get() as u64
            + self.rules.window_slots.get() as u64
            + self.rules.openings_slots.get() as u64
            + 2 * MAX_WINDOW_SLOTS as u64;
        let jail = self.rules.jail_slots.get() as u64;
        if job > jail { job } else { jail }
    }

    /// Checks every range. The first violated one is returned.
    pub fn validate(&self) -> Result<(), MythicError> {
        let rules = &self.rules;
        let within = |value: U32, most: u32| (1..=most).contains(&value.get());
        if !within(rules.window_slots, MAX_WINDOW_SLOTS)
            || rules.window_slots.get() < MIN_CHALLENGE_SLOTS
            || !within(rules.reveal_slots, MAX_WINDOW_SLOTS)
            || rules.reveal_slots.get() < MIN_REVEAL_SLOTS
            || !within(rules.cancel_grace_slots, MAX_WINDOW_SLOTS)
            || !within(rules.openings_slots, MAX_DURATION_SLOTS)
            || rules.openings_slots.get() < MIN_OPENINGS_SLOTS
        {
            return Err(MythicError::WindowOutOfRange);
        }
        if !within(self.max_job_slots, MAX_DURATION_SLOTS)
            || !within(self.max_nonce_life_slots, MAX_DURATION_SLOTS)
            || !within(rules.jail_slots, MAX_DURATION_SLOTS)
            || !within(rules.prefill_tokens_per_slot, u32::MAX)
            || !within(rules.maturity_slots, MAX_DURATION_SLOTS)
        {
            return Err(MythicError::DurationOutOfRange);
        }
        if !within(rules.close_delay_slots, MAX_DURATION_SLOTS)
            || rules.close_delay_slots.get() <= self.max_nonce_life_slots.get()
        {
            return Err(MythicError::CloseDelayTooShort);
        }
        if self.unbonding_slots.get() > 2 * MAX_DURATION_SLOTS
            || u64::from(self.unbonding_slots.get()) < self.least_unbonding_slots()
        {
            return Err(MythicError::UnbondingOutOfRange);
        }
        if rules.validator_bps.get() > BPS
            || rules.validator_bps.get() == 0
            || rules.foundation_bps.get() == 0
            || rules.foundation_bps.get() > BPS - rules.validator_bps.get()
        {
            return Err(MythicError::SharesOutOfRange);
        }
        if !(MIN_SLASH_BPS..=BPS).contains(&rules.slash_bps.get())
            || !(MIN_BOND_BPS..=BPS).contains(&rules.bond_bps.get())
        {
            return Err(MythicError::SlashOutOfRange);
        }
        if !(MIN_JURY_SEATS..=MAX_JURY_SEATS as u16).contains(&rules.jury_seats.get()) {
            return Err(MythicError::JuryOutOfRange);
        }
        let stakes = [rules.jury_stake, rules.stake_per_job, rules.min_stake];
        let exposure = rules.exposure_bps.get();
        if stakes.iter().any(|stake| stake.get() == 0) || !(1..=BPS).contains(&exposure) {
            return Err(MythicError::StakeOutOfRange);
        }
        if self.default_price_in.get() == 0 || self.default_price_out.get() == 0 {
            return Err(MythicError::ZeroAmount);
        }
        let amounts = [
            rules.jury_stake,
            rules.juror_tariff,
            rules.tariff_cap,
            rules.juror_penalty,
            rules.answering_fee,
            rules.stake_per_job,
            rules.min_stake,
            rules.no_show,
            self.registration_fee,
        ];
        if amounts.iter().any(|amount| amount.get() > MAX_LAMPORTS) {
            return Err(MythicError::AmountTooLarge);
        }
        if amounts.iter().any(|amount| amount.get() == 0) {
            return Err(MythicError::ZeroAmount);
        }
        Ok(())
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::mainnet()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parameter_sets_are_valid_and_their_unbonding_is_the_least() {
        for params in [Params::mainnet(), Params::dev()] {
            assert_eq!(params.validate(), Ok(()));
            assert_eq!(
                u64::from(params.unbonding_slots.get()),
                params.least_unbonding_slots()
            );
        }
    }

    #[test]
    fn the_least_of_everything_is_valid() {
        let mut params = Params::mainnet();
        let rules = &mut params.rules;
        rules.window_slots.set(MIN_CHALLENGE_SLOTS);
        rules.openings_slots.set(MIN_OPENINGS_SLOTS);
        rules.reveal_slots.set(MIN_REVEAL_SLOTS);
        rules.slash_bps.set(MIN_SLASH_BPS);
        rules.bond_bps.set(MIN_BOND_BPS);
        rules.jury_seats.set(MIN_JURY_SEATS);
        for number in [
            &mut rules.cancel_grace_slots,
            &mut rules.jail_slots,
            &mut rules.prefill_tokens_per_slot,
            &mut rules.maturity_slots,
        ] {
            number.set(1);
        }
        rules.exposure_bps.set(1);
        rules.validator_bps.set(1);
        rules.foundation_bps.set(1);
        for amount in [
            &mut rules.jury_stake,
            &mut rules.juror_tariff,
            &mut rules.tariff_cap,
            &mut rules.juror_penalty,
            &mut rules.answering_fee,
            &mut rules.stake_per_job,
            &mut rules.min_stake,
            &mut rules.no_show,
        ] {
            amount.set(1);
        }
        params.max_job_slots.set(1);
        params.max_nonce_life_slots.set(1);
        params.rules.close_delay_slots.set(2);
        params.registration_fee.set(1);
        params.default_price_in.set(1);
        params.default_price_out.set(1);
        assert_eq!(params.validate(), Ok(()));
    }

    #[test]
    fn each_range_is_refused_by_its_own_error() {
        let check = |change: fn(&mut Params), error| {
            let mut params = Params::mainnet();
            change(&mut params);
            assert_eq!(params.validate(), Err(error));
        };
        check(
            |p| p.rules.window_slots.set(31),
            MythicError::WindowOutOfRange,
        );
        check(
            |p| p.rules.window_slots.set(401),
            MythicError::WindowOutOfRange,
        );
        check(
            |p| p.rules.reveal_slots.set(31),
            MythicError::WindowOutOfRange,
        );
        check(
            |p| p.rules.openings_slots.set(49),
            MythicError::WindowOutOfRange,
        );
        check(|p| p.rules.slash_bps.set(999), MythicError::SlashOutOfRange);
        check(|p| p.rules.bond_bps.set(49), MythicError::SlashOutOfRange);
        check(|p| p.rules.jury_seats.set(2), MythicError::JuryOutOfRange);
        check(|p| p.rules.jury_stake.set(0), MythicError::StakeOutOfRange);
        check(
            |p| p.rules.exposure_bps.set(0),
            MythicError::StakeOutOfRange,
        );
        check(
            |p| p.rules.exposure_bps.set(10_001),
            MythicError::StakeOutOfRange,
        );
        check(
            |p| p.rules.prefill_tokens_per_slot.set(0),
            MythicError::DurationOutOfRange,
        );
        check(
            |p| p.rules.maturity_slots.set(0),
            MythicError::DurationOutOfRange,
        );
        check(|p| p.rules.no_show.set(0), MythicError::ZeroAmount);
        check(|p| p.rules.juror_penalty.set(0), MythicError::ZeroAmount);
        check(|p| p.rules.tariff_cap.set(0), MythicError::ZeroAmount);
        check(|p| p.registration_fee.set(0), MythicError::ZeroAmount);
        check(|p| p.default_price_out.set(0), MythicError::ZeroAmount);
        check(|p| p.max_job_slots.set(0), MythicError::DurationOutOfRange);
        check(
            |p| p.rules.close_delay_slots.set(1_500),
            MythicError::CloseDelayTooShort,
        );
        check(
            |p| p.unbonding_slots.set(11_399),
            MythicError::UnbondingOutOfRange,
        );
        check(
            |p| p.rules.foundation_bps.set(5_001),
            MythicError::SharesOutOfRange,
        );
        check(
            |p| p.rules.slash_bps.set(10_001),
            MythicError::SlashOutOfRange,
        );
        check(|p| p.rules.jury_seats.set(16), MythicError::JuryOutOfRange);
        check(
            |p| p.rules.stake_per_job.set(0),
            MythicError::StakeOutOfRange,
        );
        check(
            |p| p.rules.min_stake.set(1 << 63),
            MythicError::AmountTooLarge,
        );
    }
}
