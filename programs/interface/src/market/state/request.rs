//! A request: what a tenant looks for and what it pays for it.

use super::*;
use crate::hash::{domain, sha256};
use crate::le::{Text, U32};
use crate::market::params::{Grid, MarketRules};

byte_enum! {
    /// `header.status` of [`Request`]. From `Accepted` on it is final.
    RequestStatus {
        /// Paid for, nobody has taken it.
        Open = 1 "open",
        /// There is a lease.
        Accepted = 2 "accepted",
        /// Taken back by its tenant.
        Cancelled = 3 "cancelled",
        /// Nobody took it in time.
        Expired = 4 "expired",
    }
}

byte_enum! {
    /// What is leased: `RequestTerms::kind`.
    LeaseKind {
        /// Exclusive capacity of one registered model.
        Endpoint = 1 "endpoint",
        /// A container.
        Container = 2 "container",
    }
}

/// What a tenant asks for, in the order in which it is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RequestTerms {
    /// Who uses the lease and gets refunds.
    pub tenant: Key,
    /// Expiry slot (8 bytes, little-endian) and 8 bytes that tell requests apart.
    pub nonce: [u8; 16],
    /// [`LeaseKind`].
    pub kind: u8,
    /// [`crate::hash::spec_hash`].
    pub spec_hash: Hash,
    /// URL at which the spec is found: hostile.
    pub spec_source: Text<SPEC_SOURCE_LEN>,
    /// Address of the [`crate::state::Model`] of an endpoint; zero for a container.
    pub model: Key,
    /// Address of the [`Class`].
    pub class: Key,
    /// Units.
    pub units: u8,
    /// Where the provider must be; empty = anywhere.
    pub region: Text<REGION_LEN>,
    /// Least [`Isolation`].
    pub isolation: u8,
    /// Authority of the provider that may accept; zero = any.
    pub provider: Key,
    /// Most lamports a second for each unit; of a named provider exactly its price.
    pub price: U64,
    /// Seconds.
    pub seconds: U32,
    /// The grid of epochs.
    pub grid: Grid,
    /// The market's rules at the request.
    pub rules: MarketRules,
}

impl RequestTerms {
    /// `SHA256("mythic/lease-request/v1" ‖ the terms in their order)`.
    pub fn hash(&self) -> Hash {
        sha256(&[domain::LEASE_REQUEST, bytemuck::bytes_of(self)])
    }
}

/// A request from its payment to its lease or its refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Request {
    /// Status: [`RequestStatus`].
    pub header: Header,
    /// What is asked for.
    pub terms: RequestTerms,
    /// [`RequestTerms::hash`].
    pub terms_hash: Hash,
    /// Who paid the rent and gets it back.
    pub rent_payer: Key,
    /// Slot of the request.
    pub requested_slot: U64,
    /// Slot from which nobody can accept it.
    pub deadline_slot: U64,
    /// Slot of acceptance, cancellation or expiry.
    pub ended_slot: U64,
    /// Lamports that lie in this account for it: the price of all seconds, then 0, or what the tenant's wallet was too empty to
    /// hold, which goes to who paid the rent.
    pub escrow: U64,
    /// Lamports that went back to the tenant without a lease.
    pub refunded: U64,
}
account!(Request, 36);
