//! What the edge keeps between requests: who asked how much without a key, how much is tokenised at once, and how far a stop has come.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{address::AddressLimiter, probe::Probe};
use crate::{
    config::GatewayConfig,
    error::{ApiError, ApiResult},
    feed::places::Places,
};

/// How long a request waits for its turn to be tokenised.
const TURN: Duration = Duration::from_secs(2);

/// The steps of a stop, each begun when the one before is over.
#[derive(Debug, Default)]
pub struct Life {
    /// No balancer should send anything any more; what comes is still served.
    pub unready: CancellationToken,
    /// Nothing new is taken; feeds end.
    pub closing: CancellationToken,
    /// Streams end with `gateway_stopping`.
    pub cut: CancellationToken,
}

/// State of the edge.
#[derive(Debug)]
pub struct Edge {
    /// How far a stop has come.
    pub life: Life,
    /// Work that needs no key, by address.
    pub anonymous: AddressLimiter,
    /// Keys made, by address.
    pub keys_made: AddressLimiter,
    /// Transfers told of, by address.
    pub payments_told: AddressLimiter,
    /// Places of the feed.
    pub feed: Places,
    /// When chain and database were last well.
    pub probe: Probe,
    tokenising: Arc<Semaphore>,
}

impl Edge {
    /// With the bounds of a configuration.
    pub fn new(config: &GatewayConfig) -> Self {
        let limits = &config.limits;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            life: Life::default(),
            anonymous: AddressLimiter::new(
                limits.anonymous_per_minute,
                Duration::from_secs(60),
                "requests without a key",
            ),
            keys_made: AddressLimiter::new(
                limits.keys_per_hour,
                Duration::from_secs(3_600),
                "API keys",
            ),
            payments_told: AddressLimiter::new(
                limits.credits_per_hour,
                Duration::from_secs(3_600),
                "transfers",
            ),
            feed: Places::new(limits),
            probe: Probe::default(),
            tokenising: Arc::new(Semaphore::new(cores * 2)),
        }
    }

    /// A turn at the tokenizer; 503 when too many wait for one.
    pub async fn turn(&self) -> ApiResult<OwnedSemaphorePermit> {
        match tokio::time::timeout(TURN, self.tokenising.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(ApiError::unavailable(
                "gateway_busy",
                "the gateway has more prompts to read than it can; try again shortly",
            )
            .retry_after(1)),
        }
    }
}

/// The answer to what comes, or goes on, while the gateway stops.
pub fn stopping() -> ApiError {
    ApiError::unavailable(
        "gateway_stopping",
        "the gateway is stopping; what was paid for goes on, and the answer can be had under the same Idempotency-Key",
    )
    .retry_after(5)
}
