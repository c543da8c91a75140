//! Prometheus metrics.

use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, register_histogram_vec_with_registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

use crate::http::probe::Health;

/// What is counted.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    latency: HistogramVec,
    /// Time from the request to the first text, seconds.
    pub first_text: prometheus::Histogram,
    /// Dispatches by outcome and validator.
    pub dispatches: IntCounterVec,
    /// Seconds that requests waited for a validator.
    pub queue_wait: prometheus::Histogram,
    /// Jobs that somebody has to look after.
    pub janitor_backlog: IntGauge,
    /// Requests that wait for a validator.
    pub queue: IntGauge,
    /// Validators that are left alone for a while.
    pub breakers: IntGauge,
    /// Lamports of the fee payer.
    pub payer: IntGauge,
    /// Prepaid credit of all wallets, by what became of it.
    pub credit: IntGaugeVec,
    /// Transfers that were told of, by how that ended.
    pub payments: IntCounterVec,
    /// Database connections in use.
    pub pool_in_use: IntGauge,
    /// Tasks that wait for a database connection.
    pub pool_waiting: IntGauge,
    /// Tokens handed out.
    pub tokens: IntCounter,
    /// CancelJob transactions sent.
    pub cancels: IntCounter,
    /// Requests under way.
    pub running: IntGauge,
    /// Subscribers of the feed.
    pub subscribers: IntGauge,
    /// Newest event of the feed heard of.
    pub feed_seq: IntGauge,
    /// Slots that the index is behind the chain; none while either is away.
    index_lag: IntGaugeVec,
    components: IntGaugeVec,
}

/// Bounds of the histograms' buckets, in seconds.
const SECONDS: [f64; 13] = [
    0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// A registry with what counts itself.
fn registry() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    registry.register(mythic_trace::collector(
        "mythic_gateway_trace_spans_total",
        "Spans of traces, by what became of them",
    )?)?;
    Ok(registry)
}

impl Metrics {
    /// A registry with everything at its beginning.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = registry()?;
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            register_histogram_with_registry!(options, registry)
        };
        let counter =
            |name: &str, help: &str| register_int_counter_with_registry!(name, help, registry);
        let gauge =
            |name: &str, help: &str| register_int_gauge_with_registry!(name, help, registry);
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                Opts::new("mythic_gateway_requests_total", "HTTP requests"),
                &["route", "status"],
                registry
            )?,
            latency: register_histogram_vec_with_registry!(
                HistogramOpts::new("mythic_gateway_request_seconds", "Time to response headers")
                    .buckets(SECONDS.to_vec()),
                &["route"],
                registry
            )?,
            first_text: histogram(
                "mythic_gateway_first_text_seconds",
                "From the request to the first text of its answer",
            )?,
            queue_wait: histogram(
                "mythic_gateway_queue_wait_seconds",
                "From a request's readiness to a validator with a place for it",
            )?,
            janitor_backlog: gauge(
                "mythic_gateway_janitor_backlog",
                "Jobs that the gateway has to look after",
            )?,
            queue: gauge(
                "mythic_gateway_queued_requests",
                "Requests that wait for a validator",
            )?,
            breakers: gauge(
                "mythic_gateway_open_breakers",
                "Validators that failed lately and get no jobs",
            )?,
            payer: gauge(
                "mythic_gateway_payer_lamports",
                "What the gateway's account held when it was last read",
            )?,
            credit: register_int_gauge_vec_with_registry!(
                "mythic_gateway_credit_lamports",
                "Prepaid credit of all wallets: balance, held as rent, spent on fees",
                &["kind"],
                registry
            )?,
            payments: register_int_counter_vec_with_registry!(
                Opts::new(
                    "mythic_gateway_credit_payments_total",
                    "Transfers that wallets told of, by outcome: credited, or the code of the refusal"
                ),
                &["outcome"],
                registry
            )?,
            pool_in_use: gauge(
                "mythic_gateway_database_connections_in_use",
                "Database connections in use",
            )?,
            pool_waiting: gauge(
                "mythic_gateway_database_connections_waiting",
                "Tasks that wait for a database connection",
            )?,
            dispatches: register_int_counter_vec_with_registry!(
                Opts::new(
                    "mythic_gateway_dispatches_total",
                    "Jobs given to validators, by outcome and validator"
                ),
                &["outcome", "validator"],
                registry
            )?,
            tokens: counter("mythic_gateway_tokens_total", "Output tokens handed out")?,
            cancels: counter(
                "mythic_gateway_cancels_total",
                "CancelJob transactions sent",
            )?,
            running: gauge("mythic_gateway_running_requests", "Requests under way")?,
            subscribers: gauge("mythic_gateway_feed_subscribers", "Subscribers of the feed")?,
            feed_seq: gauge("mythic_gateway_feed_seq", "Newest feed event heard of")?,
            index_lag: register_int_gauge_vec_with_registry!(
                "mythic_gateway_index_lag_slots",
                "Slots that the index is behind the chain; not there while either is away",
                &[],
                registry
            )?,
            components: register_int_gauge_vec_with_registry!(
                "mythic_gateway_component_state",
                "1 for the state that a component of /health is in, 0 for its others",
                &["component", "state"],
                registry
            )?,
            registry,
        })
    }

    /// Takes over what `/health` says.
    pub fn health(&self, health: &Health) {
        for (component, states, now) in health.components.states() {
            for state in states {
                self.components
                    .with_label_values(&[component, state])
                    .set(i64::from(*state == now));
            }
        }
        match health.index_lag_slots {
            Some(lag) => self
                .index_lag
                .with_label_values::<&str>(&[])
                .set(i64::try_from(lag).unwrap_or(i64::MAX)),
            // Unknown is not zero: the series ends.
            None => self.index_lag.reset(),
        }
    }

    /// All of them in Prometheus' text format.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Counts an HTTP request.
    pub fn request(&self, route: &str, status: u16, time: Duration) {
        self.requests
            .with_label_values(&[route, &status.to_string()])
            .inc();
        self.latency
            .with_label_values(&[route])
            .observe(time.as_secs_f64());
    }
}
