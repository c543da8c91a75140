//! What a look at the market shows: accounts that may need something.

use mythic_interface::market::state::{Lease, LeaseDispute, Request};
use solana_pubkey::Pubkey;

/// A lease that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub lease: Box<Lease>,
    /// Whether the tenant's wallet can hold what the lease has for it.
    pub tenant_takes: bool,
}

/// A request that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub request: Box<Request>,
    /// Whether there is an account of its lease.
    pub leased: bool,
}

/// A dispute about a lease that may need something.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaseDisputeWindow {
    /// Address.
    pub pubkey: Pubkey,
    /// State on chain.
    pub dispute: Box<LeaseDispute>,
    /// Its lease, as long as there is an account of it.
    pub lease: Option<Box<Lease>>,
}

/// A provider that owes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderWindow {
    /// Authority.
    pub authority: Pubkey,
    /// Lamports owed to foundation and burn.
    pub owed: u64,
    /// Slot of the account's last finalized write.
    pub written_slot: u64,
}

/// What a look at the market showed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MarketWindows {
    /// Leases.
    pub leases: Vec<LeaseWindow>,
    /// Requests.
    pub requests: Vec<RequestWindow>,
    /// Disputes about leases.
    pub disputes: Vec<LeaseDisputeWindow>,
    /// Providers.
    pub providers: Vec<ProviderWindow>,
}
