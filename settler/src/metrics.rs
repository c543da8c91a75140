//! What is measured, and the listener that tells it.

use std::net::SocketAddr;

use mythic_http::metrics::{Health, ListenError};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Crank, heart::Heart, trouble::Trouble};

/// What the settler counts.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    cranks: IntCounterVec,
    pub finalized_slot: IntGauge,
    pub working: IntGauge,
    pub reconciled: IntGauge,
    pub market_working: IntGauge,
}

impl Metrics {
    /// Makes and registers them.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("mythic_settler".into()), None)?;
        let cranks = IntCounterVec::new(
            Opts::new("cranks_total", "Cranks sent, by kind and outcome"),
            &["kind", "outcome"],
        )?;
        registry.register(Box::new(cranks.clone()))?;
        registry.register(mythic_trace::collector(
            "trace_spans_total",
            "Spans of traces, by what became of them",
        )?)?;
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        Ok(Self {
            finalized_slot: gauge("finalized_slot", "Root of the index at the last look")?,
            working: gauge("working", "1 after a turn without a fault")?,
            reconciled: gauge(
                "reconciled",
                "1 when index and chain agreed, 0 when not, -1 before the first comparison",
            )?,
            market_working: gauge(
                "market_working",
                "1 while the Compute Market's accounts can be looked at and compared, 0 while not",
            )?,
            cranks,
            registry,
        })
        .inspect(|metrics: &Self| {
            metrics.reconciled.set(-1);
            metrics.market_working.set(1);
        })
    }

    /// A crank was sent, and this became of it.
    pub fn count(&self, crank: &Crank, outcome: &str) {
        self.cranks
            .with_label_values(&[crank.name(), outcome])
            .inc();
    }

    /// Serves them, and the health with them, until `stop`; returns the address.
    pub async fn serve(
        &self,
        addr: SocketAddr,
        heart: Heart,
        stop: CancellationToken,
    ) -> Result<SocketAddr, ListenError> {
        let asked = self.clone();
        let health = move || {
            let waits_for = heart.waits_for();
            let word = |(trouble, _): &(Trouble, String)| trouble.as_str();
            Health {
                ok: waits_for.is_none(),
                detail: json!({
                    "state": waits_for.as_ref().map_or("working", word),
                    "error": waits_for.as_ref().map(|(_, message)| message),
                    "finalized_slot": asked.finalized_slot.get(),
                    "reconciled": asked.reconciled.get(),
                    "market_working": asked.market_working.get(),
                }),
            }
        };
        mythic_http::metrics::serve(addr, self.registry.clone(), health, stop).await
    }
}
