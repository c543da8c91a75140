//! Counters of the node, for Prometheus.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// All counters and gauges.
#[derive(Debug, Clone)]
pub struct Meters {
    registry: Registry,
    /// Jobs taken, by origin.
    pub accepted: IntCounterVec,
    /// Requests refused, by code.
    pub refused: IntCounterVec,
    /// Results that landed.
    pub submitted: IntCounter,
    /// Attempts to submit that failed.
    pub submit_failures: IntCounter,
    /// Jobs given up after they were accepted.
    pub declined: IntCounter,
    /// Tokens generated for jobs.
    pub output_tokens: IntCounter,
    /// Jobs in care.
    pub active_jobs: IntGauge,
    /// Jobs that need the engine.
    pub running_jobs: IntGauge,
    /// Lamports earned.
    pub earned: IntGauge,
    /// Lamports of fees.
    pub fees: IntGauge,
    /// Newest slot.
    pub slot: IntGauge,
    /// 1 while the last write to the journal failed.
    pub journal_failing: IntGauge,
}

impl Meters {
    /// Makes and registers them.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let vec = |name: &str, help: &str, label: &str| -> prometheus::Result<IntCounterVec> {
            let metric = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> prometheus::Result<IntCounter> {
            let metric = IntCounter::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let gauge = |name: &str, help: &str| -> prometheus::Result<IntGauge> {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            accepted: vec("mythic_node_jobs_accepted_total", "Jobs taken", "origin")?,
            refused: vec(
                "mythic_node_requests_refused_total",
                "Requests refused",
                "code",
            )?,
            submitted: counter("mythic_node_results_submitted_total", "Results that landed")?,
            submit_failures: counter(
                "mythic_node_submit_failures_total",
                "Attempts to submit a result that failed",
            )?,
            declined: counter("mythic_node_jobs_declined_total", "Accepted jobs given up")?,
            output_tokens: counter(
                "mythic_node_output_tokens_total",
                "Tokens generated for jobs",
            )?,
            active_jobs: gauge(
                "mythic_node_jobs_active",
                "Jobs in care, until their result is final",
            )?,
            running_jobs: gauge(
                "mythic_node_jobs_running",
                "Jobs that run or wait for the engine",
            )?,
            earned: gauge(
                "mythic_node_earned_lamports",
                "Validator's shares of settled jobs",
            )?,
            fees: gauge("mythic_node_fees_lamports", "Transaction fees paid")?,
            slot: gauge("mythic_node_slot", "Newest slot seen")?,
            journal_failing: gauge(
                "mythic_node_journal_failing",
                "1 while the journal can't be written",
            )?,
            registry,
        })
    }

    /// In the text format of Prometheus.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let encoder = prometheus::TextEncoder::new();
        if let Err(error) = encoder.encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics can't be rendered");
        }
        text
    }
}
