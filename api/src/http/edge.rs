//! What the edge keeps between requests: who asked how much without a key, how much is tokenised and read at once, and how far a stop
//! has come.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use mythic_wire::allowance::Allowance;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{
    address::{AddressLimiter, group},
    probe::Probe,
};
use crate::{
    config::GatewayConfig,
    error::{ApiError, ApiResult},
    feed::places::Places,
};

/// How long a request waits for its turn to be tokenised, or to have its schemas read.
const TURN: Duration = Duration::from_secs(2);
/// A reading of schemas that takes longer counts against who asked, as one of schemas that can't be followed.
const LONG_READING: Duration = Duration::from_secs(2);
/// Requests of one asker in a row whose schemas can't be followed, and seconds after which one more is forgiven.
const STRIKES: u32 = 20;
const STRIKE_SECONDS: u32 = 30;
/// Askers whose strikes are counted.
const STRIKERS: usize = 8_192;

/// Who asks, as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// By the id of an API key.
    Key(String),
    /// Who has none, also one that pays from a wallet: wallets cost nothing.
    Address(IpAddr),
}

impl Asker {
    /// Who asks from an address, without a key.
    pub fn at(address: IpAddr) -> Self {
        Self::Address(group(address))
    }
}

/// A turn to have schemas read. It lasts as long as the work, also when nobody waits for it any more.
#[derive(Debug)]
pub struct Reading {
    asker: Asker,
    strikes: Arc<Allowance<Asker>>,
    _turn: OwnedSemaphorePermit,
}

impl Reading {
    /// Ends it, and counts it against who asked if it was work that nobody should ask for again.
    pub fn end(self, followed: bool, took: Duration) {
        if counts(followed, took) {
            self.strikes.take(&self.asker, Instant::now());
        }
    }
}

/// Whether a reading counts: few are under way at a time, and nobody pays for one.
fn counts(followed: bool, took: Duration) -> bool {
    !followed || took > LONG_READING
}

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
    reading: Arc<Semaphore>,
    /// Requests whose schemas can't be followed, by who sent them.
    strikes: Arc<Allowance<Asker>>,
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
            reading: Arc::new(Semaphore::new(cores.div_ceil(2))),
            strikes: Arc::new(Allowance::new(
                STRIKES,
                Duration::from_secs(STRIKE_SECONDS.into()),
                STRIKERS,
            )),
        }
    }

    /// A turn at the tokenizer; 503 when too many wait for one.
    pub async fn turn(&self) -> ApiResult<OwnedSemaphorePermit> {
        turn(&self.tokenising, "prompts").await
    }

    /// A turn to have schemas read; 503 when too many wait for one, 429 for who sent too many that can't be followed.
    pub async fn reading(&self, asker: &Asker) -> ApiResult<Reading> {
        self.check_strikes(asker)?;
        let turn = turn(&self.reading, "schemas").await?;
        // Of many that came at once, some were refused meanwhile.
        self.check_strikes(asker)?;
        Ok(Reading {
            asker: asker.clone(),
            strikes: self.strikes.clone(),
            _turn: turn,
        })
    }

    fn check_strikes(&self, asker: &Asker) -> ApiResult<()> {
        if self.strikes.is_left(asker, Instant::now()) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_exceeded",
            "too many of your requests had schemas that can't be followed, or took long to read; mend them before you send more",
        )
        .retry_after(STRIKE_SECONDS))
    }
}

async fn turn(turns: &Arc<Semaphore>, what: &str) -> ApiResult<OwnedSemaphorePermit> {
    match tokio::time::timeout(TURN, turns.clone().acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(ApiError::unavailable(
            "gateway_busy",
            format!("the gateway has more {what} to read than it can; try again shortly"),
        )
        .retry_after(1)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_count_that_cant_be_followed_or_take_long_to_read() {
        let short = Duration::from_millis(50);
        assert!(!counts(true, short));
        assert!(!counts(true, LONG_READING));
        assert!(counts(true, LONG_READING + short));
        assert!(counts(false, short));
    }
}
