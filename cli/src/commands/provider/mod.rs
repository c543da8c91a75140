//! `mythic provider`: lease out this machine's capacity on the Compute Market.

mod init;
mod measure;
mod notice;

use crate::{commands::stake::AddStake, config, context::Connection, dev::crook, stop::shutdown};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Lease out capacity on the Compute Market: keys and registration, the process itself, what its proofs take.
#[derive(Subcommand, Debug)]
#[command(
    after_help = "A provider puts down stake, takes requests that fit, serves each tenant on an engine of its own, and proves in every \
                  epoch that the capacity is there: init, then run. A proof that is missed is not paid; a false one costs half of the \
                  stake behind the lease. docs/operator-guide.md tells the whole."
)]
pub enum Provider {
    Init(init::ProviderInit),
    Run(Run),
    Measure(measure::Measure),
    Notice(notice::Notice),
    AddStake(AddStake),
}

/// Take requests and serve leases, until stopped. What was promised survives a kill; the next start goes on with it
#[derive(Args, Debug)]
pub struct Run {
    /// TOML file that `mythic provider init` wrote; MYTHIC_PROVIDER__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

impl Provider {
    /// Whether it runs until it is stopped.
    pub fn is_process(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// Runs `mythic provider`.
pub async fn run(command: Provider, connection: &Connection) -> Result<()> {
    match command {
        Provider::Init(init) => init.run(connection).await,
        Provider::Run(run) => {
            let (config, stop) = (config::load(run.config.as_deref())?, shutdown());
            let seams = tokio::select! {
                seams = crook::seams(&config) => seams?,
                () = stop.cancelled() => return Ok(()),
            };
            mythic_provider::run(config, seams, stop).await
        }
        Provider::Measure(measure) => measure.run(connection).await,
        Provider::Notice(notice) => notice.run().await,
        Provider::AddStake(add) => add.provider(connection).await,
    }
}
