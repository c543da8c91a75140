//! What a tenant keeps of its leases: the key with which it uses each, for its owner alone. The chain has only its hash.

use crate::{
    commands::init::{private_dir, write_private},
    context::Connection,
};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use std::path::PathBuf;

/// What is kept of a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Base58 address of the lease.
    pub lease: String,
    /// The tenant's key.
    pub key: String,
    /// The provider's URL.
    pub endpoint: String,
}

fn path(connection: &Connection, lease: &Pubkey) -> PathBuf {
    let dir = connection.data_dir().join("leases");
    dir.join(format!("{lease}.json"))
}

impl Kept {
    /// Keeps it, before anything is paid. Returns the file.
    pub fn write(&self, connection: &Connection, lease: &Pubkey) -> Result<PathBuf> {
        let path = path(connection, lease);
        if let Some(dir) = path.parent() {
            private_dir(dir)?;
        }
        write_private(&path, &serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// What was kept of a lease here, if anything.
    pub fn read(connection: &Connection, lease: &Pubkey) -> Result<Option<Self>> {
        let path = path(connection, lease);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let kept = serde_json::from_slice(&bytes);
                Ok(Some(kept.with_context(|| {
                    format!("{} is damaged", path.display())
                })?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
}
