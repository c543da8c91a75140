//! `mythic dev`: the whole network on one machine.

mod ask;
mod attack;
mod bootstrap;
mod cheat;
pub mod control;
pub mod crook;
mod layout;
mod logs;
mod market;
mod ports;
mod ready;
mod services;
mod start;
pub mod state;
mod supervisor;

use crate::{exit::Exit, gateway::Gateway, note};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// Run the whole network on this machine: chain, database, indexer, settler, gateway and validators.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Ctrl-C or `mythic dev stop` stops it; the next start carries on where it stopped. Logs are in DATA_DIR/logs, \
                  endpoints and keys for scripts in DATA_DIR/dev.json."
)]
pub struct Dev {
    #[command(subcommand)]
    command: Option<DevCommand>,
    /// Forget the network in the data directory and start a new one
    #[arg(long)]
    reset: bool,
    /// Validators to run; they share one mapped copy of the weights
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=32))]
    validators: u8,
    /// Milliseconds a slot takes, or `manual`: then only `mythic dev warp` moves the chain
    #[arg(long, default_value = "400", value_parser = parse_slot_ms)]
    slot_ms: u64,
    /// Port of the gateway; 0 = any free one, as for every port
    #[arg(long, default_value_t = 4002)]
    gateway_port: u16,
    /// Port of the chain's JSON-RPC
    #[arg(long, default_value_t = 8899)]
    rpc_port: u16,
    /// Port of the chain's WebSocket
    #[arg(long, default_value_t = 8900)]
    ws_port: u16,
    /// Port of the first validator's node; the others follow it
    #[arg(long, default_value_t = 8080)]
    node_port: u16,
    /// Port of the provider that leases out capacity
    #[arg(long, default_value_t = 8070)]
    provider_port: u16,
    /// Loopback port of the database (read-only role) for Grafana, JDBC and notebooks
    #[arg(long, default_value_t = 5442)]
    database_port: u16,
    /// GGUF file to serve instead of the default model
    #[arg(long)]
    model: Option<PathBuf>,
    /// Program to run instead of `mythic chain`, from the same configuration: a real validator (`localnet/` in the sources)
    #[arg(long)]
    chain_program: Option<PathBuf>,
    /// Kafka broker that account updates and feed go through, `HOST:PORT`, without a login; each network has topics of its own
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
}

#[derive(Subcommand, Debug)]
enum DevCommand {
    /// Print again what was said at Ready, and how the processes are
    Status {
        /// Print JSON: the whole of dev.json
        #[arg(long)]
        json: bool,
    },
    /// Stop the running network
    Stop {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Advance the running network by that many slots at once
    Warp {
        /// How many
        #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
        slots: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    Cheat(cheat::Cheat),
    Ask(ask::Ask),
}

fn parse_slot_ms(text: &str) -> Result<u64, String> {
    match text {
        "manual" => Ok(0),
        _ => match text.parse() {
            Ok(ms @ 10..=60_000) => Ok(ms),
            _ => Err("10 to 60000, or `manual`".into()),
        },
    }
}

impl Dev {
    /// Whether it is the network itself and not a command to one.
    pub fn runs(&self) -> bool {
        self.command.is_none()
    }
}

/// Runs `mythic dev`.
pub async fn run(dev: Dev, data_dir: &Path) -> Result<()> {
    match dev.command {
        Some(DevCommand::Status { json }) => return control::status(data_dir, json).await,
        Some(DevCommand::Stop { json }) => return control::stop(data_dir, json).await,
        Some(DevCommand::Warp { slots, json }) => {
            return control::warp(data_dir, slots, json).await;
        }
        Some(DevCommand::Cheat(cheat)) => return cheat.run(data_dir).await,
        Some(DevCommand::Ask(ask)) => return ask.run(data_dir).await,
        None => {}
    }
    let stop = crate::stop::shutdown();
    let (layout, _lock) = layout::open(data_dir, dev.reset)?;
    if let Some(hint) = cheat::too_small(usize::from(dev.validators)) {
        note!("  {hint}");
    }
    let started = Instant::now();
    tokio::select! {
        result = start::start(&dev, &layout, &stop) => {
            let running = result?;
            ready::announce(&running.state, "Ctrl-C stops it, or `mythic dev stop`");
            note!("Ready after {:.1} s. Ctrl-C stops it.", started.elapsed().as_secs_f32());
            let gateway = Gateway::new(&running.state.gateway_url, None)?;
            ready::live(&gateway, &stop).await;
            running.stop(&layout).await
        }
        // Children die with their handles, the database with its cluster.
        () = stop.cancelled() => Err(Exit::error(130, "stopped before the network was ready")),
    }
}
