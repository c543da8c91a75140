//! A validator: stake, keys, what it serves, what it has earned.

use super::*;
use crate::le::{Text, U32};
use crate::params::Rules;

byte_enum! {
    /// `header.status` of [`Validator`].
    ValidatorStatus {
        /// May take jobs, challenge and judge.
        Active = 1 "active",
        /// May only submit, answer and reveal, until unjailed.
        Jailed = 2 "jailed",
    }
}

/// A model that a validator serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ServedModel {
    /// Address of the [`Model`].
    pub model: Key,
    /// Slot since when.
    pub since_slot: U64,
}

/// A validator: stake, keys, what it serves and what it has earned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Validator {
    /// Status: [`ValidatorStatus`].
    pub header: Header,
    /// Key that registered it. It is the validator's name everywhere, and never changes.
    pub authority: Key,
    /// Cold key: stake, earnings, settings. The authority, until it hands over.
    pub owner: Key,
    /// Key that may take over as owner.
    pub pending_owner: Key,
    /// Hot key: accepts, declines, submits, claims, judges.
    pub operator: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Active stake.
    pub stake: U64,
    /// Added stake that does not count yet.
    pub activating: U64,
    /// Slot from which `activating` counts.
    pub activating_slot: U64,
    /// Stake on its way out; still slashable.
    pub unbonding: U64,
    /// Slot from which `unbonding` can be withdrawn.
    pub unbonding_slot: U64,
    /// Slot until which no stake is withdrawn: jobs that were accepted may be challenged until then, seats of juries fined.
    pub obliged_until: U64,
    /// Earned or returned, and not yet withdrawn.
    pub claimable: U64,
    /// Foundation's part of claimed fees, not yet swept.
    pub owed_foundation: U64,
    /// Part of claimed fees and slashes to burn, not yet swept.
    pub owed_burn: U64,
    /// Jobs accepted and not yet ended.
    pub open_jobs: U32,
    /// Lamports of their ceilings together.
    pub exposure: U64,
    /// Cases of this validator's results that are not decided, and claims of its own that it has not collected.
    pub open_cases: U32,
    /// Jobs settled in its favour.
    pub jobs_settled: U64,
    /// Jobs that expired in its hands, and open ones that it declined late, but for those cancelled right after acceptance.
    pub jobs_missed: U64,
    /// Jobs it declined.
    pub jobs_declined: U64,
    /// Lamports of stake paid in, in total.
    pub staked: U64,
    /// Lamports of stake paid out, in total: what was staked is what there is, what was slashed and these.
    pub withdrawn_stake: U64,
    /// Lamports of bonds that returned, in total.
    pub returned: U64,
    /// Lamports of earnings and returned bonds paid out, in total: what was earned and returned is what is claimable and these.
    pub withdrawn: U64,
    /// Lamports earned in total.
    pub earned: U64,
    /// Lamports slashed in total.
    pub slashed: U64,
    /// Slot of registration.
    pub registered_slot: U64,
    /// Slot of the last change of settings or stake.
    pub updated_slot: U64,
    /// Slot from which a jailed validator may ask to be unjailed.
    pub jailed_until: U64,
    /// GPU memory, MiB; 0 = CPU only.
    pub vram_mib: U32,
    /// Name of the GPU, as the validator states it; empty = CPU only.
    pub gpu_name: Text<GPU_NAME_LEN>,
    /// URL at which gateways reach the node, as the validator states it: hostile.
    pub endpoint: Text<ENDPOINT_LEN>,
    /// Used part of `models`.
    pub model_count: u8,
    /// Models served; the rest zero.
    pub models: [ServedModel; VALIDATOR_MODELS],
}
account!(Validator, 4);

impl Validator {
    /// The models in use.
    pub fn served(&self) -> &[ServedModel] {
        &self.models[..(self.model_count as usize).min(VALIDATOR_MODELS)]
    }

    /// Slot since when it serves `model`, `None` if it does not.
    pub fn serves(&self, model: &Key) -> Option<u64> {
        self.served()
            .iter()
            .find(|served| served.model == *model)
            .map(|served| served.since_slot.get())
    }

    /// Whether it was registered and served `model` long enough before a request to challenge the result or judge it. Any
    /// registration of the same file and kernel profile will do.
    pub fn is_mature(&self, model: &Key, requested_slot: u64, rules: &Rules) -> bool {
        let maturity = u64::from(rules.maturity_slots.get());
        let long_before = |slot: u64| slot.saturating_add(maturity) <= requested_slot;
        long_before(self.registered_slot.get()) && self.serves(model).is_some_and(long_before)
    }

    /// Stake that counts at `slot`: the active one and what has become active since the last write.
    pub fn active_stake(&self, slot: u64) -> u64 {
        match slot >= self.activating_slot.get() {
            true => self.stake.get().saturating_add(self.activating.get()),
            false => self.stake.get(),
        }
    }

    /// Stake that stands behind a result at `slot`: active and unbonding. What was added and does not count yet was not risked
    /// for long, so it makes no bond dearer.
    pub fn standing_stake(&self, slot: u64) -> u64 {
        let old = self.stake.get().wrapping_add(self.unbonding.get());
        match slot < self.activating_slot.get() {
            true => old,
            false => old.wrapping_add(self.activating.get()),
        }
    }

    /// Stake that a slash counts: active, activating and unbonding. Whatever adds stake keeps their sum an amount.
    pub fn whole_stake(&self) -> u64 {
        self.stake
            .get()
            .wrapping_add(self.activating.get())
            .wrapping_add(self.unbonding.get())
    }

    /// Lamports of ceilings that its active stake backs at `slot`, of all open jobs together.
    pub fn exposure_limit(&self, slot: u64, rules: &Rules) -> u64 {
        crate::money::share(self.active_stake(slot), rules.exposure_bps.get())
    }

    /// Largest ceiling of another job that its stake backs at `slot`: half of the limit, or what is left of it.
    pub fn largest_ceiling(&self, slot: u64, rules: &Rules) -> u64 {
        let limit = self.exposure_limit(slot, rules);
        limit.saturating_sub(self.exposure.get()).min(limit / 2)
    }

    /// Jobs that its active stake can back at `slot`.
    pub fn capacity(&self, slot: u64, rules: &Rules) -> u64 {
        self.active_stake(slot)
            .checked_div(rules.stake_per_job.get())
            .unwrap_or(0)
    }
}
