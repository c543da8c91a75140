//! From an account update to a subscriber, part of `make bench-indexer`: a spool that fills with 2,000 updates a second, the
//! indexer, PostgreSQL, the gateway and one reader of `/v1/stream`, all on this machine.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytemuck::Zeroable;
use mythic_indexer::IndexerConfig;
use mythic_interface::{
    AI_PRECOMPILES_ID, PROGRAMS,
    state::{Job, JobStatus, VERSION},
};
use mythic_stream::digest::{BankDigest, filter_hash};
use mythic_stream::proto::{
    AccountUpdate, BaseEnd, Event, SlotSeal, SlotStatus, SlotUpdate, Start,
};
use mythic_stream::spool::{FsyncPolicy, Room, Writer, WriterConfig};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::feed::subscribe;
use crate::harness::within;

const SLOT: Duration = Duration::from_millis(400);
/// 2,000 a second.
const ROWS: u64 = 800;
const SLOTS: u64 = 40;
/// Finality is so far behind.
const BEHIND: u64 = 32;

fn hash(slot: u64) -> [u8; 32] {
    let mut hash = [9; 32];
    hash[..8].copy_from_slice(&slot.to_le_bytes());
    hash
}

fn job(slot: u64) -> Vec<u8> {
    let mut job = Job::zeroed();
    job.header.discriminator = Job::DISCRIMINATOR;
    job.header.version = VERSION;
    job.header.status = JobStatus::Accepted as u8;
    job.header.seq = slot.into();
    job.requested_slot = 1.into();
    job.accepted_slot = slot.into();
    bytemuck::bytes_of(&job).to_vec()
}

/// The spool of a validator.
struct Spool(Writer);

impl Spool {
    fn open(dir: &Path) -> Self {
        let mut config = WriterConfig::new(dir);
        config.fsync = FsyncPolicy::Never;
        let mut spool = Self(Writer::open(config, [1; 16]).unwrap());
        spool.push(Event::Start(Start {
            genesis_hash: vec![8; 32].into(),
            filter_hash: filter_hash(&PROGRAMS).to_vec().into(),
            primed: true,
            ..Default::default()
        }));
        spool.push(Event::BaseEnd(BaseEnd { slot: 0, count: 0 }));
        spool
    }

    fn push(&mut self, event: Event) {
        self.0.append(event, Room::Ordinary).unwrap();
    }

    fn status(&mut self, slot: u64, status: SlotStatus) {
        let named = status != SlotStatus::CreatedBank;
        self.push(Event::Slot(SlotUpdate {
            slot,
            generation: 1,
            status: status.into(),
            parent: Some(slot - 1),
            blockhash: match named {
                true => hash(slot).to_vec().into(),
                false => Default::default(),
            },
            dead_reason: None,
        }));
    }

    /// A slot with `rows` jobs that changed.
    fn slot(&mut self, slot: u64, rows: u64) {
        self.status(slot, SlotStatus::CreatedBank);
        let mut digest = BankDigest::default();
        for row in 0..rows {
            let mut pubkey = [5; 32];
            let entity = (slot * rows + row) % 30_000;
            pubkey[..8].copy_from_slice(&entity.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let data = job(slot);
            digest.push(pubkey, &AI_PRECOMPILES_ID, 1, &data);
            self.push(Event::Account(AccountUpdate {
                slot,
                generation: 1,
                write_version: slot * rows + row,
                pubkey: pubkey.to_vec().into(),
                owner: AI_PRECOMPILES_ID.to_vec().into(),
                lamports: 1,
                data: data.into(),
                is_startup: false,
                signature: vec![slot as u8; 64].into(),
            }));
        }
        self.push(Event::Seal(SlotSeal {
            slot,
            generation: 1,
            blockhash: hash(slot).to_vec().into(),
            parent_slot: slot - 1,
            parent_blockhash: hash(slot - 1).to_vec().into(),
            block_time: Some(1_800_000_000 + slot as i64),
            offered: rows,
            digest: digest.finish().to_vec().into(),
            filter_hash: filter_hash(&PROGRAMS).to_vec().into(),
            ..Default::default()
        }));
        if slot > 1 {
            self.status(slot - 1, SlotStatus::Confirmed);
        }
        if slot > BEHIND {
            self.status(slot - BEHIND, SlotStatus::Rooted);
        }
        self.0.sync().unwrap();
    }
}

/// Writes the slots at their pace; says when each was sealed.
fn run_chain(dir: &Path) -> HashMap<u64, SystemTime> {
    let mut spool = Spool::open(dir);
    let mut sealed = HashMap::new();
    let mut next = std::time::Instant::now();
    for slot in 1..=SLOTS {
        spool.slot(slot, ROWS);
        sealed.insert(slot, SystemTime::now());
        next += SLOT;
        std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
    }
    sealed
}

fn percentiles(mut all: Vec<f64>) -> serde_json::Value {
    all.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = ((all.len() - 1) as f64 * share) as usize;
        (all[place] * 10.0).round() / 10.0
    };
    json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0)})
}

fn since_epoch(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs_f64() * 1e3
}

#[test]
#[ignore = "a benchmark"]
fn latency_from_commit_to_subscriber() {
    within(|world| async move {
        let database = world.database().await;
        let spool = tempfile::tempdir().unwrap();
        let dir = spool.path().to_owned();
        let stop = CancellationToken::new();
        let config = IndexerConfig {
            database_url: world.database_url.clone(),
            spool_dir: dir.clone(),
            metrics_addr: None,
            ..IndexerConfig::default()
        };
        let mut reader = subscribe(world, "topics=jobs").await;
        let indexer = tokio::spawn(mythic_indexer::run(config, stop.clone()));
        let chain = tokio::task::spawn_blocking(move || run_chain(&dir));
        // When each event came, and of which slot it is.
        let mut came: HashMap<i64, (f64, u64)> = HashMap::new();
        while came.len() < (SLOTS * ROWS) as usize {
            let event = reader.next().await;
            if event["op"] == "add" {
                let (seq, slot) = (event["seq"].as_i64(), event["slot"].as_u64());
                came.insert(
                    seq.unwrap(),
                    (since_epoch(SystemTime::now()), slot.unwrap()),
                );
            }
        }
        let sealed = chain.await.unwrap();
        stop.cancel();
        indexer.await.unwrap().unwrap();
        let committed: HashMap<i64, f64> = database
            .query(
                "SELECT seq, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 * 1000 FROM feed.entry WHERE op = 'add'",
                &[],
            )
            .await
            .unwrap()
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let from_commit = came.iter().map(|(seq, (at, _))| at - committed[seq]);
        let from_seal = came
            .values()
            .map(|(at, slot)| at - since_epoch(sealed[slot]));
        for (figure, all) in [
            ("feed_commit_to_subscriber", from_commit.collect()),
            ("feed_seal_to_subscriber", from_seal.collect::<Vec<f64>>()),
        ] {
            let mut line = percentiles(all);
            line["figure"] = figure.into();
            line["unit"] = "ms".into();
            line["updates_per_second"] = (ROWS as f64 / SLOT.as_secs_f64()).into();
            println!("{line}");
        }
    });
}
