//! The plugin with a section `kafka`, against a real broker.

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfoV2, ReplicaAccountInfoVersions, ReplicaBlockInfoV3,
    ReplicaBlockInfoVersions, SlotStatus,
};
use mythic_broker::shared;
use mythic_geyser_plugin::Plugin;
use mythic_kafka::{Consumer, Settings, Start, Topic, check, decode};
use mythic_stream::proto::{Event, LossReason};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

const OWNER: [u8; 32] = [7; 32];
const PATIENCE: Duration = Duration::from_secs(90);

struct Host {
    plugin: Plugin,
    dir: tempfile::TempDir,
    settings: Settings,
    slot: u64,
}

impl Host {
    fn start(prefix: &str, brokers: String, extra: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            brokers,
            topic_prefix: prefix.into(),
            partitions: 2,
            replication: 1,
            ..Settings::default()
        };
        let mut host = Self {
            plugin: Plugin::default(),
            dir,
            settings,
            slot: 10,
        };
        host.load(extra);
        host
    }

    fn load(&mut self, extra: &str) {
        let text = format!(
            "{{ spool_dir: {:?}, owners: ['{}'], genesis_hash: '{}', {extra}
               kafka: {{ brokers: '{}', topic_prefix: '{}', partitions: 2, replication: 1 }} }}",
            self.dir.path().join("spool"),
            bs58(&OWNER),
            bs58(&[5; 32]),
            self.settings.brokers,
            self.settings.topic_prefix,
        );
        let path = self.dir.path().join("geyser.json5");
        fs::write(&path, text).unwrap();
        self.plugin.on_load(path.to_str().unwrap(), false).unwrap();
    }

    /// A bank of so many updates, of so many bytes each.
    fn bank(&mut self, updates: u8, bytes: usize) {
        self.slot += 1;
        let slot = self.slot;
        let created = SlotStatus::CreatedBank;
        self.plugin
            .update_slot_status(slot, Some(slot - 1), &created)
            .unwrap();
        let data = vec![1; bytes];
        for key in 0..updates {
            let info = ReplicaAccountInfoV2 {
                pubkey: &[key; 32],
                lamports: 1,
                owner: &OWNER,
                executable: false,
                rent_epoch: 0,
                data: &data,
                write_version: slot * 1000 + u64::from(key),
                txn_signature: None,
            };
            let info = ReplicaAccountInfoVersions::V0_0_2(&info);
            self.plugin.update_account(info, slot, false).unwrap();
        }
        let hash = |slot: u64| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&slot.to_le_bytes());
            bs58(&hash)
        };
        let rewards = agave_rewards();
        let info = ReplicaBlockInfoV3 {
            parent_slot: slot - 1,
            parent_blockhash: &hash(slot - 1),
            slot,
            blockhash: &hash(slot),
            rewards: &rewards,
            block_time: Some(1_700_000_000),
            block_height: Some(slot),
            executed_transaction_count: 0,
            entry_count: 1,
        };
        let info = ReplicaBlockInfoVersions::V0_0_3(&info);
        self.plugin.notify_block_metadata(info).unwrap();
    }

    /// What each partition holds up to the end of its first run, by run and number.
    fn read(&self) -> BTreeMap<(Vec<u8>, u64), Event> {
        let starts = [(0, Start::Oldest), (1, Start::Oldest)];
        let consumer = Consumer::assigned(&self.settings, Topic::Updates, &starts).unwrap();
        let (mut events, mut ended, since) = (BTreeMap::new(), BTreeSet::new(), Instant::now());
        while ended.len() < 2 {
            assert!(since.elapsed() < PATIENCE, "no end comes");
            let Ok(Some(message)) = consumer.poll(Duration::from_millis(200)) else {
                continue;
            };
            let (run, envelope) = decode(message.value).unwrap();
            let event = envelope.event.unwrap();
            if ended.contains(&message.partition) {
                continue;
            }
            if matches!(event, Event::End(_)) {
                ended.insert(message.partition);
            }
            events.insert((run.to_vec(), envelope.seq), event);
        }
        events
    }
}

fn agave_rewards<T>() -> Vec<T> {
    Vec::new()
}

fn bs58(bytes: &[u8]) -> String {
    bs58::encode(bytes).into_string()
}

#[test]
fn what_the_validator_tells_stands_in_kafka_from_start_to_end() {
    let Some(guard) = shared() else { return };
    let mut host = Host::start("plain", guard.as_ref().unwrap().plain(), "");
    // A cold broker may take longer than an unloading plugin waits.
    check(&host.settings, Topic::Updates, PATIENCE).unwrap();
    for _ in 0..20 {
        host.bank(5, 300);
    }
    host.plugin.on_unload();
    // What it had no time for comes with the next life.
    host.load("");
    host.plugin.on_unload();
    let events = host.read();
    let updates = events
        .values()
        .filter(|event| matches!(event, Event::Account(_)));
    assert_eq!(updates.count(), 100);
    let seals: Vec<u64> = events
        .values()
        .filter_map(|event| match event {
            Event::Seal(seal) => Some(seal.slot),
            _ => None,
        })
        .collect();
    assert_eq!(seals, (11..=30).collect::<Vec<u64>>());
    let first = events.values().next().unwrap();
    assert!(matches!(first, Event::Start(_)), "{first:?}");
}

#[test]
fn without_a_broker_the_validator_goes_on_and_what_does_not_fit_is_counted() {
    let Some(mut guard) = shared() else { return };
    let broker = guard.as_mut().unwrap();
    broker.kill();
    let small = "spool_max_bytes: 1048576, kafka_resend_s: 0,";
    let mut host = Host::start("away", broker.plain(), small);
    // Twice what the spool holds.
    for _ in 0..100 {
        host.bank(5, 5000);
    }
    host.plugin.on_unload();
    broker.restart().unwrap();
    host.load(small);
    let events = host.read();
    host.plugin.on_unload();
    let (mut offered, mut dropped, mut updates, mut lost) = (0, 0, 0, 0);
    for event in events.values() {
        match event {
            Event::Seal(seal) => {
                offered += seal.offered;
                dropped += seal.dropped;
            }
            Event::Account(_) => updates += 1,
            Event::Loss(loss) if loss.reason() == LossReason::SpoolFull => lost += loss.count,
            Event::Damage(damage) => panic!("{damage:?}"),
            _ => {}
        }
    }
    assert!(dropped > 0 && dropped < offered, "{dropped} of {offered}");
    assert_eq!((updates, lost), (offered - dropped, dropped));
}

#[test]
fn a_broker_that_hangs_holds_no_unloading_up() {
    let Some(guard) = shared() else { return };
    let broker = guard.as_ref().unwrap();
    let mut host = Host::start("hangs", broker.plain(), "");
    check(&host.settings, Topic::Updates, PATIENCE).unwrap();
    host.bank(5, 300);
    broker.freeze().unwrap();
    host.bank(5, 300);
    host.plugin.on_unload();
    broker.thaw().unwrap();
    host.load("");
    host.plugin.on_unload();
}

#[test]
fn a_configuration_that_would_lose_records_is_refused_at_the_load() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("geyser.json5");
    let config = |kafka: &str| {
        format!(
            "{{ spool_dir: {:?}, owners: ['{}'], genesis_hash: '{}', kafka: {{ {kafka} }} }}",
            dir.path().join("spool"),
            bs58(&OWNER),
            bs58(&[5; 32]),
        )
    };
    for (kafka, told) in [
        ("", "kafka.brokers"),
        ("brokers: 'a:1', options: { acks: '1' }", "acks"),
        ("brokers: 'a:1', partitions: 0", "kafka.partitions"),
    ] {
        fs::write(&path, config(kafka)).unwrap();
        let refused = Plugin::default().on_load(path.to_str().unwrap(), false);
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
    }
}
