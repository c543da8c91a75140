//! The one thread between queue and spool: numbers, seals, syncs, tells losses.

use crate::{
    config::{PluginConfig, key32},
    losses::Losses,
    metrics::Metrics,
    queue::{AccountRecord, Drained, Record, TransactionRecord},
    sequencer::Sequencer,
    startup::Startup,
    tracked::{Tracked, TrackedFile},
};
use bytes::Bytes;
use crossbeam_channel::TryRecvError;
use mythic_stream::{
    proto::{AccountUpdate, BaseEnd, End, Event, LossReason, Start},
    spool::{FsyncPolicy, Room, SpoolError, Writer},
};
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Records handled between two looks at the clock.
const BATCH: usize = 1024;
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Pause before an empty queue is looked into again. Nobody waits inside the queue: whoever fills it would have to wake him, and that is a
/// system call on a thread of the validator that commits (at 20,000 updates a second it made the slowest hundredth two to three times as slow).
const LOOK: Duration = Duration::from_millis(2);
/// Pause before a start-up account is offered to the spool again.
const AGAIN: Duration = Duration::from_millis(10);

/// What the callbacks and the drain thread share, beside the queue.
#[derive(Clone)]
pub(crate) struct Shared {
    pub tracked: Arc<Tracked>,
    pub losses: Arc<Losses>,
    pub startup: Arc<Startup>,
    pub metrics: Arc<Metrics>,
}

pub(crate) struct Drain {
    queue: Drained,
    writer: Writer,
    sequencer: Sequencer,
    tracked: Arc<Tracked>,
    tracked_file: TrackedFile,
    losses: Arc<Losses>,
    startup: Arc<Startup>,
    metrics: Arc<Metrics>,
    /// What is written is brought to the disk.
    durable: bool,
    complained_at: Option<Instant>,
}

impl Drain {
    /// Opens the spool and writes the run's `Start`.
    pub fn open(
        interface: &str,
        config: &PluginConfig,
        queue: Drained,
        shared: Shared,
    ) -> Result<Self, SpoolError> {
        let Shared {
            tracked,
            losses,
            startup,
            metrics,
        } = shared;
        let mut writer = Writer::open(config.writer(), *uuid::Uuid::new_v4().as_bytes())?;
        let tracked_file =
            TrackedFile::open(&config.spool_dir, &tracked).map_err(|source| SpoolError::Io {
                path: config.spool_dir.join("tracked"),
                source,
            })?;
        let filter_hash = mythic_stream::digest::filter_hash(&config.owner_keys());
        let start = Start {
            genesis_hash: key32(&config.genesis_hash)
                .map(|hash| hash.to_vec().into())
                .unwrap_or_default(),
            filter_hash: filter_hash.to_vec().into(),
            interface: interface.into(),
            plugin: env!("CARGO_PKG_VERSION").into(),
            primed: tracked_file.primed(),
        };
        writer.append(Event::Start(start), Room::Reserved)?;
        writer.sync()?;
        for notice in writer.take_notices() {
            log::warn!("{notice}");
        }
        metrics.spool(&writer.stats(), tracked.len());
        Ok(Self {
            queue,
            writer,
            sequencer: Sequencer::new(filter_hash, config.transactions),
            tracked,
            tracked_file,
            losses,
            startup,
            metrics,
            durable: config.fsync != FsyncPolicy::Never,
            complained_at: None,
        })
    }

    /// Runs until the plugin drops its end of the queue, then writes `End`.
    pub fn run(mut self) {
        let mut kept_house_at = Instant::now();
        loop {
            match self.queue.receiver.try_recv() {
                Ok(record) => {
                    self.handle(record);
                    for _ in 1..BATCH {
                        match self.queue.receiver.try_recv() {
                            Ok(record) => self.handle(record),
                            Err(_) => break,
                        }
                    }
                }
                Err(TryRecvError::Empty) => {
                    std::thread::sleep(self.writer.sync_due().unwrap_or(LOOK).min(LOOK));
                }
                Err(TryRecvError::Disconnected) => break,
            }
            self.tell_losses();
            if self.writer.sync_due() == Some(Duration::ZERO) {
                self.sync();
            }
            if kept_house_at.elapsed() >= HOUSEKEEPING {
                kept_house_at = Instant::now();
                self.keep_house();
            }
        }
        self.tell_losses();
        let end = self.writer.append(Event::End(End {}), Room::Reserved);
        self.complain("the run's end", end.map(drop));
        self.sync();
        self.keep_house();
    }

    fn handle(&mut self, record: Record) {
        self.queue.release(&record);
        match record {
            Record::Account(update) => self.account(update),
            Record::Transaction(transaction) => self.transaction(transaction),
            Record::Slot(record) => {
                let slot = record.slot;
                if let Some(told) = record.told {
                    self.sequencer.told(slot, told);
                    // A root ends the wait for it.
                    self.seal_transactions(slot);
                }
                let (update, closed) = self.sequencer.slot(record);
                self.untrack(closed);
                self.append_slot(Event::Slot(update), slot);
            }
            Record::Seal(record) => {
                // A bank's losses stand before its seal.
                self.tell_losses();
                match self.sequencer.seal(&record) {
                    Some(seal) => {
                        self.append_slot(Event::Seal(seal), record.slot);
                        self.seal_transactions(record.slot);
                    }
                    None => self.losses.add(LossReason::SlotRecords, record.slot),
                }
            }
            Record::BaseEnd { slot, count } => {
                let closed = self.sequencer.base_end();
                self.untrack(closed);
                self.tracked_file.set_primed(&self.tracked);
                self.tell_losses();
                self.append_slot(Event::BaseEnd(BaseEnd { slot, count }), slot);
            }
        }
    }

    fn account(&mut self, update: AccountRecord) {
        if update.newly_tracked {
            self.tracked_file.add(&update.pubkey);
        }
        let Some(generation) = self.sequencer.generation(&update) else {
            self.losses.add(LossReason::AfterSeal, update.slot);
            return;
        };
        match self.store(&update, generation) {
            Ok(_) => self.sequencer.stored(&update),
            Err(e) => {
                self.sequencer.lost(&update);
                self.losses.add(LossReason::SpoolFull, update.slot);
                self.complain("account updates", Err(e));
            }
        }
    }

    fn transaction(&mut self, transaction: TransactionRecord) {
        let mut update = transaction.update;
        let slot = update.slot;
        match self.sequencer.generation_of_transaction(slot) {
            // Of a bank that gets no seal.
            Ok(None) => return,
            Ok(Some(generation)) => update.generation = generation,
            Err(()) => return self.losses.add(LossReason::Transactions, slot),
        }
        let stored = self
            .writer
            .append(Event::Transaction(*update), Room::Ordinary);
        if let Err(e) = stored {
            self.sequencer.lost_transaction(slot);
            self.losses.add(LossReason::Transactions, slot);
            self.complain("transactions", Err(e));
        }
    }

    fn seal_transactions(&mut self, slot: u64) {
        let Some(seal) = self.sequencer.transaction_seal(slot) else {
            return;
        };
        self.tell_losses();
        let event = Event::TransactionSeal(seal);
        if let Err(e) = self.writer.append(event, Room::Reserved) {
            self.losses.add(LossReason::Transactions, slot);
            self.complain("seals of transactions", Err(e));
        }
    }

    /// Appends an update. One of start-up waits while the spool refuses; nothing else is waiting then.
    fn store(&mut self, update: &AccountRecord, generation: u32) -> Result<(), SpoolError> {
        let startup = self.startup.clone();
        let mut clock = update.is_startup.then(|| startup.clock());
        let room = match update.is_startup {
            true => Room::Startup,
            false => Room::Ordinary,
        };
        loop {
            let stored = self.writer.append(account_event(update, generation), room);
            match (stored, &mut clock) {
                (Ok(_), None) => return Ok(()),
                (Ok(_), Some(_)) => {
                    startup.stored();
                    return Ok(());
                }
                (Err(e @ SpoolError::TooLarge(_)), _) | (Err(e), None) => return Err(e),
                (Err(e), Some(clock)) => {
                    if clock.ran_out() {
                        return Err(e);
                    }
                    self.complain("start-up accounts yet, which wait", Err(e));
                    std::thread::sleep(AGAIN);
                    // Readers make room once they see what there is.
                    self.sync();
                    let reaped = self.writer.reap();
                    self.complain("the deletion of read segments", reaped);
                }
            }
        }
    }

    fn append_slot(&mut self, event: Event, slot: u64) {
        if let Err(e) = self.writer.append(event, Room::Reserved) {
            self.losses.add(LossReason::SlotRecords, slot);
            self.complain("slot records", Err(e));
        }
    }

    fn untrack(&mut self, closed: Vec<([u8; 32], u64)>) {
        for (pubkey, slot) in closed {
            if self.tracked.closed(&pubkey, slot) {
                self.tracked_file.remove(&pubkey);
            }
        }
    }

    fn tell_losses(&mut self) {
        for loss in self.losses.take() {
            if self
                .writer
                .append(Event::Loss(loss), Room::Reserved)
                .is_err()
            {
                self.losses.put_back(&loss);
            }
        }
    }

    fn sync(&mut self) {
        let saved = self.tracked_file.save(&self.tracked, self.durable);
        if let Err(e) = saved {
            self.complain_text(format!("the set of tracked accounts was not saved: {e}"));
        }
        let synced = self.writer.sync();
        self.complain("what was buffered", synced);
    }

    fn keep_house(&mut self) {
        let reaped = self.writer.reap();
        self.complain("the deletion of read segments", reaped);
        for notice in self.writer.take_notices() {
            log::error!("{notice}");
        }
        self.metrics.spool(&self.writer.stats(), self.tracked.len());
    }

    fn complain(&mut self, what: &str, result: Result<(), SpoolError>) {
        if let Err(e) = result {
            self.metrics.spool_errors.fetch_add(1, Relaxed);
            self.complain_text(format!("the spool did not take {what}: {e}"));
        }
    }

    /// Once a second at most: a full disk fails for every update.
    fn complain_text(&mut self, text: String) {
        if self
            .complained_at
            .is_none_or(|at| at.elapsed() >= HOUSEKEEPING)
        {
            self.complained_at = Some(Instant::now());
            log::error!("{text}");
        }
    }
}

fn account_event(update: &AccountRecord, generation: u32) -> Event {
    let signature = update.signature.as_ref();
    Event::Account(AccountUpdate {
        slot: update.slot,
        generation,
        write_version: update.write_version,
        pubkey: Bytes::copy_from_slice(&update.pubkey),
        owner: Bytes::copy_from_slice(&update.owner),
        lamports: update.lamports,
        data: update.data.clone(),
        is_startup: update.is_startup,
        signature: signature
            .map(|signature| Bytes::copy_from_slice(signature))
            .unwrap_or_default(),
    })
}
