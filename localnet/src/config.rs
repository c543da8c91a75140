//! What of the development chain's configuration a validator has a use for: `mythic dev` writes one file for both.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use solana_pubkey::Pubkey;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Agave's clock ticks 160 times a second; 64 ticks are a slot of 400 ms.
const TICKS_PER_SECOND: u64 = 160;

/// The keys that are read; the others are the development chain's own.
#[derive(Clone, Debug, Deserialize)]
pub struct LocalnetConfig {
    /// Where the ledger lies, in `ledger`.
    pub data_dir: PathBuf,
    /// JSON-RPC over HTTP.
    pub rpc_addr: SocketAddr,
    /// JSON-RPC over WebSocket.
    pub ws_addr: SocketAddr,
    /// Milliseconds of a slot. Written into the genesis: a ledger that exists keeps its own.
    pub slot_ms: u64,
    /// Programs deployed at genesis.
    #[serde(default)]
    pub programs: Vec<Deployed>,
    /// Lamports behind `requestAirdrop`.
    pub faucet_lamports: u64,
    /// JSON5 file of the plugin that is loaded at the start.
    pub geyser_plugin_config: Option<PathBuf>,
}

/// A program deployed at genesis.
#[derive(Clone, Debug, Deserialize)]
pub struct Deployed {
    /// Program id, base58.
    pub id: String,
    /// The ELF file.
    pub path: PathBuf,
    /// Key that may upgrade it, base58; none = nobody.
    pub upgrade_authority: Option<String>,
}

impl LocalnetConfig {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let config: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        ensure!(
            config.rpc_addr.ip().is_loopback() && config.ws_addr.ip().is_loopback(),
            "rpc_addr and ws_addr must be loopback addresses: whoever calls may spend from the faucet"
        );
        Ok(config)
    }

    /// Agave's ledger.
    pub fn ledger(&self) -> PathBuf {
        self.data_dir.join("ledger")
    }

    /// Length of a slot in Agave's own measure.
    pub fn ticks_per_slot(&self) -> u64 {
        (self.slot_ms * TICKS_PER_SECOND / 1000).max(1)
    }
}

/// A public key in base58.
pub fn key(text: &str) -> Result<Pubkey> {
    Pubkey::from_str(text).with_context(|| format!("{text:?} is no public key"))
}
