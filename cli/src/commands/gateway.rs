//! `mythic gateway`: run it, or change its master key.

use crate::{config, say, stop::shutdown, terminal};
use anyhow::Result;
use clap::{Args, Subcommand};
use mythic_api::GatewayConfig;
use serde_json::json;
use std::path::PathBuf;

/// The gateway.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct GatewayProcess {
    #[command(subcommand)]
    command: Option<GatewayCommand>,
    /// TOML file; without it all defaults. MYTHIC_GATEWAY__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum GatewayCommand {
    /// Encrypt the delegates of all API keys with another master key. All gateways of the database have to be stopped; start them with the
    /// new file in the place of the old one
    RotateMasterKey {
        /// File of the new key, 64 hex digits, mode 0600
        new: PathBuf,
        /// TOML file of the gateway: names database and old key
        #[arg(long)]
        config: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

impl GatewayProcess {
    /// Whether it runs until it is stopped.
    pub fn is_process(&self) -> bool {
        self.command.is_none()
    }
}

/// Runs `mythic gateway`.
pub async fn run(gateway: GatewayProcess) -> Result<()> {
    match gateway.command {
        None => mythic_api::run(config::load(gateway.config.as_deref())?, shutdown()).await,
        Some(GatewayCommand::RotateMasterKey { new, config, json }) => {
            let config: GatewayConfig = config::load(config.as_deref())?;
            let keys = mythic_api::rotate(&config, &new).await?;
            match json {
                true => terminal::json(&json!({"api_keys": keys, "master_key_file": new}))?,
                false => say!(
                    "{keys} API keys are sealed with {}. Put it in the place of {}, and start the gateways.",
                    new.display(),
                    config.master_key_file.display()
                ),
            }
            Ok(())
        }
    }
}
