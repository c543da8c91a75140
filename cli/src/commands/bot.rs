//! `mythic bot`: the Telegram bot.

use crate::{config, stop::shutdown};
use anyhow::Result;
use clap::Args;
use mythic_bot::BotConfig;
use std::path::PathBuf;

/// Run the Telegram bot
#[derive(Args, Debug)]
pub struct Bot {
    /// TOML file; without it all defaults. MYTHIC_BOT__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
    /// Bot API server, instead of the configuration's
    #[arg(long)]
    api_url: Option<String>,
}

/// Runs `mythic bot`.
pub async fn run(bot: Bot) -> Result<()> {
    let mut config: BotConfig = config::load(bot.config.as_deref())?;
    if let Some(api_url) = bot.api_url {
        config.api_url = api_url;
    }
    mythic_bot::run(config, shutdown()).await
}
