//! A spool, a forwarder of it, and whoever reads what it sent.

use mythic_kafka::{Consumer, ForwardStats, Forwarder, Settings, Start, Topic, decode};
use mythic_stream::{
    proto::{AccountUpdate, Damage, Envelope, Event, SlotSeal},
    spool::{Room, Writer, WriterConfig},
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub const PARTITIONS: u16 = 4;
/// How long anything may take on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(90);
const RESEND: Duration = Duration::from_secs(600);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Settings with topics of their own.
pub fn settings(brokers: String) -> Settings {
    Settings {
        brokers,
        topic_prefix: format!("test{}", NUMBER.fetch_add(1, Relaxed)),
        partitions: PARTITIONS,
        replication: 1,
        ..Settings::default()
    }
}

/// Waits for a condition, or panics with what it is.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A spool and its writer.
pub struct Spool {
    dir: tempfile::TempDir,
    writer: Writer,
    pub run: [u8; 16],
    slot: u64,
    pub written: u64,
}

impl Spool {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let run = rand_run();
        let writer = Writer::open(config(dir.path()), run).unwrap();
        Self {
            dir,
            writer,
            run,
            slot: 0,
            written: 0,
        }
    }

    pub fn dir(&self) -> PathBuf {
        self.dir.path().to_path_buf()
    }

    pub fn append(&mut self, event: Event) {
        self.written = self.writer.append(event, Room::Ordinary).unwrap();
    }

    pub fn account(&mut self, key: u8, data: Vec<u8>) {
        let slot = self.slot;
        self.append(Event::Account(AccountUpdate {
            slot,
            pubkey: vec![key; 32].into(),
            owner: vec![1; 32].into(),
            lamports: 1,
            data: data.into(),
            ..Default::default()
        }));
    }

    /// Banks of ten updates and a seal each.
    pub fn banks(&mut self, count: u64) {
        for _ in 0..count {
            self.slot += 1;
            for key in 0..10 {
                self.account(key, vec![key; 200]);
            }
            let slot = self.slot;
            self.append(Event::Seal(SlotSeal {
                slot,
                offered: 10,
                ..Default::default()
            }));
        }
        self.writer.sync().unwrap();
    }
}

fn config(dir: &Path) -> WriterConfig {
    WriterConfig {
        segment_bytes: 16 << 10,
        ..WriterConfig::new(dir)
    }
}

fn rand_run() -> [u8; 16] {
    let mut run = [7; 16];
    let number = NUMBER.fetch_add(1, Relaxed);
    run[..8].copy_from_slice(&number.to_le_bytes());
    run
}

/// A forwarder on its thread. Dropping it stops it.
pub struct Running {
    pub stats: Arc<ForwardStats>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub fn start(spool: &Spool, settings: &Settings) -> Self {
        let mut forwarder = Forwarder::new(spool.dir(), settings.clone(), RESEND);
        let (stats, stop) = (forwarder.stats(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        Self {
            stats,
            stop,
            thread: Some(std::thread::spawn(move || forwarder.run(&stopped))),
        }
    }

    /// Waits until so many records of a spool, or more, are delivered.
    pub fn delivered(&self, records: u64) {
        until(&format!("{records} records are delivered"), || {
            self.stats.records() >= records
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// What a topic holds of a run.
#[derive(Debug, Default)]
pub struct Read {
    /// First copies by number, and in which partitions they are.
    pub records: BTreeMap<u64, (Envelope, Vec<i32>)>,
    /// Messages that repeat one of the same partition.
    pub repeats: usize,
    pub damage: Vec<Damage>,
    /// For each partition the numbers of its first copies, in their order.
    pub order: BTreeMap<i32, Vec<u64>>,
}

/// Reads all partitions from the oldest message to the newest.
pub fn read_all(settings: &Settings, run: [u8; 16]) -> Read {
    let starts: Vec<(i32, Start)> = (0..i32::from(settings.partitions))
        .map(|partition| (partition, Start::Oldest))
        .collect();
    let consumer = Consumer::assigned(settings, Topic::Updates, &starts).unwrap();
    let mut left: BTreeMap<i32, i64> = starts
        .iter()
        .map(|(partition, _)| (*partition, consumer.range(*partition, PATIENCE).unwrap().1))
        .filter(|(_, end)| *end > 0)
        .collect();
    let (mut read, since) = (Read::default(), Instant::now());
    while !left.is_empty() {
        assert!(since.elapsed() < PATIENCE, "waited in vain: {left:?}");
        let message = match consumer.poll(Duration::from_millis(200)) {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(e) if !e.trouble.needs_a_person() => continue,
            Err(e) => panic!("{e}"),
        };
        let end = left.get(&message.partition).copied().unwrap_or_default();
        if message.offset + 1 >= end {
            left.remove(&message.partition);
        }
        let (of, envelope) = decode(message.value).unwrap();
        if of != run {
            continue;
        }
        if let Some(Event::Damage(damage)) = envelope.event {
            read.damage.push(damage);
            continue;
        }
        let (seq, partition) = (envelope.seq, message.partition);
        let (_, partitions) = read
            .records
            .entry(seq)
            .or_insert_with(|| (envelope, Vec::new()));
        match partitions.contains(&partition) {
            true => read.repeats += 1,
            false => {
                partitions.push(partition);
                read.order.entry(partition).or_default().push(seq);
            }
        }
    }
    read
}

impl Read {
    /// Every record is there: updates in one partition, the rest in all of them.
    pub fn assert_whole(&self, records: u64) {
        let missing: Vec<u64> = (1..=records)
            .filter(|seq| !self.records.contains_key(seq))
            .collect();
        assert_eq!(missing, [0; 0], "of {records}");
        assert_eq!(self.records.len() as u64, records);
        for (seq, (envelope, partitions)) in &self.records {
            let copies = match envelope.event {
                Some(Event::Account(_)) => 1,
                _ => usize::from(PARTITIONS),
            };
            assert_eq!(partitions.len(), copies, "{seq}");
        }
        assert!(self.damage.is_empty(), "{:?}", self.damage);
    }

    /// First copies stand in the order of their numbers.
    pub fn assert_order(&self) {
        for (partition, order) in &self.order {
            assert!(order.is_sorted(), "partition {partition}: {order:?}");
        }
    }
}
