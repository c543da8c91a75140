//! The market's parameters and its treasury.

use super::*;
use crate::market::params::{Grid, MarketParams};

/// The market's parameters and its admin. Read-only in the life of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarketConfig {
    /// Status: [`crate::state::ConfigStatus`].
    pub header: Header,
    /// Key that sets parameters and registers classes.
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
    /// [`crate::market::params::MarketRules::hash`] of the rules in force, which a request names.
    pub rules_hash: Hash,
    /// The grid of epochs, which never changes.
    pub grid: Grid,
    /// The parameters.
    pub params: MarketParams,
}
account!(MarketConfig, 32);

/// The foundation's balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarketTreasury {
    /// Status: 1.
    pub header: Header,
    /// Who paid the rent.
    pub rent_payer: Key,
    /// Lamports of the foundation that lie here.
    pub balance: U64,
    /// Lamports withdrawn in total.
    pub withdrawn: U64,
    /// Lamports that were swept here in total.
    pub received: U64,
    /// Slot of the last change.
    pub updated_slot: U64,
}
account!(MarketTreasury, 33);
