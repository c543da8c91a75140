//! One load: Agave's plugin service with one plugin, and threads that commit account updates bank after bank.

use crate::{
    histogram::Histogram,
    oracle::{self, Found},
    usage,
};
use anyhow::{Context, Result, anyhow};
use crossbeam_channel::unbounded;
use serde::{Deserialize, Serialize};
use solana_account::{Account, AccountSharedData, WritableAccount};
use solana_accounts_db::accounts_update_notifier_interface::AccountsUpdateNotifier;
use solana_geyser_plugin_manager::geyser_plugin_service::GeyserPluginService;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_runtime::bank::KeyedRewardsAndNumPartitions;
use solana_signer::Signer;
use solana_transaction::{Transaction, sanitized::SanitizedTransaction};
use std::{
    path::{Path, PathBuf},
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// Accounts that each thread writes in turn.
pub const ACCOUNTS: usize = 4_096;
/// Bytes of an account, as our jobs have.
const SIZE: usize = 300;
/// Updates of a bank of each thread where as many are made as there can be.
const BANK: u64 = 4_000;
/// Length of a bank where updates are paced.
const PACED: Duration = Duration::from_millis(100);
/// Blocks between the newest and finality.
const ROOTED: u64 = 32;

/// What is asked of the plugin.
pub struct Load {
    pub own: bool,
    pub threads: u64,
    pub rate: u64,
    pub seconds: u64,
}

/// What came of it; times in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub updates: u64,
    pub per_second: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    /// Median of a measurement of nothing.
    pub timer: u64,
    /// MiB with the plugin's library loaded, and the most there ever was.
    pub rss_before: u64,
    pub rss_most: u64,
    /// Processor seconds of our plugin's own thread.
    pub drain_seconds: f64,
    /// Seconds that the committing threads were in callbacks, all together.
    pub callback_seconds: f64,
    pub seconds: f64,
    pub found: Option<Found>,
}

/// Who made an update, in its account's first bytes.
pub struct Stamp {
    pub thread: u64,
    pub number: u64,
}

impl Stamp {
    pub fn read(data: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(data.get(at..at + 8)?.try_into().ok()?));
        Some(Self {
            thread: word(0)?,
            number: word(8)?,
        })
    }

    fn write(&self, data: &mut [u8]) {
        data[..8].copy_from_slice(&self.thread.to_le_bytes());
        data[8..16].copy_from_slice(&self.number.to_le_bytes());
    }
}

/// One committing thread.
struct Committer {
    thread: u64,
    accounts: Vec<(Pubkey, AccountSharedData)>,
    transaction: SanitizedTransaction,
    number: u64,
    times: Histogram,
}

impl Committer {
    fn new(thread: u64, own: bool) -> Self {
        let owner = match own {
            true => Pubkey::new_from_array(mythic_interface::AI_PRECOMPILES_ID),
            false => Keypair::new().pubkey(),
        };
        let account = || Account {
            lamports: 3_000_000,
            data: vec![7; SIZE],
            owner,
            executable: false,
            rent_epoch: u64::MAX,
        };
        let payer = Keypair::new();
        let transaction = Transaction::new_signed_with_payer(
            &[],
            Some(&payer.pubkey()),
            &[&payer],
            Default::default(),
        );
        Self {
            thread,
            accounts: (0..ACCOUNTS)
                .map(|_| (Keypair::new().pubkey(), account().into()))
                .collect(),
            transaction: SanitizedTransaction::from_transaction_for_tests(transaction),
            number: 0,
            times: Histogram::new(),
        }
    }

    /// Writes `count` accounts in a bank, `pause` apart.
    fn bank(&mut self, notifier: &AccountsUpdateNotifier, slot: u64, count: u64, pause: Duration) {
        let transaction = Some(&self.transaction);
        let mut due = Instant::now();
        for _ in 0..count {
            let (pubkey, account) = &mut self.accounts[self.number as usize % ACCOUNTS];
            let stamp = Stamp {
                thread: self.thread,
                number: self.number,
            };
            stamp.write(account.data_as_mut_slice());
            while !pause.is_zero() && Instant::now() < due {
                std::hint::spin_loop();
            }
            due += pause;
            let started = Instant::now();
            notifier.notify_account_update(slot, account, &transaction, pubkey, self.number);
            self.times.add(started.elapsed().as_nanos() as u64);
            self.number += 1;
        }
    }
}

/// Loads the plugin, runs the load, unloads it, and reads back what it wrote.
pub fn run(config: &Path, load: &Load, spool: Option<&Path>) -> Result<Outcome> {
    let mut committers: Vec<Committer> = (0..load.threads)
        .map(|thread| Committer::new(thread, load.own))
        .collect();
    let (_bank_notifications, receiver) = unbounded();
    let service = GeyserPluginService::new(receiver, false, &[PathBuf::from(config)])
        .map_err(|error| anyhow!("{}: {error:?}", config.display()))?;
    let notifier = service
        .get_accounts_update_notifier()
        .context("the plugin wants no accounts")?;
    notifier.notify_end_of_restore_from_snapshot();
    let rss_before = usage::memory("VmRSS")?;
    let started = Instant::now();
    banks(&service, &notifier, &mut committers, load)?;
    let elapsed = started.elapsed();
    let drain_seconds = usage::thread_seconds("mythicDrain")?;
    let rss_most = usage::memory("VmHWM")?;
    drop(notifier);
    drop(_bank_notifications);
    service.join().ok().context("unloading the plugin")?;
    let told: Vec<u64> = committers
        .iter()
        .map(|committer| committer.number)
        .collect();
    // Of other programs' accounts nothing is stored.
    let found = spool.map(|spool| oracle::read(spool, &told)).transpose()?;
    let mut times = Histogram::new();
    for committer in &committers {
        times.merge(&committer.times);
    }
    Ok(Outcome {
        updates: times.total(),
        per_second: (times.total() as f64 / elapsed.as_secs_f64()) as u64,
        p50: times.at(500),
        p99: times.at(990),
        p999: times.at(999),
        max: times.max(),
        timer: timer(),
        rss_before,
        rss_most,
        drain_seconds,
        callback_seconds: times.seconds(),
        seconds: elapsed.as_secs_f64(),
        found,
    })
}

/// Bank after bank: created, its accounts by all threads at once, frozen, processed, confirmed, rooted.
fn banks(
    service: &GeyserPluginService,
    notifier: &AccountsUpdateNotifier,
    committers: &mut [Committer],
    load: &Load,
) -> Result<()> {
    let slots = service
        .get_slot_status_notifier()
        .context("no slot statuses")?;
    let blocks = service.get_block_metadata_notifier().context("no blocks")?;
    let (count, pause) = match load.rate {
        0 => (BANK, Duration::ZERO),
        rate => {
            let pause = Duration::from_nanos(1_000_000_000 / rate);
            ((PACED.as_nanos() / pause.as_nanos()) as u64, pause)
        }
    };
    let end = Instant::now() + Duration::from_secs(load.seconds);
    let (begin, done) = (
        Barrier::new(committers.len() + 1),
        Barrier::new(committers.len() + 1),
    );
    let stop = AtomicBool::new(false);
    let slot_now = AtomicU64::new(0);
    let (begin, done, stop, slot_now) = (&begin, &done, &stop, &slot_now);
    std::thread::scope(|scope| {
        for committer in committers.iter_mut() {
            scope.spawn(move || {
                loop {
                    begin.wait();
                    if stop.load(SeqCst) {
                        return;
                    }
                    committer.bank(notifier, slot_now.load(SeqCst), count, pause);
                    done.wait();
                }
            });
        }
        let hash = |slot: u64| {
            let mut bytes = [1; 32];
            bytes[..8].copy_from_slice(&slot.to_le_bytes());
            Pubkey::new_from_array(bytes).to_string()
        };
        let rewards = KeyedRewardsAndNumPartitions {
            keyed_rewards: Vec::new(),
            num_partitions: None,
        };
        let told = slots.read().map_err(|_| anyhow!("slot statuses"));
        let mut slot = 1;
        while let (Ok(told), true) = (&told, Instant::now() < end) {
            told.notify_created_bank(slot, slot - 1);
            slot_now.store(slot, SeqCst);
            begin.wait();
            done.wait();
            let (parent, own) = (hash(slot - 1), hash(slot));
            blocks.notify_block_metadata(
                slot - 1,
                &parent,
                slot,
                &own,
                &rewards,
                Some(0),
                Some(slot),
                0,
                1,
                false,
            );
            told.notify_slot_processed(slot, Some(slot - 1));
            if slot > ROOTED {
                told.notify_slot_confirmed(slot - 1, None);
                told.notify_slot_rooted(slot - ROOTED, Some(slot - ROOTED - 1));
            }
            slot += 1;
        }
        stop.store(true, SeqCst);
        begin.wait();
        told.map(drop)
    })
}

fn timer() -> u64 {
    let mut times = Histogram::new();
    for _ in 0..100_000 {
        let started = Instant::now();
        times.add(std::hint::black_box(started).elapsed().as_nanos() as u64);
    }
    times.at(500)
}
