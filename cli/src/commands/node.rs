//! `mythic node`: run a validator, or make the configuration of one.

use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    model::fetch_with_progress,
    shutdown,
    units::sol,
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use mythic_client::keys;
use mythic_lab::cheat::Told;
use mythic_node::{ModelConfig, NodeConfig};
use solana_signer::Signer;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// What an operator key needs for its first transactions.
const OPERATOR_FEES: u64 = 50_000_000;

/// A validator's node.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Node {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    /// TOML file; MYTHIC_NODE__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum NodeCommand {
    /// Write keys and a configuration, and say how to fund them
    Init(Init),
}

#[derive(Args, Debug)]
struct Init {
    /// Directory for node.toml, keys, journal and evidence
    #[arg(default_value = "mythic-node")]
    dir: PathBuf,
    /// GGUF file to serve [default: the default model, fetched]
    #[arg(long)]
    model: Option<PathBuf>,
    /// Where to listen
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Public URL under which gateways reach this node
    #[arg(long)]
    endpoint: String,
    /// Stake to register with, in SOL
    #[arg(long, default_value = "1", value_parser = crate::units::parse_amount)]
    stake: u64,
}

/// Runs `mythic node`.
pub async fn run(node: Node, connection: &Connection) -> Result<()> {
    match node.command {
        None => {
            let told: Told = config::load(node.config.as_deref())?;
            let stop = shutdown();
            let seams = tokio::select! {
                seams = told.seams() => seams?,
                () = stop.cancelled() => return Ok(()),
            };
            mythic_node::run(told.node, seams, stop).await
        }
        Some(NodeCommand::Init(init)) => self::init(init, connection).await,
    }
}

pub(super) fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

async fn init(init: Init, connection: &Connection) -> Result<()> {
    let file = init.dir.join("node.toml");
    if file.exists() {
        return Err(Exit::error(
            exit::FAILURE,
            format!(
                "{} exists; edit it, or choose another directory",
                file.display()
            ),
        ));
    }
    std::fs::create_dir_all(&init.dir).with_context(|| format!("making {}", init.dir.display()))?;
    let dir = init.dir.canonicalize()?;
    let model = match init.model {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("--model {}", path.display()))?,
        None => fetch_with_progress().await?,
    };
    let (authority_path, operator_path) = (dir.join("authority.json"), dir.join("operator.json"));
    let (authority, operator) = (
        keys::load_or_create(&authority_path)?,
        keys::load_or_create(&operator_path)?,
    );
    let (rpc_url, ws_url) = connection.chain_urls();
    // Only a development network has nodes that nobody else could reach.
    let allow_loopback = is_loopback(&init.endpoint);
    let config = NodeConfig {
        data_dir: dir.join("data"),
        authority_keypair: Some(authority_path),
        operator_keypair: operator_path,
        rpc_url,
        ws_url,
        gateways: vec![connection.gateway()?.base().to_owned()],
        listen: init.listen,
        endpoint: Some(init.endpoint),
        allow_loopback,
        models: vec![ModelConfig {
            path: model,
            identity: None,
        }],
        stake_lamports: init.stake,
        ..NodeConfig::default()
    };
    config
        .validate()
        .map_err(|message| Exit::error(exit::USAGE, message))?;
    std::fs::write(&file, toml::to_string(&config)?)?;
    println!("Wrote {}", file.display());
    if allow_loopback {
        println!(
            "Its endpoint is on loopback, so it may dial loopback too: for development networks only."
        );
    }
    println!(
        "Fund, then start `mythic node --config {}`:",
        file.display()
    );
    println!(
        "  authority  {}   {} stake, and 0.01 SOL for rent and fees",
        authority.pubkey(),
        sol(init.stake)
    );
    println!(
        "  operator   {}   {} for fees of results",
        operator.pubkey(),
        sol(OPERATOR_FEES)
    );
    println!("Back up authority.json: it owns the stake. The operator key can be replaced.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_the_world() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1/",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://node.example.org", "http://10.0.0.1", "127.0.0.1"] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
