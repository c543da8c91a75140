//! Addresses of the market's accounts, with canonical bumps. Their seeds are in [`super::pda`].

use solana_pubkey::Pubkey;

use super::pda;
use crate::address::Named;
use crate::le::Text;
use crate::market::state::CLASS_NAME_LEN;

/// The Compute Market program.
pub const PROGRAM_ID: Pubkey = Pubkey::new_from_array(crate::COMPUTE_MARKET_ID);

/// Address and bump of some seeds.
pub fn find(seeds: &[&[u8]]) -> (Pubkey, u8) {
    Pubkey::find_program_address(seeds, &PROGRAM_ID)
}

/// The MarketConfig account.
pub fn config() -> Pubkey {
    find(&crate::pda::CONFIG).0
}

/// The MarketTreasury account.
pub fn treasury() -> Pubkey {
    find(&crate::pda::TREASURY).0
}

/// A Class account by its name.
pub fn class(name: &Text<CLASS_NAME_LEN>) -> Pubkey {
    find(&pda::class(bytemuck::cast_ref(name))).0
}

/// A Provider account by its authority.
pub fn provider(authority: impl Named) -> Pubkey {
    find(&pda::provider(authority.pubkey().as_array())).0
}

/// A Request account.
pub fn request(tenant: impl Named, nonce: &[u8; 16]) -> Pubkey {
    find(&pda::request(tenant.pubkey().as_array(), nonce)).0
}

/// The Lease account of a request.
pub fn lease(request: impl Named) -> Pubkey {
    find(&pda::lease(request.pubkey().as_array())).0
}

/// A LeaseDispute account.
pub fn lease_dispute(lease: impl Named, epoch: u64, disputer: impl Named) -> Pubkey {
    let (lease, disputer, epoch) = (lease.pubkey(), disputer.pubkey(), epoch.to_le_bytes());
    find(&pda::lease_dispute(
        lease.as_array(),
        &epoch,
        disputer.as_array(),
    ))
    .0
}
