//! The settler's loop: look, send, compare. Nothing here decides what is due.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use mythic_client::{ChainClient, ClientError, Commitment, keys::load_keypair};
use mythic_http::metrics::{Health, ListenError};
use mythic_interface::{error::MythicError, market::due::Moment};
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
    Crank, MarketCrank, Reconciliation, Settler, SettlerConfig, Windows,
    chain::{self, Candidates, Everything},
    court::output_closable_from,
    database::{self, List, Pages},
    due::{MAX_UNINDEXED, retention_end},
    heart::Heart,
    market::chain::{self as market, MarketAccounts, MarketCandidates},
    migrate::migrate,
    reconcile::{ChainSide, IndexSide, reconcile},
    rests::Rests,
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
/// Longest look at the market: one that takes longer holds up no job.
const MARKET_LOOK: Duration = Duration::from_secs(10);
/// Pause of an account about which the chain refused something, and the longest one.
const REFUSED: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(3_600));
/// Slots after which the market's lists are looked at from the beginning again.
const ANEW: u64 = 1_500;
/// Pause of an account of the market that was looked at in vain.
const IDLE: Duration = Duration::from_secs(10);

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
        market: Market::new(),
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
    market: Market,
    last: Option<Reconciliation>,
    compared_at: Option<Instant>,
}

/// What is remembered of the Compute Market.
struct Market {
    /// Where each list stands.
    pages: [Pages; List::ALL.len()],
    /// Slot from which all lists are looked at from the beginning again.
    anew: u64,
    /// Accounts that may need something and that the index does not know.
    unindexed: MarketCandidates,
    /// Accounts about which the chain refused something.
    refused: Mutex<Rests>,
    /// Accounts about which there was nothing to do.
    idle: Rests,
    /// Whether the last look went well.
    looked: bool,
    /// Whether its accounts could be read for the last comparison.
    compared: bool,
    warnings: Throttle,
}

impl Market {
    fn new() -> Self {
        Self {
            pages: Default::default(),
            anew: 0,
            unindexed: MarketCandidates::default(),
            refused: Mutex::new(Rests::new(REFUSED.0, REFUSED.1)),
            idle: Rests::new(IDLE, IDLE),
            looked: true,
            compared: true,
            warnings: Throttle::new(WARNINGS),
        }
    }

    fn refused(&self) -> MutexGuard<'_, Rests> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let market = self.due_of_market(db).await;
        self.send_both(&due, market).await;
        self.look_at_the_chain(db).await
    }

    /// What is due of the market; nothing where the look fails, which holds up no job.
    async fn due_of_market(&mut self, db: &tokio_postgres::Client) -> Vec<Crank> {
        let looked = tokio::time::timeout(MARKET_LOOK, self.look_at_market(db)).await;
        let late = |_| {
            let seconds = MARKET_LOOK.as_secs();
            Err(anyhow::anyhow!("looking took more than {seconds} s"))
        };
        let looked = looked.unwrap_or_else(late);
        self.market.looked = looked.is_ok();
        self.tell_market(looked.as_ref().err());
        looked.unwrap_or_default()
    }

    /// Says how the market's part goes.
    fn tell_market(&self, error: Option<&anyhow::Error>) {
        let well = self.market.looked && self.market.compared;
        self.metrics.market_working.set(i64::from(well));
        if let Some(error) = error
            && let Some(more) = self.market.warnings.allow()
        {
            tracing::warn!(more, "the Compute Market: {error:#}; trying again");
        }
    }

    async fn look_at_market(&mut self, db: &tokio_postgres::Client) -> anyhow::Result<Vec<Crank>> {
        let now = self.client.moment(Commitment::Finalized).await?;
        let market = &mut self.market;
        if now.slot >= market.anew {
            market.anew = now.slot.saturating_add(ANEW);
            market.pages.iter_mut().for_each(Pages::begin_anew);
        }
        let mut found = MarketCandidates {
            providers: database::owing_providers(db).await?,
            ..MarketCandidates::default()
        };
        for (list, pages) in List::ALL.into_iter().zip(&mut market.pages) {
            let most = match list {
                List::OverLeases => now.second,
                _ => now.slot,
            };
            let keys = database::due(db, list, most, pages).await?;
            match list {
                List::RunningLeases | List::OverLeases | List::OwingLeases | List::EndedLeases => {
                    found.leases.extend(keys)
                }
                List::OpenRequests | List::EndedRequests => found.requests.extend(keys),
                List::OpenDisputes | List::DecidedDisputes => found.disputes.extend(keys),
            }
        }
        let unindexed = std::mem::take(&mut market.unindexed);
        self.market_cranks(now, found, unindexed).await
    }

    /// What is due of candidates, each once; those that rest are left alone, and those of which nothing is due rest.
    async fn market_cranks(
        &mut self,
        now: Moment,
        mut candidates: MarketCandidates,
        others: MarketCandidates,
    ) -> anyhow::Result<Vec<Crank>> {
        let began = std::time::Instant::now();
        {
            let (refused, idle) = (self.market.refused(), &self.market.idle);
            candidates.add(others, |account| {
                refused.has(account, began) || idle.has(account, began)
            });
        }
        let windows = market::windows(&self.client, &candidates).await?;
        let due = self.rules.market_due(now, &windows);
        let busy: HashSet<Pubkey> = due.iter().map(MarketCrank::account).collect();
        for account in candidates.accounts().filter(|key| !busy.contains(key)) {
            self.market.idle.begin(account, began);
        }
        Ok(due.into_iter().map(Crank::Market).collect())
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

    /// Sends what is due of both programs, batches of each in turn. Of the market no more than of the other, or what is sent at once: what
    /// strangers make due there holds up no job; the rest comes with the next turn.
    async fn send_both(&self, due: &[Crank], mut market: Vec<Crank>) {
        market.truncate(due.len().max(IN_FLIGHT * self.config.batch));
        let batches = in_turn(due, &market, self.config.batch);
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
        if let Crank::Market(crank) = crank {
            match outcome {
                "failed" => {
                    let now = std::time::Instant::now();
                    self.market.refused().begin(crank.account(), now);
                }
                _ => self.market.refused().end(&crank.account()),
            }
        }
        let job = crank.job().map(|job| (names::JOB, job));
        let lease = crank.lease().map(|lease| (names::LEASE, lease));
        if mythic_trace::is_on()
            && let Some((what, about)) = job.or(lease)
        {
            let name = format!("settle {}", crank.name());
            let span = mythic_trace::of_job(name, &about.to_bytes(), Some(began));
            if span.is_recorded() {
                span.word(what, &about.to_string())
                    .word(names::CRANK, crank.name());
            }
            if outcome == "failed" {
                span.failed(outcome);
            }
        }
    }

    async fn submit(&self, batch: &[Crank]) -> Result<(), ClientError> {
        let payer = self.payer.pubkey();
        let instructions = batch.iter().map(|crank| crank.instruction(&payer));
        let instructions: Vec<_> = instructions.collect();
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
        let Everything {
            mut slot,
            mut accounts,
            windows,
        } = chain::accounts(&self.client).await?;
        let market = self.read_market().await;
        let newest = market.as_ref().map_or(slot, |(_, m)| slot.max(m.slot));
        let deadline = Instant::now() + Duration::from_secs(10);
        let indexed = loop {
            match database::rows(db, market.is_some()).await? {
                Some(indexed) if indexed.root >= newest => break indexed,
                _ if Instant::now() > deadline => {
                    let mut due = self.rules.due(slot, &windows);
                    due.truncate(MAX_UNINDEXED);
                    let market = self.due_by_the_chain(market).await;
                    tracing::warn!(
                        slot,
                        due = due.len() + market.len(),
                        "the index is behind the chain: settling from the chain"
                    );
                    self.send_both(&due, market).await;
                    return Ok(false);
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        };
        let known: HashSet<Pubkey> = indexed.rows.iter().map(|row| row.pubkey).collect();
        self.unindexed = self.rules.unindexed(slot, &windows, &known);
        if let Some((now, market)) = market {
            self.market.unindexed = market.unindexed(now, &known);
            slot = slot.min(market.slot);
            accounts.extend(market.compared);
        }
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
        let index = IndexSide {
            rows: &indexed.rows,
            gaps: indexed.gaps,
            unbalanced: &indexed.unbalanced,
        };
        let result = reconcile(chain, index, self.last.as_ref());
        if !result.ok() {
            let wrong = result.unbacked.iter().chain(&result.unbalanced);
            let first = wrong.chain(&result.confirmed).next();
            tracing::error!(
                slot,
                confirmed = result.confirmed.len(),
                unbacked = result.unbacked.len(),
                unbalanced = result.unbalanced.len(),
                ?first,
                "index and chain disagree"
            );
        }
        database::store(db, &result).await?;
        self.metrics.reconciled.set(i64::from(result.ok()));
        self.last = Some(result);
        Ok(true)
    }

    /// All accounts of the market, and the moment; `None` where they can't be read: then the rest is compared without them.
    async fn read_market(&mut self) -> Option<(Moment, MarketAccounts)> {
        let read = async {
            let now = self.client.moment(Commitment::Finalized).await?;
            Ok::<_, ClientError>((now, market::accounts(&self.client).await?))
        };
        let read = read.await.map_err(anyhow::Error::new);
        self.market.compared = read.is_ok();
        self.tell_market(read.as_ref().err());
        read.ok()
    }

    /// What is due of the market where the index can't say it.
    async fn due_by_the_chain(&mut self, read: Option<(Moment, MarketAccounts)>) -> Vec<Crank> {
        let Some((now, accounts)) = read else {
            return Vec::new();
        };
        let found = accounts.unindexed(now, &HashSet::new());
        let others = MarketCandidates::default();
        let due = self.market_cranks(now, found, others).await;
        self.market.looked = due.is_ok();
        self.tell_market(due.as_ref().err());
        due.unwrap_or_default()
    }
}

/// Batches of two lists in turn, then what is left of the longer one.
fn in_turn<'a>(one: &'a [Crank], other: &'a [Crank], batch: usize) -> Vec<&'a [Crank]> {
    let (mut one, mut other) = (one.chunks(batch), other.chunks(batch));
    let mut out = Vec::new();
    loop {
        let before = out.len();
        out.extend(one.next());
        out.extend(other.next());
        if out.len() == before {
            return out;
        }
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
                | MythicError::WrongLeaseStatus
                | MythicError::WrongRequestStatus
                | MythicError::WrongDisputeStatus
                | MythicError::DisputeNotDue
                | MythicError::NothingToRelease
                | MythicError::NothingToWithdraw
                | MythicError::LeaseRunning
                | MythicError::NotMissed
                | MythicError::OpenDisputes
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
    market_working: IntGauge,
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
                    "market_working": asked.market_working.get(),
                }),
            }
        };
        mythic_http::metrics::serve(addr, self.registry.clone(), health, stop).await
    }
}
