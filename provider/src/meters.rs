//! What a provider measures, for Prometheus. What is not known yet is not told: it is not zero.

use std::time::Duration;

use mythic_interface::market::state::{LeaseStatus, Provider, ProviderStatus};
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

use crate::lease::fsm::Standing;

/// Bounds of the buckets of a proof's seconds.
const SECONDS: [f64; 12] = [
    0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0,
];

/// What a lease in care is called that the chain does not show yet.
const PROMISED: &str = "promised";

/// What happens to the proof of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofEvent {
    /// The machine has it.
    Computed,
    /// The chain has it.
    Landed,
    /// The chain did not take it, and may yet.
    Failed,
    /// The chain did not take it while it took proofs of its epoch.
    Late,
    /// The time for it is over and the chain has none.
    Missed,
}

impl ProofEvent {
    const ALL: [Self; 5] = [
        Self::Computed,
        Self::Landed,
        Self::Failed,
        Self::Late,
        Self::Missed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Landed => "landed",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Missed => "missed",
        }
    }
}

/// What gauges show.
#[derive(Debug)]
pub struct View<'a> {
    /// As last read.
    pub provider: &'a Provider,
    /// Newest slot.
    pub slot: u64,
    /// Since it was heard of.
    pub silent: Duration,
    /// Lamports of the operator, once they were read.
    pub balance: Option<u64>,
    /// Below this it takes no lease more.
    pub needed: u64,
    /// Leases in care.
    pub leases: &'a [Standing],
}

/// All counters and gauges.
#[derive(Debug, Clone)]
pub struct Meters {
    registry: Registry,
    leases: IntGaugeVec,
    units: IntGaugeVec,
    epochs: IntGaugeVec,
    lamports: IntGaugeVec,
    jailed: IntGauge,
    operator: IntGaugeVec,
    operator_needs: IntGauge,
    slot: IntGauge,
    silent: Gauge,
    proofs: IntCounterVec,
    proof_seconds: Histogram,
    proof_window: Gauge,
    missed_in_a_row: IntGauge,
    open_disputes: IntGaugeVec,
    dispute_answers: IntCounterVec,
    declined: IntCounterVec,
    answers: IntCounterVec,
    tokens: IntCounterVec,
    containers: IntGauge,
    restarts: IntCounter,
    logins: IntCounterVec,
}

/// Makes metrics and registers them.
struct Register(Registry);

impl Register {
    fn kept<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> prometheus::Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.kept(IntGauge::new(name, help))
    }

    fn seconds(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.kept(Gauge::new(name, help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.kept(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Counters that begin from nothing, so that the first of each is seen to come.
    fn counters(
        &self,
        name: &str,
        help: &str,
        (label, values): (&str, &[&str]),
    ) -> prometheus::Result<IntCounterVec> {
        let counters = self.kept(IntCounterVec::new(Opts::new(name, help), &[label]))?;
        for value in values {
            counters.with_label_values(&[*value]);
        }
        Ok(counters)
    }
}

fn set(gauges: &IntGaugeVec, label: &str, value: u64) {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    gauges.with_label_values(&[label]).set(value);
}

/// A gauge that is not there while its value is not known.
fn set_if_known(gauge: &IntGaugeVec, value: Option<u64>) {
    match value {
        Some(value) => gauge
            .with_label_values::<&str>(&[])
            .set(i64::try_from(value).unwrap_or(i64::MAX)),
        None => gauge.reset(),
    }
}

impl Meters {
    /// Makes and registers them.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new_custom(Some("mythic_provider".into()), None)?;
        registry.register(mythic_trace::collector(
            "trace_spans_total",
            "Spans of traces, by what became of them",
        )?)?;
        let new = Register(registry.clone());
        let seconds = HistogramOpts::new(
            "proof_seconds",
            "Seconds in which the proof of an epoch was computed, of all units of its lease",
        );
        let proofs = ProofEvent::ALL.map(ProofEvent::as_str);
        Ok(Self {
            leases: new.gauges(
                "leases",
                "Leases in care, by their state on chain",
                &["state"],
            )?,
            units: new.gauges("units", "Units, as the chain has them", &["state"])?,
            epochs: new.gauges(
                "epochs",
                "Epochs since the registration, as the chain counts them",
                &["outcome"],
            )?,
            lamports: new.gauges(
                "lamports",
                "Stake and earnings, as the chain has them",
                &["kind"],
            )?,
            jailed: new.gauge("jailed", "1 while the provider is jailed")?,
            operator: new.gauges("operator_lamports", "Lamports of the operator", &[])?,
            operator_needs: new.gauge(
                "operator_needs_lamports",
                "Lamports below which not all units can be answered for",
            )?,
            slot: new.gauge("slot", "Newest slot seen")?,
            silent: new.seconds(
                "chain_silent_seconds",
                "Seconds since a slot was heard of that is newer",
            )?,
            proofs: new.counters("proofs_total", "Proofs of epochs", ("outcome", &proofs))?,
            proof_seconds: new.kept(Histogram::with_opts(seconds.buckets(SECONDS.into())))?,
            proof_window: new.seconds(
                "proof_window_seconds",
                "Seconds of an epoch in which its proof is taken",
            )?,
            missed_in_a_row: new.gauge(
                "missed_in_a_row",
                "Epochs in a row without a proof, of the lease that has most",
            )?,
            open_disputes: new.gauges(
                "open_disputes",
                "Disputes about proofs that are open; not told while the chain does not answer",
                &[],
            )?,
            dispute_answers: new.counters(
                "dispute_answers_total",
                "Answers to disputes",
                ("outcome", &["answered", "failed"]),
            )?,
            declined: new.counters(
                "requests_declined_total",
                "Requests that were not taken, once for each reason",
                ("reason", &[]),
            )?,
            answers: new.counters(
                "answers_total",
                "Answers to tenants",
                ("outcome", &["begun", "whole"]),
            )?,
            tokens: new.counters(
                "tokens_total",
                "Tokens of whole answers",
                ("kind", &["prompt", "output"]),
            )?,
            containers: new.gauge("containers", "Containers of leases that are served")?,
            restarts: new.kept(IntCounter::new(
                "container_restarts_total",
                "Commands of containers that ended and were started again",
            ))?,
            logins: new.counters(
                "ssh_logins_total",
                "Keys that were shown to containers",
                ("outcome", &["accepted", "refused"]),
            )?,
            registry,
        })
    }

    /// What is served to Prometheus.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Shows what is known now.
    pub fn show(&self, view: &View<'_>) {
        let provider = view.provider;
        let count = |status: Option<LeaseStatus>| {
            let of = view.leases.iter().filter(|lease| lease.status == status);
            of.count() as u64
        };
        set(&self.leases, PROMISED, count(None));
        for status in (0..=u8::MAX).filter_map(LeaseStatus::from_u8) {
            set(&self.leases, status.as_str(), count(Some(status)));
        }
        for (state, units) in [("offered", provider.units), ("leased", provider.leased)] {
            set(&self.units, state, units.get().into());
        }
        for (outcome, epochs) in [
            ("proved", provider.proved),
            ("missed", provider.missed),
            ("refuted", provider.refuted),
        ] {
            set(&self.epochs, outcome, epochs.get());
        }
        for (kind, lamports) in [
            ("stake", provider.whole_stake()),
            ("in_use", provider.stake_in_use()),
            ("slashed", provider.slashed.get()),
            ("earned", provider.earned.get()),
            ("claimable", provider.claimable.get()),
        ] {
            set(&self.lamports, kind, lamports);
        }
        let jailed = provider.header.status == ProviderStatus::Jailed as u8;
        self.jailed.set(jailed.into());
        set_if_known(&self.operator, view.balance);
        self.operator_needs
            .set(i64::try_from(view.needed).unwrap_or(i64::MAX));
        self.slot.set(i64::try_from(view.slot).unwrap_or(i64::MAX));
        self.silent.set(view.silent.as_secs_f64());
        let missed = view.leases.iter().map(|lease| lease.missed).max();
        self.missed_in_a_row
            .set(i64::try_from(missed.unwrap_or(0)).unwrap_or(i64::MAX));
    }

    /// The time in which proofs are taken.
    pub fn window(&self, allowed: Duration) {
        self.proof_window.set(allowed.as_secs_f64());
    }

    /// A proof was computed in so long.
    pub fn computed(&self, took: Duration) {
        self.proof_seconds.observe(took.as_secs_f64());
        self.proofs(ProofEvent::Computed, 1);
    }

    /// This happened to so many proofs.
    pub fn proofs(&self, event: ProofEvent, count: u64) {
        let counter = self.proofs.with_label_values(&[event.as_str()]);
        counter.inc_by(count);
    }

    /// Disputes that are open; `None` where the chain does not say.
    pub fn open_disputes(&self, open: Option<usize>) {
        set_if_known(&self.open_disputes, open.map(|open| open as u64));
    }

    /// A dispute was answered, or could not be this time.
    pub fn dispute_answer(&self, is_answered: bool) {
        let outcome = if is_answered { "answered" } else { "failed" };
        self.dispute_answers.with_label_values(&[outcome]).inc();
    }

    /// A request is not taken, for this reason.
    pub fn declined(&self, reason: &str) {
        self.declined.with_label_values(&[reason]).inc();
    }

    /// Containers that are served.
    pub fn containers(&self, count: usize) {
        self.containers
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A container's command ended and is started again.
    pub fn restarted(&self) {
        self.restarts.inc();
    }

    /// Somebody has shown a key that is its own.
    pub fn logged_in(&self, is_accepted: bool) {
        let outcome = if is_accepted { "accepted" } else { "refused" };
        self.logins.with_label_values(&[outcome]).inc();
    }

    /// The engine begins an answer.
    pub fn answer_begun(&self) {
        self.answers.with_label_values(&["begun"]).inc();
    }

    /// An answer has ended as it should.
    pub fn answered(&self, prompt_tokens: u64, output_tokens: u64) {
        self.answers.with_label_values(&["whole"]).inc();
        for (kind, tokens) in [("prompt", prompt_tokens), ("output", output_tokens)] {
            self.tokens.with_label_values(&[kind]).inc_by(tokens);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytemuck::Zeroable;
    use prometheus::TextEncoder;

    use super::*;

    fn text(meters: &Meters) -> String {
        let families = meters.registry().gather();
        TextEncoder::new().encode_to_string(&families).unwrap()
    }

    #[test]
    fn what_was_not_read_yet_is_not_shown_as_zero() {
        let (meters, mut provider) = (Meters::new().unwrap(), Provider::zeroed());
        provider.units.set(3);
        provider.claimable.set(7);
        let lease = |status, missed| Standing { status, missed };
        let leases = [
            lease(None, 0),
            lease(Some(LeaseStatus::Active), 2),
            lease(Some(LeaseStatus::Active), 0),
        ];
        let mut view = View {
            provider: &provider,
            slot: 9,
            silent: Duration::from_millis(1_500),
            balance: None,
            needed: 5,
            leases: &leases,
        };
        meters.show(&view);
        let told = text(&meters);
        for line in [
            r#"mythic_provider_leases{state="promised"} 1"#,
            r#"mythic_provider_leases{state="active"} 2"#,
            r#"mythic_provider_leases{state="ended"} 0"#,
            r#"mythic_provider_units{state="offered"} 3"#,
            r#"mythic_provider_lamports{kind="claimable"} 7"#,
            "mythic_provider_operator_needs_lamports 5",
            "mythic_provider_chain_silent_seconds 1.5",
            "mythic_provider_missed_in_a_row 2",
            r#"mythic_provider_proofs_total{outcome="missed"} 0"#,
        ] {
            assert!(told.contains(line), "{told}: {line}");
        }
        for unknown in ["operator_lamports", "open_disputes", "requests_declined"] {
            let name = format!("mythic_provider_{unknown}");
            assert!(!told.contains(&name), "{told}: {name}");
        }
        view.balance = Some(0);
        meters.show(&view);
        meters.open_disputes(Some(0));
        let told = text(&meters);
        assert!(told.contains("mythic_provider_operator_lamports 0"));
        assert!(told.contains("mythic_provider_open_disputes 0"));
        // A chain that answers no more takes back what it said.
        meters.open_disputes(None);
        assert!(!text(&meters).contains("open_disputes"));
    }

    #[test]
    fn what_happens_is_counted_by_what_became_of_it() {
        let meters = Meters::new().unwrap();
        meters.computed(Duration::from_secs(3));
        meters.proofs(ProofEvent::Missed, 2);
        meters.dispute_answer(true);
        meters.declined("price");
        meters.answer_begun();
        meters.answered(11, 4);
        let told = text(&meters);
        for line in [
            r#"mythic_provider_proofs_total{outcome="computed"} 1"#,
            r#"mythic_provider_proofs_total{outcome="missed"} 2"#,
            r#"mythic_provider_proof_seconds_bucket{le="4"} 1"#,
            r#"mythic_provider_proof_seconds_bucket{le="2"} 0"#,
            r#"mythic_provider_dispute_answers_total{outcome="answered"} 1"#,
            r#"mythic_provider_requests_declined_total{reason="price"} 1"#,
            r#"mythic_provider_answers_total{outcome="whole"} 1"#,
            r#"mythic_provider_tokens_total{kind="output"} 4"#,
        ] {
            assert!(told.contains(line), "{told}: {line}");
        }
    }
}
