//! What gateways are told of this node: every 10 seconds, and at once when it begins to stop.

use std::{collections::HashMap, sync::Arc, time::Duration};

use mythic_engine::EngineStats;
use mythic_wire::{
    ANNOUNCE_SECONDS, Announcement, OfferedModel, Origin,
    signed::{self, purpose},
};
use tokio_util::sync::CancellationToken;

use super::jobs::Jobs;

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

impl Jobs {
    /// What the node says of itself to gateways.
    pub fn announcement(&self) -> Announcement {
        let (busy, queued_tokens) = self.load();
        let running = busy.min(self.config.max_concurrent);
        let floor = |own: u32, model: u32| if own == 0 { model } else { own };
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let stats: Vec<_> = self.models.iter().map(|m| m.backend.stats()).collect();
        let best = |speed: fn(&EngineStats) -> Option<f64>| {
            stats.iter().filter_map(speed).reduce(f64::max)
        };
        let offered = self.models.iter().map(|m| {
            let account = *m.account.read();
            OfferedModel {
                identity: m.identity(),
                context_length: m
                    .backend
                    .context_length()
                    .min(account.spec.max_job_tokens.get()),
                min_price_in: floor(self.config.min_price_in, account.price_in.get()),
                min_price_out: floor(self.config.min_price_out, account.price_out.get()),
            }
        });
        Announcement {
            validator: self.keys.authority.to_string(),
            endpoint: self.origin.to_string(),
            version: env!("CARGO_PKG_VERSION").into(),
            models: offered.collect(),
            running: count(running),
            queued: count(busy - running),
            queued_tokens,
            max_concurrent: count(self.config.max_concurrent),
            tokens_per_second: best(|stats| stats.stream_tokens_per_second),
            // Engines share the processors: together they make no more than the fastest.
            all_tokens_per_second: best(|stats| stats.decode_tokens_per_second),
            draining: self.is_draining(),
        }
    }
}

/// Runs until `quit`; `stop` is when the node begins to stop.
pub async fn run(jobs: Arc<Jobs>, stop: CancellationToken, quit: CancellationToken) {
    let client = match mythic_http::client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
    {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no HTTP client: gateways will not hear of this node");
            return;
        }
    };
    let mut known: HashMap<Origin, bool> = HashMap::new();
    let mut told_stop = false;
    loop {
        let Ok(body) = serde_json::to_vec(&jobs.announcement()) else {
            return;
        };
        for gateway in &jobs.gateways {
            let outcome = tell(&jobs, &client, gateway, &body).await;
            let was = known.insert(gateway.clone(), outcome.is_ok());
            match outcome {
                Ok(()) if was != Some(true) => tracing::info!(%gateway, "announced"),
                Err(reason) if was != Some(false) => {
                    tracing::warn!(%gateway, %reason, "gateway does not take the announcement")
                }
                _ => {}
            }
        }
        tokio::select! {
            () = quit.cancelled() => return,
            () = stop.cancelled(), if !told_stop => {
                told_stop = true;
                // `draining` is set right after the same signal.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            () = tokio::time::sleep(Duration::from_secs(ANNOUNCE_SECONDS)) => {}
        }
    }
}

async fn tell(
    jobs: &Jobs,
    client: &reqwest::Client,
    gateway: &Origin,
    body: &[u8],
) -> Result<(), String> {
    let path = format!("/v1/nodes/{}", jobs.keys.authority);
    let signed = signed::Request {
        origin: gateway,
        method: "PUT",
        path: &path,
        purpose: purpose::ANNOUNCE,
        body,
    };
    let mut request = client
        .put(gateway.at(&path))
        .header("content-type", "application/json")
        .body(body.to_vec());
    for (name, value) in signed::sign(&signed, &jobs.keys.operator) {
        request = request.header(name, value);
    }
    match request.send().await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(format!("status {}", response.status())),
        Err(error) => Err(error.without_url().to_string()),
    }
}
