//! Everything that handlers share.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use anyhow::Context;
use mythic_client::{ChainClient, keys::load_keypair};
use solana_keypair::Keypair;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::GatewayConfig,
    dial::Dialer,
    feed::Hub,
    fleet::Validators,
    keys::{Account, Sealer, Seen},
    limits::Limiter,
    metrics::Metrics,
    onchain::Blockhashes,
    plan::{Catalogue, Served},
    run::Runs,
};

pub use mythic_postgres::Pool;

/// Most connections of the pool.
const CONNECTIONS: usize = 16;
/// The database cancels a statement after this.
const STATEMENT: std::time::Duration = std::time::Duration::from_secs(10);

/// State of the gateway.
pub struct App {
    /// As loaded.
    pub config: GatewayConfig,
    /// PostgreSQL.
    pub pool: Pool,
    /// The chain.
    pub chain: ChainClient,
    /// Pays fees, fronts rent, cancels.
    pub payer: Arc<Keypair>,
    /// Encrypts delegate keys.
    pub sealer: Sealer,
    /// Signatures used up.
    pub seen: Seen,
    /// Who pays for strangers on a development network.
    pub dev: Option<Account>,
    /// Models served.
    pub catalogue: Catalogue,
    /// Validators known.
    pub validators: Validators,
    /// Dials them.
    pub dialer: Dialer,
    /// Requests under way.
    pub runs: Runs,
    /// Bounds per key.
    pub limiter: Limiter,
    /// The feed.
    pub hub: Hub,
    /// The feed's connection is up.
    pub feed_connected: AtomicBool,
    /// The last finalized blockhash.
    pub blockhashes: Blockhashes,
    /// Wakes the janitor.
    pub janitor: Notify,
    /// Counts.
    pub metrics: Metrics,
    /// Background work to wait for at the end.
    pub tracker: TaskTracker,
    /// The gateway is stopping.
    pub stop: CancellationToken,
    /// When it started.
    pub started: Instant,
}

impl App {
    /// Opens files and prepares connections; nothing is dialled yet.
    pub async fn new(config: GatewayConfig, stop: CancellationToken) -> anyhow::Result<Arc<Self>> {
        config.validate().map_err(anyhow::Error::msg)?;
        let payer = Arc::new(load_keypair(&config.keypair_path)?);
        let sealer = Sealer::open(&config.master_key_file)?;
        let dev = match &config.dev_account {
            None => None,
            Some(account) => Some(Account {
                key_id: "dev".into(),
                owner: account.owner.parse().context("dev_account.owner")?,
                delegate: Arc::new(load_keypair(&account.delegate_keypair_path)?),
            }),
        };
        let models = config.models.clone();
        let served = tokio::task::spawn_blocking(move || {
            models
                .iter()
                .map(Served::open)
                .collect::<anyhow::Result<Vec<_>>>()
        })
        .await??;
        let settings = mythic_postgres::PoolSettings {
            name: "mythic gateway".into(),
            size: CONNECTIONS,
            wait: std::time::Duration::from_secs(5),
            statement_timeout: STATEMENT,
        };
        let pool = mythic_postgres::pool(&config.database_url, &settings)?;
        Ok(Arc::new(Self {
            chain: ChainClient::new(config.rpc_url.clone(), config.ws_url.clone()),
            dialer: Dialer::new(config.dev),
            limiter: Limiter::new(config.limits.clone()),
            metrics: Metrics::new()?,
            catalogue: Catalogue::new(served),
            pool,
            payer,
            sealer,
            dev,
            config,
            seen: Seen::default(),
            validators: Validators::default(),
            runs: Runs::default(),
            hub: Hub::default(),
            feed_connected: AtomicBool::new(false),
            blockhashes: Blockhashes::default(),
            janitor: Notify::new(),
            tracker: TaskTracker::new(),
            stop,
            started: Instant::now(),
        }))
    }
}
