//! The development chain of Mythic: LiteSVM behind slots, forks, commitment, JSON-RPC and a Geyser plugin host.
//!
//! [`config`]: its configuration · [`chain`]: the state machine without I/O · `store`: rooted state on disk ·
//! [`geyser`]: the plugin host · [`node`]: chain, store and plugin together · `rpc`: HTTP and WebSocket.

pub mod chain;
pub mod config;
mod genesis;
pub mod geyser;
mod metrics;
pub mod node;
mod rpc;
mod store;

use anyhow::Context;
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
    let node = tokio::task::spawn_blocking(move || Node::start(&config, plugin))
        .await
        .context("starting the chain")??;
    tracing::info!(rpc = %servers.rpc_addr(), ws = %servers.ws_addr(), "the chain is up");
    let ticker = tokio::spawn(node::tick(node.clone(), stop.clone()));
    let served = servers.serve(node.clone(), stop.clone()).await;
    stop.cancel();
    ticker.await.context("the slot clock")?;
    tokio::task::spawn_blocking(move || node.shut_down())
        .await
        .context("stopping the chain")?;
    served
}
