//! A clock for the chain that waits for the nodes: on a machine that is busy slots are longer, and deadlines come no sooner for it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mythic_client::{ChainClient, Commitment};
use serde_json::{Value, json};
use solana_rpc_client_api::request::RpcRequest;
use tokio_util::sync::CancellationToken;

/// Longest wait of a slot for one node: it may be one that a test has killed or stopped.
const LONGEST: Duration = Duration::from_secs(2);

/// The clock, and the nodes that are waited for.
#[derive(Clone, Default)]
pub struct Pace {
    nodes: Arc<Mutex<Vec<String>>>,
    least_ms: Arc<AtomicU64>,
    slot: Arc<AtomicU64>,
    /// Locked while a slot passes.
    passing: Arc<tokio::sync::Mutex<()>>,
}

impl Pace {
    pub fn waits_for(&self, url: &str) {
        self.nodes.lock().unwrap().push(url.into());
    }

    /// From now on a slot takes as long at least.
    pub fn least(&self, slot_ms: u64) {
        self.least_ms.store(slot_ms, Ordering::Relaxed);
    }

    /// The newest slot that all nodes have seen.
    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// No slot passes while this is kept.
    pub async fn hold(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.passing.clone().lock_owned().await
    }

    /// Advances the chain a slot in `slot_ms` at most, and only once all nodes have seen the one before.
    pub async fn run(self, chain: ChainClient, slot_ms: u64, stop: CancellationToken) {
        let http = reqwest::Client::builder().timeout(LONGEST).build().unwrap();
        self.least(slot_ms);
        while !stop.is_cancelled() {
            let passing = self.passing.lock().await;
            let began = tokio::time::Instant::now();
            let advance = RpcRequest::Custom {
                method: "mythic_advanceSlots",
            };
            let _ = chain.rpc().send::<Value>(advance, json!([1])).await;
            let nodes = self.nodes.lock().unwrap().clone();
            if let Ok(slot) = chain.slot(Commitment::Processed).await {
                let all = nodes.iter().map(|url| seen(&http, url, slot));
                futures::future::join_all(all).await;
                self.slot.store(slot, Ordering::Relaxed);
            }
            drop(passing);
            let least = Duration::from_millis(self.least_ms.load(Ordering::Relaxed));
            tokio::time::sleep_until(began + least).await;
        }
    }
}

/// Waits until a node has seen a slot, or does not answer.
async fn seen(http: &reqwest::Client, url: &str, slot: u64) {
    let started = Instant::now();
    while started.elapsed() < LONGEST {
        let Ok(answer) = http.get(format!("{url}/health")).send().await else {
            return;
        };
        let Ok(health) = answer.json::<Value>().await else {
            return;
        };
        if health["slot"].as_u64().is_some_and(|seen| seen >= slot) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
