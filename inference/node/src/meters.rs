//! Counters of the node, for Prometheus.

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use mythic_engine::EngineStats;
use mythic_kafka::Trouble;
use mythic_verifier::book::Totals;

use crate::histograms::DurationsOfModels;

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
    kafka_up: IntGauge,
    kafka_trouble: IntGaugeVec,
    /// Messages of the feed's topic.
    pub kafka_messages: IntCounter,
    engine_requests: IntGaugeVec,
    engine_kv_bytes: IntGaugeVec,
    engine_tokens: IntGaugeVec,
    first_tokens: DurationsOfModels,
    next_tokens: DurationsOfModels,
    /// Checks and cases.
    pub verifier: VerifierMeters,
}

/// Checks and cases since the data directory was made, as the journal has them.
#[derive(Debug, Clone)]
pub struct VerifierMeters {
    checked: IntGaugeVec,
    disputes: IntGaugeVec,
    seats: IntGaugeVec,
    lamports: IntGaugeVec,
    compute_seconds: Gauge,
    /// What was left undone since the start, and why.
    pub left: IntCounterVec,
    /// Audits of layers since the start, by outcome.
    pub audits: IntCounterVec,
}

/// What a verifier leaves undone, and why.
const LEFT: &[(&str, &[&str])] = &[
    ("vote", &["closed", "late"]),
    ("check", &["closed", "late"]),
    ("claim", &["dear", "money", "open", "answers"]),
];

/// What an audit comes to.
const AUDITS: [&str; 6] = ["passed", "refused", "differs", "late", "large", "engine"];

impl VerifierMeters {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let vec = |name: &str, help: &str, label: &str| -> prometheus::Result<IntGaugeVec> {
            let metric = IntGaugeVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let compute_seconds = Gauge::new(
            "mythic_verifier_compute_seconds",
            "Seconds of the engine for checks and juries, its queue included",
        )?;
        registry.register(Box::new(compute_seconds.clone()))?;
        let left = IntCounterVec::new(
            Opts::new(
                "mythic_verifier_left_total",
                "Votes, checks and claims that were left undone, and why",
            ),
            &["what", "reason"],
        )?;
        registry.register(Box::new(left.clone()))?;
        // From nothing, so that the first of each is seen to come.
        for (what, reasons) in LEFT {
            for reason in *reasons {
                left.with_label_values(&[*what, *reason]);
            }
        }
        let audits = IntCounterVec::new(
            Opts::new(
                "mythic_verifier_audits_total",
                "Audits of layers, by outcome; all but those that passed were followed by a whole pass",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(audits.clone()))?;
        for outcome in AUDITS {
            audits.with_label_values(&[outcome]);
        }
        Ok(Self {
            left,
            audits,
            checked: vec(
                "mythic_verifier_checked",
                "Answers of others that were checked, by finding",
                "finding",
            )?,
            disputes: vec(
                "mythic_verifier_disputes",
                "Claims made and how they ended; own results that had a case",
                "outcome",
            )?,
            seats: vec("mythic_verifier_seats", "Seats on juries", "outcome")?,
            lamports: vec(
                "mythic_verifier_lamports",
                "Lamports earned and lost in cases, and fees paid for them",
                "kind",
            )?,
            compute_seconds,
        })
    }

    /// Shows totals.
    pub fn show(&self, totals: &Totals) {
        let set = |vec: &IntGaugeVec, label: &str, value: u64| {
            vec.with_label_values(&[label])
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        for finding in ["honest", "audited", "fault", "fraud", "withheld", "unknown"] {
            let count = totals.checked.get(finding).copied().unwrap_or(0);
            set(&self.checked, finding, count);
        }
        for (outcome, count) in [
            ("opened", totals.opened),
            ("won", totals.won),
            ("lost", totals.lost),
            ("shown", totals.shown),
            ("void", totals.void),
            ("answered_good", totals.answered_good),
            ("answered_false", totals.answered_false),
            ("answered_void", totals.answered_void),
        ] {
            set(&self.disputes, outcome, count);
        }
        set(&self.seats, "taken", totals.seats);
        set(&self.seats, "paid", totals.seats_paid);
        set(&self.lamports, "earned", totals.earned_lamports);
        set(&self.lamports, "lost", totals.lost_lamports);
        set(&self.lamports, "fees", totals.fees_lamports);
        self.compute_seconds
            .set(totals.compute_millis as f64 / 1_000.0);
    }
}

impl Meters {
    /// Makes and registers them.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(mythic_trace::collector(
            "mythic_node_trace_spans_total",
            "Spans of traces, by what became of them",
        )?)?;
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
        let gauges = |name: &str, help: &str, labels: &[&str]| -> prometheus::Result<IntGaugeVec> {
            let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
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
            kafka_up: gauge("mythic_node_kafka_up", "1 while jobs are read from Kafka")?,
            kafka_trouble: gauges(
                "mythic_node_kafka_trouble",
                "1: this is why jobs can't be read from Kafka",
                &["trouble"],
            )?,
            kafka_messages: counter(
                "mythic_node_kafka_messages_total",
                "Messages of the feed's topic that were read",
            )?,
            verifier: VerifierMeters::new(&registry)?,
            engine_requests: gauges(
                "mythic_engine_requests",
                "Requests that run or wait",
                &["model", "state", "priority"],
            )?,
            engine_kv_bytes: gauges(
                "mythic_engine_kv_bytes",
                "Memory of keys and values: used by requests, kept for prompts that come again, allowed",
                &["model", "state"],
            )?,
            engine_tokens: gauges(
                "mythic_engine_tokens",
                "Tokens since the start: prompt (computed or found), found in the prefix cache, output, read ahead, read ahead and chosen",
                &["model", "kind"],
            )?,
            first_tokens: DurationsOfModels::new(
                &registry,
                "mythic_engine_first_token_seconds",
                "From a request to its first token, its wait for a place included",
            )?,
            next_tokens: DurationsOfModels::new(
                &registry,
                "mythic_engine_next_token_seconds",
                "From a request's token to its next",
            )?,
            registry,
        })
    }

    /// Jobs are read from Kafka, or this is why not.
    pub fn kafka(&self, trouble: Option<Trouble>) {
        self.kafka_up.set(i64::from(trouble.is_none()));
        for each in Trouble::ALL {
            let gauge = self.kafka_trouble.with_label_values(&[each.as_str()]);
            gauge.set(i64::from(trouble == Some(each)));
        }
    }

    /// Takes over what an engine says of itself.
    pub fn engine(&self, model: &str, stats: &EngineStats) {
        let set = |metric: &IntGaugeVec, labels: &[&str], value: u64| {
            metric
                .with_label_values(labels)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let states = [
            ("active", stats.active, stats.active_verifications),
            ("queued", stats.queued, stats.queued_verifications),
        ];
        for (state, all, verifications) in states {
            let interactive = all.saturating_sub(verifications);
            for (priority, count) in [
                ("interactive", interactive),
                ("verification", verifications),
            ] {
                set(
                    &self.engine_requests,
                    &[model, state, priority],
                    count as u64,
                );
            }
        }
        for (state, bytes) in [
            ("used", stats.kv_bytes_used),
            ("cached", stats.kv_bytes_cached),
            ("max", stats.kv_bytes_max),
        ] {
            set(&self.engine_kv_bytes, &[model, state], bytes);
        }
        for (kind, tokens) in [
            ("prompt", stats.prompt_tokens_total),
            ("cached", stats.cached_tokens_total),
            ("output", stats.output_tokens_total),
            ("proposed", stats.proposed_tokens_total),
            ("accepted", stats.accepted_tokens_total),
        ] {
            set(&self.engine_tokens, &[model, kind], tokens);
        }
        self.first_tokens.set(model, stats.first_tokens);
        self.next_tokens.set(model, stats.next_tokens);
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

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_engine::Durations;

    #[test]
    fn an_engines_requests_are_told_apart_by_priority() {
        let stats = EngineStats {
            model: "m".into(),
            device: "CPU".into(),
            threads: 1,
            active: 3,
            active_verifications: 1,
            queued: 2,
            queued_verifications: 2,
            pending_tokens: 0,
            kv_bytes_used: 7,
            kv_bytes_cached: 8,
            kv_bytes_max: 9,
            prompt_tokens_total: 10,
            cached_tokens_total: 4,
            prefix_hits_total: 1,
            output_tokens_total: 5,
            proposed_tokens_total: 3,
            accepted_tokens_total: 2,
            requests_total: 5,
            cancelled_total: 0,
            prefill_tokens_per_second: None,
            decode_tokens_per_second: None,
            stream_tokens_per_second: None,
            first_tokens: Durations::default(),
            next_tokens: {
                let mut durations = Durations::default();
                // Two up to 2.5 ms, one above all.
                (durations.counts[1], durations.counts[18]) = (2, 1);
                durations.seconds = 400.5;
                durations
            },
            weights_bytes: 0,
        };
        let meters = Meters::new().unwrap();
        meters.engine("m@1", &stats);
        let text = meters.render();
        for line in [
            r#"mythic_engine_requests{model="m@1",priority="interactive",state="active"} 2"#,
            r#"mythic_engine_requests{model="m@1",priority="verification",state="active"} 1"#,
            r#"mythic_engine_requests{model="m@1",priority="interactive",state="queued"} 0"#,
            r#"mythic_engine_kv_bytes{model="m@1",state="cached"} 8"#,
            r#"mythic_engine_tokens{kind="cached",model="m@1"} 4"#,
            r#"mythic_engine_tokens{kind="proposed",model="m@1"} 3"#,
            r#"mythic_engine_tokens{kind="accepted",model="m@1"} 2"#,
            r#"mythic_engine_first_token_seconds_count{model="m@1"} 0"#,
            r#"mythic_engine_next_token_seconds_bucket{model="m@1",le="0.001"} 0"#,
            r#"mythic_engine_next_token_seconds_bucket{model="m@1",le="0.0025"} 2"#,
            r#"mythic_engine_next_token_seconds_bucket{model="m@1",le="300"} 2"#,
            r#"mythic_engine_next_token_seconds_bucket{model="m@1",le="+Inf"} 3"#,
            r#"mythic_engine_next_token_seconds_sum{model="m@1"} 400.5"#,
        ] {
            assert!(text.contains(line), "{text}: {line}");
        }
    }
}
