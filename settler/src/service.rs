//! The settler's loop: look, send, compare. Nothing here decides what is due.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use mythic_client::{ChainClient, ClientError, Commitment, keys::load_keypair};
use mythic_http::metrics::{Health, ListenError};
use mythic_interface::error::MythicError;
use mythic_postgres::{ConnectionGuard, Manner, connect};
use mythic_support::{Backoff, Throttle, life};
use mythic_trace::names;
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde_json::json;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Crank, Reconciliation, Settler, SettlerConfig, Windows,
    chain::{self, Candidates},
    court::output_closable_from,
    database,
    due::{MAX_UNINDEXED, retention_end},
    heart::Heart,
    migrate::migrate,
    reconcile::{ChainSide, IndexSide, reconcile},
    trouble::Trouble,
};

/// Transactions that wait for confirmation at the same time.
const IN_FLIGHT: usize = 8;
/// Accounts remembered that are gone from the chain but not yet from the index's finalized rows.
const MAX_GONE: usize = 10_000;
/// Pause after a fault, and the longest one.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest turn: a chain or database that never answers ends it.
const TURN: Duration = Duration::from_secs(300);
/// Troubles are logged once in this time; the rest is counted.
const WARNINGS: Duration = Duration::from_secs(10);
/// Slots until closes are looked for again when there is nothing to close: what ends meanwhile must stay longer.
const CLOSE_PAUSE: u64 = 32;

/// Runs the settler until `stop`. Faults of chain and database are logged and waited out.
pub async fn run(config: SettlerConfig, stop: CancellationToken) -> anyhow::Result<()> {
    config.validate().map_err(anyhow::Error::msg)?;
    let traces = mythic_trace::start("mythic-settler", &config.traces)?;
    let ended = turns(config, stop).await;
    traces.stop().await;
    ended
}

async fn turns(config: SettlerConfig, stop: CancellationToken) -> anyhow::Result<()> {
    let payer = load_keypair(&config.keypair_path)?;
    let client = ChainClient::new(config.rpc_url.clone(), config.ws_url.clone());
    let metrics = Metrics::new()?;
    let longest = TURN + PAUSE.1 + Duration::from_millis(config.interval_ms);
    let (heart, pulse) = (Heart::new(longest), life::Pulse::new("settling", longest));
    if let Some(addr) = config.metrics_addr {
        // Two networks on one machine share the default: the work matters more than who can look at it.
        match metrics.serve(addr, heart.clone(), stop.clone()).await {
            Ok(bound) => tracing::info!(%bound, "serving metrics and health"),
            Err(error) => tracing::warn!("no metrics: {error}"),
        }
    }
    let beating = tokio::spawn(
        heart
            .clone()
            .beat(config.database_url.clone(), stop.clone()),
    );
    let _beating = tokio_util::task::AbortOnDropHandle::new(beating);
    tracing::info!(payer = %payer.pubkey(), "settler runs");
    let mut service = Service {
        rules: Settler::new(&config),
        config,
        client,
        payer,
        metrics,
        db: None,
        gone: HashSet::new(),
        unindexed: Candidates::default(),
        closing: Closing::default(),
        last: None,
        compared_at: None,
    };
    let interval = Duration::from_millis(service.config.interval_ms);
    let mut backoff = Backoff::new(PAUSE.0.max(interval), PAUSE.1.max(interval));
    let warnings = Throttle::new(WARNINGS);
    loop {
        let turn = tokio::select! {
            turn = tokio::time::timeout(TURN, service.turn()) => turn,
            () = stop.cancelled() => return Ok(()),
        };
        let error = match turn {
            Ok(Ok(())) => {
                service.metrics.working.set(1);
                heart.turned(None);
                pulse.beat();
                life::ready();
                backoff.reset();
                tokio::select! {
                    () = sleep(interval) => {}
                    () = stop.cancelled() => return Ok(()),
                }
                continue;
            }
            Ok(Err(error)) => (Trouble::of(&error), format!("{error:#}")),
            Err(_) => {
                let message = format!("a turn took more than {} s", TURN.as_secs());
                (Trouble::Slow, message)
            }
        };
        let (trouble, message) = &error;
        service.metrics.working.set(0);
        pulse.beat();
        if let Some(more) = warnings.allow() {
            let state = trouble.as_str();
            tracing::warn!(state, more, "settling: {message}; trying again");
        }
        heart.turned(Some(error));
        if !backoff.wait(&stop).await {
            return Ok(());
        }
    }
}

struct Service {
    config: SettlerConfig,
    rules: Settler,
    client: ChainClient,
    payer: Keypair,
    metrics: Metrics,
    db: Option<(tokio_postgres::Client, ConnectionGuard)>,
    gone: HashSet<Pubkey>,
    /// Accounts that something is due for and that the index does not know.
    unindexed: Candidates,
    closing: Closing,
    last: Option<Reconciliation>,
    compared_at: Option<Instant>,
}

/// Slots before which nothing of a kind can be closed.
#[derive(Debug, Default)]
struct Closing {
    jobs: u64,
    cases: u64,
    outputs: u64,
}

impl Service {
    async fn turn(&mut self) -> anyhow::Result<()> {
        // Kept for the next turn if this one goes well.
        let (mut db, guard) = match self.db.take() {
            Some(open) => open,
            None => {
                migrate(&self.config.database_url).await?;
                connect(&self.config.database_url, &Manner::named("mythic settler")).await?
            }
        };
        self.look(&mut db).await?;
        self.db = Some((db, guard));
        Ok(())
    }

    async fn look(&mut self, db: &mut tokio_postgres::Client) -> anyhow::Result<()> {
        let Some((now, _)) = database::root(db).await? else {
            return self.look_at_the_chain(db).await;
        };
        self.metrics
            .finalized_slot
            .set(i64::try_from(now).unwrap_or(i64::MAX));
        let mut candidates = Candidates {
            jobs: database::running_jobs(db, now).await?,
            cases: database::open_cases(db, now).await?,
            outputs: Vec::new(),
            validators: database::debtors(db).await?,
        };
        candidates.add(std::mem::take(&mut self.unindexed));
        if self.config.close_jobs {
            self.closings(db, now, &mut candidates).await?;
        }
        let (windows, missing) = chain::windows(&self.client, &candidates).await?;
        self.remember_gone(missing);
        let due = self.rules.due(now, &windows);
        self.send(&due).await;
        self.look_at_the_chain(db).await
    }

    /// From time to time: index against chain, and what the index does not know of.
    async fn look_at_the_chain(&mut self, db: &mut tokio_postgres::Client) -> anyhow::Result<()> {
        let every = Duration::from_secs(self.config.reconcile_every_s);
        if !every.is_zero()
            && self.compared_at.is_none_or(|at| at.elapsed() >= every)
            && self.compare(db).await?
        {
            self.compared_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Adds what can be closed at `now`. When the oldest of a kind must stay, so must the others, until its time comes.
    async fn closings(
        &mut self,
        db: &tokio_postgres::Client,
        now: u64,
        candidates: &mut Candidates,
    ) -> anyhow::Result<()> {
        let gone: Vec<Vec<u8>> = self
            .gone
            .iter()
            .map(|key| key.to_bytes().to_vec())
            .collect();
        let mut ended = Candidates::default();
        if now >= self.closing.jobs {
            ended.jobs = database::ended_jobs(db, now, &gone).await?;
        }
        if now >= self.closing.cases {
            ended.cases = database::ended_cases(db, &gone).await?;
        }
        if now >= self.closing.outputs {
            ended.outputs = database::ended_outputs(db, &gone).await?;
        }
        let (windows, missing) = chain::windows(&self.client, &ended).await?;
        self.remember_gone(missing);
        let Windows {
            jobs,
            cases,
            outputs,
            ..
        } = windows;
        let later = now.saturating_add(CLOSE_PAUSE);
        if now >= self.closing.jobs {
            let jobs = jobs.iter().map(|w| (w.pubkey, retention_end(&w.job)));
            let jobs = closable(jobs, now, &mut candidates.jobs);
            self.closing.jobs = jobs.unwrap_or(later);
        }
        if now >= self.closing.cases {
            let cases = cases
                .iter()
                .filter_map(|w| Some((w.pubkey, w.case.closable_from()?)));
            let cases = closable(cases, now, &mut candidates.cases);
            self.closing.cases = cases.unwrap_or(later);
        }
        if now >= self.closing.outputs {
            let outputs = outputs
                .iter()
                .filter_map(|w| Some((w.pubkey, output_closable_from(w.job.as_ref())?)));
            let outputs = closable(outputs, now, &mut candidates.outputs);
            self.closing.outputs = outputs.unwrap_or(later);
        }
        Ok(())
    }

    fn remember_gone(&mut self, missing: Vec<Pubkey>) {
        if self.gone.len() > MAX_GONE {
            // Most are closed in the index as well by now; the others come back.
            self.gone.clear();
        }
        self.gone.extend(missing);
    }

    async fn send(&self, due: &[Crank]) {
        let batches: Vec<&[Crank]> = due.chunks(self.config.batch).collect();
        for group in batches.chunks(IN_FLIGHT) {
            futures::future::join_all(group.iter().map(|batch| self.send_batch(batch))).await;
        }
    }

    /// Sends cranks together; when one of them is refused, each alone.
    async fn send_batch(&self, batch: &[Crank]) {
        let began = SystemTime::now();
        match self.submit(batch).await {
            Ok(()) => batch
                .iter()
                .for_each(|crank| self.count(crank, "done", began)),
            Err(ClientError::Program(_) | ClientError::Transaction(_)) if batch.len() > 1 => {
                for crank in batch {
                    let began = SystemTime::now();
                    let sent = self.submit(std::slice::from_ref(crank)).await;
                    self.judge(crank, sent, began);
                }
            }
            Err(error) => {
                if let [crank] = batch {
                    self.judge(crank, Err(error), began);
                } else {
                    tracing::warn!("{} cranks were not sent: {error}", batch.len());
                    batch
                        .iter()
                        .for_each(|crank| self.count(crank, "failed", began));
                }
            }
        }
    }

    fn count(&self, crank: &Crank, outcome: &str, began: SystemTime) {
        self.metrics.count(crank, outcome);
        if mythic_trace::is_on()
            && let Some(job) = crank.job()
        {
            let name = format!("settle {}", crank.name());
            let span = mythic_trace::of_job(name, &job.to_bytes(), Some(began));
            if span.is_recorded() {
                span.word(names::JOB, &job.to_string())
                    .word(names::CRANK, crank.name());
            }
            if outcome == "failed" {
                span.failed(outcome);
            }
        }
    }

    async fn submit(&self, batch: &[Crank]) -> Result<(), ClientError> {
        let instructions: Vec<_> = batch.iter().map(Crank::instruction).collect();
        let payer = self.payer.pubkey();
        self.client
            .send_and_confirm(&instructions, &payer, &[&self.payer], Commitment::Confirmed)
            .await
            .map(drop)
    }

    fn judge(&self, crank: &Crank, sent: Result<(), ClientError>, began: SystemTime) {
        match sent {
            Ok(()) => self.count(crank, "done", began),
            Err(error) if already_done(&error) => self.count(crank, "already", began),
            Err(error) => {
                self.count(crank, "failed", began);
                tracing::warn!(crank = crank.name(), account = %crank.account(), "{error}");
            }
        }
    }

    /// Compares index and chain; `false` while the index has not reached the chain's root: then what is due is taken from the
    /// chain alone, so that nobody's money waits for an index that stands still.
    async fn compare(&mut self, db: &mut tokio_postgres::Client) -> anyhow::Result<bool> {
        let (slot, accounts, windows) = chain::accounts(&self.client).await?;
        let deadline = Instant::now() + Duration::from_secs(10);
        let (gaps, rows) = loop {
            match database::rows(db).await? {
                Some((root, gaps, rows)) if root >= slot => break (gaps, rows),
                _ if Instant::now() > deadline => {
                    let mut due = self.rules.due(slot, &windows);
                    due.truncate(MAX_UNINDEXED);
                    tracing::warn!(
                        slot,
                        due = due.len(),
                        "the index is behind the chain: settling from the chain"
                    );
                    self.send(&due).await;
                    return Ok(false);
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        };
        let known: HashSet<Pubkey> = rows.iter().map(|row| row.pubkey).collect();
        self.unindexed = self.rules.unindexed(slot, &windows, &known);
        let mut rent = HashMap::new();
        for account in &accounts {
            if let std::collections::hash_map::Entry::Vacant(entry) = rent.entry(account.bytes) {
                entry.insert(self.client.rent(account.bytes).await?);
            }
        }
        let chain = ChainSide {
            slot,
            accounts: &accounts,
            rent: &rent,
        };
        let index = IndexSide { rows: &rows, gaps };
        let result = reconcile(chain, index, self.last.as_ref());
        if !result.ok() {
            let first = result.unbacked.iter().chain(&result.confirmed).next();
            tracing::error!(
                slot,
                confirmed = result.confirmed.len(),
                unbacked = result.unbacked.len(),
                ?first,
                "index and chain disagree"
            );
        }
        database::store(db, &result).await?;
        self.metrics.reconciled.set(i64::from(result.ok()));
        self.last = Some(result);
        Ok(true)
    }
}

/// Adds to `due` what can be closed at `now`; the first slot in which any of `ended` can be.
fn closable(
    ended: impl Iterator<Item = (Pubkey, u64)>,
    now: u64,
    due: &mut Vec<Pubkey>,
) -> Option<u64> {
    ended
        .inspect(|(pubkey, slot)| {
            if *slot <= now {
                due.push(*pubkey);
            }
        })
        .map(|(_, slot)| slot)
        .min()
}

/// The program's way to say that somebody else was faster.
fn already_done(error: &ClientError) -> bool {
    matches!(
        error.program(),
        Some(
            MythicError::WrongJobStatus
                | MythicError::WrongCaseStatus
                | MythicError::AlreadyCollected
                | MythicError::NothingToSweep
                | MythicError::WrongAccountOwner
                | MythicError::WrongAccountType
        )
    )
}

#[derive(Clone, Debug)]
struct Metrics {
    registry: Registry,
    cranks: IntCounterVec,
    finalized_slot: IntGauge,
    working: IntGauge,
    reconciled: IntGauge,
}

impl Metrics {
    fn new() -> Result<Self, prometheus::Error> {
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
            cranks,
            registry,
        })
        .inspect(|metrics: &Self| metrics.reconciled.set(-1))
    }

    fn count(&self, crank: &Crank, outcome: &str) {
        self.cranks
            .with_label_values(&[crank.name(), outcome])
            .inc();
    }

    async fn serve(
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
                }),
            }
        };
        mythic_http::metrics::serve(addr, self.registry.clone(), health, stop).await
    }
}
