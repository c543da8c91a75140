//! Leases that run: each has an engine of its own, with its own threads and its own memory for keys and values, so that no tenant waits
//! for another or finds what another left. The weights are mapped once.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use mythic_engine::{Engine, EngineConfig};
use mythic_interface::hash::{Hash, lease_key_hash};
use parking_lot::RwLock;
use solana_pubkey::Pubkey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A lease that runs.
pub struct Endpoint {
    /// Address of the lease.
    pub lease: Pubkey,
    /// The model's id.
    pub model: String,
    /// Its own.
    pub engine: Engine,
    /// Answers at once.
    pub max_concurrent: usize,
    key_hash: Hash,
    places: Arc<Semaphore>,
}

impl Endpoint {
    /// A place for an answer, if one is free.
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }
}

/// What a lease needs.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub lease: Pubkey,
    /// The model's file and its id.
    pub path: PathBuf,
    pub model: String,
    pub key_hash: Hash,
    pub max_concurrent: usize,
    /// Of its engine.
    pub threads: usize,
    /// Bytes for keys and values.
    pub kv_bytes: u64,
}

/// All leases that run.
#[derive(Default)]
pub struct Endpoints(RwLock<HashMap<Pubkey, Arc<Endpoint>>>);

impl Endpoints {
    /// Loads an engine for a lease and serves it.
    pub async fn start(&self, wanted: Wanted) -> Result<()> {
        let config = EngineConfig {
            threads: wanted.threads,
            max_sequences: wanted.max_concurrent,
            // A place is had before the engine is asked, so that nothing waits in it for long.
            max_queued: wanted.max_concurrent,
            kv_bytes: wanted.kv_bytes,
            chunk: EngineConfig::default().chunk.max(wanted.max_concurrent),
            ..EngineConfig::default()
        };
        let path = wanted.path.clone();
        let load = move || {
            Engine::load(&path, config).with_context(|| format!("loading {}", path.display()))
        };
        let engine = tokio::task::spawn_blocking(load).await??;
        let endpoint = Arc::new(Endpoint {
            lease: wanted.lease,
            model: wanted.model,
            engine,
            max_concurrent: wanted.max_concurrent,
            key_hash: wanted.key_hash,
            places: Arc::new(Semaphore::new(wanted.max_concurrent)),
        });
        self.0.write().insert(wanted.lease, endpoint);
        Ok(())
    }

    /// Serves a lease no longer. Answers under way end, and the engine's memory with the last of them.
    pub fn stop(&self, lease: &Pubkey) {
        if let Some(endpoint) = self.0.write().remove(lease) {
            endpoint.places.close();
        }
    }

    /// The lease that this key is of.
    pub fn of_key(&self, key: &[u8]) -> Option<Arc<Endpoint>> {
        let hash = lease_key_hash(key);
        let running = self.0.read();
        running
            .values()
            .find(|endpoint| endpoint.key_hash == hash)
            .cloned()
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.0.read().len()
    }
}
