//! Prometheus metrics.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::header, response::IntoResponse};
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder, register_histogram_vec_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
};

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
    queue: IntGauge,
    breakers: IntGauge,
    payer: IntGauge,
    pool_in_use: IntGauge,
    pool_waiting: IntGauge,
    /// Tokens handed out.
    pub tokens: IntCounter,
    /// CancelJob transactions sent.
    pub cancels: IntCounter,
    /// Requests under way.
    pub running: IntGauge,
    subscribers: IntGauge,
    feed_seq: IntGauge,
}

impl Metrics {
    /// A registry with everything at its beginning.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let seconds = vec![
            0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ];
        let first_text = prometheus::Histogram::with_opts(
            HistogramOpts::new(
                "mythic_gateway_first_text_seconds",
                "From the request to the first text of its answer",
            )
            .buckets(seconds.clone()),
        )?;
        registry.register(Box::new(first_text.clone()))?;
        let queue_wait = prometheus::Histogram::with_opts(
            HistogramOpts::new(
                "mythic_gateway_queue_wait_seconds",
                "From a request's readiness to a validator with a place for it",
            )
            .buckets(seconds.clone()),
        )?;
        registry.register(Box::new(queue_wait.clone()))?;
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
                    .buckets(seconds),
                &["route"],
                registry
            )?,
            first_text,
            queue_wait,
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
            tokens: register_int_counter_with_registry!(
                "mythic_gateway_tokens_total",
                "Output tokens handed out",
                registry
            )?,
            cancels: register_int_counter_with_registry!(
                "mythic_gateway_cancels_total",
                "CancelJob transactions sent",
                registry
            )?,
            running: register_int_gauge_with_registry!(
                "mythic_gateway_running_requests",
                "Requests under way",
                registry
            )?,
            subscribers: register_int_gauge_with_registry!(
                "mythic_gateway_feed_subscribers",
                "Subscribers of the feed",
                registry
            )?,
            feed_seq: register_int_gauge_with_registry!(
                "mythic_gateway_feed_seq",
                "Newest feed event heard of",
                registry
            )?,
            registry,
        })
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

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "Prometheus text format", content_type = "text/plain", body = String)))]
pub async fn metrics(State(app): State<Arc<App>>) -> ApiResult<impl IntoResponse> {
    app.metrics
        .subscribers
        .set(i64::try_from(app.hub.subscribers()).unwrap_or(i64::MAX));
    app.metrics.feed_seq.set(app.hub.newest());
    let size = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    app.metrics.queue.set(size(app.jobs.queue.len()));
    app.metrics
        .breakers
        .set(size(app.validators.open_breakers()));
    if let Some(lamports) = app.chain.purse.last() {
        app.metrics
            .payer
            .set(i64::try_from(lamports).unwrap_or(i64::MAX));
    }
    let pool = app.pool.status();
    app.metrics
        .pool_in_use
        .set(size(pool.size.saturating_sub(pool.available)));
    app.metrics.pool_waiting.set(size(pool.waiting));
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&app.metrics.registry.gather(), &mut text)
        .map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
