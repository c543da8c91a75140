//! Assembly: opens what the gateway is made of and puts it together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use mythic_client::{ChainClient, keys::load_keypair};
use mythic_wire::{Origin, allowance::Allowance, signed::Receiver};
use solana_keypair::Keypair;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accounts::{Account, Accounts, Sealer},
    chain::{Chain, blockhashes::Blockhashes, clock::Clock, payment::Payments, purse::Purse},
    config::GatewayConfig,
    dial::Dialer,
    feed::hub::Hub,
    fleet::{limits::Limiter, queue::Queue, validators::Validators},
    http::Edge,
    intake::plan::{Catalogue, Served},
    jobs::{Jobs, run::Runs},
    metrics::Metrics,
    store::{
        Pool,
        index::{burned::Burned, market::Figures},
    },
};

/// Checks that a validator opens here at once, and how fast it may open more.
const CHECKS: u32 = 600;
const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Validators whose checks are counted at a time.
const CHECKERS: usize = 4_096;
/// Connections to PostgreSQL.
const CONNECTIONS: usize = 16;
/// The database cancels a statement after this.
const STATEMENT: Duration = Duration::from_secs(10);

/// What the routes share.
pub struct App {
    pub config: Arc<GatewayConfig>,
    pub pool: Pool,
    pub chain: Arc<Chain>,
    /// Who pays.
    pub accounts: Arc<Accounts>,
    /// Takes signed requests, each once.
    pub receiver: Receiver,
    /// Transfers that buy credit.
    pub payments: Payments,
    /// Checks of results that each validator opened here.
    pub checks: Allowance<[u8; 32]>,
    pub catalogue: Arc<Catalogue>,
    /// Sums over the Compute Market.
    pub market: Figures,
    /// What was burned, as it was last read.
    pub burned: Burned,
    pub validators: Arc<Validators>,
    /// Requests under way and the jobs that they make.
    pub jobs: Arc<Jobs>,
    /// Bounds per key.
    pub limiter: Limiter,
    pub hub: Arc<Hub>,
    /// What the HTTP edge keeps.
    pub edge: Arc<Edge>,
    pub metrics: Arc<Metrics>,
    /// The gateway is stopping.
    pub stop: CancellationToken,
    /// When it started.
    pub started: Instant,
}

fn pool(url: &str) -> anyhow::Result<Pool> {
    let settings = mythic_postgres::PoolSettings {
        name: "mythic gateway".into(),
        size: CONNECTIONS,
        wait: Duration::from_secs(5),
        statement_timeout: STATEMENT,
    };
    mythic_postgres::pool(url, &settings).context("database_url")
}

fn addresses(list: &[String]) -> anyhow::Result<Vec<[u8; 32]>> {
    list.iter()
        .map(|address| Ok(address.parse::<solana_pubkey::Pubkey>()?.to_bytes()))
        .collect()
}

/// What a configuration names on disk.
pub struct Files {
    payer: Keypair,
    delegate: Option<Keypair>,
    models: Vec<Served>,
}

impl Files {
    /// Reads it, of the models their tokenizers and templates. What passes here is what a start loads.
    pub fn open(config: &GatewayConfig) -> anyhow::Result<Self> {
        let delegate = config
            .dev_account
            .as_ref()
            .map(|account| load_keypair(&account.delegate_keypair_path));
        Ok(Self {
            payer: load_keypair(&config.keypair_path).context("keypair_path")?,
            delegate: delegate
                .transpose()
                .context("dev_account.delegate_keypair_path")?,
            models: config
                .models
                .iter()
                .map(Served::open)
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

impl App {
    /// Opens files and prepares connections; nothing is dialled yet.
    pub async fn new(config: GatewayConfig, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        config.validate().map_err(anyhow::Error::msg)?;
        let origin = Origin::parse(&config.public_url).context("public_url")?;
        let named = config.clone();
        let files = tokio::task::spawn_blocking(move || Files::open(&named)).await??;
        let chain = Arc::new(Chain {
            client: ChainClient::new(config.rpc_url.clone(), config.ws_url.clone()),
            payer: Arc::new(files.payer),
            blockhashes: Blockhashes::default(),
            purse: Purse::default(),
            clock: Clock::default(),
            prompt_source: origin.to_string(),
        });
        let dev = match (&config.dev_account, files.delegate) {
            (Some(account), Some(delegate)) => Some(Account {
                key_id: "dev".into(),
                owner: account.owner.parse().context("dev_account.owner")?,
                delegate: Arc::new(delegate),
            }),
            _ => None,
        };
        let pool = pool(&config.database_url)?;
        let accounts = Arc::new(Accounts {
            pool: pool.clone(),
            sealer: Sealer::open(&config.master_key_file)?,
            dev,
            dev_key: config
                .dev_account
                .as_ref()
                .and_then(|account| account.key.clone()),
        });
        let config = Arc::new(config);
        let catalogue = Arc::new(Catalogue::new(files.models, chain.clone()));
        let validators = Arc::new(Validators::new(
            chain.clone(),
            addresses(&config.deny_validators)?,
        ));
        let metrics = Arc::new(Metrics::new()?);
        let jobs = Arc::new(Jobs {
            config: config.clone(),
            pool: pool.clone(),
            chain: chain.clone(),
            accounts: accounts.clone(),
            catalogue: catalogue.clone(),
            validators: validators.clone(),
            dialer: Dialer::new(config.dev),
            metrics: metrics.clone(),
            runs: Runs::default(),
            queue: Queue::new(&config.limits),
            instance: uuid::Uuid::new_v4().simple().to_string(),
            janitor: Notify::new(),
            tracker: TaskTracker::new(),
            stop: stop.clone(),
        });
        Ok(Arc::new(Self {
            limiter: Limiter::new(config.limits.clone()),
            edge: Arc::new(Edge::new(&config)),
            config,
            pool,
            chain,
            accounts,
            receiver: Receiver::new(origin),
            payments: Payments::default(),
            checks: Allowance::new(CHECKS, CHECK_EVERY, CHECKERS),
            catalogue,
            market: Figures::default(),
            burned: Burned::default(),
            validators,
            jobs,
            hub: Arc::default(),
            metrics,
            stop,
            started: Instant::now(),
        }))
    }
}
