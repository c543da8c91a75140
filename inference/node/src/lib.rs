//! One validator's daemon.
//!
//! - [`NodeConfig`], [`run`]: configuration and entry
//! - [`bounds`]: rules and thresholds that it works under
//! - [`ctx`]: what every part may use
//! - [`serve`]: jobs from their admission to a final result
//! - [`verify`]: checks of others' answers, and what is owed to cases
//! - [`keep`]: journal, evidence, claims
//! - [`http`]: the endpoints
//! - [`setup`]: keys, models, registration; [`seams`]: parts that a binary may replace
//! - [`meters`]: counters; [`gpu`]: what a driver says

pub mod bounds;
pub mod config;
pub mod ctx;
pub mod gpu;
mod histograms;
pub mod http;
pub mod keep;
pub mod meters;
mod node;
pub mod seams;
pub mod serve;
pub mod setup;
pub mod verify;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use mythic_client::ChainClient;
use mythic_support::life;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{JobsFrom, ModelConfig, NodeConfig};
pub use node::{Node, Parts, assemble};

use keep::{journal::Journal, keeper, store::Store};
use seams::Seams;
use serve::{announce, jobs, open};
use setup::Keys;
use verify::{duties, results};

/// Runs a node until `stop`. Returns an error only for what a restart would not mend; the message names the mend.
pub async fn run(config: NodeConfig, seams: Seams, stop: CancellationToken) -> Result<()> {
    let traces = mythic_trace::start("mythic-node", &config.traces)?;
    let ended = work(config, seams, stop).await;
    traces.stop().await;
    ended
}

async fn work(config: NodeConfig, seams: Seams, stop: CancellationToken) -> Result<()> {
    tokio::select! {
        // Waiting for a chain that is not there yet must not hold up a stop.
        prepared = prepare(config, seams) => {
            let (node, listener) = prepared?;
            serve(node, listener, stop).await
        }
        () = stop.cancelled() => Ok(()),
    }
}

async fn prepare(config: NodeConfig, seams: Seams) -> Result<(Arc<Node>, TcpListener)> {
    config.validate().map_err(anyhow::Error::msg)?;
    let keys = Keys::load(&config)?;
    let journal = Journal::open(&config.data_dir)?;
    let store = Store::open(&config.data_dir).with_context(|| {
        format!(
            "cannot make the evidence directory in {}",
            config.data_dir.display()
        )
    })?;
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!(
            "listen = {}: cannot listen there; is another process using the port?",
            config.listen
        )
    })?;
    let chain = ChainClient::new(&config.rpc_url, &config.ws_url);
    let network = setup::network(&chain).await?;
    let served = setup::served(&chain, &keys).await?;
    let mut models = Vec::new();
    for model in &config.models {
        models.push(setup::load_model(&chain, &config, model, &served, &seams).await?);
    }
    let parts = Parts {
        config,
        keys,
        journal,
        store,
        chain,
        network,
        models,
        disclosure: seams.disclosure,
    };
    let node = assemble(parts).await?;
    Ok((node, listener))
}

/// Serves until `stop`, then finishes what runs for at most `drain_seconds`.
pub async fn serve(node: Arc<Node>, listener: TcpListener, stop: CancellationToken) -> Result<()> {
    node.jobs.resume().await;
    let quit = CancellationToken::new();
    let background = start(&node, &stop, &quit);
    let address = listener.local_addr()?;
    tracing::info!(%address, validator = %node.keys.authority, endpoint = %node.origin, "node ready");
    let limits = node.config.http.clone();
    let server = tokio::spawn(mythic_http::serve(
        listener,
        http::router(node.clone()),
        limits,
        quit.clone(),
    ));
    life::ready();
    stop.cancelled().await;
    node.drain();
    let until = tokio::time::Instant::now() + Duration::from_secs(node.config.drain_seconds);
    while node.jobs.load().0 > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (left, _) = node.jobs.load();
    if left > 0 {
        tracing::warn!(
            left,
            "stopping with jobs that still run; they are in the journal and go on at the next start"
        );
    }
    node.jobs.halt.cancel();
    node.jobs.tasks.close();
    quit.cancel();
    let parting = Duration::from_secs(5);
    let _ = tokio::time::timeout(parting, node.jobs.tasks.wait()).await;
    let _ = tokio::time::timeout(parting, background.wait()).await;
    let _ = tokio::time::timeout(parting, server).await;
    node.ledger.close().await;
    tracing::info!("node stopped");
    Ok(())
}

/// Starts what runs beside the listener.
fn start(node: &Node, stop: &CancellationToken, quit: &CancellationToken) -> TaskTracker {
    let background = TaskTracker::new();
    let (config, jobs) = (&node.config, &node.jobs);
    background.spawn(ctx::follow_chain(node.ctx.clone(), quit.clone()));
    background.spawn(jobs::look_after(jobs.clone(), quit.clone()));
    background.spawn(keeper::run(node.ctx.clone(), quit.clone()));
    background.spawn(duties::run(node.verifier.clone(), quit.clone()));
    if config.verifier.enabled {
        background.spawn(results::run(node.verifier.clone(), quit.clone()));
    }
    if config.accept_jobs {
        background.spawn(announce::run(jobs.clone(), stop.clone(), quit.clone()));
    }
    if config.accept_jobs && config.consume_open_jobs {
        background.spawn(open::run(jobs.clone(), stop.clone()));
    }
    background.close();
    background
}
