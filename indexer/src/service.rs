//! The indexer process: reads the spool, batches, writes, and starts over from the database's position
//! whenever something outside fails.

use std::time::{Duration, Instant};

use mythic_stream::proto::Event;
use mythic_stream::spool::{Item, SpoolError};
use mythic_support::{Backoff, Throttle};
use tokio_util::sync::CancellationToken;

use crate::config::IndexerConfig;
use crate::db::Session;
use crate::error::IndexerError;
use crate::holder::{Holder, Input};
use crate::lease;
use crate::migrate::migrate;
use crate::plan::Reached;
use crate::source::Source;
use crate::telemetry::{Telemetry, seconds_since};
use crate::writer::{Mode, Step, Writer};

/// The same trouble is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);
/// Pause between tries, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a lease held by someone else is looked at.
const LEASE_POLL: Duration = Duration::from_millis(250);
/// How often a writer with nothing to write says that it lives.
const RENEW: Duration = Duration::from_secs(4);
/// How often old feed events are looked for.
const TRIM: Duration = Duration::from_secs(600);

/// Runs the indexer until `stop`. Migrates the database first. Waits out whatever passes: Postgres that
/// restarts, a spool that does not exist yet, another indexer that holds the lease.
///
/// # Errors
/// What no waiting mends: a spool with broken framing, a database of another chain, a broken invariant.
pub async fn run(config: IndexerConfig, stop: CancellationToken) -> Result<(), IndexerError> {
    config.validate().map_err(IndexerError::Config)?;
    let telemetry = Telemetry::new().map_err(|e| IndexerError::Broken(e.to_string()))?;
    if let Some(addr) = config.metrics_addr {
        // Two networks on one machine share the default: what is indexed matters more than who can look at it.
        match telemetry.serve(addr, stop.clone()).await {
            Ok(bound) => tracing::info!(%bound, "serving metrics and health"),
            Err(error) => tracing::warn!("no metrics: {error}"),
        }
    }
    let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
    let warnings = Throttle::new(WARNINGS);
    loop {
        let began = Instant::now();
        let error = match session(&config, &telemetry, &stop).await {
            Ok(()) => return Ok(()),
            Err(e) if e.is_fatal() => {
                telemetry.failed(&e);
                tracing::error!("indexer stops: {e}");
                return Err(e);
            }
            Err(e) => e,
        };
        telemetry.failed(&error);
        telemetry.restarts.inc();
        if began.elapsed() > PAUSE.1 {
            backoff.reset();
        }
        if let Some(more) = warnings.allow() {
            tracing::warn!(more, "indexer starts over: {error}");
        }
        if !backoff.wait(&stop).await {
            return Ok(());
        }
    }
}

async fn session(
    config: &IndexerConfig,
    telemetry: &Telemetry,
    stop: &CancellationToken,
) -> Result<(), IndexerError> {
    migrate(&config.database_url).await?;
    let mut session = Session::open(&config.database_url, "mythic indexer").await?;
    let ttl = Duration::from_secs(config.lease_ttl_s);
    let lease = loop {
        match lease::acquire(&mut session, ttl).await {
            Ok(lease) => break lease,
            Err(e @ IndexerError::LeaseHeld { .. }) => telemetry.failed(&e),
            Err(e) => return Err(e),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LEASE_POLL) => {}
        }
    };
    let mode = Mode::Live {
        reader: config.reader.clone(),
        epoch: lease.epoch,
    };
    let mut writer = Writer::open(session, &lease.schema, mode).await?;
    tracing::info!(schema = lease.schema, epoch = lease.epoch, position = ?writer.state().position, "indexing");
    telemetry.working();
    let mut position = writer.state().position;
    let mut start = position.map(|p| p.resume);
    loop {
        let source = Source::spawn(config.spool_dir.clone(), config.reader.clone(), start)
            .map_err(|e| IndexerError::Broken(format!("starting a thread: {e}")))?;
        match (Pump {
            config,
            telemetry,
            stop,
            writer: &mut writer,
            source,
            replay_to: position,
        })
        .run()
        .await
        {
            Err(IndexerError::Spool(SpoolError::Lost { wanted, oldest })) => {
                tracing::error!(
                    ?wanted,
                    ?oldest,
                    "the spool has lost what was to be read next: what lies between is a gap"
                );
                // Another spool than before: its positions say nothing about what was applied.
                if oldest.is_none_or(|o| {
                    position.is_some_and(|p| p.applied.run != o.run && o < p.applied)
                }) {
                    position = None;
                }
                start = oldest;
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(PAUSE.0) => {}
                }
            }
            done => return done,
        }
    }
}

struct Pump<'a> {
    config: &'a IndexerConfig,
    telemetry: &'a Telemetry,
    stop: &'a CancellationToken,
    writer: &'a mut Writer,
    source: Source,
    /// Envelopes before its applied position are read again only to fill the holder.
    replay_to: Option<Reached>,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), IndexerError> {
        let mut holder = Holder::new(self.config.max_held_bytes, &self.config.spill_dir());
        let mut batch = Batch::default();
        let linger = Duration::from_millis(self.config.idle_linger_ms);
        let mut trimmed = Instant::now();
        let mut counted: Option<Instant> = None;
        loop {
            if counted.is_none_or(|at| at.elapsed() > RENEW) {
                counted = Some(Instant::now());
                self.writer.beat().await?;
                self.telemetry.alarms(&self.writer.open_alarms().await?);
            }
            let wait = match batch.since {
                Some(since) => linger.saturating_sub(since.elapsed()),
                None => RENEW,
            };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.flush(&mut batch).await,
                chunk = self.source.next() => {
                    let chunk = chunk.ok_or_else(|| IndexerError::Broken("the spool reader ended".into()))??;
                    for item in chunk {
                        self.take(&mut holder, &mut batch, item)?;
                        if batch.updates >= self.config.batch_updates {
                            self.flush(&mut batch).await?;
                        }
                    }
                    self.telemetry.held_bytes.set(holder.bytes() as i64);
                    self.telemetry.spilled_bytes.set(holder.spilled() as i64);
                    if batch.urgent || (!batch.steps.is_empty() && self.writer.state().busy()) {
                        self.flush(&mut batch).await?;
                    }
                }
                () = tokio::time::sleep(wait) => {
                    if batch.steps.is_empty() {
                        self.writer.renew().await?;
                        if trimmed.elapsed() > TRIM {
                            trimmed = Instant::now();
                            self.writer.trim_feed(self.config.feed_retention_h).await?;
                        }
                    } else {
                        self.flush(&mut batch).await?;
                    }
                }
            }
            if trimmed.elapsed() > TRIM {
                trimmed = Instant::now();
                self.writer.trim_feed(self.config.feed_retention_h).await?;
            }
        }
    }

    fn take(
        &mut self,
        holder: &mut Holder,
        batch: &mut Batch,
        item: Item,
    ) -> Result<(), IndexerError> {
        let replayed = self.replay_to.is_some_and(|p| item.position < p.applied);
        let mut sealed_at = None;
        let inputs = match item.envelope {
            Ok(envelope) => {
                self.telemetry.envelopes.inc();
                if matches!(envelope.event, Some(Event::Seal(_))) {
                    sealed_at = Some(envelope.time_unix_nanos);
                }
                match holder.apply(item.position, envelope, replayed) {
                    Ok(inputs) => inputs,
                    Err(e) => {
                        self.telemetry.malformed.inc();
                        tracing::error!(position = ?item.position, "an envelope can't be used: {e}");
                        return Ok(());
                    }
                }
            }
            Err(unreadable) => {
                self.telemetry.unreadable.inc();
                tracing::error!("{unreadable}");
                holder.unreadable(item.position, &unreadable, replayed)
            }
        };
        if inputs.is_empty() {
            return Ok(());
        }
        let reached = Reached {
            resume: holder.resume(item.next),
            applied: item.next,
        };
        let last = inputs.len() - 1;
        for (index, input) in inputs.into_iter().enumerate() {
            match &input {
                Input::RunStart {
                    genesis: Some(genesis),
                    ..
                } => {
                    batch.urgent = true;
                    if let Some(known) =
                        self.writer.state().genesis.filter(|known| known != genesis)
                    {
                        let text = |hash: [u8; 32]| bs58::encode(hash).into_string();
                        return Err(IndexerError::OtherChain {
                            database: text(known),
                            spool: text(*genesis),
                        });
                    }
                }
                Input::Base { accounts, .. } => {
                    batch.urgent = true;
                    batch.updates += accounts.len();
                }
                Input::Bank(bank) => {
                    batch.urgent |= !bank.accounts.is_empty();
                    batch.updates += bank.accounts.len();
                }
                _ => {}
            }
            batch.steps.push(Step {
                input,
                reached: (index == last).then_some(reached),
            });
        }
        batch.since.get_or_insert_with(Instant::now);
        batch.sealed_at = sealed_at.or(batch.sealed_at);
        Ok(())
    }

    async fn flush(&mut self, batch: &mut Batch) -> Result<(), IndexerError> {
        let batch = std::mem::take(batch);
        if batch.steps.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let done = self.writer.apply(batch.steps).await?;
        let telemetry = self.telemetry;
        telemetry
            .commit_seconds
            .observe(began.elapsed().as_secs_f64());
        if let Some(seconds) = batch.sealed_at.and_then(seconds_since) {
            telemetry.seal_to_commit_seconds.observe(seconds);
        }
        telemetry.batches.inc();
        telemetry.updates.inc_by(done.updates as u64);
        telemetry.banks.inc_by(done.banks as u64);
        telemetry.feed_rows.inc_by(done.feed_rows as u64);
        telemetry.dead_letters.inc_by(done.dead_letters as u64);
        let state = self.writer.state();
        let root = state.tree.root().map(|r| r.slot);
        let tip = state
            .processed
            .last()
            .and_then(|n| state.banks.get(n))
            .map(|b| b.id.slot);
        telemetry
            .processed_slot
            .set(tip.or(root).unwrap_or(0) as i64);
        telemetry
            .confirmed_slot
            .set(state.tree.confirmed_slot().unwrap_or(0) as i64);
        telemetry.finalized_slot.set(root.unwrap_or(0) as i64);
        telemetry.committed();
        if let Some(reached) = state.position {
            self.source.ack(reached.resume);
        }
        Ok(())
    }
}

#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    updates: usize,
    /// It has content that somebody waits for.
    urgent: bool,
    since: Option<Instant>,
    /// Producer's time of the newest seal.
    sealed_at: Option<u64>,
}
