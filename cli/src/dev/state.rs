//! `dev.json`: what a running development network tells scripts. Written whole, by rename.

use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// File name inside the data directory.
pub const FILE: &str = "dev.json";

/// A process of the network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Null while it is down.
    pub pid: Option<u32>,
    /// Starts after the first.
    pub restarts: u32,
    /// Log file.
    pub log: PathBuf,
    /// Configuration file.
    pub config: PathBuf,
}

/// A validator of the network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ValidatorInfo {
    /// Base58 key that holds the stake.
    pub authority: String,
    /// Base58 hot key.
    pub operator: String,
    /// The node's base URL.
    pub endpoint: String,
    /// Its process in `processes`.
    pub process: String,
}

/// The provider of the network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ProviderInfo {
    /// Base58 key that is its name and owns its stake.
    pub authority: String,
    /// Base58 hot key.
    pub operator: String,
    /// Its URL.
    pub endpoint: String,
    /// Its process in `processes`.
    pub process: String,
}

/// A funded development key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KeyInfo {
    /// Base58 public key.
    pub pubkey: String,
    /// Solana keypair file.
    pub path: PathBuf,
}

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DevState {
    /// The `mythic dev` that runs it.
    #[serde(default)]
    pub pid: u32,
    /// Gateway, without `/v1`.
    pub gateway_url: String,
    /// Key of the DEV account at the gateway.
    pub api_key: String,
    /// Chain's JSON-RPC.
    pub rpc_url: String,
    /// Chain's WebSocket.
    pub ws_url: String,
    /// Postgres, read-only role.
    pub database_url: String,
    /// The `mythic` executable that runs all.
    pub binary: PathBuf,
    /// Absolute.
    pub data_dir: PathBuf,
    /// Name of the model that is served, as the gateway takes it.
    #[serde(default)]
    pub model: String,
    /// What the first validator computes on, in words.
    #[serde(default)]
    pub device: Option<String>,
    /// Milliseconds of a slot; 0 = manual.
    #[serde(default)]
    pub slot_ms: u64,
    pub processes: BTreeMap<String, ProcessInfo>,
    /// Program ids by name.
    pub programs: BTreeMap<String, String>,
    /// In order of `--validator` numbers, from 1.
    pub validators: Vec<ValidatorInfo>,
    /// Leases out capacity of class `cpu`.
    #[serde(default)]
    pub provider: Option<ProviderInfo>,
    pub keys: BTreeMap<String, KeyInfo>,
    /// The job that was run before Ready was said: the network's own.
    pub own_job: Option<String>,
    /// When Ready was said, Unix seconds; null until then.
    pub ready_at: Option<u64>,
}

impl DevState {
    /// Reads the file of a data directory.
    pub fn read(data_dir: &Path) -> Result<Self> {
        let path = data_dir.join(FILE);
        let bytes = std::fs::read(&path).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => exit::NOT_FOUND,
                _ => exit::FAILURE,
            };
            let dir = data_dir.display();
            Exit::error(
                code,
                format!("no development network in {dir} ({error}): run `make dev`"),
            )
        })?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The validator of a `--validator` number.
    pub fn validator(&self, number: usize) -> Result<&ValidatorInfo> {
        let found = number
            .checked_sub(1)
            .and_then(|index| self.validators.get(index));
        found.ok_or_else(|| {
            let most = self.validators.len();
            Exit::error(
                exit::NOT_FOUND,
                format!("--validator {number}: this network has validators 1 to {most}"),
            )
        })
    }

    /// A process by its name.
    pub fn process(&self, name: &str) -> Result<&ProcessInfo> {
        self.processes.get(name).with_context(|| {
            format!("process {name} was not started yet; try again once the network is Ready")
        })
    }

    /// Replaces the file, readable by its owner only: it holds the API key.
    pub fn write(&self) -> Result<()> {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let path = self.data_dir.join(FILE);
        let draft = path.with_extension("json.new");
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&draft, &path).with_context(|| format!("writing {}", path.display()))
    }
}
