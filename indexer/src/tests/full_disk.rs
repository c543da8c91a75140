//! The spool's disk is really full: from the validator's callbacks through plugin and spool to the tables.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, ReplicaAccountInfoV2, ReplicaAccountInfoVersions, ReplicaBlockInfoV3,
    ReplicaBlockInfoVersions, SlotStatus,
};
use mythic_geyser_plugin::Plugin;
use mythic_interface::{AI_PRECOMPILES_ID, PROGRAMS};
use mythic_stream::proto::{Event, LossReason};
use mythic_stream::spool::{Mark, Reader, ReaderConfig};
use solana_signature::Signature;

use super::chain::vault;
use super::drain;
use super::postgres::Database;
use crate::alarms;

/// Directory of a small disk of its own; set in the process that has one.
const DISK: &str = "MYTHIC_TEST_SMALL_DISK";
const DISK_BYTES: u64 = 4 << 20;

/// Runs this test again in a mount namespace with a small tmpfs. `None` where the system does not allow that.
fn on_a_small_disk(test: &str) -> Option<std::process::Output> {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={DISK_BYTES},mode=0755 none \"$1\"");
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ]);
        command.arg(dir.path());
        command
    };
    if !unshared(&mount).output().is_ok_and(|o| o.status.success()) {
        return None;
    }
    let rerun = format!("{mount} && exec \"$2\" --exact \"$3\" --nocapture");
    let output = unshared(&rerun)
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(DISK, dir.path())
        .output()
        .unwrap();
    Some(output)
}

struct Validator {
    plugin: Plugin,
    metrics: SocketAddr,
    versions: u64,
}

impl Validator {
    fn start(disk: &Path) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let metrics = free.local_addr().unwrap();
        drop(free);
        // The configuration is on the other disk.
        let config = tempfile::NamedTempFile::new().unwrap();
        let owners = PROGRAMS.map(|program| format!("'{}'", bs58::encode(program).into_string()));
        let owners = owners.join(", ");
        let spool = disk.join("spool");
        std::fs::write(
            config.path(),
            format!("{{ spool_dir: {spool:?}, owners: [{owners}], genesis_hash: '{}', metrics_addr: '{metrics}', spool_max_bytes: 1073741824 }}", bs58::encode(super::chain::GENESIS).into_string()),
        )
        .unwrap();
        let mut plugin = Plugin::default();
        plugin
            .on_load(config.path().to_str().unwrap(), false)
            .unwrap();
        Self {
            plugin,
            metrics,
            versions: 0,
        }
    }

    fn update(&mut self, slot: u64, key: u64, startup: bool) {
        self.versions += 1;
        let mut pubkey = [9; 32];
        pubkey[..8].copy_from_slice(&key.to_be_bytes());
        let signature = Signature::from([7; 64]);
        let info = ReplicaAccountInfoV2 {
            pubkey: &pubkey,
            lamports: 1_000_000,
            owner: &AI_PRECOMPILES_ID,
            executable: false,
            rent_epoch: 0,
            data: &vault(slot, key),
            write_version: self.versions,
            txn_signature: (!startup).then_some(&signature),
        };
        let info = ReplicaAccountInfoVersions::V0_0_2(&info);
        self.plugin.update_account(info, slot, startup).unwrap();
    }

    fn status(&self, slot: u64, status: &SlotStatus) {
        self.plugin
            .update_slot_status(slot, slot.checked_sub(1), status)
            .unwrap();
    }

    fn bank(&mut self, slot: u64, keys: std::ops::Range<u64>) {
        self.status(slot, &SlotStatus::CreatedBank);
        for key in keys {
            self.update(slot, key, false);
        }
        let hash = |slot: u64| bs58::encode([slot as u8 + 1; 32]).into_string();
        let rewards = Vec::new();
        let info = ReplicaBlockInfoV3 {
            parent_slot: slot - 1,
            parent_blockhash: &hash(slot - 1),
            slot,
            blockhash: &hash(slot),
            rewards: &rewards,
            block_time: Some(1_800_000_000 + slot as i64),
            block_height: Some(slot),
            executed_transaction_count: 1,
            entry_count: 1,
        };
        self.plugin
            .notify_block_metadata(ReplicaBlockInfoVersions::V0_0_3(&info))
            .unwrap();
    }

    /// A metric of the plugin.
    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value
            .unwrap_or_else(|| panic!("{name} in {text}"))
            .trim()
            .parse()
            .unwrap()
    }

    fn until(&self, what: &str, good: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !good(self) {
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Slot, offered and dropped, as sealed.
type Sealed = (u64, u64, u64);

/// What the spool holds: the updates of each slot, the seals, the losses by reason.
fn held(spool: &Path) -> (HashMap<u64, u64>, Vec<Sealed>, HashMap<LossReason, u64>) {
    let mut reader = Reader::open(ReaderConfig {
        dir: spool.into(),
        name: "oracle".into(),
        start: None,
    })
    .unwrap();
    let (mut updates, mut seals, mut losses) = (HashMap::new(), Vec::new(), HashMap::new());
    for item in reader.poll(usize::MAX).unwrap() {
        match item.envelope.unwrap().event {
            Some(Event::Account(a)) => *updates.entry(a.slot).or_default() += 1,
            Some(Event::Seal(s)) => seals.push((s.slot, s.offered, s.dropped)),
            Some(Event::Loss(l)) => *losses.entry(l.reason()).or_default() += l.count,
            _ => {}
        }
    }
    (updates, seals, losses)
}

#[tokio::test]
async fn a_full_disk_holds_no_validator_up_and_costs_only_what_is_counted() {
    const NAME: &str =
        "tests::full_disk::a_full_disk_holds_no_validator_up_and_costs_only_what_is_counted";
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else {
        match on_a_small_disk(NAME) {
            Some(output) => assert!(
                output.status.success()
                    && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            None => eprintln!(
                "SKIPPED {NAME}: this user may not mount a tmpfs in a namespace of its own (run it as root)"
            ),
        }
        return;
    };
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; DISK_BYTES as usize - (1 << 20)]).unwrap();
    let mut validator = Validator::start(&disk);
    validator.plugin.notify_end_of_startup().unwrap();
    validator.bank(1, 0..10);
    // More than fits; then a bank that finds the disk full from the beginning. Every callback returns.
    validator.bank(2, 0..8_000);
    validator.until("updates are lost", |v| {
        v.metric("mythic_plugin_queue_records ") == 0
            && v.metric("mythic_plugin_lost_total{reason=\"spool_full\"}") > 0
    });
    validator.bank(3, 0..100);
    validator.until("the queue is empty", |v| {
        v.metric("mythic_plugin_queue_records ") == 0
    });
    assert!(validator.metric("mythic_plugin_spool_errors_total ") > 0);
    let full = Mark::read(&disk.join("spool")).unwrap();
    // Room returns, and the run goes on.
    std::fs::remove_file(&ballast).unwrap();
    validator.until("the spool takes what waited", |_| {
        Mark::read(&disk.join("spool")).unwrap() != full
    });
    validator.bank(4, 0..50);
    for slot in 1..=4 {
        validator.status(slot, &SlotStatus::Confirmed);
        validator.status(slot, &SlotStatus::Rooted);
    }
    let lost = validator.metric("mythic_plugin_lost_total{reason=\"spool_full\"}");
    validator.plugin.on_unload();

    let spool = disk.join("spool");
    let (updates, seals, losses) = held(&spool);
    assert_eq!(
        seals.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(),
        [(1, 10), (2, 8_000), (3, 100), (4, 50)],
        "the seals came through"
    );
    for (slot, offered, dropped) in &seals {
        assert_eq!(
            updates.get(slot).copied().unwrap_or(0) + dropped,
            *offered,
            "slot {slot}"
        );
    }
    let dropped: u64 = seals.iter().map(|s| s.2).sum();
    assert_eq!(losses, HashMap::from([(LossReason::SpoolFull, dropped)]));
    assert_eq!(lost, dropped);
    assert!((100..8_100).contains(&dropped), "{dropped}");
    assert_eq!(seals[3].2, 0, "the bank after the full disk is whole");

    let db = Database::new("full_disk").await;
    drain(&db.url, &spool, 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT slot, exact FROM analytics.slots_finalized ORDER BY slot")
            .await,
        ["(1,t)", "(2,f)", "(3,f)", "(4,t)"]
    );
    assert_eq!(
        db.texts("SELECT inexact_through, finalized_slot FROM analytics.pipeline_status")
            .await,
        ["(3,4)"]
    );
    assert_eq!(
        db.texts(
            "SELECT kind, slot, last_slot, count FROM analytics.alarms WHERE cleared_at IS NULL"
        )
        .await,
        [format!("(loss,2,3,{dropped})")]
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.vaults_finalized WHERE slot = 4 AND exact")
            .await,
        ["(50)"]
    );
    assert!(alarms::list(&db.url, false).await.unwrap()[0].clears_itself);
}
