//! `mythic doctor bot`: what would keep the Telegram bot from working.

use super::finding::{self, Finding};
use crate::config;
use anyhow::Result;
use clap::Args;
use mythic_bot::BotConfig;
use std::path::PathBuf;

/// Look for what would keep the Telegram bot from working: token, secret, database, Telegram, gateway, chain. Exit code 6 if something is
/// wrong
#[derive(Args, Debug)]
pub struct BotCheck {
    /// TOML file of the bot; MYTHIC_BOT__KEY in the environment wins
    #[arg(long)]
    config: PathBuf,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

/// What to do about a check that failed.
fn fix(name: &str) -> &'static str {
    match name {
        "Telegram" => "token_file must hold what BotFather gave; api_url must be reached from here",
        "secret" => "secret_file must hold what the first start wrote, for its owner alone",
        "database" => "database must be a file or a server that this user may write",
        "gateway" => "gateway_url must be a gateway that serves a model",
        "chain" => "rpc_url must be a node of the gateway's chain",
        _ => "docs/telegram.md lists the keys",
    }
}

/// Runs the checks.
pub async fn run(check: BotCheck) -> Result<()> {
    let findings = match config::load::<BotConfig>(Some(&check.config)) {
        Ok(config) => {
            let good = Finding::good(
                "config",
                format!("{} would be taken", check.config.display()),
            );
            let checks = mythic_bot::check(&config).await.into_iter();
            let found = checks.map(|one| match one.found {
                Ok(detail) => Finding::good(one.name, detail),
                Err(error) => Finding::bad(one.name, error, fix(one.name)),
            });
            std::iter::once(good).chain(found).collect()
        }
        Err(error) => {
            let fix = "mend the key that it names; docs/telegram.md lists all of them";
            vec![Finding::bad("config", format!("{error:#}"), fix)]
        }
    };
    finding::tell(&findings, check.json)
}
