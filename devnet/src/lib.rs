//! The development chain of Mythic: LiteSVM behind slots, forks, commitment, JSON-RPC and a Geyser plugin host.
//!
//! [`config`]: its configuration · [`chain`]: the state machine without I/O · `store`: rooted state on disk ·
//! `storages`: the same as a validator has it · [`geyser`]: the plugin host · `follow`: one chain follows another · [`node`]: chain, store and plugin together · `rpc`: HTTP and WebSocket.

pub mod chain;
pub mod config;
mod follow;
mod genesis;
pub mod geyser;
mod metrics;
pub mod node;
mod rpc;
mod storages;
mod store;

use std::sync::Arc;

use anyhow::Context;
use follow::{begin::begin, leader::Leader, task};
use tokio_util::sync::CancellationToken;

pub use config::{DevnetConfig, GenesisAccount, ProgramConfig};
pub use node::{Node, genesis_hash};
pub use rpc::Servers;
pub use store::StoreError;

/// Runs the chain until the token is cancelled: binds both ports, starts or goes on with the chain, serves.
pub async fn run(config: DevnetConfig, stop: CancellationToken) -> anyhow::Result<()> {
    config.validate().map_err(anyhow::Error::msg)?;
    let servers = Servers::bind(&config).await?;
    let plugin = match config.geyser_plugin_config.clone() {
        Some(path) => Some(
            tokio::task::spawn_blocking(move || geyser::PluginHost::load(&path))
                .await
                .context("loading the geyser plugin")??,
        ),
        None => None,
    };
    run_with(config, plugin, servers, stop).await
}

/// As [`run`], with the ports bound and the plugin loaded by the caller.
pub async fn run_with(
    config: DevnetConfig,
    plugin: Option<geyser::PluginHost>,
    servers: Servers,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let leader = Leader::of(&config)?;
    if let Some(leader) = &leader {
        begin(leader, &config.data_dir, &stop).await?;
    }
    let started = {
        let leader = leader.clone();
        tokio::task::spawn_blocking(move || Node::start(&config, plugin, leader))
    };
    let node = started.await.context("starting the chain")??;
    tracing::info!(rpc = %servers.rpc_addr(), ws = %servers.ws_addr(), "the chain is up");
    let stop = stop.child_token();
    let moving = tokio::spawn(moved(node.clone(), leader, stop.clone()));
    let served = servers.serve(node.clone(), stop.clone()).await;
    stop.cancel();
    let moved = moving.await.context("what moves the chain")?;
    tokio::task::spawn_blocking(move || node.shut_down())
        .await
        .context("stopping the chain")?;
    served.and(moved)
}

/// Moves the chain, by its own clock or as its leader says, until `stop`; stops everything if that can't go on.
async fn moved(
    node: Arc<Node>,
    leader: Option<Arc<Leader>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Some(leader) = leader else {
        node::tick(node, stop).await;
        return Ok(());
    };
    tracing::info!(leader = leader.url(), "follows");
    let followed = task::follow(node, leader, stop.clone()).await;
    stop.cancel();
    followed
}
