//! A clock for the chain that waits for the nodes: on a machine that is busy slots are longer, and deadlines come no sooner for it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mythic_client::{ChainClient, Commitment};
use serde_json::{Value, json};
use solana_rpc_client_api::request::RpcRequest;
use tokio_util::sync::CancellationToken;

/// Longest wait of a slot for one node: it may be one that a test has killed or stopped.
const LONGEST: Duration = Duration::from_secs(2);

/// The nodes that are waited for.
#[derive(Clone, Default)]
pub struct Pace(Arc<Mutex<Vec<String>>>);

impl Pace {
    pub fn waits_for(&self, url: &str) {
        self.0.lock().unwrap().push(url.into());
    }

    /// Advances the chain a slot in `slot_ms` at most, and only once all nodes have seen the one before.
    pub async fn run(self, chain: ChainClient, slot_ms: u64, stop: CancellationToken) {
        let http = reqwest::Client::builder().timeout(LONGEST).build().unwrap();
        let least = Duration::from_millis(slot_ms);
        while !stop.is_cancelled() {
            let next = tokio::time::Instant::now() + least;
            let advance = RpcRequest::Custom {
                method: "mythic_advanceSlots",
            };
            let _ = chain.rpc().send::<Value>(advance, json!([1])).await;
            let nodes = self.0.lock().unwrap().clone();
            if let Ok(slot) = chain.slot(Commitment::Processed).await {
                let all = nodes.iter().map(|url| seen(&http, url, slot));
                futures::future::join_all(all).await;
            }
            tokio::time::sleep_until(next).await;
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
