//! Addresses as they are typed, and what the chain has there.

use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, market};
use mythic_interface::market::state::{Lease, Provider, Request};
use solana_pubkey::Pubkey;

/// An address that somebody typed.
pub fn address(text: &str) -> Result<Pubkey> {
    text.parse()
        .map_err(|_| Exit::error(exit::USAGE, format!("{text:?} is not an address")))
}

/// A lease as it is now.
pub async fn load(chain: &ChainClient, lease: &Pubkey) -> Result<Lease> {
    let found = find(chain, lease).await?;
    found.ok_or_else(|| {
        Exit::error(
            exit::NOT_FOUND,
            format!("no lease at {lease}; `mythic lease list` shows yours"),
        )
    })
}

/// The same; `None` where there is none, or none any more.
pub async fn find(chain: &ChainClient, lease: &Pubkey) -> Result<Option<Lease>> {
    let read = chain.account::<Lease>(lease).await?;
    Ok(read.map(|(_, state)| state))
}

/// A request as it is now, if the address is of one.
pub async fn request_at(chain: &ChainClient, address: &Pubkey) -> Option<Request> {
    let read = chain.account::<Request>(address).await;
    read.ok().flatten().map(|(_, state)| state)
}

/// The account of a lease's provider.
pub async fn provider(chain: &ChainClient, lease: &Lease) -> Result<Provider> {
    let address = market::address::provider(lease.terms.provider);
    let read = chain.account::<Provider>(&address).await?;
    Ok(read.context("the provider's account is gone")?.1)
}

/// About how long so many slots take, seconds, by the pace that a lease's grid of epochs expects.
pub fn seconds_of(lease: &Lease, slots: u64) -> u64 {
    let grid = &lease.terms.grid;
    let epoch = u64::from(grid.epoch_slots.get()).max(1);
    slots
        .saturating_mul(grid.epoch_seconds.get().into())
        .div_ceil(epoch)
}
