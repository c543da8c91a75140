//! From the spools to the writer: holds, merges, batches, acknowledges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_stream::proto::Event;
use mythic_stream::spool::{Item, Position, ReaderConfig, SpoolError};
use mythic_support::{Backoff, Throttle, life::Pulse};
use tokio::{sync::mpsc, task::JoinError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::config::{IndexerConfig, SpoolConfig};
use crate::error::IndexerError;
use crate::holder::{Holder, Input};
use crate::merge::Merge;
use crate::plan::Reached;
use crate::rpc::Fed;
use crate::source::{Chunk, Source, chunks};
use crate::telemetry::{Telemetry, seconds_since};
use crate::writer::{Committed, Step, Writer};

/// The same trouble of a spool is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(10);
/// Pause before a spool is opened again, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a writer with nothing to write checks that it still holds the lease.
const RENEW: Duration = Duration::from_secs(4);
/// How often old feed events are looked for, once none are left.
const TRIM: Duration = Duration::from_secs(60);

/// One session of the indexer, once it has the lease.
pub(crate) struct Pump<'a> {
    config: &'a IndexerConfig,
    telemetry: &'a Telemetry,
    desk: Desk,
    producers: Vec<Producer>,
    merge: Merge,
    sender: mpsc::Sender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    /// What others have found out by asking.
    fed: mpsc::Receiver<Fed>,
    batch: Batch,
    /// Of the runs so far.
    genesis: Option<[u8; 32]>,
    trim_at: Instant,
    counted: Option<Instant>,
}

/// The writer, and what it works on: batches are read and held while the one before is written.
enum Desk {
    Idle(Box<Writer>),
    Busy(AbortOnDropHandle<Written>, Sent),
    /// It failed, and the session ends.
    Gone,
}

type Written = (Box<Writer>, Result<Committed, IndexerError>);

/// A batch that is being written.
struct Sent {
    began: Instant,
    sealed_at: Option<u64>,
}

/// A spool that is read.
struct Producer {
    spool: SpoolConfig,
    name: Arc<str>,
    source: Source,
    holder: Holder,
    /// Envelopes before its applied position are read again only to fill the holder.
    replay_to: Option<Reached>,
    /// What is to be read next.
    next: Option<Position>,
    backoff: Backoff,
    warnings: Throttle,
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

impl<'a> Pump<'a> {
    pub async fn new(
        config: &'a IndexerConfig,
        telemetry: &'a Telemetry,
        mut writer: Writer,
        fed: mpsc::Receiver<Fed>,
    ) -> Result<Self, IndexerError> {
        let spools = config.spools();
        let (sender, chunks) = chunks(spools.len());
        let mut producers = Vec::new();
        for (number, spool) in spools.into_iter().enumerate() {
            let at = writer.state().positions.get(&spool.name).copied();
            let start = at.map(|at| at.resume);
            let reader = spool.reader(config, start);
            producers.push(Producer {
                name: spool.name.as_str().into(),
                source: open(reader, Duration::ZERO, number, &sender)?,
                holder: Holder::new(config.max_held_bytes, &config.spill_dir()),
                replay_to: at,
                next: start,
                backoff: Backoff::new(PAUSE.0, PAUSE.1),
                warnings: Throttle::new(WARNINGS),
                spool,
            });
        }
        let names: Vec<Arc<str>> = producers.iter().map(|p| p.name.clone()).collect();
        let merge = writer.merge(&names).await?;
        Ok(Self {
            merge,
            config,
            telemetry,
            genesis: writer.state().genesis,
            desk: Desk::Idle(Box::new(writer)),
            producers,
            sender,
            chunks,
            fed,
            batch: Batch::default(),
            trim_at: Instant::now(),
            counted: None,
        })
    }

    pub async fn run(
        mut self,
        pulse: &Pulse,
        stop: &CancellationToken,
    ) -> Result<(), IndexerError> {
        let linger = Duration::from_millis(self.config.idle_linger_ms);
        loop {
            pulse.beat();
            let mut wait = RENEW;
            if matches!(self.desk, Desk::Idle(_)) {
                self.upkeep().await?;
                wait = match self.batch.since {
                    Some(since) => linger.saturating_sub(since.elapsed()),
                    None => RENEW.min(self.trim_at.saturating_duration_since(Instant::now())),
                };
            }
            let full = self.batch.updates >= self.config.batch_updates;
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.write().await?;
                    return self.settle().await;
                }
                done = self.desk.done() => self.wrote(done)?,
                // Rare, and never starved by spools that are full.
                Some(fed) = self.fed.recv(), if !full => self.feed(fed)?,
                chunk = self.chunks.recv(), if !full => match chunk {
                    Some((number, Ok(items))) => self.chunk(number, items).await?,
                    Some((number, Err(error))) => self.failed(number, error).await?,
                    None => return Err(IndexerError::Broken("the spool readers ended".into())),
                },
                () = tokio::time::sleep(wait) => match &mut self.desk {
                    Desk::Idle(writer) if self.batch.steps.is_empty() => writer.renew().await?,
                    Desk::Idle(_) => self.write().await?,
                    _ => {}
                },
            }
            let due = full || self.batch.urgent;
            if let Desk::Idle(writer) = &self.desk
                && !self.batch.steps.is_empty()
                && (due || writer.state().busy())
            {
                self.write().await?;
            }
        }
    }

    /// Between two batches: alarms are counted, and old feed events are removed until nothing is old, so that what is removed keeps up
    /// with what is added.
    async fn upkeep(&mut self) -> Result<(), IndexerError> {
        let Desk::Idle(writer) = &mut self.desk else {
            return Ok(());
        };
        if self.counted.is_none_or(|at| at.elapsed() > RENEW) {
            self.counted = Some(Instant::now());
            self.telemetry.alarms(&writer.open_alarms().await?);
        }
        if Instant::now() >= self.trim_at {
            let more = writer.trim_feed(self.config.feed_retention_h).await?;
            self.trim_at = Instant::now() + if more { Duration::ZERO } else { TRIM };
        }
        Ok(())
    }

    async fn chunk(&mut self, number: usize, items: Vec<Item>) -> Result<(), IndexerError> {
        let producer = &mut self.producers[number];
        if !items.is_empty() {
            producer.backoff.reset();
        }
        self.telemetry.producer(&producer.name, None);
        for item in items {
            self.take(number, item)?;
            if self.batch.updates >= self.config.batch_updates {
                self.write().await?;
            }
        }
        let holders = || self.producers.iter().map(|producer| &producer.holder);
        let held: usize = holders().map(Holder::bytes).sum();
        let spilled: u64 = holders().map(Holder::spilled).sum();
        self.telemetry.held_bytes.set(held as i64);
        self.telemetry.spilled_bytes.set(spilled as i64);
        Ok(())
    }

    /// Takes inputs that stand in no log.
    fn feed(&mut self, fed: Fed) -> Result<(), IndexerError> {
        for input in fed.inputs {
            self.check_chain(&input)?;
            self.note_bank(&fed.producer, &input);
            self.batch.add(&fed.producer, input, None);
        }
        Ok(())
    }

    fn note_bank(&self, producer: &str, input: &Input) {
        if let Input::Bank(bank) = input {
            let gauge = self.telemetry.producer_slot.with_label_values(&[producer]);
            gauge.set(gauge.get().max(bank.id.slot as i64));
        }
    }

    /// A spool can't be read: the others go on, and it is opened again after a pause.
    async fn failed(&mut self, number: usize, error: SpoolError) -> Result<(), IndexerError> {
        // What was read of it is applied first: it may not come again.
        self.write().await?;
        self.settle().await?;
        let positions = match &self.desk {
            Desk::Idle(writer) => &writer.state().positions,
            _ => return Err(IndexerError::Broken("the writer is gone".into())),
        };
        let producer = &mut self.producers[number];
        match error {
            SpoolError::Lost { wanted, oldest } => {
                tracing::error!(
                    producer = &*producer.name,
                    ?wanted,
                    ?oldest,
                    "the spool has lost what was to be read next: what lies between is a gap"
                );
                for input in producer.holder.give_up() {
                    self.batch.add(&producer.name, input, None);
                }
                producer.holder = Holder::new(self.config.max_held_bytes, &self.config.spill_dir());
                producer.replay_to = positions.get(&*producer.name).copied();
                // Another spool than before: its positions say nothing about what was applied.
                if oldest.is_none_or(|o| {
                    let is_other = |p: Reached| p.applied.run != o.run && o < p.applied;
                    producer.replay_to.is_some_and(is_other)
                }) {
                    producer.replay_to = None;
                }
                producer.next = oldest;
            }
            error => {
                let error = IndexerError::Spool(error);
                if error.is_fatal() {
                    return Err(error);
                }
                self.telemetry.restarts.inc();
                self.telemetry.producer(&producer.name, Some(&error));
                if let Some(more) = producer.warnings.allow() {
                    let state = error.trouble().as_str();
                    tracing::warn!(producer = &*producer.name, state, more, "{error}");
                }
            }
        }
        let reader = producer.spool.reader(self.config, producer.next);
        producer.source = open(reader, producer.backoff.pause(), number, &self.sender)?;
        Ok(())
    }

    fn take(&mut self, number: usize, item: Item) -> Result<(), IndexerError> {
        let producer = &mut self.producers[number];
        producer.next = Some(item.next);
        let replayed = producer
            .replay_to
            .is_some_and(|p| item.position < p.applied);
        let mut sealed_at = None;
        let inputs = match item.envelope {
            Ok(envelope) => {
                self.telemetry.envelopes.inc();
                if matches!(envelope.event, Some(Event::Seal(_))) {
                    sealed_at = Some(envelope.time_unix_nanos);
                }
                match producer.holder.apply(item.position, envelope, replayed) {
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
                tracing::error!(producer = &*producer.name, "{unreadable}");
                let holder = &mut producer.holder;
                holder.unreadable(item.position, &unreadable, replayed)
            }
        };
        let reached = Reached {
            resume: producer.holder.resume(item.next),
            applied: item.next,
        };
        let name = producer.name.clone();
        for input in &inputs {
            self.check_chain(input)?;
        }
        for input in &inputs {
            self.note_bank(&name, input);
        }
        let merge = &mut self.merge;
        let inputs: Vec<Input> = inputs
            .into_iter()
            .flat_map(|input| merge.take(number, input))
            .collect();
        let Some(last) = inputs.len().checked_sub(1) else {
            return Ok(());
        };
        for (index, input) in inputs.into_iter().enumerate() {
            let reached = (index == last).then_some(reached);
            self.batch.add(&name, input, reached);
        }
        self.batch.sealed_at = sealed_at.or(self.batch.sealed_at);
        Ok(())
    }

    fn check_chain(&mut self, input: &Input) -> Result<(), IndexerError> {
        let Input::RunStart {
            genesis: Some(genesis),
            ..
        } = input
        else {
            return Ok(());
        };
        let known = *self.genesis.get_or_insert(*genesis);
        if known == *genesis {
            return Ok(());
        }
        let text = |hash: [u8; 32]| bs58::encode(hash).into_string();
        Err(IndexerError::OtherChain {
            database: text(known),
            spool: text(*genesis),
        })
    }

    /// Gives the writer what was collected, once it is through with the batch before.
    async fn write(&mut self) -> Result<(), IndexerError> {
        if self.batch.steps.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        let batch = std::mem::take(&mut self.batch);
        let sent = Sent {
            began: Instant::now(),
            sealed_at: batch.sealed_at,
        };
        self.desk = match std::mem::replace(&mut self.desk, Desk::Gone) {
            Desk::Idle(mut writer) => {
                let work = tokio::spawn(async move {
                    let done = writer.apply(batch.steps).await;
                    (writer, done)
                });
                Desk::Busy(AbortOnDropHandle::new(work), sent)
            }
            other => other,
        };
        Ok(())
    }

    /// Waits for the writer.
    async fn settle(&mut self) -> Result<(), IndexerError> {
        if let Desk::Busy(..) = self.desk {
            let done = self.desk.done().await;
            self.wrote(done)?;
        }
        Ok(())
    }

    fn wrote(&mut self, written: Result<Written, JoinError>) -> Result<(), IndexerError> {
        let (writer, done) =
            written.map_err(|e| IndexerError::Broken(format!("the writer ended: {e}")))?;
        let Desk::Busy(_, sent) = std::mem::replace(&mut self.desk, Desk::Idle(writer)) else {
            return Ok(());
        };
        let done = done?;
        let telemetry = self.telemetry;
        telemetry
            .commit_seconds
            .observe(sent.began.elapsed().as_secs_f64());
        if let Some(seconds) = sent.sealed_at.and_then(seconds_since) {
            telemetry.seal_to_commit_seconds.observe(seconds);
        }
        telemetry.batches.inc();
        telemetry.updates.inc_by(done.updates as u64);
        telemetry.banks.inc_by(done.banks as u64);
        telemetry.feed_rows.inc_by(done.feed_rows as u64);
        telemetry.dead_letters.inc_by(done.dead_letters as u64);
        let Desk::Idle(writer) = &self.desk else {
            return Ok(());
        };
        let state = writer.state();
        let root = state.tree.root().map(|r| r.slot);
        let tip = state
            .processed
            .banks
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
        for producer in &self.producers {
            if let Some(reached) = state.positions.get(&*producer.name) {
                producer.source.ack(reached.resume);
            }
        }
        Ok(())
    }
}

impl Desk {
    /// The batch that is being written, once it is; never if there is none.
    async fn done(&mut self) -> Result<Written, JoinError> {
        match self {
            Self::Busy(work, _) => work.await,
            _ => std::future::pending().await,
        }
    }
}

impl Batch {
    fn add(&mut self, producer: &Arc<str>, input: Input, reached: Option<Reached>) {
        match &input {
            Input::RunStart {
                genesis: Some(_), ..
            } => self.urgent = true,
            Input::Base { accounts, .. } => {
                self.urgent = true;
                self.updates += accounts.len();
            }
            Input::Bank(bank) => {
                self.urgent |= !bank.accounts.is_empty();
                self.updates += bank.accounts.len();
            }
            // About as much work as an update for every two hundred bytes.
            Input::Calls { body, .. } => self.updates += body.len() / 200,
            _ => {}
        }
        self.since.get_or_insert_with(Instant::now);
        self.steps.push(Step {
            producer: producer.clone(),
            input,
            reached,
        });
    }
}

fn open(
    reader: ReaderConfig,
    pause: Duration,
    number: usize,
    sender: &mpsc::Sender<Chunk>,
) -> Result<Source, IndexerError> {
    Source::spawn(reader, pause, number, sender.clone())
        .map_err(|e| IndexerError::Broken(format!("starting a thread: {e}")))
}
