//! `mythic-bot`: the bot as a binary of its own. `mythic bot` is the same, and tells systemd how it is.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use mythic_bot::BotConfig;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Verifiable AI inference in Telegram.
#[derive(Parser)]
#[command(name = "mythic-bot", version)]
struct Args {
    /// TOML file; without it all defaults. MYTHIC_BOT__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
    /// Bot API server, instead of the configuration's
    #[arg(long)]
    api_url: Option<String>,
    /// Say whether a start would take the configuration, and stop
    #[arg(long)]
    check: bool,
    /// Log lines as JSON
    #[arg(long)]
    log_json: bool,
}

async fn run(args: Args) -> anyhow::Result<()> {
    let mut config = BotConfig::load(args.config.as_deref())?;
    if let Some(api_url) = args.api_url {
        config.api_url = api_url;
    }
    if args.check {
        config.validate().map_err(anyhow::Error::msg)?;
        return config.token().map(drop);
    }
    let stop = CancellationToken::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut signal = signal(kind).context("a stop signal")?;
        let stop = stop.clone();
        tokio::spawn(async move {
            signal.recv().await;
            stop.cancel();
        });
    }
    mythic_bot::run(config, stop).await
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    mythic_support::telemetry::start("info,tokio_postgres=warn", args.log_json, |line| {
        eprintln!("{line}");
    });
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
