//! From the logs to the writer: holds, merges, batches, acknowledges.

mod producer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_stream::proto::Event;
use mythic_stream::spool::SpoolError;
use mythic_support::life::Pulse;
use tokio::{sync::mpsc, task::JoinError};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::alarms::Kind;
use crate::config::{IndexerConfig, SourceKind};
use crate::error::IndexerError;
use crate::holder::{Holder, Input};
use crate::kafka::{self, KafkaSource, Origin, Places};
use crate::merge::Merge;
use crate::plan::Reached;
use crate::rpc::Fed;
use crate::source::{Chunk, Content, Entry, Letter, chunks};
use crate::telemetry::{Telemetry, seconds_since};
use crate::traced::Jobs;
use crate::writer::{Committed, Step, Writer};
use producer::Producer;

/// Letters of one batch.
const LETTERS: usize = 64;
/// Slots behind finality after which a run that is silent is closed: no bank of it can matter any more.
const SILENT: u64 = 1_024;
/// How often a writer with nothing to write checks that it still holds the lease.
const RENEW: Duration = Duration::from_secs(4);

/// One session of the indexer, once it has the lease.
pub(crate) struct Pump<'a> {
    config: &'a IndexerConfig,
    telemetry: &'a Telemetry,
    desk: Desk,
    producers: Vec<Producer>,
    kafka: Option<KafkaSource>,
    merge: Merge,
    sender: mpsc::Sender<Chunk>,
    chunks: mpsc::Receiver<Chunk>,
    /// What others have found out by asking.
    fed: mpsc::Receiver<Fed>,
    batch: Batch,
    /// Of the runs so far.
    genesis: Option<[u8; 32]>,
    /// When open alarms were last counted.
    counted: Option<Instant>,
}

/// The writer, and what it works on: batches are read and held while the one before is written.
enum Desk {
    Idle(Box<Writer>),
    Busy(AbortOnDropHandle<Written>, Sent),
    /// It failed, and the session ends.
    Gone,
}

type Written = (Box<Writer>, Result<Done, IndexerError>);

/// What became of a batch: what the commit did, and how many alarms of each kind are open now, if they were counted.
type Done = (Committed, Option<Vec<(String, i64)>>);

/// A batch that is being written.
struct Sent {
    began: Instant,
    sealed_at: Option<u64>,
    jobs: Jobs,
}

#[derive(Default)]
struct Batch {
    steps: Vec<Step>,
    letters: Vec<Letter>,
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
        (mut writer, places): (Writer, Places),
        fed: mpsc::Receiver<Fed>,
    ) -> Result<Self, IndexerError> {
        let spools = config.spools();
        let (sender, chunks) = chunks(spools.len());
        let mut producers = Vec::new();
        for (number, spool) in spools.into_iter().enumerate() {
            let at = writer.state().positions.get(&spool.name).copied();
            let mut producer = Producer::new(config, &spool.name, at);
            producer.read_spool(config, spool, (number, &sender))?;
            producers.push(producer);
        }
        let kafka = match (&config.kafka, config.source) {
            (Some(settings), SourceKind::Kafka) => {
                let known = kafka::stations(&writer.state().positions);
                let count = known.keys().next_back().map_or(1, |last| last + 1);
                for number in 0..count {
                    let name = kafka::station_name(number);
                    let at = writer.state().positions.get(&name).copied();
                    producers.push(Producer::new(config, &name, at));
                }
                let origin = Origin {
                    stations: known,
                    places,
                    patience: Duration::from_secs(config.kafka_patience_s),
                    telemetry: telemetry.clone(),
                };
                let source =
                    KafkaSource::spawn(settings, config.max_held_bytes, origin, sender.clone());
                Some(source.map_err(|e| IndexerError::Broken(format!("starting a thread: {e}")))?)
            }
            _ => None,
        };
        let names: Vec<Arc<str>> = producers.iter().map(|p| p.name.clone()).collect();
        let merge = writer.merge(&names).await?;
        Ok(Self {
            merge,
            config,
            telemetry,
            genesis: writer.state().genesis,
            desk: Desk::Idle(Box::new(writer)),
            producers,
            kafka,
            sender,
            chunks,
            fed,
            batch: Batch::default(),
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
                self.count_alarms().await?;
                if let Some(since) = self.batch.since {
                    wait = linger.saturating_sub(since.elapsed());
                }
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
                    Some((number, Ok(entries))) => self.chunk(number, entries).await?,
                    Some((number, Err(error))) => self.failed(number, error).await?,
                    None => return Err(IndexerError::Broken("those who read the logs ended".into())),
                },
                () = tokio::time::sleep(wait) => match &mut self.desk {
                    Desk::Idle(writer) if self.batch.is_empty() => writer.renew().await?,
                    Desk::Idle(_) => self.write().await?,
                    _ => {}
                },
            }
            let due = full || self.batch.urgent;
            if let Desk::Idle(writer) = &self.desk
                && !self.batch.is_empty()
                && (due || writer.state().busy())
            {
                self.write().await?;
            }
        }
    }

    /// Whether it is time to count the open alarms again.
    fn counts(&mut self) -> bool {
        let due = self.counted.is_none_or(|at| at.elapsed() > RENEW);
        if due {
            self.counted = Some(Instant::now());
        }
        due
    }

    /// Counts alarms while nothing is written; otherwise it is done between two batches.
    async fn count_alarms(&mut self) -> Result<(), IndexerError> {
        if self.counts()
            && let Desk::Idle(writer) = &mut self.desk
        {
            self.telemetry.alarms(&writer.open_alarms().await?);
        }
        Ok(())
    }

    async fn chunk(&mut self, number: usize, entries: Vec<Entry>) -> Result<(), IndexerError> {
        while self.producers.len() <= number {
            let name = kafka::station_name(self.producers.len());
            let producer = Producer::new(self.config, &name, None);
            self.merge.add(producer.name.clone());
            self.producers.push(producer);
        }
        if self.kafka.is_some() {
            let all = self.producers.iter();
            all.for_each(|producer| self.telemetry.producer(&producer.name, None));
        }
        let producer = &mut self.producers[number];
        producer.reads(!entries.is_empty());
        self.telemetry.producer(&producer.name, None);
        for entry in entries {
            self.take(number, entry)?;
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

    /// A log can't be read: the others go on, and it is opened again after a pause.
    async fn failed(&mut self, number: usize, error: IndexerError) -> Result<(), IndexerError> {
        if self.kafka.is_some() {
            // Whoever reads Kafka goes on by itself; what it knows is not lost.
            for producer in &mut self.producers {
                producer.trouble(&error, self.telemetry);
            }
            return Ok(());
        }
        // What was read of it is applied first: it may not come again.
        self.write().await?;
        self.settle().await?;
        let positions = match &self.desk {
            Desk::Idle(writer) => &writer.state().positions,
            _ => return Err(IndexerError::Broken("the writer is gone".into())),
        };
        let producer = &mut self.producers[number];
        match error {
            IndexerError::Spool(SpoolError::Lost { wanted, oldest }) => {
                tracing::error!(
                    producer = &*producer.name,
                    ?wanted,
                    ?oldest,
                    "the spool has lost what was to be read next: what lies between is a gap"
                );
                for input in producer.holder.give_up() {
                    self.batch.add(&producer.name, input, None);
                }
                let applied = positions.get(&*producer.name).copied();
                producer.start_over(self.config, applied, oldest);
            }
            error if error.is_fatal() => return Err(error),
            error => {
                self.telemetry.restarts.inc();
                producer.trouble(&error, self.telemetry);
            }
        }
        producer.read_again(self.config, (number, &self.sender))
    }

    fn take(&mut self, number: usize, entry: Entry) -> Result<(), IndexerError> {
        let producer = &mut self.producers[number];
        let replayed = producer.is_replayed(entry.position);
        let mut sealed_at = None;
        let inputs = match entry.content {
            Content::Letter(letter) => {
                self.letter(letter);
                return Ok(());
            }
            Content::Notice(detail) => {
                let refused = Input::Refused {
                    run: entry.position.run,
                    kind: Kind::Kafka,
                    slot: 0,
                    detail,
                };
                let name = producer.name.clone();
                self.batch.add(&name, refused, None);
                return Ok(());
            }
            Content::Envelope(envelope) => {
                self.telemetry.envelopes.inc();
                if matches!(envelope.event, Some(Event::Seal(_))) {
                    sealed_at = Some(envelope.time_unix_nanos);
                }
                match producer.holder.apply(entry.position, envelope, replayed) {
                    Ok(inputs) => inputs,
                    Err(e) => {
                        producer.next = Some(entry.next);
                        self.telemetry.malformed.inc();
                        tracing::error!(position = ?entry.position, "an envelope can't be used: {e}");
                        return Ok(());
                    }
                }
            }
            Content::Missing(missing) => {
                self.telemetry.unreadable.inc();
                tracing::error!(
                    producer = &*producer.name,
                    reason = missing.reason,
                    "{}",
                    missing.what
                );
                producer.holder.missing(entry.position, &missing, replayed)
            }
        };
        producer.next = Some(entry.next);
        let reached = Reached {
            resume: producer.holder.resume(entry.next),
            applied: entry.next,
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
        self.add(number, inputs, reached);
        self.batch.sealed_at = sealed_at.or(self.batch.sealed_at);
        Ok(())
    }

    /// Adds what one record of a producer comes to.
    fn add(&mut self, number: usize, inputs: Vec<Input>, reached: Reached) {
        let Some(last) = inputs.len().checked_sub(1) else {
            return;
        };
        let name = self.producers[number].name.clone();
        for (index, input) in inputs.into_iter().enumerate() {
            let reached = (index == last).then_some(reached);
            self.batch.add(&name, input, reached);
        }
        let places = |kafka: &mut KafkaSource| kafka.reached(number, reached.resume);
        if let (Some(step), Some(places)) =
            (self.batch.steps.last_mut(), self.kafka.as_mut().map(places))
        {
            step.places = Some(places);
        }
    }

    fn letter(&mut self, letter: Letter) {
        if self.batch.letters.len() < LETTERS {
            self.batch.letters.push(letter);
            self.batch.since.get_or_insert_with(Instant::now);
        }
    }

    /// Closes the runs of producers that are silent: what they left open is waited for no more, and is not read again.
    fn close_silent(&mut self, root: Option<u64>) {
        let Some(root) = root.filter(|_| self.kafka.is_some()) else {
            return;
        };
        for number in 0..self.producers.len() {
            let producer = &mut self.producers[number];
            let (newest, Some(next)) = (self.merge.newest(number), producer.next) else {
                continue;
            };
            let is_silent = newest.saturating_add(SILENT) < root && producer.is_silent();
            if !is_silent || producer.holder.resume(next) == next {
                continue;
            }
            tracing::warn!(
                producer = &*producer.name,
                newest,
                "silent for long: its run is closed"
            );
            let mut inputs = producer.holder.give_up();
            inputs.push(Input::RunEnd { run: next.run });
            producer.holder = Holder::new(self.config.max_held_bytes, &self.config.spill_dir());
            let reached = Reached {
                resume: next,
                applied: next,
            };
            self.add(number, inputs, reached);
        }
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
        if self.batch.is_empty() {
            return Ok(());
        }
        self.settle().await?;
        let batch = std::mem::take(&mut self.batch);
        let sent = Sent {
            began: Instant::now(),
            sealed_at: batch.sealed_at,
            jobs: Jobs::of(&batch.steps),
        };
        let counts = self.counts();
        self.desk = match std::mem::replace(&mut self.desk, Desk::Gone) {
            Desk::Idle(mut writer) => {
                let work = tokio::spawn(async move {
                    let done = written(&mut writer, batch, counts).await;
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
        let (done, alarms) = done?;
        let telemetry = self.telemetry;
        if let Some(open) = alarms {
            telemetry.alarms(&open);
        }
        telemetry
            .commit_seconds
            .observe(sent.began.elapsed().as_secs_f64());
        if let Some(seconds) = sent.sealed_at.and_then(seconds_since) {
            telemetry.seal_to_commit_seconds.observe(seconds);
        }
        sent.jobs.committed(sent.sealed_at);
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
                producer.ack(reached.resume);
            }
        }
        if let Some(kafka) = &self.kafka {
            kafka.committed(&state.positions);
        }
        self.close_silent(root);
        Ok(())
    }
}

/// Writes a batch; counts the open alarms then, if it is time.
async fn written(writer: &mut Writer, batch: Batch, counts: bool) -> Result<Done, IndexerError> {
    writer.letters(&batch.letters).await?;
    let done = writer.apply(batch.steps).await?;
    let alarms = match counts {
        true => Some(writer.open_alarms().await?),
        false => None,
    };
    Ok((done, alarms))
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
    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.letters.is_empty()
    }

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
            places: None,
        });
    }
}
