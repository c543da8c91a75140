//! Adapts the `GeyserPlugin` trait. Every callback is wrapped: a panic that passed into the
//! validator could end it.

use crate::{
    calls::{Counts, Transaction},
    config::{PluginConfig, check_config, key32},
    drain::{Drain, Shared},
    foreign::Foreign,
    forward::Forward,
    lanes::Lanes,
    losses::Losses,
    metrics::{Metrics, Server, render_forward},
    queue::{AccountRecord, Queue, Record, SealRecord, SlotRecord, TransactionRecord, queue},
    startup::Startup,
    tracked::Tracked,
};
use agave_geyser_plugin_interface::geyser_plugin_interface::{
    GeyserPlugin, GeyserPluginError, ReplicaAccountInfoVersions, ReplicaBlockInfoVersions,
    ReplicaTransactionInfoVersions, Result, SlotStatus as AgaveStatus,
};
use bytes::Bytes;
use mythic_stream::proto::{LossReason, SlotStatus};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Instant,
};

/// Longest reason of a dead slot that is kept, in bytes.
const MAX_REASON: usize = 1024;

/// The plugin as the validator sees it.
#[derive(Debug, Default)]
pub struct Plugin {
    running: Option<Running>,
    metrics: Arc<Metrics>,
}

/// What exists between `on_load` and `on_unload`.
#[derive(Debug)]
struct Running {
    owners: Vec<[u8; 32]>,
    queue: Queue,
    lanes: Lanes,
    /// None if transactions are not streamed.
    counts: Option<Counts>,
    tracked: Arc<Tracked>,
    losses: Arc<Losses>,
    startup: Arc<Startup>,
    foreign: Foreign,
    base_count: AtomicU64,
    base_slot: AtomicU64,
    drain: JoinHandle<()>,
    forward: Option<Forward>,
    server: Option<Server>,
}

/// The parts of an account update, whichever version the validator speaks.
struct Update<'a> {
    pubkey: &'a [u8; 32],
    owner: &'a [u8; 32],
    lamports: u64,
    data: &'a [u8],
    write_version: u64,
    signature: Option<[u8; 64]>,
}

impl<'a> Update<'a> {
    fn read(account: &ReplicaAccountInfoVersions<'a>) -> Option<Self> {
        let (pubkey, owner, lamports, data, write_version, signature) = match account {
            ReplicaAccountInfoVersions::V0_0_1(a) => {
                (a.pubkey, a.owner, a.lamports, a.data, a.write_version, None)
            }
            ReplicaAccountInfoVersions::V0_0_2(a) => (
                a.pubkey,
                a.owner,
                a.lamports,
                a.data,
                a.write_version,
                a.txn_signature.map(|signature| *signature.as_array()),
            ),
            ReplicaAccountInfoVersions::V0_0_3(a) => (
                a.pubkey,
                a.owner,
                a.lamports,
                a.data,
                a.write_version,
                a.txn.map(|transaction| *transaction.signature().as_array()),
            ),
        };
        Some(Self {
            pubkey: pubkey.try_into().ok()?,
            owner: owner.try_into().ok()?,
            lamports,
            data,
            write_version,
            signature,
        })
    }
}

impl Running {
    fn start(config: &PluginConfig, metrics: &Arc<Metrics>) -> Result<Self> {
        let custom = |e: Box<dyn std::error::Error + Send + Sync>| GeyserPluginError::Custom(e);
        let startup = Arc::new(Startup::new(config.startup_wait()));
        let (queue, drained) = queue(
            config.queue_records,
            config.queue_max_bytes,
            startup.clone(),
        );
        let tracked = Arc::new(Tracked::default());
        let losses = Arc::new(Losses::default());
        let shared = Shared {
            tracked: tracked.clone(),
            losses: losses.clone(),
            startup: startup.clone(),
            metrics: metrics.clone(),
        };
        let drain = Drain::open(config, drained, shared).map_err(|e| custom(e.into()))?;
        let forward = match &config.kafka {
            Some(kafka) => Some(Forward::start(config, kafka, metrics.clone())?),
            None => None,
        };
        let server = match config.metrics_addr {
            Some(addr) => {
                let (metrics, depth, losses) = (metrics.clone(), queue.depth(), losses.clone());
                let forwarded = forward.as_ref().map(Forward::stats);
                let render = move || {
                    let mut text = metrics.render(&depth, &losses);
                    if let Some(forwarded) = &forwarded {
                        text.push_str(&render_forward(forwarded));
                    }
                    text
                };
                let started = Server::start(addr, render);
                Some(started.map_err(|e| custom(format!("metrics_addr = {addr}: {e}").into()))?)
            }
            None => None,
        };
        let drain = std::thread::Builder::new()
            .name("mythicDrain".into())
            .spawn(move || {
                if catch_unwind(AssertUnwindSafe(|| drain.run())).is_err() {
                    log::error!("the thread that writes the spool panicked: nothing is streamed until the plugin is reloaded");
                }
            })?;
        Ok(Self {
            owners: config.owner_keys(),
            queue,
            lanes: Lanes::default(),
            counts: config.transactions.then(Counts::default),
            tracked,
            losses,
            startup,
            foreign: Foreign::default(),
            base_count: AtomicU64::new(0),
            base_slot: AtomicU64::new(0),
            drain,
            forward,
            server,
        })
    }

    /// Ends the stream: what is queued is written, then `End`; all threads are joined.
    fn stop(self) {
        let Self {
            queue,
            startup,
            drain,
            forward,
            server,
            ..
        } = self;
        startup.give_up();
        drop(queue);
        if drain.join().is_err() {
            log::error!("the thread that writes the spool could not be joined");
        }
        // After the run's end is in the spool.
        drop(forward);
        drop(server);
    }

    fn account(
        &self,
        metrics: &Metrics,
        account: &ReplicaAccountInfoVersions,
        slot: u64,
        is_startup: bool,
    ) {
        let Some(update) = Update::read(account) else {
            if is_startup {
                // It may have been ours: the base is not whole.
                self.base_count.fetch_add(1, Relaxed);
            }
            self.losses.add(LossReason::Malformed, slot);
            return;
        };
        let ours = self.owners.contains(update.owner);
        let live = ours && update.lamports > 0;
        if is_startup {
            self.base_slot.fetch_max(slot, Relaxed);
            if !ours {
                self.foreign
                    .see(update.pubkey, update.owner, update.data, slot);
            }
        }
        let newly_tracked = live && self.tracked.seen_alive(update.pubkey, slot);
        // Start-up rows come in any order: a closed row may stand before the older version it ends. Each of the two is
        // noted before the other is looked for, so that one of them sees the other.
        let passes = match ours {
            true => !(is_startup && live && self.foreign.ended(update.pubkey, slot)),
            false => is_startup && update.lamports == 0 || self.tracked.contains(update.pubkey),
        };
        if !passes {
            return;
        }
        if is_startup {
            self.base_count.fetch_add(1, Relaxed);
        } else {
            self.lanes.offered(slot);
        }
        metrics.updates.fetch_add(1, Relaxed);
        metrics.bytes.fetch_add(update.data.len() as u64, Relaxed);
        let size = update.data.len();
        let record = || {
            Record::Account(AccountRecord {
                slot,
                write_version: update.write_version,
                pubkey: *update.pubkey,
                owner: *update.owner,
                lamports: update.lamports,
                data: Bytes::copy_from_slice(update.data),
                signature: update.signature,
                is_startup,
                live,
                newly_tracked,
            })
        };
        let taken = match is_startup {
            true => self.startup.until_taken(|| self.queue.offer(size, record)),
            false => self.queue.offer(size, record),
        };
        if !taken {
            if newly_tracked {
                self.tracked.stale.store(true, Relaxed);
            }
            if !is_startup {
                self.lanes.dropped(slot);
            }
            self.losses.add(LossReason::QueueFull, slot);
        }
    }

    fn transaction(
        &self,
        metrics: &Metrics,
        transaction: &ReplicaTransactionInfoVersions,
        slot: u64,
    ) {
        let Some(counts) = &self.counts else {
            return;
        };
        let ReplicaTransactionInfoVersions::V0_0_3(info) = transaction else {
            // A validator of this interface tells no older version.
            return self.losses.add(LossReason::Transactions, slot);
        };
        counts.seen(slot);
        let Some(ours) = Transaction::ours(info, &self.owners) else {
            return;
        };
        counts.offered(slot);
        metrics.transactions.fetch_add(1, Relaxed);
        let size = ours.size();
        let record = || {
            let mut update = Box::new(ours.copy());
            update.slot = slot;
            Record::Transaction(TransactionRecord { update, size })
        };
        if !self.queue.offer(size, record) {
            counts.dropped(slot);
            self.losses.add(LossReason::Transactions, slot);
        }
    }

    fn end_of_startup(&self) {
        let (slot, count) = (self.base_slot.load(Relaxed), self.base_count.load(Relaxed));
        if !self.foreign.forget() {
            log::warn!(
                "more start-up accounts of the system program than are remembered: an account that was closed and sent lamports may be shown as open"
            );
        }
        if !self.queue.offer_slot(Record::BaseEnd { slot, count }) {
            self.losses.add(LossReason::SlotRecords, slot);
        }
    }

    fn slot_status(&self, slot: u64, parent: Option<u64>, status: &AgaveStatus) {
        let (status, dead_reason) = match status {
            AgaveStatus::Processed => (SlotStatus::Processed, None),
            AgaveStatus::Rooted => (SlotStatus::Rooted, None),
            AgaveStatus::Confirmed => (SlotStatus::Confirmed, None),
            AgaveStatus::FirstShredReceived => (SlotStatus::FirstShredReceived, None),
            AgaveStatus::Completed => (SlotStatus::Completed, None),
            AgaveStatus::CreatedBank => (SlotStatus::CreatedBank, None),
            AgaveStatus::Dead(reason) => {
                let mut end = reason.len().min(MAX_REASON);
                while !reason.is_char_boundary(end) {
                    end -= 1;
                }
                let reason = reason.get(..end).unwrap_or_default();
                (SlotStatus::Dead, Some(reason.to_owned()))
            }
        };
        // The validator says Processed when it has told all transactions of the bank; a root comes later still.
        let told = match (&self.counts, status) {
            (Some(counts), SlotStatus::Processed | SlotStatus::Rooted) => counts.close(slot),
            _ => None,
        };
        let record = SlotRecord {
            slot,
            parent,
            status,
            dead_reason,
            told,
        };
        let taken = self.queue.offer_slot(Record::Slot(record));
        if !taken {
            self.losses.add(LossReason::SlotRecords, slot);
        }
        if status == SlotStatus::CreatedBank {
            // Counts of two banks must not mix: without its creation a bank gets no seal.
            match taken {
                true => self.lanes.open(slot),
                false => drop(self.lanes.close(slot)),
            }
            match &self.counts {
                Some(counts) if taken => counts.open(slot),
                Some(counts) => drop(counts.close(slot)),
                None => {}
            }
        }
    }

    fn block(&self, block: &ReplicaBlockInfoVersions) {
        // Version 1 names no parent: such a bank can't be linked and is not sealed.
        let (slot, hash, parent, parent_hash, time, height, executed) = match block {
            ReplicaBlockInfoVersions::V0_0_1(b) => {
                self.losses.add(LossReason::Malformed, b.slot);
                return;
            }
            ReplicaBlockInfoVersions::V0_0_2(b) => (
                b.slot,
                b.blockhash,
                b.parent_slot,
                b.parent_blockhash,
                b.block_time,
                b.block_height,
                // Not told: nothing is known to be missing.
                0,
            ),
            ReplicaBlockInfoVersions::V0_0_3(b) => (
                b.slot,
                b.blockhash,
                b.parent_slot,
                b.parent_blockhash,
                b.block_time,
                b.block_height,
                b.executed_transaction_count,
            ),
            ReplicaBlockInfoVersions::V0_0_4(b) => (
                b.slot,
                b.blockhash,
                b.parent_slot,
                b.parent_blockhash,
                b.block_time,
                b.block_height,
                b.executed_transaction_count,
            ),
        };
        let Some((offered, dropped)) = self.lanes.close(slot) else {
            return;
        };
        let (Some(blockhash), Some(parent_blockhash)) = (key32(hash), key32(parent_hash)) else {
            self.losses.add(LossReason::Malformed, slot);
            return;
        };
        let record = SealRecord {
            slot,
            blockhash,
            parent_slot: parent,
            parent_blockhash,
            block_time: time,
            block_height: height,
            offered,
            dropped,
            executed,
        };
        if !self.queue.offer_slot(Record::Seal(record)) {
            self.losses.add(LossReason::SlotRecords, slot);
        }
    }
}

impl Plugin {
    /// Runs a callback's body if the plugin is loaded; a panic is counted and goes no further.
    fn guard(&self, body: impl FnOnce(&Running)) -> Result<()> {
        if let Some(running) = &self.running
            && catch_unwind(AssertUnwindSafe(|| body(running))).is_err()
        {
            self.metrics.panics.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    fn unload(&mut self) {
        if let Some(running) = self.running.take()
            && catch_unwind(AssertUnwindSafe(|| running.stop())).is_err()
        {
            self.metrics.panics.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        self.unload();
    }
}

impl GeyserPlugin for Plugin {
    fn setup_logger(&self, logger: &'static dyn log::Log, level: log::LevelFilter) -> Result<()> {
        // A second load in one process finds the logger already there.
        if log::set_logger(logger).is_ok() {
            log::set_max_level(level);
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "mythic"
    }

    fn on_load(&mut self, config_file: &str, _is_reload: bool) -> Result<()> {
        self.unload();
        let metrics = self.metrics.clone();
        let start = || {
            let config = check_config(config_file)
                .map_err(|e| GeyserPluginError::ConfigFileReadError { msg: e.to_string() })?;
            Running::start(&config, &metrics)
        };
        match catch_unwind(AssertUnwindSafe(start)) {
            Ok(started) => self.running = Some(started?),
            Err(_) => return Err(GeyserPluginError::Custom("on_load panicked".into())),
        }
        Ok(())
    }

    fn on_unload(&mut self) {
        self.unload();
    }

    fn update_account(
        &self,
        account: ReplicaAccountInfoVersions,
        slot: u64,
        is_startup: bool,
    ) -> Result<()> {
        let started = Instant::now();
        let done = self.guard(|running| running.account(&self.metrics, &account, slot, is_startup));
        self.metrics.observe(started.elapsed());
        done
    }

    fn notify_end_of_startup(&self) -> Result<()> {
        self.guard(Running::end_of_startup)
    }

    fn update_slot_status(
        &self,
        slot: u64,
        parent: Option<u64>,
        status: &AgaveStatus,
    ) -> Result<()> {
        self.guard(|running| running.slot_status(slot, parent, status))
    }

    fn transaction_notifications_enabled(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.counts.is_some())
    }

    fn notify_transaction(
        &self,
        transaction: ReplicaTransactionInfoVersions,
        slot: u64,
    ) -> Result<()> {
        self.guard(|running| running.transaction(&self.metrics, &transaction, slot))
    }

    fn notify_block_metadata(&self, block: ReplicaBlockInfoVersions) -> Result<()> {
        self.guard(|running| running.block(&block))
    }
}
