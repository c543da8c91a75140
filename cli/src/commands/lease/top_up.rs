//! `mythic lease top-up`: more seconds.

use super::read::{address, load};
use crate::{
    commands::wallet,
    confirm::confirm,
    context::Connection,
    exit::{self, Exit},
    note,
    report::Report,
    units::{about, sol},
};
use anyhow::Result;
use clap::Args;
use mythic_client::{base_fee, market::ix};
use solana_signer::Signer;

/// Add seconds to a lease, at the price that it began with
#[derive(Args, Debug)]
pub struct TopUp {
    /// Address of the lease
    lease: String,
    /// How many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl TopUp {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let (chain, wallet) = (connection.chain(), connection.wallet()?);
        let address = address(&self.lease)?;
        let lease = load(&chain, &address).await?;
        let price = lease.terms.price_of(self.seconds.into());
        let price = price.map_err(|error| Exit::error(exit::USAGE, error.message()))?;
        note!(
            "{} more cost {}, and {} of fees.",
            about(self.seconds.into()),
            sol(price),
            sol(base_fee(1))
        );
        let question = format!("Wallet {} signs and pays. Go on?", wallet.pubkey());
        confirm(&question, self.yes)?;
        let call = ix::top_up(wallet.pubkey(), address, &lease, self.seconds);
        let signature = wallet::send(&chain, &wallet, &[call]).await?;
        let lease = load(&chain, &address).await?;
        Report::default()
            .add("lease", address.to_string())
            .lamports("paid", price)
            .add("ends_at", lease.ends_at.get())
            .add("signature", signature.to_string())
            .print(self.json)
    }
}
