//! A provider: stake, capacity, price, what it has earned and how it has served.

use super::*;
use crate::le::{Text, U16, U32};

byte_enum! {
    /// `header.status` of [`Provider`].
    ProviderStatus {
        /// May take leases.
        Active = 1 "active",
        /// Serves out what it has, and takes nothing new until unjailed.
        Jailed = 2 "jailed",
    }
}

byte_enum! {
    /// How far a provider says that it keeps tenants apart.
    Isolation {
        /// A process.
        Process = 0 "process",
        /// A container.
        Container = 1 "container",
        /// A kernel of its own: gVisor, Kata.
        Sandbox = 2 "sandbox",
    }
}

/// A provider of one class of capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Provider {
    /// Status: [`ProviderStatus`].
    pub header: Header,
    /// Key that registered it: its name, and its cold key for stake, earnings and settings.
    pub authority: Key,
    /// Hot key: accepts, starts, proves, gives notice.
    pub operator: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Address of its [`Class`].
    pub class: Key,
    /// [`Probe::stake_per_unit`] of the class.
    pub stake_per_unit: U64,
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
    /// Slot until which no stake is withdrawn: proofs may be disputed until then.
    pub obliged_until: U64,
    /// Earned and not yet withdrawn.
    pub claimable: U64,
    /// Foundation's part of what was paid, not yet swept.
    pub owed_foundation: U64,
    /// What is to burn, not yet swept.
    pub owed_burn: U64,
    /// Units that it offers.
    pub units: U16,
    /// Units that are leased.
    pub leased: U16,
    /// Units that stake stands behind: those that are leased, and those of leases that ended after a proof, until their accounts
    /// are closed.
    pub backed: U16,
    /// Lamports a second for each unit.
    pub price: U64,
    /// Where it is, as it says.
    pub region: Text<REGION_LEN>,
    /// [`Isolation`], as it says.
    pub isolation: u8,
    /// URL at which tenants reach it, as it says: hostile.
    pub endpoint: Text<PROVIDER_ENDPOINT_LEN>,
    /// Leases whose accounts exist.
    pub open_leases: U32,
    /// Disputes about its proofs that are not resolved.
    pub open_disputes: U32,
    /// Leases accepted in total.
    pub leases: U64,
    /// Epochs proved.
    pub proved: U64,
    /// Epochs missed.
    pub missed: U64,
    /// Proofs refuted.
    pub refuted: U64,
    /// Lamports of epochs that tenants called unserved.
    pub unserved: U64,
    /// Lamports of stake paid in, in total.
    pub staked: U64,
    /// Lamports of stake paid out, in total: what was staked is what there is, what was slashed and these.
    pub withdrawn_stake: U64,
    /// Lamports earned in total.
    pub earned: U64,
    /// Lamports of earnings paid out, in total: what was earned is what is claimable and these.
    pub withdrawn: U64,
    /// Lamports slashed in total.
    pub slashed: U64,
    /// Slot of registration.
    pub registered_slot: U64,
    /// Slot of the last change of settings or stake.
    pub updated_slot: U64,
    /// Slot from which a jailed provider may ask to be unjailed.
    pub jailed_until: U64,
}
account!(Provider, 35);

impl Provider {
    /// Stake that a slash counts: active, activating and unbonding. Whatever adds stake keeps their sum an amount.
    pub fn whole_stake(&self) -> u64 {
        self.stake
            .get()
            .wrapping_add(self.activating.get())
            .wrapping_add(self.unbonding.get())
    }

    /// Active stake that units take up, leased or not closed yet.
    pub fn stake_in_use(&self) -> u64 {
        let backed = u64::from(self.backed.get());
        crate::money::checked_mul(self.stake_per_unit.get(), backed).unwrap_or(u64::MAX)
    }

    /// Units that are free.
    pub fn free_units(&self) -> u16 {
        self.units.get().saturating_sub(self.leased.get())
    }
}
