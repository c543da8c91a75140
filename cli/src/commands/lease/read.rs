//! Addresses as they are typed, and what the chain has there.

use crate::exit::{self, Exit};
use anyhow::Result;
use mythic_client::ChainClient;
use mythic_interface::market::state::{Lease, Request};
use solana_pubkey::Pubkey;

/// An address that somebody typed.
pub fn address(text: &str) -> Result<Pubkey> {
    text.parse()
        .map_err(|_| Exit::error(exit::USAGE, format!("{text:?} is not an address")))
}

/// A lease as it is now.
pub async fn load(chain: &ChainClient, lease: &Pubkey) -> Result<Lease> {
    match chain.account::<Lease>(lease).await? {
        Some((_, state)) => Ok(state),
        None => Err(Exit::error(
            exit::NOT_FOUND,
            format!("no lease at {lease}; `mythic lease list` shows yours"),
        )),
    }
}

/// A request as it is now, if the address is of one.
pub async fn request_at(chain: &ChainClient, address: &Pubkey) -> Option<Request> {
    let read = chain.account::<Request>(address).await;
    read.ok().flatten().map(|(_, state)| state)
}
