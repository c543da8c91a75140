//! `mythic provider notice`: end a lease early, after a few epochs of notice.

use crate::{
    commands::lease::address,
    config,
    confirm::confirm,
    exit::{self, Exit},
    note,
    report::Report,
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::{ChainClient, Commitment, keys, market::ix};
use mythic_interface::market::state::{CloseReason, Lease, LeaseStatus};
use mythic_provider::ProviderConfig;
use solana_signer::Signer;
use std::path::PathBuf;

/// Give notice of a lease. It goes on for the epochs of notice that its rules name; each of them that is not proved costs its price out
/// of the stake, for the tenant
#[derive(Args, Debug)]
pub struct Notice {
    /// Address of the lease
    lease: String,
    /// TOML file of the provider
    #[arg(long)]
    config: PathBuf,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Notice {
    /// Runs it.
    pub async fn run(self) -> Result<()> {
        let config: ProviderConfig = config::load(Some(&self.config))?;
        let operator = keys::load_keypair(&config.operator_keypair)?;
        let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
        let lease = address(&self.lease)?;
        let read = chain.account::<Lease>(&lease).await?;
        let (_, state) =
            read.ok_or_else(|| Exit::error(exit::NOT_FOUND, format!("no lease at {lease}")))?;
        if state.status() != Some(LeaseStatus::Active) {
            return Err(Exit::error(
                exit::FAILURE,
                "notice is given of a lease whose start is acknowledged and that has none yet",
            ));
        }
        let epochs = state.terms.rules.notice_epochs.get();
        note!(
            "The lease goes on for {epochs} epochs of {} s, then it ends.",
            state.terms.grid.epoch_seconds.get()
        );
        confirm("Give notice?", self.yes)?;
        let reason = CloseReason::ClosedByProvider;
        let call = ix::close_lease(operator.pubkey(), lease, &state, reason, false);
        let payer = operator.pubkey();
        let signature = chain
            .send_and_confirm(&[call], &payer, &[&operator], Commitment::Confirmed)
            .await
            .context("giving notice")?;
        Report::default()
            .add("lease", lease.to_string())
            .add("notice_epochs", epochs)
            .add("signature", signature.to_string())
            .print(self.json)
    }
}
