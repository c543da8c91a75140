//! `mythic node`: run a validator, or make the configuration of one.

use super::{init, stake::AddStake};
use crate::{config, context::Connection, stop::shutdown};
use anyhow::Result;
use clap::{Args, Subcommand};
use mythic_engine::Choice;
use mythic_lab::cheat::Told;
use std::{net::SocketAddr, path::PathBuf};

/// A validator's node.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Node {
    #[command(subcommand)]
    command: Option<NodeCommand>,
    /// TOML file; MYTHIC_NODE__KEY in the environment wins
    #[arg(long)]
    config: Option<PathBuf>,
    /// What computes answers, whatever the file says: cpu, cuda, cuda:0,1 or auto
    #[arg(long)]
    device: Option<Choice>,
}

#[derive(Subcommand, Debug)]
enum NodeCommand {
    /// Write keys and a configuration, and say how to fund them
    Init(Init),
    AddStake(MoreStake),
}

/// Add stake to a validator; the wallet (--keypair) pays. It counts after a while, which is said first: what waits already then waits anew.
/// It comes back by unstaking
#[derive(Args, Debug)]
struct MoreStake {
    #[command(flatten)]
    add: AddStake,
    /// Address of the validator, where its owner is not its authority any more
    #[arg(long)]
    validator: Option<String>,
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Node {
    /// Whether it runs until it is stopped.
    pub fn is_process(&self) -> bool {
        self.command.is_none()
    }
}

/// Runs `mythic node`.
pub async fn run(node: Node, connection: &Connection) -> Result<()> {
    match node.command {
        None => {
            let mut told: Told = config::load(node.config.as_deref())?;
            if let Some(device) = node.device {
                told.node.device = device;
            }
            let stop = shutdown();
            let seams = tokio::select! {
                seams = told.seams() => seams?,
                () = stop.cancelled() => return Ok(()),
            };
            mythic_node::run(told.node, seams, stop).await
        }
        Some(NodeCommand::Init(init)) => self::init(init, connection).await,
        Some(NodeCommand::AddStake(more)) => more.add.validator(more.validator, connection).await,
    }
}

async fn init(init: Init, connection: &Connection) -> Result<()> {
    let wanted = init::Init {
        dir: init.dir,
        file: "node.toml",
        model: init.model,
        stake: init.stake,
        operator: init::operator(connection, init.stake).await,
        command: "mythic node",
        json: init.json,
    };
    let mut made = init::make(wanted, connection).await?;
    // Only a development network has nodes that nobody else could reach.
    made.config.allow_loopback = init::is_loopback(&init.endpoint);
    made.config.listen = init.listen;
    made.config.endpoint = Some(init.endpoint);
    let loopback = made.config.allow_loopback;
    made.write(
        loopback.then_some("Its endpoint is on loopback"),
        "Back up authority.json: it owns the stake. The operator key can be replaced.",
    )
}
