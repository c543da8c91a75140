//! What runs between load and unload: the callbacks' side. Every entry is wrapped: a panic that passed into the validator could
//! end it.

use crate::{
    calls::{Counts, Transaction},
    config::{ConfigError, PluginConfig, check_config, key32},
    drain::{Drain, Shared},
    foreign::Foreign,
    forward::Forward,
    implied::Implied,
    lanes::Lanes,
    losses::Losses,
    metrics::{Metrics, Server, render_forward},
    queue::{AccountRecord, Queue, Record, SealRecord, SlotRecord, TransactionRecord, queue},
    startup::Startup,
    told::{Banks, Block, Executed, Interface, Status, Update},
    tracked::Tracked,
};
use bytes::Bytes;
use mythic_stream::{
    proto::{LossReason, SlotStatus},
    spool::SpoolError,
};
use std::{
    net::SocketAddr,
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

/// Why the plugin does not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error("metrics_addr = {addr}: {source}")]
    Metrics {
        addr: SocketAddr,
        source: std::io::Error,
    },
    #[error("starting a thread: {0}")]
    Thread(std::io::Error),
    #[error("on_load panicked")]
    Panicked,
}

/// The plugin, whatever interface it is spoken to by.
#[derive(Debug)]
pub struct Core {
    interface: Interface,
    running: Option<Running>,
    metrics: Arc<Metrics>,
}

/// What exists between `on_load` and `on_unload`.
#[derive(Debug)]
struct Running {
    owners: Vec<[u8; 32]>,
    queue: Queue,
    lanes: Lanes,
    /// Of a validator that does not say when it creates a bank.
    implied: Option<Implied>,
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

impl Running {
    fn start(
        interface: Interface,
        config: &PluginConfig,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, LoadError> {
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
        let drain = Drain::open(interface.version, config, drained, shared)?;
        let forward = match &config.kafka {
            Some(kafka) => {
                let started = Forward::start(config, kafka, metrics.clone());
                Some(started.map_err(LoadError::Thread)?)
            }
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
                Some(started.map_err(|source| LoadError::Metrics { addr, source })?)
            }
            None => None,
        };
        let counted = metrics.clone();
        let drain = std::thread::Builder::new()
            .name("mythicDrain".into())
            .spawn(move || write_spool(|| drain.run(), &counted))
            .map_err(LoadError::Thread)?;
        Ok(Self {
            owners: config.owner_keys(),
            queue,
            lanes: Lanes::default(),
            implied: (interface.banks == Banks::Implied).then(Implied::default),
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

    fn account(&self, metrics: &Metrics, update: Option<Update<'_>>, slot: u64, is_startup: bool) {
        if !is_startup {
            self.begin(slot);
        }
        let Some(update) = update else {
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

    fn transaction<'a>(
        &self,
        metrics: &Metrics,
        transaction: Option<&impl Executed<'a>>,
        slot: u64,
    ) {
        let Some(counts) = &self.counts else {
            return;
        };
        let Some(transaction) = transaction else {
            return self.losses.add(LossReason::Transactions, slot);
        };
        counts.seen(slot);
        let Some(ours) = Transaction::ours(transaction, &self.owners) else {
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

    /// An account was written in `slot`: where the validator does not say so, that begins a bank.
    fn begin(&self, slot: u64) {
        let Some(implied) = &self.implied else {
            return;
        };
        if !self.lanes.is_open(slot) {
            let created = SlotStatus::CreatedBank.into();
            implied.begin(slot, || self.slot_status(slot, None, created));
        }
    }

    fn slot_status(&self, slot: u64, parent: Option<u64>, told: Status<'_>) {
        let status = told.status;
        let dead_reason = told.dead_reason.map(|reason| {
            let mut end = reason.len().min(MAX_REASON);
            while !reason.is_char_boundary(end) {
                end -= 1;
            }
            reason.get(..end).unwrap_or_default().to_owned()
        });
        // The validator says Processed when it has told all transactions of the bank; a root comes later still.
        let ends = match status {
            SlotStatus::Rooted => true,
            SlotStatus::Processed => self.implied.is_none(),
            _ => false,
        };
        let counts = self.counts.as_ref().filter(|_| ends);
        let told = counts.and_then(|counts| counts.close(slot));
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

    fn block(&self, block: &Block<'_>) {
        let slot = block.slot;
        let whole = match &self.implied {
            Some(implied) => implied.freeze(slot, block.parent_slot),
            None => true,
        };
        let Some((offered, dropped)) = self.lanes.close(slot).filter(|_| whole) else {
            return;
        };
        let (Some(blockhash), Some(parent_blockhash)) =
            (key32(block.blockhash), key32(block.parent_blockhash))
        else {
            self.losses.add(LossReason::Malformed, slot);
            return;
        };
        let record = SealRecord {
            slot,
            blockhash,
            parent_slot: block.parent_slot,
            parent_blockhash,
            block_time: block.block_time,
            block_height: block.block_height,
            offered,
            dropped,
            executed: block.executed_transactions,
        };
        if !self.queue.offer_slot(Record::Seal(record)) {
            self.losses.add(LossReason::SlotRecords, slot);
        }
    }
}

/// What the thread between queue and spool does. A panic is counted, and goes no further.
fn write_spool(run: impl FnOnce(), metrics: &Metrics) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        metrics.panics.fetch_add(1, Relaxed);
        log::error!(
            "the thread that writes the spool panicked: nothing is streamed until the plugin is reloaded"
        );
    }
}

impl Core {
    pub fn new(interface: Interface) -> Self {
        Self {
            interface,
            running: None,
            metrics: Arc::default(),
        }
    }

    /// Takes the validator's logger. A second load in one process finds it already there.
    pub fn setup_logger(&self, logger: &'static dyn log::Log, level: log::LevelFilter) {
        if log::set_logger(logger).is_ok() {
            log::set_max_level(level);
        }
    }

    /// Starts what the configuration file says; what ran before is ended first.
    pub fn load(&mut self, config_file: &str) -> Result<(), LoadError> {
        self.unload();
        let (interface, metrics) = (self.interface, self.metrics.clone());
        let start = || Running::start(interface, &check_config(config_file)?, &metrics);
        let started = catch_unwind(AssertUnwindSafe(start));
        self.running = Some(started.unwrap_or(Err(LoadError::Panicked))?);
        Ok(())
    }

    /// Ends the stream. All threads are joined.
    pub fn unload(&mut self) {
        if let Some(running) = self.running.take()
            && catch_unwind(AssertUnwindSafe(|| running.stop())).is_err()
        {
            self.metrics.panics.fetch_add(1, Relaxed);
        }
    }

    /// Runs a callback's body if the plugin is loaded; a panic is counted and goes no further.
    fn guard(&self, body: impl FnOnce(&Running)) {
        if let Some(running) = &self.running
            && catch_unwind(AssertUnwindSafe(|| body(running))).is_err()
        {
            self.metrics.panics.fetch_add(1, Relaxed);
        }
    }

    /// An account was written. `read` gives `None` where what was told is no account.
    pub fn account<'a>(
        &self,
        slot: u64,
        is_startup: bool,
        read: impl FnOnce() -> Option<Update<'a>>,
    ) {
        let started = Instant::now();
        self.guard(|running| running.account(&self.metrics, read(), slot, is_startup));
        self.metrics.observe(started.elapsed());
    }

    pub fn end_of_startup(&self) {
        self.guard(Running::end_of_startup);
    }

    pub fn slot_status(&self, slot: u64, parent: Option<u64>, status: Status<'_>) {
        self.guard(|running| running.slot_status(slot, parent, status));
    }

    /// Whether transactions are wanted.
    pub fn transactions(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|running| running.counts.is_some())
    }

    /// A transaction was executed; `None`: one that can't be read.
    pub fn transaction<'a>(&self, slot: u64, transaction: Option<&impl Executed<'a>>) {
        self.guard(|running| running.transaction(&self.metrics, transaction, slot));
    }

    /// A block is frozen.
    pub fn block(&self, block: &Block<'_>) {
        self.guard(|running| running.block(block));
    }

    /// A block is frozen of which too little is told to seal it: it names no parent.
    pub fn unlinked_block(&self, slot: u64) {
        self.guard(|running| running.losses.add(LossReason::Malformed, slot));
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.unload();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_thread_that_writes_the_spool_is_counted() {
        let metrics = Metrics::default();
        write_spool(|| {}, &metrics);
        assert_eq!(metrics.panics.load(Relaxed), 0);
        write_spool(|| panic!("as a defect would"), &metrics);
        assert_eq!(metrics.panics.load(Relaxed), 1);
    }
}
