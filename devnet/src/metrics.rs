//! Prometheus metrics of the chain.

use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};

/// Counters and gauges, all named `mythic_devnet_…`.
pub struct Metrics {
    registry: Registry,
    pub processed_slot: IntGauge,
    pub rooted_slot: IntGauge,
    pub accounts: IntGauge,
    pub connections: IntGauge,
    pub transactions: IntCounter,
    pub refused: IntCounter,
    pub requests: IntCounter,
    pub request_errors: IntCounter,
    pub store_errors: IntCounter,
    pub plugin_errors: IntGauge,
}

impl Metrics {
    pub fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str| -> anyhow::Result<IntGauge> {
            let gauge = IntGauge::new(format!("mythic_devnet_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |name: &str, help: &str| -> anyhow::Result<IntCounter> {
            let counter = IntCounter::new(format!("mythic_devnet_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        Ok(Self {
            processed_slot: gauge("processed_slot", "Slot of the newest frozen block")?,
            rooted_slot: gauge("rooted_slot", "Slot of the newest rooted block")?,
            accounts: gauge("accounts", "Accounts in the newest state")?,
            connections: gauge("websocket_connections", "Open WebSocket connections")?,
            transactions: counter("transactions_total", "Transactions that landed when sent")?,
            refused: counter(
                "transactions_refused_total",
                "Transactions that did not land",
            )?,
            requests: counter("rpc_requests_total", "JSON-RPC calls")?,
            request_errors: counter("rpc_errors_total", "JSON-RPC calls answered with an error")?,
            store_errors: counter("store_errors_total", "Failed writes of rooted state")?,
            plugin_errors: gauge("plugin_errors", "Geyser callbacks that returned an error")?,
            registry,
        })
    }

    /// Text exposition format.
    pub fn render(&self) -> String {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        String::from_utf8(out).unwrap_or_default()
    }
}
