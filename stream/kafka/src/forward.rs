//! The forwarder: reads a spool and sends what it reads to `PREFIX.updates`, in the spool's order.
//!
//! The position moves when the brokers have acknowledged everything before it, so a crash repeats and never loses. What was
//! delivered in the last [`Forwarder`]'s `resend` stays in the spool: brokers acknowledge before their disks have it, and when they
//! lose it they are found out (an offset that was given before, or a log that is shorter than it was) and sent it again. What the
//! spool does not have any more either is told as damage.
//!
//! While no broker takes anything the spool fills up to its bound, where the plugin drops and counts.

use crate::{
    check::check,
    consumer::Consumer,
    encoding::{Place, partition_of, place},
    offsets::{Delivered, Saved},
    producer::{Outgoing, Producer},
    settings::{Settings, Topic},
    stats::ForwardStats,
    trouble::{BrokerError, Trouble},
};
use mythic_stream::{
    proto::{Damage, Envelope, Event},
    spool::{Ack, Item, Position, Reader, ReaderConfig, SpoolError},
};
use mythic_support::Backoff;
use prost::Message as _;
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The forwarder's name among the spool's readers, and that under which it holds what it may have to send again.
const READER: &str = "kafka";
const HOLDER: &str = "kafka-held";
/// Records read at once.
const CHUNK: usize = 1024;
/// Messages, and bytes of them, that may wait for the brokers.
const MAX_WAITING: usize = 50_000;
const MAX_WAITING_BYTES: usize = 32 << 20;
/// What a message takes beside its value, at most.
const AROUND: usize = 512;
/// Longest wait for records or reports before the other is looked at.
const LOOK: Duration = Duration::from_millis(20);
const REPORTS: Duration = Duration::from_millis(5);
/// Share of a check.
const CHECK: Duration = Duration::from_secs(4);
/// The brokers took nothing for so long: say why.
const QUIET: Duration = Duration::from_secs(5);
/// For so long: begin again.
const STALL: Duration = Duration::from_secs(30);
/// How often the position is saved, and how often life is shown while it stands.
const SAVE: Duration = Duration::from_secs(1);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What is left in the spool at a stop may go out for so long.
const GRACE: Duration = Duration::from_secs(2);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("the forwarder's own notes: {0}")]
    Notes(#[from] std::io::Error),
}

/// Forwards one spool.
#[derive(Debug)]
pub struct Forwarder {
    dir: PathBuf,
    settings: Settings,
    resend: Duration,
    stats: Arc<ForwardStats>,
    /// A message got an offset that another one had: the log of each partition was cut to so much.
    cut: Option<Vec<i64>>,
    /// What was told last, so that it is not told again.
    told: Option<String>,
}

impl Forwarder {
    /// Forwards the spool in `dir`. What was delivered less than `resend` ago stays there.
    pub fn new(dir: PathBuf, settings: Settings, resend: Duration) -> Self {
        Self {
            dir,
            settings,
            resend,
            stats: Arc::default(),
            cut: None,
            told: None,
        }
    }

    /// Its counters.
    pub fn stats(&self) -> Arc<ForwardStats> {
        self.stats.clone()
    }

    /// Forwards until `stop`, and what the spool holds then for two seconds more.
    pub fn run(&mut self, stop: &AtomicBool) {
        let mut pauses = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        while !stop.load(Relaxed) {
            let started = self.stats.messages();
            match self.session(stop) {
                Ok(()) => return,
                Err(ended) => self.tell(&ended),
            }
            if self.stats.messages() > started {
                pauses.reset();
                self.told = None;
            }
            self.pause(pauses.pause(), stop);
        }
    }

    /// Waits, and shows life: what the spool holds for us must not go meanwhile.
    fn pause(&self, pause: Duration, stop: &AtomicBool) {
        let until = Instant::now() + pause;
        for name in [READER, HOLDER] {
            if let Some(position) = Ack::read(&self.dir, name) {
                let _ = Ack::write(&self.dir, name, &position);
            }
        }
        while !stop.load(Relaxed) && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
    }

    fn tell(&mut self, ended: &Ended) {
        let trouble = match ended {
            Ended::Broker(error) => error.trouble,
            Ended::Spool(_) | Ended::Notes(_) => Trouble::Other,
        };
        self.stats.failed(trouble);
        let text = ended.to_string();
        if self.told.as_ref() != Some(&text) {
            log::error!("the forwarder to Kafka waits: {text}");
            self.told = Some(text);
        }
    }

    fn session(&mut self, stop: &AtomicBool) -> Result<(), Ended> {
        // Registers, so that the spool keeps what is not sent, before anybody answers.
        let acked = Ack::read(&self.dir, READER);
        let held = Ack::read(&self.dir, HOLDER).or(acked);
        let mut reader = self.reader(acked)?;
        // If it can't be read, that is told where it is read to be sent.
        let waits = reader.poll(1).unwrap_or_default().into_iter().next();
        let written = waits.and_then(|item| item.envelope.ok());
        self.stats
            .oldest_waiting(written.map(|envelope| envelope.time_unix_nanos));
        check(&self.settings, Topic::Updates, CHECK)?;
        let ends = self.ends()?;
        let (from, lost) = self.begin(&ends, held);
        reader = self.reader(from)?;
        let producer = Producer::open(&self.settings, Topic::Updates)?;
        let mut session = Session::new(self, reader, producer, ends);
        if let Some(before) = lost {
            let what = "the brokers lost records that the spool does not have any more";
            session.everywhere(&damage_at(before, 1, None, what), None)?;
        }
        let result = session.forward(stop);
        let cut = session.cut.take();
        drop(session);
        self.cut = cut;
        result
    }

    fn reader(&self, start: Option<Position>) -> Result<Reader, SpoolError> {
        Reader::open(ReaderConfig {
            dir: self.dir.clone(),
            name: READER.into(),
            start,
        })
    }

    /// The ends of all partitions, as the brokers have them.
    fn ends(&mut self) -> Result<Vec<i64>, BrokerError> {
        let consumer = Consumer::assigned(&self.settings, Topic::Updates, &[])?;
        (0..i32::from(self.settings.partitions))
            .map(|partition| consumer.range(partition, CHECK).map(|(_, end)| end))
            .collect()
    }

    /// Where to begin, and before which place something is lost.
    fn begin(
        &mut self,
        ends: &[i64],
        held: Option<Position>,
    ) -> (Option<Position>, Option<Position>) {
        let Some(saved) = Saved::read(&self.dir) else {
            return (held, None);
        };
        let cut = self.cut.take();
        let has: Vec<i64> = ends
            .iter()
            .enumerate()
            .map(|(i, end)| {
                let cut = cut.as_ref().and_then(|cut| cut.get(i)).copied();
                cut.unwrap_or(i64::MAX).min(*end)
            })
            .collect();
        if saved.newest.is_held_by(&has) {
            return (Some(saved.newest.position), None);
        }
        if saved.held.ends.len() != ends.len() {
            // The topic got more partitions, as the settings say: nothing is known of what they should hold.
            return (Some(saved.held.position), None);
        }
        self.stats.resent();
        let Delivered {
            position,
            ends: held_ends,
        } = &saved.held;
        log::error!(
            "the brokers don't have any more what they acknowledged, up to {:?} of their partitions: sent again from segment {}, byte {}, on",
            saved.newest.ends,
            position.segment,
            position.offset
        );
        if saved.held.is_held_by(&has) {
            return (Some(*position), None);
        }
        log::error!(
            "they lost more than that: up to {held_ends:?}, they have {has:?}; what the spool has is sent again, and the rest told as lost"
        );
        (None, Some(*position))
    }
}

/// A record, or damage, whose messages are under way.
struct Unit {
    /// Where the spool goes on behind it; `None`: damage that is in no spool.
    next: Option<Position>,
    /// Messages that are not acknowledged.
    left: usize,
    bytes: usize,
    /// When it was written, Unix nanoseconds; 0 = not known.
    written: u64,
}

/// One life of a producer.
struct Session<'a> {
    owner: &'a Forwarder,
    reader: Reader,
    producer: Producer,
    units: VecDeque<Unit>,
    /// Units that left the front.
    gone: usize,
    waiting: usize,
    waiting_bytes: usize,
    /// What was delivered, oldest first, about a second apart; the first is what the spool holds for us.
    marks: VecDeque<(Instant, Delivered)>,
    position: Option<Position>,
    ends: Vec<i64>,
    cut: Option<Vec<i64>>,
    /// The most telling of what was said since the brokers took something.
    said: Option<BrokerError>,
    progress_at: Instant,
    saved_at: Instant,
    beat_at: Instant,
}

impl<'a> Session<'a> {
    fn new(owner: &'a Forwarder, reader: Reader, producer: Producer, ends: Vec<i64>) -> Self {
        let now = Instant::now();
        let held = Saved::read(&owner.dir).map(|saved| (now, saved.held));
        let held = held.filter(|(_, held)| held.ends.len() == ends.len());
        Self {
            owner,
            position: None,
            reader,
            producer,
            units: VecDeque::new(),
            gone: 0,
            waiting: 0,
            waiting_bytes: 0,
            marks: held.into_iter().collect(),
            ends,
            cut: None,
            said: None,
            progress_at: now,
            saved_at: now,
            beat_at: now,
        }
    }

    fn forward(&mut self, stop: &AtomicBool) -> Result<(), Ended> {
        let mut ending: Option<Instant> = None;
        loop {
            let idle = self.read()?;
            self.reports(idle)?;
            self.keep_notes()?;
            if stop.load(Relaxed) {
                let since = *ending.get_or_insert_with(Instant::now);
                if (idle && self.units.is_empty()) || since.elapsed() > GRACE {
                    self.save()?;
                    return Ok(());
                }
            }
            if let Some(error) = self.producer.fatal() {
                return Err(error.into());
            }
            match self.progress_at.elapsed() {
                _ if self.units.is_empty() => self.progress_at = Instant::now(),
                quiet if quiet > QUIET => self.quiet(quiet)?,
                _ => {}
            }
        }
    }

    /// The brokers have taken nothing for a while.
    fn quiet(&mut self, quiet: Duration) -> Result<(), BrokerError> {
        let new = self.producer.trouble();
        let old = self.said.take();
        let none = || BrokerError::new(Trouble::Unreachable, "the brokers took nothing");
        let said = new.into_iter().chain(old).max_by_key(|said| said.trouble);
        let said = said.unwrap_or_else(none);
        if quiet > STALL {
            return Err(said);
        }
        self.owner.stats.waits(said.trouble);
        self.said = Some(said);
        Ok(())
    }

    fn full(&self) -> bool {
        self.waiting >= MAX_WAITING || self.waiting_bytes >= MAX_WAITING_BYTES
    }

    /// Sends what the spool has, if there is room. `true`: it has no more.
    fn read(&mut self) -> Result<bool, Ended> {
        if self.full() {
            return Ok(false);
        }
        let wait = match self.units.is_empty() {
            true => LOOK,
            false => Duration::ZERO,
        };
        let items = match self.reader.next_batch(CHUNK, wait) {
            Ok(items) => items,
            Err(SpoolError::Lost { wanted, oldest }) => return self.lost(wanted, oldest),
            Err(e) => return Err(e.into()),
        };
        if let Some(first) = items.first()
            && self.position.is_none()
        {
            self.begin_at(first.position);
        }
        for item in &items {
            self.item(item)?;
        }
        Ok(items.is_empty())
    }

    /// Nothing of this session is delivered yet.
    fn begin_at(&mut self, position: Position) {
        self.position = Some(position);
        let ends = self.ends.clone();
        if self.marks.is_empty() {
            let mark = Delivered { position, ends };
            self.marks.push_back((Instant::now(), mark));
        }
    }

    fn lost(&mut self, wanted: Position, oldest: Option<Position>) -> Result<bool, Ended> {
        let records = oldest
            .filter(|oldest| oldest.run == wanted.run)
            .map(|oldest| oldest.seq.saturating_sub(wanted.seq));
        let what = "the spool does not have them any more";
        log::error!(
            "the spool does not have any more what was to be forwarded to Kafka: from segment {}, byte {}",
            wanted.segment,
            wanted.offset
        );
        self.reader = self.owner.reader(oldest)?;
        self.everywhere(&damage_at(wanted, wanted.seq, records, what), oldest)?;
        Ok(false)
    }

    fn item(&mut self, item: &Item) -> Result<(), Ended> {
        let envelope = match &item.envelope {
            Ok(envelope) => envelope,
            Err(bad) => {
                log::error!("{bad}: told downstream");
                let at = item.position;
                let damage = damage_at(at, at.seq, bad.records, bad.what);
                return self.everywhere(&damage, Some(item.next));
            }
        };
        let Some(event) = &envelope.event else {
            // Of a newer producer than this forwarder: consumers decide.
            return self.everywhere(envelope, Some(item.next));
        };
        let limit = self.owner.settings.max_message_bytes as usize;
        let size = envelope.encoded_len();
        if size + AROUND > limit {
            log::error!(
                "a record of {size} bytes is larger than kafka.max_message_bytes = {limit}: told downstream as lost"
            );
            let what = "it is larger than kafka.max_message_bytes";
            let damage = damage_at(item.position, envelope.seq, Some(1), what);
            return self.everywhere(&damage, Some(item.next));
        }
        match place(event) {
            Place::Everywhere => self.everywhere(envelope, Some(item.next)),
            Place::Keyed(key) => {
                let partition = partition_of(key, self.owner.settings.partitions);
                let value = envelope.encode_to_vec();
                let tag = self.open_unit(Some(item.next), envelope.time_unix_nanos, value.len());
                self.send(tag, partition, Some(key), (envelope, &value))
            }
        }
    }

    fn everywhere(&mut self, envelope: &Envelope, next: Option<Position>) -> Result<(), Ended> {
        if matches!(envelope.event, Some(Event::Damage(_))) {
            self.owner.stats.damaged();
        }
        let value = envelope.encode_to_vec();
        let partitions = self.owner.settings.partitions;
        let bytes = value.len() * usize::from(partitions);
        let tag = self.open_unit(next, envelope.time_unix_nanos, bytes);
        for partition in 0..i32::from(partitions) {
            self.send(tag, partition, None, (envelope, &value))?;
        }
        Ok(())
    }

    fn open_unit(&mut self, next: Option<Position>, written: u64, bytes: usize) -> usize {
        self.units.push_back(Unit {
            next,
            left: 0,
            bytes,
            written,
        });
        self.waiting_bytes += bytes;
        self.gone + self.units.len() - 1
    }

    fn send(
        &mut self,
        tag: usize,
        partition: i32,
        key: Option<&[u8]>,
        (envelope, value): (&Envelope, &[u8]),
    ) -> Result<(), Ended> {
        let seq = envelope.seq.to_be_bytes();
        let headers: [(&str, &[u8]); 2] = [("run", envelope.run.as_ref()), ("seq", seq.as_ref())];
        let message = Outgoing {
            partition,
            key,
            value,
            headers: &headers,
            tag,
        };
        let taken = self.producer.send(&message);
        // Our own bound is below the library's.
        if !taken.map_err(|e| self.producer.fatal().unwrap_or(e))? {
            let full = "the library's queue is full below our own bound";
            return Err(BrokerError::new(Trouble::Other, full).into());
        }
        self.waiting += 1;
        if let Some(unit) = self.units.get_mut(tag - self.gone) {
            unit.left += 1;
        }
        Ok(())
    }

    fn reports(&mut self, idle: bool) -> Result<(), Ended> {
        let wait = match idle || self.full() {
            true if !self.units.is_empty() => REPORTS,
            _ => Duration::ZERO,
        };
        for report in self.producer.poll(wait) {
            let (partition, offset) = match report.result {
                Ok(place) => place,
                // Why it sends no more tells more than that it did not send this.
                Err(e) => return Err(self.producer.fatal().unwrap_or(e).into()),
            };
            (self.progress_at, self.said) = (Instant::now(), None);
            self.waiting = self.waiting.saturating_sub(1);
            self.owner.stats.delivered();
            self.acknowledged(partition, offset)?;
            let unit = report.tag.checked_sub(self.gone);
            if let Some(unit) = unit.and_then(|at| self.units.get_mut(at)) {
                unit.left = unit.left.saturating_sub(1);
            }
        }
        while self.units.front().is_some_and(|unit| unit.left == 0) {
            let Some(unit) = self.units.pop_front() else {
                break;
            };
            self.gone += 1;
            self.waiting_bytes = self.waiting_bytes.saturating_sub(unit.bytes);
            self.position = unit.next.or(self.position);
            self.owner.stats.record(unit.bytes);
        }
        let mut written = self.units.iter().map(|unit| unit.written);
        let oldest = written.find(|written| *written > 0);
        self.owner.stats.oldest_waiting(oldest);
        Ok(())
    }

    /// A message stands at this offset. If another one did before, the broker lost it.
    fn acknowledged(&mut self, partition: i32, offset: i64) -> Result<(), Ended> {
        let Some(end) = self.ends.get_mut(partition.max(0) as usize) else {
            let detail = format!("partition {partition}");
            return Err(BrokerError::new(Trouble::Partitions, detail).into());
        };
        // Of a repeat that the broker recognised it does not tell where the first copy is.
        if offset < 0 {
            return Ok(());
        }
        if offset < *end {
            let detail = format!(
                "offset {offset} of partition {partition} was given again, after {}",
                *end - 1
            );
            let mut cut = vec![i64::MAX; self.ends.len()];
            if let Some(cut) = cut.get_mut(partition.max(0) as usize) {
                *cut = offset;
            }
            self.cut = Some(cut);
            return Err(BrokerError::new(Trouble::LogLost, detail).into());
        }
        *end = offset + 1;
        Ok(())
    }

    fn keep_notes(&mut self) -> Result<(), Ended> {
        if self.saved_at.elapsed() >= SAVE {
            self.saved_at = Instant::now();
            if self.units.is_empty() {
                self.owner.stats.works();
            }
            self.save()?;
        }
        Ok(())
    }

    /// Notes what is delivered, and lets the spool forget what was delivered long enough ago.
    fn save(&mut self) -> Result<(), Ended> {
        let Some(position) = self.position else {
            return Ok(());
        };
        let now = Instant::now();
        let newest = Delivered {
            position,
            ends: self.ends.clone(),
        };
        let moved = self
            .marks
            .back()
            .is_none_or(|(_, mark)| mark.position != position);
        if moved {
            self.marks.push_back((now, newest.clone()));
        }
        let resend = self.owner.resend;
        let old = |mark: Option<&(Instant, Delivered)>| {
            mark.is_some_and(|(at, _)| at.elapsed() >= resend)
        };
        let mut freed = false;
        while old(self.marks.get(1)) {
            self.marks.pop_front();
            freed = true;
        }
        if !moved && !freed && self.beat_at.elapsed() < HEARTBEAT {
            return Ok(());
        }
        self.beat_at = now;
        let Some((_, held)) = self.marks.front() else {
            return Ok(());
        };
        let saved = Saved {
            held: held.clone(),
            newest,
        };
        // The holder first: what it holds is never behind the reader's own.
        Ack::write(&self.owner.dir, HOLDER, &saved.held.position)?;
        self.reader.ack(&position)?;
        saved.write(&self.owner.dir)?;
        if moved {
            self.owner.stats.works();
        }
        Ok(())
    }
}

fn damage_at(at: Position, first_seq: u64, records: Option<u64>, what: &str) -> Envelope {
    Envelope {
        run: at.run.to_vec().into(),
        seq: 0,
        time_unix_nanos: 0,
        event: Some(Event::Damage(Damage {
            first_seq,
            records,
            what: what.into(),
        })),
    }
}
