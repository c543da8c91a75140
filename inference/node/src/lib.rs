//! One validator's daemon.
//!
//! - [`NodeConfig`], [`run`]: configuration and entry
//! - [`ctx`]: what every part may use
//! - [`serve`]: jobs from their admission to a final result
//! - [`verify`]: checks of others' answers, and what is owed to disputes
//! - [`keep`]: journal, evidence, claims
//! - [`http`]: the endpoints
//! - [`setup`]: keys, models, registration; [`seams`]: parts that a binary may replace
//! - [`meters`]: counters; [`gpu`]: what a driver says

pub mod config;
pub mod ctx;
pub mod gpu;
pub mod http;
pub mod keep;
pub mod meters;
pub mod seams;
pub mod serve;
pub mod setup;
pub mod verify;

use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use mythic_client::{ChainClient, Commitment};
use mythic_interface::state::Config;
use mythic_wire::{Origin, allowance::Allowance, signed::Receiver};
use solana_pubkey::Pubkey;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{ModelConfig, NodeConfig};

use ctx::Ctx;
use gpu::Gpus;
use keep::{
    journal::{Journal, Record},
    keeper,
    ledger::Ledger,
    store::Store,
};
use meters::Meters;
use seams::{Disclosure, Seams};
use serve::{
    announce,
    backend::ServedModel,
    jobs::{self, Jobs},
    open,
    submit::{self, Submitter},
};
use setup::Keys;
use verify::{Verifier, duties, results, validators::Validators};

/// Checks that a validator opens here at once, and how fast it may open more.
const CHECKS: u32 = 120;
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Validators whose checks are counted at a time.
const CHECKERS: usize = 4_096;

/// A node: its parts, for assembly and routes.
pub struct Node {
    ctx: Arc<Ctx>,
    jobs: Arc<Jobs>,
    verifier: Arc<Verifier>,
    /// Takes signed requests.
    receiver: Receiver,
    /// Checks of our results that others opened.
    checks: Allowance<[u8; 32]>,
    /// Others' accounts.
    validators: Validators,
    gpus: Gpus,
    status_token: Option<String>,
}

impl Deref for Node {
    type Target = Ctx;

    fn deref(&self) -> &Ctx {
        &self.ctx
    }
}

/// Runs a node until `stop`. Returns an error only for what a restart would not mend; the message names the mend.
pub async fn run(config: NodeConfig, seams: Seams, stop: CancellationToken) -> Result<()> {
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
    let mut models = Vec::new();
    for model in &config.models {
        models.push(setup::load_model(&chain, &config, model, &seams).await?);
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

/// What a node is made of.
pub struct Parts {
    /// Configuration.
    pub config: NodeConfig,
    /// Keys.
    pub keys: Keys,
    /// The journal, opened.
    pub journal: Journal,
    /// Own results.
    pub store: Store,
    /// The chain.
    pub chain: ChainClient,
    /// The network's Config account.
    pub network: Config,
    /// Models served.
    pub models: Vec<ServedModel>,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
}

/// Joins the parts; registers the validator.
pub async fn assemble(parts: Parts) -> Result<Arc<Node>> {
    let (config, chain) = (parts.config, parts.chain);
    let origin = config.origin().map_err(anyhow::Error::msg)?;
    let addresses: Vec<Pubkey> = parts.models.iter().map(|m| m.address).collect();
    let validator =
        setup::register(&chain, &config, &parts.keys, &parts.network, &addresses).await?;
    let slot = setup::patiently("reading the slot", || chain.slot(Commitment::Processed)).await?;
    let others = Store::open_others(&config.data_dir).with_context(|| {
        format!(
            "cannot make the directory of others' evidence in {}",
            config.data_dir.display()
        )
    })?;
    let gateways = config
        .gateways
        .iter()
        .map(|url| Origin::parse(url))
        .collect::<Result<Vec<_>, _>>()?;
    let status_token = match &config.status_token_file {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path).context("status_token_file")?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        }
    };
    let ctx = ctx::Means {
        config,
        origin: origin.clone(),
        gateways,
        chain,
        keys: parts.keys,
        models: parts.models,
        store: parts.store,
        others,
        ledger: Ledger::start(parts.journal).context("starting the journal's thread")?,
        meters: Meters::new()?,
        disclosure: parts.disclosure,
    };
    let ctx = Arc::new(Ctx::new(ctx, validator, parts.network.params, slot));
    Ok(Arc::new(Node {
        jobs: jobs(&ctx),
        verifier: Arc::new(Verifier::new(ctx.clone())),
        receiver: Receiver::new(origin),
        checks: Allowance::new(CHECKS, CHECK_EVERY, CHECKERS),
        validators: Validators::default(),
        gpus: Gpus::find(),
        status_token,
        ctx,
    }))
}

/// The table of jobs and its submitter. While other jobs run, a result waits a little for theirs.
fn jobs(ctx: &Arc<Ctx>) -> Arc<Jobs> {
    let fees = ctx.clone();
    let on_fee = Arc::new(move |lamports| fees.note_soft(Record::Fee { lamports }));
    Arc::new_cyclic(|jobs: &std::sync::Weak<Jobs>| {
        let jobs = jobs.clone();
        let patience = Duration::from_millis(ctx.config.submit_linger_ms);
        let briefly = submit::briefly();
        let linger = Arc::new(move || {
            let company = jobs.upgrade().is_some_and(|jobs| jobs.load().0 > 0);
            match company {
                true => patience,
                false => briefly(),
            }
        });
        let submitter = Submitter::start(
            ctx.chain.clone(),
            ctx.keys.operator.clone(),
            ctx.keys.authority,
            on_fee,
            linger,
        );
        Jobs::new(ctx.clone(), submitter)
    })
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
