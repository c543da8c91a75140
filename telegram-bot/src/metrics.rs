//! What is measured, and the listener that tells it.

use std::net::SocketAddr;

use mythic_http::metrics::{Health, ListenError};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock;

/// Seconds without a word from Telegram after which the bot is not well.
const SILENCE: i64 = 120;

/// What the bot counts.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    pub updates: IntCounterVec,
    pub asks: IntCounterVec,
    pub telegram_errors: IntCounterVec,
    pub open_asks: IntGauge,
    pub linked: IntGauge,
    /// When Telegram was last heard, Unix seconds; 0 = never.
    heard: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("mythic_bot".into()), None)?;
        let counter =
            |options: Opts, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let counter = IntCounterVec::new(options, labels)?;
                registry.register(Box::new(counter.clone()))?;
                Ok(counter)
            };
        let gauge = |options: Opts| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::with_opts(options)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        Ok(Self {
            updates: counter(
                Opts::new("updates_total", "Updates from Telegram, by kind"),
                &["kind"],
            )?,
            asks: counter(
                Opts::new("asks_total", "Questions that ended, by what became of them"),
                &["outcome"],
            )?,
            telegram_errors: counter(
                Opts::new(
                    "telegram_errors_total",
                    "Calls of the Bot API that failed, by method and kind",
                ),
                &["method", "kind"],
            )?,
            open_asks: gauge(Opts::new(
                "open_asks",
                "Questions that are paid, answered or watched now",
            ))?,
            linked: gauge(Opts::new("linked", "Accounts that have a wallet linked"))?,
            heard: gauge(Opts::new(
                "telegram_heard_timestamp_seconds",
                "When Telegram was last heard, Unix time; 0 = never",
            ))?,
            registry,
        })
    }

    /// Telegram answered, or sent something.
    pub fn heard(&self) {
        self.heard.set(clock::now());
    }

    /// How the bot is doing.
    fn health(&self) -> Health {
        let heard = self.heard.get();
        let silent = clock::now().saturating_sub(heard);
        Health {
            ok: silent <= SILENCE,
            detail: json!({
                "telegram_heard_at": (heard > 0).then_some(heard),
                "open_asks": self.open_asks.get(),
                "linked": self.linked.get(),
            }),
        }
    }

    /// Serves them, and the health with them, until `stop`; returns the address.
    pub async fn serve(
        &self,
        addr: SocketAddr,
        stop: CancellationToken,
    ) -> Result<SocketAddr, ListenError> {
        let asked = self.clone();
        let health = move || asked.health();
        mythic_http::metrics::serve(addr, self.registry.clone(), health, stop).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bot_is_well_while_telegram_is_heard() {
        let metrics = Metrics::new().unwrap();
        assert!(!metrics.health().ok);
        assert!(metrics.health().detail["telegram_heard_at"].is_null());
        metrics.heard();
        assert!(metrics.health().ok);
    }
}
