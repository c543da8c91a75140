//! The settler's loop: look, send, compare. Nothing here decides what is due.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use mythic_client::{ChainClient, keys::load_keypair};
use mythic_postgres::{ConnectionGuard, Manner, connect};
use mythic_support::{Backoff, Throttle, life};
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    Crank, Reconciliation, Settler, SettlerConfig, Windows,
    chain::{self, Candidates, Everything},
    court::output_closable_from,
    database,
    due::{MAX_UNINDEXED, retention_end},
    heart::Heart,
    market::look::Market,
    metrics::Metrics,
    migrate::migrate,
    reconcile::{ChainAccount, ChainSide, IndexSide, Kind, reconcile},
    sender::Sender,
    trouble::Trouble,
};

/// Batches of the market in one turn, where there are fewer of the other program.
const MARKET_BATCHES: usize = 8;
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
    let rules = Settler::new(&config);
    let mut service = Service {
        sender: Sender::new(client.clone(), payer, metrics.clone(), config.batch),
        market: Market::new(
            config.database_url.clone(),
            client.clone(),
            rules.clone(),
            metrics.market_working.clone(),
        ),
        rules,
        config,
        client,
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
    sender: Sender,
    market: Market,
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
        let most = self.most_of_market(&due);
        let (sender, market) = (&self.sender, &mut self.market);
        // Neither waits for the other.
        let of_market = async {
            let mut due = market.due(sender).await;
            due.truncate(most);
            sender.send(&due).await;
        };
        tokio::join!(sender.send(&due), of_market);
        self.look_at_the_chain(db).await
    }

    /// Cranks of the market in a turn: no more than of the other program, or some batches.
    fn most_of_market(&self, due: &[Crank]) -> usize {
        due.len().max(MARKET_BATCHES * self.config.batch)
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

    /// Compares index and chain; `false` while the index has not reached the chain's root: then what is due is taken from the
    /// chain alone, so that nobody's money waits for an index that stands still.
    async fn compare(&mut self, db: &mut tokio_postgres::Client) -> anyhow::Result<bool> {
        let (everything, market) = tokio::join!(chain::accounts(&self.client), self.market.read());
        let Everything {
            mut slot,
            mut accounts,
            windows,
        } = everything?;
        let (newest, kinds) = match &market {
            Some((_, market)) => (slot.max(market.slots.1), market.kinds.clone()),
            None => (slot, Vec::new()),
        };
        let wanted = |kind: Kind| !kind.is_of_market() || kinds.contains(&kind);
        let deadline = Instant::now() + Duration::from_secs(10);
        let indexed = loop {
            match database::rows(db, wanted).await? {
                Some(indexed) if indexed.root >= newest => break indexed,
                _ if Instant::now() > deadline => {
                    let mut due = self.rules.due(slot, &windows);
                    due.truncate(MAX_UNINDEXED);
                    let mut market = self.market.due_by_the_chain(market, &self.sender).await;
                    market.truncate(self.most_of_market(&due));
                    tracing::warn!(
                        slot,
                        due = due.len() + market.len(),
                        "the index is behind the chain: settling from the chain"
                    );
                    tokio::join!(self.sender.send(&due), self.sender.send(&market));
                    return Ok(false);
                }
                _ => sleep(Duration::from_millis(200)).await,
            }
        };
        let known: HashSet<Pubkey> = indexed.rows.iter().map(|row| row.pubkey).collect();
        self.unindexed = self.rules.unindexed(slot, &windows, &known);
        if let Some((now, market)) = market {
            self.market.look_at_unindexed(now, &market, &known);
            slot = slot.min(market.slots.0);
            accounts.extend(market.compared);
        }
        let rents = self.client.rents().await?;
        let rent = |account: &ChainAccount| (account.bytes, rents.of(account.bytes as u64));
        let rent: HashMap<usize, u64> = accounts.iter().map(rent).collect();
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
