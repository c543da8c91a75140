//! Reads the topic on a thread of its own. In no group: whoever holds the lease reads all partitions, from the places that the
//! database has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mythic_kafka::{
    BrokerError, Consumer, Message, Settings, Start, Topic, Trouble, check_to_read, decode,
};
use mythic_stream::spool::Position;
use mythic_support::Backoff;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::marks::{Checkpoints, From, Places};
use super::order::{self, Next, Order, Taken, Wait};
use super::stations::stations;
use crate::error::IndexerError;
use crate::plan::Reached;
use crate::source::{Chunk, Content, Entry, Letter};
use crate::telemetry::Telemetry;

/// Messages taken, and entries handed over, at once.
const CHUNK: usize = 4_096;
/// Longest wait for messages before a stop is looked at.
const WAIT: Duration = Duration::from_millis(100);
/// Longest wait for an answer of the brokers.
const QUESTION: Duration = Duration::from_secs(5);
/// Longest wait of the check before reading begins, which finds out why there is none.
const CHECK: Duration = Duration::from_secs(10);
/// How often the brokers are asked how many partitions there are and where they end.
const LOOK: Duration = Duration::from_secs(10);
/// For how long an answer to that says that there are no more partitions.
const SURE: Duration = Duration::from_secs(1);
/// Pause after an error, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long the first record of all is waited for in partitions that have nothing.
const EMPTY: Duration = Duration::from_secs(1);
/// Messages before the ones that may be needed that are read again after brokers lost some.
const REWIND: i64 = 1 << 18;
/// Bytes of a message that is no record that are kept, and messages of a step.
const LETTER: usize = 64 << 10;
const LETTERS: usize = 16;

/// Where reading begins, and who is told of it.
pub(crate) struct Origin {
    /// Where each station stands.
    pub stations: BTreeMap<usize, Position>,
    pub places: Places,
    /// How long a record is waited for where partitions show nothing newer.
    pub patience: Duration,
    pub telemetry: Telemetry,
}

/// The topic being read. Dropping it stops the thread.
#[derive(Debug)]
pub(crate) struct KafkaSource {
    marks: Arc<Mutex<Checkpoints>>,
    /// How far each station is read, of what was handed over to be written.
    from: From,
    _stop: DropGuard,
}

impl KafkaSource {
    /// Starts reading; chunks of each station go to `chunks` under its number, trouble under 0.
    pub fn spawn(
        settings: &Settings,
        max_bytes: usize,
        origin: Origin,
        chunks: mpsc::Sender<Chunk>,
    ) -> std::io::Result<Self> {
        let stop = CancellationToken::new();
        let marks = Arc::new(Mutex::new(Checkpoints::new(&origin.places.past)));
        let from = origin.stations.iter();
        let from = from.map(|(station, at)| (*station, (at.segment, at.seq)));
        let from = from.collect();
        let reading = Reading {
            topic: settings.topic(Topic::Updates),
            settings: settings.clone(),
            order: Order::new(&origin.stations, max_bytes),
            marks: marks.clone(),
            stored: origin.places.offsets.into_iter().collect(),
            patience: origin.patience,
            telemetry: origin.telemetry,
            chunks,
            stopped: stop.clone(),
            consumer: None,
            known: 0,
            counted: None,
            looked: Instant::now(),
            paused: BTreeSet::new(),
            waits: BTreeMap::new(),
            doubts: BTreeMap::new(),
            troubled: true,
            letters: Vec::new(),
        };
        std::thread::Builder::new()
            .name("kafka".into())
            .spawn(move || reading.run())?;
        Ok(Self {
            marks,
            from,
            _stop: stop.drop_guard(),
        })
    }

    /// A station is read up to a place, once what was handed over so far is written. From where everything is to be read then.
    pub fn reached(&mut self, station: usize, resume: Position) -> Arc<Places> {
        self.from.insert(station, (resume.segment, resume.seq));
        Arc::new(lock(&self.marks).places(&self.from))
    }

    /// What was handed over up to these positions is written.
    pub fn committed(&self, positions: &BTreeMap<String, Reached>) {
        let stations = stations(positions).into_iter();
        let from: From = stations.map(|(n, at)| (n, (at.segment, at.seq))).collect();
        lock(&self.marks).done(&from);
    }
}

fn lock(marks: &Mutex<Checkpoints>) -> MutexGuard<'_, Checkpoints> {
    marks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why reading was interrupted.
enum Stop {
    Broker(BrokerError),
    /// Nobody takes what is read.
    Gone,
}

impl std::convert::From<BrokerError> for Stop {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

struct Reading {
    settings: Settings,
    topic: String,
    order: Order,
    marks: Arc<Mutex<Checkpoints>>,
    /// Offsets of the database, until each partition was met.
    stored: BTreeMap<i32, i64>,
    patience: Duration,
    telemetry: Telemetry,
    chunks: mpsc::Sender<Chunk>,
    stopped: CancellationToken,
    consumer: Option<Consumer>,
    /// Partitions that are read.
    known: u16,
    /// When they were counted.
    counted: Option<Instant>,
    looked: Instant,
    paused: BTreeSet<i32>,
    /// What each station waits for, and since when.
    waits: BTreeMap<usize, ((u64, u64), Instant)>,
    /// The same, of what is in no partition.
    doubts: BTreeMap<usize, ((u64, u64), Instant)>,
    /// It was said that nothing can be read, or not yet that something can.
    troubled: bool,
    letters: Vec<Letter>,
}

impl Reading {
    fn run(mut self) {
        let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
        while !self.stopped.is_cancelled() {
            match self.step() {
                Ok(()) => backoff.reset(),
                Err(Stop::Gone) => return,
                Err(Stop::Broker(error)) => {
                    self.troubled = true;
                    if self.send(0, Err(error.into())).is_err() {
                        return;
                    }
                    let until = Instant::now() + backoff.pause();
                    while Instant::now() < until && !self.stopped.is_cancelled() {
                        std::thread::sleep(WAIT.min(PAUSE.0));
                    }
                }
            }
        }
    }

    fn send(&self, station: usize, chunk: Result<Vec<Entry>, IndexerError>) -> Result<(), Stop> {
        let taken =
            !self.stopped.is_cancelled() && self.chunks.blocking_send((station, chunk)).is_ok();
        taken.then_some(()).ok_or(Stop::Gone)
    }

    fn notice(&self, what: String) -> Result<(), Stop> {
        self.send(0, Ok(vec![placeless(Content::Notice(what))]))
    }

    fn step(&mut self) -> Result<(), Stop> {
        let consumer = match self.consumer.take() {
            Some(consumer) => consumer,
            None => self.open()?,
        };
        if self.troubled {
            consumer.partitions(QUESTION)?;
            self.send(0, Ok(Vec::new()))?;
            self.troubled = false;
        }
        let read = self.read(&consumer);
        let sure = self.drain(&consumer)?;
        if let Err(error) = read {
            if error.trouble == Trouble::LogLost {
                self.find_lost(&consumer, &error)?;
                return Ok(());
            }
            // Opened again where a person has to act: with what was mended.
            self.consumer = Some(consumer).filter(|_| !error.trouble.needs_a_person());
            return Err(error.into());
        }
        self.pause(&consumer)?;
        let sure = sure && (self.looked.elapsed() < LOOK || self.look(&consumer)?);
        // Without one it is opened again, with the partitions that are new.
        self.consumer = Some(consumer).filter(|_| sure);
        Ok(())
    }

    /// Finds out which partitions there are, and where each is read from.
    fn open(&mut self) -> Result<Consumer, Stop> {
        check_to_read(&self.settings, Topic::Updates, CHECK)?;
        let asking = Consumer::assigned(&self.settings, Topic::Updates, &[])?;
        let count = asking.partitions(QUESTION)?;
        for partition in 0..i32::from(count) {
            let (low, high) = asking.range(partition, QUESTION)?;
            self.place(partition, (low, high), None)?;
        }
        self.known = count;
        self.counted = Some(Instant::now());
        self.paused.clear();
        let next: Vec<(i32, Start)> = lock(&self.marks)
            .read_next()
            .map(|(partition, offset)| (partition, Start::At(offset)))
            .collect();
        tracing::info!(topic = self.topic, from = ?next, "reading from Kafka");
        Ok(Consumer::assigned(&self.settings, Topic::Updates, &next)?)
    }

    /// Decides from where a partition is read that has messages from `low` to before `high`; `lost`: brokers have lost some.
    fn place(
        &mut self,
        partition: i32,
        (low, high): (i64, i64),
        lost: Option<&BrokerError>,
    ) -> Result<(), Stop> {
        let (read, oldest) = {
            let marks = lock(&self.marks);
            (marks.next_offset(partition), marks.oldest_offset(partition))
        };
        let stored = self.stored.remove(&partition);
        let wanted = read.or(stored);
        let from = match wanted {
            None => low,
            Some(next) if next < low => {
                self.notice(format!(
                    "topic {}: retention has removed messages that were not read yet: give it more retention",
                    self.topic
                ))?;
                low
            }
            Some(next) if next > high || lost.is_some() => {
                self.notice(format!(
                    "topic {}: the brokers do not have what they had, and are read again: give the topic more replicas",
                    self.topic
                ))?;
                let oldest = oldest.or(stored).unwrap_or(low).min(high);
                oldest.saturating_sub(REWIND).max(low)
            }
            Some(next) => next,
        };
        let mut marks = lock(&self.marks);
        marks.read_from(partition, from);
        self.order.add(partition);
        if wanted.is_some_and(|wanted| wanted != from) {
            self.order.jump(partition);
        }
        Ok(())
    }

    /// The brokers don't have what was to be read next: partitions are read from where they have something.
    fn find_lost(&mut self, consumer: &Consumer, error: &BrokerError) -> Result<(), Stop> {
        let mut ranges = Vec::new();
        for partition in 0..i32::from(self.known) {
            ranges.push((partition, consumer.range(partition, QUESTION)?));
        }
        let next: BTreeMap<i32, i64> = lock(&self.marks).read_next().collect();
        let outside = |(partition, (low, high)): &(i32, (i64, i64))| {
            next.get(partition)
                .is_some_and(|next| next < low || next > high)
        };
        let any = ranges.iter().any(outside);
        for range in ranges {
            // Where nothing lies outside, what was lost is there again with other content: it is not known where.
            let lost = (!any || outside(&range)).then_some(error);
            let (partition, bounds) = range;
            self.place(partition, bounds, lost)?;
        }
        Ok(())
    }

    /// Takes what is there.
    fn read(&mut self, consumer: &Consumer) -> Result<(), BrokerError> {
        let mut wait = WAIT;
        for _ in 0..CHUNK {
            let Some(message) = consumer.poll(wait)? else {
                return Ok(());
            };
            wait = Duration::ZERO;
            self.message(message);
        }
        Ok(())
    }

    fn message(&mut self, message: Message) {
        let (partition, offset) = (message.partition, message.offset);
        let why = match decode(message.value.clone()) {
            Err(why) => {
                lock(&self.marks).passed(partition, offset);
                why.to_string()
            }
            Ok((run, envelope)) => {
                let taken = order::Message {
                    partition,
                    offset,
                    run,
                    envelope,
                    bytes: message.value.len(),
                };
                match self.order.take(taken, &mut lock(&self.marks)) {
                    Taken::Held => return,
                    Taken::Repeat => return self.telemetry.kafka_repeats.inc(),
                    Taken::Garbage(why) => why.to_owned(),
                }
            }
        };
        self.telemetry.kafka_letters.inc();
        if self.letters.len() < LETTERS {
            let bytes = message.value.iter().take(LETTER).copied().collect();
            self.letters.push(Letter {
                topic: self.topic.clone(),
                partition,
                offset,
                reason: why,
                length: i64::try_from(message.value.len()).unwrap_or(i64::MAX),
                bytes,
            });
        }
    }

    /// Hands over what is in order. `false`: there are more partitions than are read.
    fn drain(&mut self, consumer: &Consumer) -> Result<bool, Stop> {
        let letters = std::mem::take(&mut self.letters);
        if !letters.is_empty() {
            let letters = letters.into_iter().map(|l| placeless(Content::Letter(l)));
            self.send(0, Ok(letters.collect()))?;
        }
        let mut out: BTreeMap<usize, Vec<Entry>> = BTreeMap::new();
        let sure = loop {
            let (station, entry) = match self.order.next() {
                Next::Entry(station, entry) => (station, Some(entry)),
                Next::Doubt(wait) => {
                    let station = wait.station;
                    if !self.has_lasted(&wait) {
                        break Ok(true);
                    }
                    match self.is_all(consumer) {
                        Ok(true) => {
                            let marks = &mut lock(&self.marks);
                            (station, self.order.resolve(station, marks))
                        }
                        Ok(false) => break Ok(false),
                        Err(e) => break Err(e),
                    }
                }
                Next::Waits(waits) => match self.given_up(consumer, waits) {
                    Ok(Some(station)) => {
                        let marks = &mut lock(&self.marks);
                        (station, self.order.resolve(station, marks))
                    }
                    Ok(None) => break Ok(true),
                    Err(e) => break Err(e),
                },
                Next::Idle => {
                    self.waits.clear();
                    break Ok(true);
                }
            };
            let entries = out.entry(station).or_default();
            entries.extend(entry);
            if entries.len() >= CHUNK {
                let full = std::mem::take(entries);
                self.send(station, Ok(full))?;
            }
        };
        for (station, entries) in out {
            if !entries.is_empty() {
                self.send(station, Ok(entries))?;
            }
        }
        let waiting = i64::try_from(self.order.bytes()).unwrap_or(i64::MAX);
        self.telemetry.kafka_waiting_bytes.set(waiting);
        Ok(sure?)
    }

    /// Whether a doubt has lasted for long enough: brokers that lost what they had acknowledged are sent it again, after what is
    /// newer.
    fn has_lasted(&mut self, wait: &Wait) -> bool {
        if self.order.is_clear(wait.station) {
            return true;
        }
        let now = Instant::now();
        let (at, since) = self.doubts.entry(wait.station).or_insert((wait.at, now));
        if *at != wait.at {
            (*at, *since) = (wait.at, now);
        }
        since.elapsed() >= self.patience / 4
    }

    /// Whether the partitions that are read are all there are.
    fn is_all(&mut self, consumer: &Consumer) -> Result<bool, BrokerError> {
        if self.counted.is_none_or(|at| at.elapsed() > SURE) {
            let before = Instant::now();
            let count = consumer.partitions(QUESTION)?;
            if count != self.known {
                return Ok(false);
            }
            self.counted = Some(before);
        }
        Ok(true)
    }

    /// A station that has waited for long enough for partitions in which nothing comes.
    fn given_up(
        &mut self,
        consumer: &Consumer,
        waits: Vec<Wait>,
    ) -> Result<Option<usize>, BrokerError> {
        self.waits.retain(|station, (at, _)| {
            let still = |w: &Wait| w.station == *station && w.at == *at;
            waits.iter().any(still)
        });
        for wait in waits {
            let since = self.waits.entry(wait.station);
            let (_, since) = since.or_insert_with(|| (wait.at, Instant::now()));
            let patience = match wait.at {
                (0, _) => EMPTY,
                _ => self.patience,
            };
            if since.elapsed() < patience {
                continue;
            }
            // Asked again after the same time, if some partition has something.
            *since = Instant::now();
            for partition in &wait.partitions {
                let (_, high) = consumer.range(*partition, QUESTION)?;
                let mut next = lock(&self.marks).next_offset(*partition).into_iter();
                if next.any(|next| next >= high) {
                    self.order.at_end(*partition);
                }
            }
            if self.order.are_at_end(&wait.partitions) && self.is_all(consumer)? {
                return Ok(Some(wait.station));
            }
        }
        Ok(None)
    }

    /// Stops reading partitions that are ahead of others while too much waits.
    fn pause(&mut self, consumer: &Consumer) -> Result<(), BrokerError> {
        for partition in 0..i32::from(self.known) {
            let paused = self.paused.contains(&partition);
            if !paused && self.order.is_ahead(partition, 1) {
                consumer.pause(partition, true)?;
                self.paused.insert(partition);
            } else if paused && !self.order.is_ahead(partition, 2) {
                consumer.pause(partition, false)?;
                self.paused.remove(&partition);
            }
        }
        Ok(())
    }

    /// Looks how much is left to read. `false`: there are more partitions than are read.
    fn look(&mut self, consumer: &Consumer) -> Result<bool, BrokerError> {
        self.looked = Instant::now();
        let next: BTreeMap<i32, i64> = lock(&self.marks).read_next().collect();
        let mut behind = 0;
        for (partition, next) in next {
            let (_, high) = consumer.range(partition, QUESTION)?;
            behind += high.saturating_sub(next).max(0);
        }
        self.telemetry.kafka_behind.set(behind);
        self.counted = None;
        self.is_all(consumer)
    }
}

fn placeless(content: Content) -> Entry {
    let nowhere = Position {
        run: [0; 16],
        segment: 0,
        offset: 0,
        seq: 0,
    };
    Entry {
        position: nowhere,
        next: nowhere,
        content,
    }
}
