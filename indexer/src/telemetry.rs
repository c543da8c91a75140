//! Metrics and health of the indexer.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mythic_http::metrics::{self, Health, ListenError};
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::alarms::Kind;
use crate::error::{IndexerError, Trouble};

/// What an indexer measures.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: Registry,
    pub envelopes: IntCounter,
    pub malformed: IntCounter,
    pub updates: IntCounter,
    pub banks: IntCounter,
    pub batches: IntCounter,
    pub feed_rows: IntCounter,
    pub dead_letters: IntCounter,
    pub restarts: IntCounter,
    pub commit_seconds: Histogram,
    pub seal_to_commit_seconds: Histogram,
    pub held_bytes: IntGauge,
    pub spilled_bytes: IntGauge,
    pub unreadable: IntCounter,
    pub kafka_letters: IntCounter,
    pub kafka_repeats: IntCounter,
    pub kafka_waiting_bytes: IntGauge,
    pub kafka_behind: IntGauge,
    pub relay_lag: IntGauge,
    pub relayed: IntCounter,
    pub relay_resends: IntCounter,
    relay_trouble: IntGaugeVec,
    pub processed_slot: IntGauge,
    pub confirmed_slot: IntGauge,
    pub finalized_slot: IntGauge,
    alarms: IntGaugeVec,
    pub producer_slot: IntGaugeVec,
    rpc_errors: IntCounterVec,
    pub heals: IntCounterVec,
    health: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// None while it works; before it does, nothing may be wrong yet.
    error: Option<(Trouble, String)>,
    working: bool,
    /// What each producer's log waits for; none while it is read.
    producers: BTreeMap<String, Option<(Trouble, String)>>,
    last_commit: Option<Instant>,
    /// What the relay of the feed waits for; none where it works or is not wanted.
    relay: Option<(Trouble, String)>,
}

impl State {
    /// What it waits for, the whole before a part: none of the logs can be read.
    fn waits_for(&self) -> Option<&(Trouble, String)> {
        let all = || self.producers.values().all(Option::is_some);
        let first = || self.producers.values().flatten().next();
        self.error.as_ref().or_else(|| first().filter(|_| all()))
    }
}

fn shown(trouble: &(Trouble, String)) -> Value {
    json!({"state": trouble.0.as_str(), "error": trouble.1})
}

/// Registers what was made.
fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: Result<C, prometheus::Error>,
) -> Result<C, prometheus::Error> {
    let made = made?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

impl Telemetry {
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("mythic_indexer".into()), None)?;
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 14)?;
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(buckets.clone());
            registered(&registry, Histogram::with_opts(options))
        };
        let counters = |name: &str, help: &str, label: &str| {
            let options = Opts::new(name, help);
            registered(&registry, IntCounterVec::new(options, &[label]))
        };
        let gauges = |name: &str, help: &str, label: &str| {
            let options = Opts::new(name, help);
            registered(&registry, IntGaugeVec::new(options, &[label]))
        };
        registry.register(mythic_trace::collector(
            "trace_spans_total",
            "Spans of traces, by what became of them",
        )?)?;
        Ok(Self {
            alarms: gauges("alarms", "Alarms that are open", "kind")?,
            producer_slot: gauges(
                "producer_slot",
                "Newest block that a producer sealed",
                "producer",
            )?,
            relay_trouble: gauges(
                "relay_trouble",
                "1: this is why the feed is not passed on to Kafka",
                "trouble",
            )?,
            rpc_errors: counters(
                "rpc_errors_total",
                "Questions to the RPC that failed, and chains that were lost",
                "kind",
            )?,
            heals: counters(
                "heals_total",
                "Times that gaps were to be healed",
                "outcome",
            )?,
            envelopes: counter("envelopes_total", "Envelopes read")?,
            malformed: counter("malformed_total", "Envelopes that could not be used")?,
            updates: counter("updates_total", "Account updates written")?,
            banks: counter("banks_total", "Sealed banks written")?,
            batches: counter("batches_total", "Transactions committed")?,
            feed_rows: counter("feed_rows_total", "Feed events written")?,
            dead_letters: counter(
                "dead_letters_total",
                "Account updates that could not be projected",
            )?,
            restarts: counter("restarts_total", "Times the indexer had to start over")?,
            commit_seconds: seconds("commit_seconds", "Duration of a batch's transactions")?,
            seal_to_commit_seconds: seconds(
                "seal_to_commit_seconds",
                "From a seal's time at the producer to its commit",
            )?,
            held_bytes: gauge(
                "held_bytes",
                "Bytes of memory held for banks that are not sealed yet and for a base",
            )?,
            spilled_bytes: gauge("spilled_bytes", "Bytes of them that wait on disk")?,
            unreadable: counter("spool_damaged_total", "Damaged places met in the spool")?,
            kafka_letters: counter(
                "kafka_letters_total",
                "Messages of the topic of updates that are no records",
            )?,
            kafka_repeats: counter(
                "kafka_repeats_total",
                "Records that were met again: in every partition, and after a crash of a producer",
            )?,
            kafka_waiting_bytes: gauge(
                "kafka_waiting_bytes",
                "Bytes of records that wait for earlier ones of other partitions",
            )?,
            kafka_behind: gauge(
                "kafka_behind_messages",
                "Messages of the topic of updates that are not read yet",
            )?,
            relay_lag: gauge(
                "relay_lag_events",
                "Feed events that the brokers have not acknowledged yet",
            )?,
            relayed: counter(
                "relayed_events_total",
                "Feed events that the brokers acknowledged",
            )?,
            relay_resends: counter(
                "relay_resends_total",
                "Times that the brokers had lost feed events that they acknowledged, and were sent them again",
            )?,
            processed_slot: gauge("processed_slot", "Head of the processed chain")?,
            confirmed_slot: gauge("confirmed_slot", "Head of the confirmed chain")?,
            finalized_slot: gauge("finalized_slot", "Root")?,
            health: Arc::default(),
            registry,
        })
    }

    /// How many alarms of each kind are open.
    pub fn alarms(&self, open: &[(String, i64)]) {
        for kind in Kind::ALL {
            self.alarms.with_label_values(&[kind.as_str()]).set(0);
        }
        for (kind, count) in open {
            self.alarms.with_label_values(&[kind.as_str()]).set(*count);
        }
    }

    /// A question to the RPC failed.
    pub fn rpc_error(&self, kind: &str) {
        self.rpc_errors.with_label_values(&[kind]).inc();
    }

    pub fn working(&self) {
        let mut state = self.state();
        state.working = true;
        state.error = None;
    }

    pub fn failed(&self, error: &IndexerError) {
        let mut state = self.state();
        state.working = false;
        state.error = Some((error.trouble(), error.to_string()));
    }

    /// How a producer's log is read.
    pub fn producer(&self, name: &str, error: Option<&IndexerError>) {
        let error = error.map(|e| (e.trouble(), e.to_string()));
        self.state().producers.insert(name.to_owned(), error);
    }

    /// How the feed is passed on to Kafka.
    pub fn relay(&self, error: Option<&IndexerError>) {
        let waits_for = error.map(IndexerError::trouble);
        let brokers = mythic_kafka::Trouble::ALL.map(Trouble::Kafka);
        for trouble in Trouble::ALL.into_iter().chain(brokers) {
            let gauge = &self.relay_trouble;
            let gauge = gauge.with_label_values(&[trouble.as_str()]);
            gauge.set(i64::from(waits_for == Some(trouble)));
        }
        self.state().relay = error.map(|e| (e.trouble(), e.to_string()));
    }

    pub fn committed(&self) {
        self.state().last_commit = Some(Instant::now());
    }

    /// What it waits for, as `pipeline.heartbeat` has it: the word and the message.
    pub fn waits_for(&self) -> Option<String> {
        let state = self.state();
        let (trouble, message) = state.waits_for()?;
        Some(format!("{}: {message}", trouble.as_str()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `/metrics` and `/health` until `stop`.
    pub async fn serve(
        &self,
        addr: SocketAddr,
        stop: CancellationToken,
    ) -> Result<SocketAddr, ListenError> {
        let asked = self.clone();
        metrics::serve(addr, self.registry.clone(), move || asked.health(), stop).await
    }

    fn health(&self) -> Health {
        let state = self.state();
        let waits = state.waits_for();
        let producers: BTreeMap<&str, Value> = state
            .producers
            .iter()
            .map(|(name, trouble)| {
                let reading = || json!({"state": "reading"});
                (name.as_str(), trouble.as_ref().map_or_else(reading, shown))
            })
            .collect();
        let word = match (waits, state.working) {
            (Some((trouble, _)), _) => trouble.as_str(),
            (None, true) => "working",
            (None, false) => "starting",
        };
        Health {
            ok: state.working && waits.is_none(),
            detail: json!({
                "state": word,
                "error": waits.map(|(_, message)| message),
                "producers": producers,
                "relay": state.relay.as_ref().map(shown),
                "seconds_since_commit": state.last_commit.map(|at| at.elapsed().as_secs_f64()),
                "processed_slot": self.processed_slot.get(),
                "confirmed_slot": self.confirmed_slot.get(),
                "finalized_slot": self.finalized_slot.get(),
            }),
        }
    }
}

/// Seconds from a producer's clock to now; none if the clocks disagree.
pub fn seconds_since(unix_nanos: u64) -> Option<f64> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_nanos();
    now.checked_sub(unix_nanos.into())
        .map(|nanos| nanos as f64 / 1e9)
}
