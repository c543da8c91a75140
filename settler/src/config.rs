//! The settler's configuration.

use std::{net::SocketAddr, path::PathBuf};

use mythic_support::check::{in_range, url};
use mythic_trace::TraceConfig;
use serde::{Deserialize, Serialize};

/// Keys of the settler's TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettlerConfig {
    /// The indexer's database: a URL or key-value string.
    pub database_url: String,
    /// JSON-RPC of the chain.
    pub rpc_url: String,
    /// WebSocket of the chain.
    pub ws_url: String,
    /// Key file of the payer of transaction fees.
    pub keypair_path: PathBuf,
    /// Pause between two looks at what is due, milliseconds.
    pub interval_ms: u64,
    /// Instructions in one transaction.
    pub batch: usize,
    /// Lamports owed by a validator or provider that are swept at once.
    pub sweep_min_lamports: u64,
    /// Slots without a write of the validator or provider after which less is swept too.
    pub sweep_after_slots: u64,
    /// Lamports of epochs of a running lease that are paid at once; those of an ended one always are.
    pub release_min_lamports: u64,
    /// Whether jobs, cases, posted output, leases and their requests past their retention are closed.
    pub close_jobs: bool,
    /// Seconds between two comparisons of the index with the chain; 0 = never.
    pub reconcile_every_s: u64,
    /// Where to serve `/metrics` and `/health`; without an address in the file, on loopback.
    pub metrics_addr: Option<SocketAddr>,
    /// Where traces go, and how much is traced.
    pub traces: TraceConfig,
}

impl Default for SettlerConfig {
    fn default() -> Self {
        Self {
            database_url: "host=/run/postgresql dbname=mythic".into(),
            rpc_url: "http://127.0.0.1:8899".into(),
            ws_url: "ws://127.0.0.1:8900".into(),
            keypair_path: "settler.json".into(),
            interval_ms: 2000,
            batch: 5,
            sweep_min_lamports: 1_000_000,
            sweep_after_slots: 32,
            release_min_lamports: 1_000_000,
            close_jobs: true,
            reconcile_every_s: 30,
            metrics_addr: Some(([127, 0, 0, 1], 9471).into()),
            traces: TraceConfig::default(),
        }
    }
}

impl SettlerConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        mythic_postgres::check_url(&self.database_url)
            .map_err(|error| format!("database_url: {error}"))?;
        url("rpc_url", &self.rpc_url, &["http://", "https://"])?;
        url("ws_url", &self.ws_url, &["ws://", "wss://"])?;
        if self.keypair_path.as_os_str().is_empty() {
            return Err("keypair_path = \"\": allowed is a key file".into());
        }
        in_range("interval_ms", self.interval_ms, 50, 600_000)?;
        // Five claims of different parties fill a transaction.
        in_range("batch", self.batch as u64, 1, 5)?;
        in_range("sweep_after_slots", self.sweep_after_slots, 0, 432_000)?;
        in_range("reconcile_every_s", self.reconcile_every_s, 0, 86_400)?;
        self.traces.validate()
    }
}
