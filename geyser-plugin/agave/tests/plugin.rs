//! Drives the plugin through the `GeyserPlugin` trait, as a validator would and as it should not,
//! and reads the result back through the spool.

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfo, ReplicaAccountInfoV2, ReplicaAccountInfoVersions,
    ReplicaBlockInfoV3, ReplicaBlockInfoVersions, SlotStatus,
};
use mythic_geyser_plugin::{Plugin, check_config};
use mythic_stream::{
    digest::{BankDigest, filter_hash},
    proto::{self, AccountUpdate, Envelope, Event, LossReason, SlotSeal},
    spool::{Mark, Reader, ReaderConfig, Writer, WriterConfig},
};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const OWNER: [u8; 32] = [7; 32];
const SYSTEM: [u8; 32] = [0; 32];

struct Host {
    plugin: Plugin,
    dir: tempfile::TempDir,
    write_version: u64,
}

impl Host {
    fn start(extra: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), extra)
    }

    fn start_in(dir: tempfile::TempDir, extra: &str) -> Self {
        let path = config_file(dir.path(), extra);
        let mut plugin = Plugin::default();
        plugin.on_load(path.to_str().unwrap(), false).unwrap();
        Self {
            plugin,
            dir,
            write_version: 0,
        }
    }

    fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    fn account(&mut self, slot: u64, key: u8, holding: ([u8; 32], u64), data: &[u8]) {
        self.update(slot, key, holding, data, false);
    }

    fn startup(&mut self, slot: u64, key: u8, owner: [u8; 32], lamports: u64) {
        self.update(slot, key, (owner, lamports), b"base", true);
    }

    fn startup_empty(&mut self, slot: u64, key: u8, owner: [u8; 32], lamports: u64) {
        self.update(slot, key, (owner, lamports), b"", true);
    }

    fn update(
        &mut self,
        slot: u64,
        key: u8,
        (owner, lamports): ([u8; 32], u64),
        data: &[u8],
        startup: bool,
    ) {
        self.write_version += 1;
        let signature = Signature::from([key; 64]);
        let info = ReplicaAccountInfoV2 {
            pubkey: &[key; 32],
            lamports,
            owner: &owner,
            executable: false,
            rent_epoch: 0,
            data,
            write_version: self.write_version,
            txn_signature: (!startup).then_some(&signature),
        };
        let info = ReplicaAccountInfoVersions::V0_0_2(&info);
        self.plugin.update_account(info, slot, startup).unwrap();
    }

    fn status(&self, slot: u64, status: SlotStatus) {
        self.plugin
            .update_slot_status(slot, slot.checked_sub(1), &status)
            .unwrap();
    }

    fn create(&self, slot: u64) {
        self.status(slot, SlotStatus::CreatedBank);
    }

    fn freeze(&self, slot: u64, hash: u8) {
        let rewards = agave_rewards();
        let (blockhash, parent) = (bs58(&[hash; 32]), bs58(&[hash - 1; 32]));
        let info = ReplicaBlockInfoV3 {
            parent_slot: slot - 1,
            parent_blockhash: &parent,
            slot,
            blockhash: &blockhash,
            rewards: &rewards,
            block_time: Some(1_700_000_000 + slot as i64),
            block_height: Some(slot),
            executed_transaction_count: 1,
            entry_count: 1,
        };
        self.plugin
            .notify_block_metadata(ReplicaBlockInfoVersions::V0_0_3(&info))
            .unwrap();
    }

    /// Unloads the plugin and reads everything.
    fn finish(mut self) -> (Vec<Envelope>, tempfile::TempDir) {
        self.plugin.on_unload();
        let read = read(&self.spool());
        (read, self.dir)
    }

    /// Waits until what was queued is durable.
    fn settle(&self) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut before = (Mark::read(&self.spool()).unwrap(), Instant::now());
        while before.1.elapsed() < Duration::from_millis(200) {
            assert!(Instant::now() < deadline, "the spool never came to rest");
            std::thread::sleep(Duration::from_millis(10));
            let now = Mark::read(&self.spool()).unwrap();
            if now != before.0 {
                before = (now, Instant::now());
            }
        }
    }
}

fn agave_rewards<T>() -> Vec<T> {
    Vec::new()
}

fn bs58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

fn config_file(dir: &Path, extra: &str) -> PathBuf {
    let path = dir.join("geyser.json5");
    let spool = dir.join("spool");
    let text = format!(
        "// comments are allowed\n{{ libpath: '/x.so', name: 'mythic', spool_dir: {spool:?}, owners: ['{}'], genesis_hash: '{}', {extra} }}",
        bs58(&OWNER),
        bs58(&[5; 32])
    );
    fs::write(&path, text).unwrap();
    path
}

/// Reads a whole spool, asserting that runs are gapless.
fn read(spool: &Path) -> Vec<Envelope> {
    let mut reader = Reader::open(ReaderConfig {
        dir: spool.into(),
        name: "test".into(),
        start: None,
    })
    .unwrap();
    let items = reader.next_batch(usize::MAX, Duration::ZERO).unwrap();
    let mut last: HashMap<Vec<u8>, u64> = HashMap::new();
    let envelopes = items.into_iter().map(|item| item.envelope.unwrap());
    envelopes
        .inspect(|envelope| {
            let seq = last.entry(envelope.run.to_vec()).or_default();
            assert_eq!(envelope.seq, *seq + 1);
            *seq += 1;
        })
        .collect()
}

fn events(envelopes: &[Envelope]) -> Vec<&Event> {
    envelopes.iter().filter_map(|e| e.event.as_ref()).collect()
}

fn updates(envelopes: &[Envelope]) -> Vec<&AccountUpdate> {
    let accounts = events(envelopes)
        .into_iter()
        .filter_map(|event| match event {
            Event::Account(update) => Some(update),
            _ => None,
        });
    accounts.collect()
}

fn seals(envelopes: &[Envelope]) -> Vec<&SlotSeal> {
    let seals = events(envelopes)
        .into_iter()
        .filter_map(|event| match event {
            Event::Seal(seal) => Some(seal),
            _ => None,
        });
    seals.collect()
}

fn lost(envelopes: &[Envelope], reason: LossReason) -> u64 {
    let losses = events(envelopes).into_iter().map(|event| match event {
        Event::Loss(loss) if loss.reason() == reason => loss.count,
        _ => 0,
    });
    losses.sum()
}

/// Recomputes what each seal claims from the updates that precede it.
fn verify_seals(envelopes: &[Envelope]) {
    let mut banks: HashMap<(u64, u32), BankDigest> = HashMap::new();
    for event in events(envelopes) {
        match event {
            Event::Account(a) if !a.is_startup && a.generation > 0 => {
                let key = a.pubkey.as_ref().try_into().unwrap();
                let owner = a.owner.as_ref().try_into().unwrap();
                let bank = banks.entry((a.slot, a.generation)).or_default();
                bank.push(key, owner, a.lamports, &a.data);
            }
            Event::Seal(seal) => {
                let bank = banks
                    .remove(&(seal.slot, seal.generation))
                    .unwrap_or_default();
                assert_eq!(seal.offered, bank.updates() + seal.dropped, "{seal:?}");
                assert_eq!(seal.digest.as_ref(), bank.finish(), "{seal:?}");
                assert_eq!(seal.filter_hash.as_ref(), filter_hash(&[OWNER]));
            }
            _ => {}
        }
    }
}

#[test]
fn a_run_starts_seals_and_ends() {
    let mut host = Host::start("");
    host.startup(3, 1, OWNER, 10);
    host.startup(2, 2, SYSTEM, 10);
    host.plugin.notify_end_of_startup().unwrap();
    host.create(11);
    host.account(11, 1, (OWNER, 11), b"a");
    host.account(11, 1, (OWNER, 12), b"b");
    host.account(11, 9, (SYSTEM, 5), b"not ours");
    host.freeze(11, 11);
    host.create(12);
    host.freeze(12, 12);
    host.status(11, SlotStatus::Processed);
    host.status(11, SlotStatus::Confirmed);
    host.status(11, SlotStatus::Rooted);
    host.status(13, SlotStatus::Dead("bad shreds".into()));
    let (read, _dir) = host.finish();
    verify_seals(&read);
    let all = events(&read);
    match all.first() {
        Some(Event::Start(start)) => {
            assert_eq!(start.genesis_hash.as_ref(), [5; 32]);
            assert_eq!(start.interface, "4.2.2");
            assert!(!start.primed);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(all.last(), Some(Event::End(_))));
    assert!(all.contains(&&Event::BaseEnd(proto::BaseEnd { slot: 3, count: 1 })));
    let updates = updates(&read);
    assert_eq!(updates.len(), 3);
    assert!(updates[0].is_startup && updates[0].signature.is_empty());
    assert_eq!(updates[1].signature.as_ref(), [1; 64]);
    assert_eq!(updates[2].write_version, updates[1].write_version + 1);
    let seals = seals(&read);
    assert_eq!(
        (seals[0].offered, seals[0].dropped, seals[0].generation),
        (2, 0, 1)
    );
    assert_eq!((seals[1].offered, seals[1].parent_slot), (0, 11));
    assert_eq!(seals[1].parent_blockhash.as_ref(), [11; 32]);
    assert_eq!(seals[1].block_time, Some(1_700_000_012));
    for event in all {
        if let Event::Slot(update) = event {
            match update.status() {
                proto::SlotStatus::Rooted | proto::SlotStatus::Confirmed => {
                    assert_eq!(update.blockhash.as_ref(), [11; 32]);
                }
                proto::SlotStatus::Dead => {
                    assert_eq!(update.dead_reason.as_deref(), Some("bad shreds"));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_slot_created_again_is_another_generation_and_confirms_by_the_latest_seal() {
    let mut host = Host::start("");
    host.create(5);
    host.account(5, 1, (OWNER, 1), b"first");
    host.create(5);
    host.account(5, 1, (OWNER, 1), b"second");
    host.account(5, 2, (OWNER, 1), b"second");
    host.freeze(5, 50);
    host.create(5);
    host.account(5, 1, (OWNER, 1), b"third");
    host.freeze(5, 51);
    host.status(5, SlotStatus::Confirmed);
    let (read, _dir) = host.finish();
    verify_seals(&read);
    let seals: Vec<_> = seals(&read)
        .iter()
        .map(|s| (s.generation, s.offered))
        .collect();
    assert_eq!(seals, [(2, 2), (3, 1)]);
    let confirmed = events(&read).into_iter().find_map(|event| match event {
        Event::Slot(s) if s.status() == proto::SlotStatus::Confirmed => Some(s),
        _ => None,
    });
    let confirmed = confirmed.unwrap();
    assert_eq!(confirmed.blockhash.as_ref(), [51; 32]);
    assert_eq!(confirmed.generation, 3);
}

#[test]
fn banks_whose_creation_was_not_seen_get_no_seal() {
    let mut host = Host::start("");
    // Replay at boot, or a plugin loaded in the middle of a slot.
    host.account(8, 1, (OWNER, 1), b"x");
    host.freeze(8, 8);
    host.status(9, SlotStatus::Confirmed);
    host.freeze(10, 10);
    let (read, _dir) = host.finish();
    assert!(seals(&read).is_empty());
    assert_eq!(updates(&read)[0].generation, 0);
}

#[test]
fn updates_after_the_seal_are_losses_and_a_second_freeze_says_nothing() {
    let mut host = Host::start("");
    host.create(5);
    host.account(5, 1, (OWNER, 1), b"x");
    host.freeze(5, 5);
    host.freeze(5, 6);
    host.account(5, 2, (OWNER, 1), b"late");
    let (read, _dir) = host.finish();
    verify_seals(&read);
    assert_eq!(seals(&read).len(), 1);
    assert_eq!(updates(&read).len(), 1);
    assert_eq!(lost(&read, LossReason::AfterSeal), 1);
}

#[test]
fn malformed_arguments_are_counted_and_harm_nothing() {
    let mut host = Host::start("");
    let info = ReplicaAccountInfo {
        pubkey: &[1; 3],
        lamports: 1,
        owner: &[],
        executable: false,
        rent_epoch: 0,
        data: &[],
        write_version: 0,
    };
    let info = ReplicaAccountInfoVersions::V0_0_1(&info);
    host.plugin.update_account(info, u64::MAX, false).unwrap();
    host.create(u64::MAX);
    host.account(u64::MAX, 1, (OWNER, u64::MAX), &[0; 300]);
    host.status(5, SlotStatus::Dead("é".repeat(2000)));
    host.create(6);
    let rewards = agave_rewards();
    let info = ReplicaBlockInfoV3 {
        parent_slot: 5,
        parent_blockhash: "not base58 0OIl",
        slot: 6,
        blockhash: "",
        rewards: &rewards,
        block_time: None,
        block_height: None,
        executed_transaction_count: 0,
        entry_count: 0,
    };
    host.plugin
        .notify_block_metadata(ReplicaBlockInfoVersions::V0_0_3(&info))
        .unwrap();
    let (read, _dir) = host.finish();
    assert_eq!(lost(&read, LossReason::Malformed), 2);
    assert!(seals(&read).is_empty());
    assert_eq!(updates(&read).len(), 1);
}

#[test]
fn a_closed_account_is_tracked_until_its_slot_is_rooted() {
    let mut host = Host::start("");
    for slot in 1..=6 {
        host.create(slot);
        match slot {
            1 => {
                host.account(slot, 1, (OWNER, 5), b"x");
                host.account(slot, 2, (OWNER, 5), b"x");
            }
            // Closed in one way and in the other.
            2 => {
                host.account(slot, 1, (SYSTEM, 0), b"");
                host.account(slot, 2, (SYSTEM, 9), b"");
            }
            // Still tracked: slot 2 is not rooted yet. Account 2 opens again.
            3 => {
                host.account(slot, 1, (SYSTEM, 8), b"");
                host.account(slot, 2, (OWNER, 9), b"");
            }
            4 => {
                host.status(2, SlotStatus::Rooted);
                host.status(3, SlotStatus::Rooted);
                host.settle();
            }
            5 => {
                host.account(slot, 1, (SYSTEM, 7), b"nobody's business");
                host.account(slot, 2, (SYSTEM, 0), b"");
            }
            _ => {}
        }
        host.freeze(slot, slot as u8 + 10);
    }
    let (read, _dir) = host.finish();
    verify_seals(&read);
    let offered: Vec<_> = seals(&read).iter().map(|seal| seal.offered).collect();
    assert_eq!(offered, [2, 2, 2, 0, 1, 0]);
}

#[test]
fn the_tracked_set_outlives_the_run_and_says_so() {
    let mut host = Host::start("");
    host.startup(1, 1, OWNER, 5);
    // A closed row before the older version that it ends, and one that is only older.
    host.startup(4, 3, SYSTEM, 0);
    host.startup(2, 3, OWNER, 5);
    host.plugin.notify_end_of_startup().unwrap();
    let (first, dir) = host.finish();
    assert_eq!(updates(&first).len(), 3);
    let mut host = Host::start_in(dir, "");
    host.create(9);
    host.account(9, 1, (SYSTEM, 0), b"");
    host.account(9, 3, (SYSTEM, 4), b"");
    host.freeze(9, 9);
    let (both, _dir) = host.finish();
    let second = &both[first.len()..];
    assert!(matches!(events(second)[0], Event::Start(start) if start.primed));
    assert_eq!(updates(second).len(), 1);
    assert_eq!(updates(second)[0].pubkey.as_ref(), [1; 32]);
    verify_seals(second);
}

fn base_end(envelopes: &[Envelope]) -> &proto::BaseEnd {
    let found = events(envelopes).into_iter().find_map(|event| match event {
        Event::BaseEnd(end) => Some(end),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn a_closed_account_that_was_sent_lamports_is_not_opened_by_an_older_version() {
    let off_curve = |key: &u8| !Pubkey::new_from_array([*key; 32]).is_on_curve();
    let derived: Vec<u8> = (1..=255).filter(off_curve).take(4).collect();
    let wallet = (1..=255).find(|key| !off_curve(key)).unwrap();
    let mut host = Host::start("");
    // The newest row first, then last.
    host.startup_empty(9, derived[0], SYSTEM, 5);
    host.startup(4, derived[0], OWNER, 7);
    host.startup(4, derived[1], OWNER, 7);
    host.startup_empty(9, derived[1], SYSTEM, 5);
    // It was sent lamports before it was made.
    host.startup_empty(2, derived[2], SYSTEM, 5);
    host.startup(4, derived[2], OWNER, 7);
    // Nobody's business.
    host.startup_empty(9, derived[3], SYSTEM, 5);
    host.startup_empty(9, wallet, SYSTEM, 5);
    host.plugin.notify_end_of_startup().unwrap();
    let (read, _dir) = host.finish();
    let mut newest: HashMap<u8, &AccountUpdate> = HashMap::new();
    for update in updates(&read) {
        let held = newest.entry(update.pubkey[0]).or_insert(update);
        if update.slot > held.slot {
            *held = update;
        }
    }
    let mut open: Vec<_> = newest
        .iter()
        .filter(|(_, update)| update.owner == OWNER.as_slice())
        .map(|(key, _)| *key)
        .collect();
    open.sort_unstable();
    assert_eq!(open, [derived[2]]);
    assert_eq!(updates(&read).len() as u64, base_end(&read).count);
}

/// Start-up accounts of four threads.
fn flood(host: &Host, accounts: u32) {
    let plugin = &host.plugin;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in (thread..accounts).step_by(4) {
                    let mut pubkey = [1; 32];
                    pubkey[..4].copy_from_slice(&n.to_le_bytes());
                    let info = ReplicaAccountInfoV2 {
                        pubkey: &pubkey,
                        lamports: 1,
                        owner: &OWNER,
                        executable: false,
                        rent_epoch: 0,
                        data: b"small",
                        write_version: n.into(),
                        txn_signature: None,
                    };
                    let info = ReplicaAccountInfoVersions::V0_0_2(&info);
                    plugin.update_account(info, 7, true).unwrap();
                }
            });
        }
    });
}

#[test]
fn no_start_up_account_is_dropped_however_many_there_are() {
    let host = Host::start("queue_records: 64, queue_max_bytes: 1024, fsync: 'never'");
    flood(&host, 300_000);
    host.plugin.notify_end_of_startup().unwrap();
    let (read, _dir) = host.finish();
    assert_eq!(lost(&read, LossReason::QueueFull), 0);
    assert_eq!(lost(&read, LossReason::SpoolFull), 0);
    assert_eq!(updates(&read).len(), 300_000);
    assert_eq!(base_end(&read).count, 300_000);
}

#[test]
fn a_start_waits_for_a_reader_that_makes_room() {
    let host = Host::start("startup_max_bytes: 262144, spool_segment_bytes: 65536, fsync: 'never'");
    let spool = host.spool();
    let reader = std::thread::spawn(move || {
        let mut reader = Reader::open(ReaderConfig {
            dir: spool,
            name: "test".into(),
            start: None,
        })
        .unwrap();
        let (mut accounts, deadline) = (0, Instant::now() + Duration::from_secs(60));
        while accounts < 20_000 {
            assert!(Instant::now() < deadline, "{accounts} came");
            let items = reader.next_batch(1000, Duration::from_millis(50)).unwrap();
            if let Some(last) = items.last() {
                reader.ack(&last.next).unwrap();
            }
            let read: Vec<_> = items.into_iter().map(|i| i.envelope.unwrap()).collect();
            accounts += updates(&read).len();
            assert_eq!(lost(&read, LossReason::SpoolFull), 0);
        }
    });
    flood(&host, 20_000);
    reader.join().unwrap();
}

#[test]
fn a_disk_that_takes_nothing_holds_up_the_start_for_a_while_and_costs_the_base() {
    let host = Host::start(
        "startup_max_bytes: 16777216, startup_wait_s: 1, queue_records: 64, fsync: 'never'",
    );
    let began = Instant::now();
    flood(&host, 200_000);
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(1) && waited < Duration::from_secs(30),
        "{waited:?}"
    );
    host.plugin.notify_end_of_startup().unwrap();
    // What comes after the start is streamed as ever.
    host.create(8);
    host.freeze(8, 8);
    let (read, _dir) = host.finish();
    let dropped = lost(&read, LossReason::SpoolFull) + lost(&read, LossReason::QueueFull);
    assert!(dropped > 0);
    assert_eq!(base_end(&read).count, 200_000);
    assert_eq!(updates(&read).len() as u64 + dropped, 200_000);
    assert_eq!(seals(&read).len(), 1);
}

#[test]
fn a_full_queue_drops_the_newest_counts_it_and_keeps_slot_records() {
    let mut host = Host::start("queue_records: 4, queue_max_bytes: 100000");
    host.create(1);
    let big = vec![1; 60_000];
    for n in 0..2000u32 {
        host.account(1, (n % 200) as u8, (OWNER, u64::from(n) + 1), &big);
    }
    host.freeze(1, 10);
    host.create(2);
    host.freeze(2, 11);
    let (read, _dir) = host.finish();
    verify_seals(&read);
    let seals = seals(&read);
    assert_eq!((seals[0].offered, seals[1].offered), (2000, 0));
    assert!(seals[0].dropped > 0, "the queue was never full");
    assert_eq!(lost(&read, LossReason::QueueFull), seals[0].dropped);
    assert_eq!(updates(&read).len() as u64, 2000 - seals[0].dropped);
}

#[test]
fn a_full_spool_drops_counts_and_recovers_when_a_reader_catches_up() {
    let mut host = Host::start("spool_max_bytes: 262144");
    host.create(1);
    for n in 0..1000u32 {
        host.account(1, (n % 100) as u8, (OWNER, u64::from(n) + 1), &[3; 1000]);
    }
    host.freeze(1, 10);
    host.settle();
    let spool = host.spool();
    let before = read(&spool);
    verify_seals(&before);
    let dropped = seals(&before)[0].dropped;
    assert!(dropped > 0 && dropped < 1000, "{dropped}");
    assert_eq!(lost(&before, LossReason::SpoolFull), dropped);
    let held: u64 = fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(held < 262_144 + 65_536, "{held}");
    // The reader acknowledges: the next bank is whole again.
    let mut reader = Reader::open(ReaderConfig {
        dir: spool,
        name: "test".into(),
        start: None,
    })
    .unwrap();
    let items = reader.next_batch(usize::MAX, Duration::ZERO).unwrap();
    reader.ack(&items.last().unwrap().next).unwrap();
    let segments = || fs::read_dir(host.spool()).unwrap().count();
    let (deadline, full) = (Instant::now() + Duration::from_secs(20), segments());
    while segments() >= full {
        assert!(Instant::now() < deadline, "no segment was deleted");
        std::thread::sleep(Duration::from_millis(20));
    }
    host.create(2);
    host.account(2, 1, (OWNER, 1), b"room again");
    host.freeze(2, 11);
    host.plugin.on_unload();
    let after: Vec<_> = reader
        .next_batch(usize::MAX, Duration::ZERO)
        .unwrap()
        .into_iter()
        .map(|item| item.envelope.unwrap())
        .collect();
    let seals = seals(&after);
    assert_eq!(
        (seals[0].slot, seals[0].offered, seals[0].dropped),
        (2, 1, 0)
    );
}

#[test]
fn a_killed_run_has_no_end_and_the_next_one_goes_on() {
    let mut host = Host::start("");
    host.create(1);
    for n in 0..50 {
        host.account(1, n, (OWNER, 1), b"x");
    }
    host.freeze(1, 10);
    host.create(2);
    host.account(2, 1, (OWNER, 1), b"half a bank");
    host.settle();
    // What a kill leaves: the directory as it is now, its last segment torn.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("spool/acks")).unwrap();
    for entry in fs::read_dir(host.spool()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(
                entry.path(),
                dir.path().join("spool").join(entry.file_name()),
            )
            .unwrap();
        }
    }
    let segment = dir.path().join("spool/000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes.truncate(bytes.len() - 7);
    bytes.extend_from_slice(&[0; 100]);
    fs::write(&segment, bytes).unwrap();
    let mut next = Host::start_in(dir, "");
    next.create(2);
    next.account(2, 1, (OWNER, 1), b"whole");
    next.freeze(2, 11);
    let (read, _dir) = next.finish();
    let runs: Vec<_> = read.iter().map(|e| e.run.clone()).collect();
    let split = runs.iter().position(|run| *run != runs[0]).unwrap();
    let (old, new) = read.split_at(split);
    assert!(
        !events(old)
            .iter()
            .any(|event| matches!(event, Event::End(_)))
    );
    assert_eq!(seals(old).len(), 1);
    assert_eq!(updates(old).len(), 50, "the torn frame is cut, no more");
    verify_seals(old);
    verify_seals(new);
    assert_eq!(seals(new)[0].offered, 1);
    assert!(matches!(events(new).last(), Some(Event::End(_))));
}

#[test]
fn many_threads_commit_and_the_seal_still_adds_up() {
    let host = Host::start("queue_records: 64");
    let plugin = &host.plugin;
    for slot in 1..=20u64 {
        host.create(slot);
        std::thread::scope(|scope| {
            for thread in 0..8u8 {
                scope.spawn(move || {
                    for n in 0..100u64 {
                        let info = ReplicaAccountInfoV2 {
                            pubkey: &[thread; 32],
                            lamports: n + 1,
                            owner: &OWNER,
                            executable: false,
                            rent_epoch: 0,
                            data: &n.to_le_bytes(),
                            write_version: n,
                            txn_signature: None,
                        };
                        let info = ReplicaAccountInfoVersions::V0_0_2(&info);
                        plugin.update_account(info, slot, false).unwrap();
                    }
                });
            }
        });
        host.freeze(slot, slot as u8 + 1);
    }
    let (read, _dir) = host.finish();
    verify_seals(&read);
    let seals = seals(&read);
    assert_eq!(seals.len(), 20);
    assert!(seals.iter().all(|seal| seal.offered == 800));
    let dropped: u64 = seals.iter().map(|seal| seal.dropped).sum();
    assert_eq!(lost(&read, LossReason::QueueFull), dropped);
}

#[test]
fn the_spool_has_one_writer_and_reload_works() {
    let mut host = Host::start("");
    let path = config_file(host.dir.path(), "");
    let second = Plugin::default().on_load(path.to_str().unwrap(), false);
    assert!(second.unwrap_err().to_string().contains("another process"));
    host.plugin.on_unload();
    // Callbacks of an unloaded plugin do nothing.
    host.create(1);
    host.plugin.on_load(path.to_str().unwrap(), true).unwrap();
    host.plugin.on_unload();
    drop(Writer::open(WriterConfig::new(host.spool()), [1; 16]).unwrap());
}

#[test]
fn the_config_is_checked_and_names_key_and_value() {
    let dir = tempfile::tempdir().unwrap();
    let good = check_config(config_file(dir.path(), "fsync: 'never',")).unwrap();
    assert_eq!(good.queue_records, 65_536);
    for (extra, said) in [
        ("bogus: 1", "bogus"),
        ("fsync: 'sometimes'", "sometimes"),
        ("metrics_addr: '0.0.0.0:9000'", "loopback"),
        ("spool_max_bytes: 1", "spool_max_bytes = 1"),
        ("startup_max_bytes: 1", "startup_max_bytes = 1"),
        ("fsync_interval_ms: 0", "fsync_interval_ms = 0"),
        ("genesis_hash: 'zz'", "genesis_hash"),
        ("startup_wait_s: 0", "startup_wait_s = 0"),
        ("queue_records: 0", "queue_records = 0"),
    ] {
        let error = check_config(config_file(dir.path(), extra))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{extra}: {error}");
    }
    let path = dir.path().join("bad.json");
    fs::write(&path, "{ spool_dir: 'x', owners: [] }").unwrap();
    assert!(
        check_config(&path)
            .unwrap_err()
            .to_string()
            .contains("owners")
    );
    fs::write(&path, "{ spool_dir: 'x', owners: ['abc'] }").unwrap();
    assert!(check_config(&path).unwrap_err().to_string().contains("abc"));
    let owner = bs58(&OWNER);
    fs::write(&path, format!("{{ spool_dir: 'x', owners: ['{owner}'] }}")).unwrap();
    let error = check_config(&path).unwrap_err().to_string();
    assert!(
        error.contains("genesis_hash") && error.contains("solana genesis-hash"),
        "{error}"
    );
    assert!(check_config(dir.path().join("none")).is_err());
}

#[test]
fn the_shared_library_is_found_beside_the_tests() {
    let path = mythic_geyser_plugin::library_path().unwrap();
    assert!(path.ends_with("libmythic_geyser_plugin.so"), "{path:?}");
}
