//! The network's parameters and the treasury.

use super::*;
use crate::params::Params;

byte_enum! {
    /// `header.status` of [`Config`].
    ConfigStatus {
        /// Jobs are taken.
        Active = 1 "active",
        /// No new jobs.
        Paused = 2 "paused",
    }
}

/// The network's parameters and its admin. Read-only in the life of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Config {
    /// Status: [`ConfigStatus`].
    pub header: Header,
    /// Key that sets parameters.
    pub admin: Key,
    /// Key that may take over as admin.
    pub pending_admin: Key,
    /// Address that receives the foundation's share.
    pub foundation: Key,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Slot of initialization.
    pub initialized_slot: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
    /// [`crate::params::Rules::hash`] of the rules in force, which a request names.
    pub rules_hash: Hash,
    /// The parameters.
    pub params: Params,
}
account!(Config, 1);

/// The foundation's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Treasury {
    /// Status: 1.
    pub header: Header,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Lamports of the foundation that lie here.
    pub balance: U64,
    /// Lamports withdrawn in total.
    pub withdrawn: U64,
    /// Lamports of fees and of stake that were swept here in total.
    pub received: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
}
account!(Treasury, 2);
