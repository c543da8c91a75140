//! Leases that run: each has an engine of its own, with its own threads and its own memory for keys and values, so that no tenant waits
//! for another or finds what another left. The weights are mapped once.

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use mythic_engine::{Choice, Engine, EngineConfig, Hold};
use mythic_interface::hash::{Hash, lease_key_hash};
use parking_lot::{Mutex, RwLock};
use solana_pubkey::Pubkey;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

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
    /// Ends whatever is under way.
    ended: CancellationToken,
    /// Left with the engine.
    _units: Taken,
}

impl Endpoint {
    /// Ends one answer; ended with all of them when the lease is served no longer.
    pub fn cancel(&self) -> CancellationToken {
        self.ended.child_token()
    }

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
    pub units: u16,
    pub key_hash: Hash,
    pub max_concurrent: usize,
    /// What its engine computes on.
    pub device: Choice,
    /// Of its engine.
    pub threads: usize,
    /// Bytes for keys and values.
    pub kv_bytes: u64,
}

/// All leases that run.
#[derive(Default)]
pub struct Endpoints {
    running: RwLock<HashMap<Pubkey, Arc<Endpoint>>>,
    units: Arc<Units>,
}

/// Units whose engines are loaded or about to be, by lease.
#[derive(Debug, Default)]
struct Units(Mutex<HashMap<Pubkey, u16>>);

/// A lease's units, until they are left.
#[derive(Debug)]
struct Taken {
    units: Arc<Units>,
    lease: Pubkey,
}

impl Units {
    /// Takes a lease's units, of `most` in all.
    fn take(self: &Arc<Self>, lease: Pubkey, units: u16, most: u16) -> Result<Taken> {
        let mut all = self.0.lock();
        ensure!(!all.contains_key(&lease), "its engine is loaded already");
        let taken: u32 = all.values().copied().map(u32::from).sum();
        ensure!(
            taken + u32::from(units) <= u32::from(most),
            "engines of {taken} units run here, and {most} are offered"
        );
        all.insert(lease, units);
        let units = self.clone();
        Ok(Taken { units, lease })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.units.0.lock().remove(&self.lease);
    }
}

impl Endpoints {
    /// Loads an engine for a lease and serves it, if no more than `most` units then run.
    pub async fn start(&self, wanted: Wanted, most: u16) -> Result<()> {
        let taken = self.units.take(wanted.lease, wanted.units, most)?;
        let config = EngineConfig {
            device: wanted.device,
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
            ended: CancellationToken::new(),
            _units: taken,
        });
        self.running.write().insert(wanted.lease, endpoint);
        Ok(())
    }

    /// Serves a lease no longer. Answers under way are cut off, and the engine's memory is free as soon as they are.
    pub fn stop(&self, lease: &Pubkey) {
        if let Some(endpoint) = self.running.write().remove(lease) {
            endpoint.places.close();
            endpoint.ended.cancel();
        }
    }

    /// Keeps a lease's engine from beginning a pass until what is returned is dropped; `None` where it has none here.
    pub fn hold(&self, lease: &Pubkey) -> Option<Hold> {
        let running = self.running.read();
        Some(running.get(lease)?.engine.hold())
    }

    /// The lease that this key is of.
    pub fn of_key(&self, key: &[u8]) -> Option<Arc<Endpoint>> {
        let hash = lease_key_hash(key);
        let running = self.running.read();
        running
            .values()
            .find(|endpoint| endpoint.key_hash == hash)
            .cloned()
    }

    /// How many run.
    pub fn count(&self) -> usize {
        self.running.read().len()
    }
}

#[cfg(test)]
mod tests {
    use mythic_engine::{GenerateRequest, Sampler};

    use super::*;

    #[tokio::test]
    async fn an_answer_that_nobody_reads_holds_no_engine_after_its_lease() {
        let endpoints = Endpoints::default();
        let lease = Pubkey::new_from_array([1; 32]);
        let wanted = Wanted {
            lease,
            path: mythic_model::catalogue::fetch(|_| {}).await.unwrap(),
            model: "m@0".into(),
            units: 1,
            key_hash: lease_key_hash(b"key"),
            max_concurrent: 1,
            device: Choice::Cpu,
            threads: 1,
            kv_bytes: 64 << 20,
        };
        endpoints.start(wanted.clone(), 1).await.unwrap();
        assert!(endpoints.start(wanted, 1).await.is_err(), "it runs");
        let endpoint = endpoints.of_key(b"key").unwrap();
        let place = endpoint.place().unwrap();
        let asked = GenerateRequest {
            prompt_ids: vec![1],
            max_tokens: 200,
            sampler: Sampler::Verified {
                seed: [0; 32],
                temperature_milli: 0,
            },
            stop: Vec::new(),
            logprobs: false,
        };
        let cancel = endpoint.cancel();
        let mut steps = endpoint.engine.generate(asked, cancel.clone()).unwrap();
        let left = Arc::downgrade(&endpoint);
        drop(endpoint);
        endpoints.stop(&lease);
        assert!(cancel.is_cancelled());
        assert!(left.upgrade().is_none(), "its engine is held");
        assert!(endpoints.of_key(b"key").is_none() && endpoints.count() == 0);
        // Who reads late finds the end.
        let read = async { while steps.recv().await.is_some() {} };
        let patience = std::time::Duration::from_secs(60);
        assert!(tokio::time::timeout(patience, read).await.is_ok());
        drop(place);
        // Its units are free.
        assert!(endpoints.units.take(lease, 1, 1).is_ok());
    }

    #[test]
    fn no_more_engines_run_than_units_are_offered() {
        let units = Arc::new(Units::default());
        let lease = |n: u8| Pubkey::new_from_array([n; 32]);
        let first = units.take(lease(1), 2, 3).unwrap();
        assert!(units.take(lease(1), 1, 3).is_err(), "it has one");
        let refused = units.take(lease(2), 2, 3).unwrap_err().to_string();
        assert!(refused.contains("2 units run here, and 3"), "{refused}");
        let _second = units.take(lease(2), 1, 3).unwrap();
        drop(first);
        assert!(units.take(lease(3), 2, 3).is_ok());
    }
}
