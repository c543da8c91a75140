//! The journal as the node's tasks use it: what it says can be read at any time, and one thread writes. Records that wait at the
//! same time share one wait for the disk.

use std::{sync::Arc, thread::JoinHandle};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::{mpsc, oneshot};

use super::journal::{Journal, JournalState, Record};

/// Records that wait to be written at most.
const QUEUE: usize = 4_096;
/// Records that share one wait for the disk at most.
const BATCH: usize = 256;

enum Command {
    /// With a place for the answer if the record must be on disk.
    Write(Box<Record>, Option<oneshot::Sender<bool>>),
    Stop,
}

/// Handle of the journal.
#[derive(Debug)]
pub struct Ledger {
    state: Arc<RwLock<JournalState>>,
    queue: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Ledger {
    /// Starts the thread that writes.
    pub fn start(journal: Journal) -> std::io::Result<Self> {
        let (queue, commands) = mpsc::channel(QUEUE);
        let state = journal.shared();
        let thread = std::thread::Builder::new()
            .name("mythic-journal".into())
            .spawn(move || write(journal, commands))?;
        Ok(Self {
            state,
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// What the journal says now.
    pub fn read(&self) -> RwLockReadGuard<'_, JournalState> {
        self.state.read()
    }

    /// Writes a record; true once it is on disk.
    pub async fn write(&self, record: Record) -> bool {
        let (told, answer) = oneshot::channel();
        match self
            .queue
            .send(Command::Write(Box::new(record), Some(told)))
            .await
        {
            Ok(()) => answer.await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Writes a record that may be lost with the machine.
    pub fn write_soft(&self, record: Record) {
        if self
            .queue
            .try_send(Command::Write(Box::new(record), None))
            .is_err()
        {
            tracing::warn!("the journal is behind; a record of no consequence is left out");
        }
    }

    /// Writes what waits and closes the file.
    pub async fn close(&self) {
        let _ = self.queue.send(Command::Stop).await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Ledger {
    /// The directory is free for another node when this returns.
    fn drop(&mut self) {
        (self.queue, _) = mpsc::channel(1);
        if let Some(thread) = self.thread.get_mut().take() {
            let _ = thread.join();
        }
    }
}

fn write(mut journal: Journal, mut commands: mpsc::Receiver<Command>) {
    let mut waiting = Vec::new();
    while let Some(first) = commands.blocking_recv() {
        let mut next = Some(first);
        let mut stop = false;
        while let Some(command) = next {
            match command {
                Command::Write(record, told) => {
                    let written = journal.append_soft(&record);
                    if let Err(error) = &written {
                        tracing::error!(%error, "journal can't be written");
                    }
                    waiting.extend(told.map(|told| (told, written.is_ok())));
                }
                Command::Stop => stop = true,
            }
            next = match stop || waiting.len() >= BATCH {
                true => None,
                false => commands.try_recv().ok(),
            };
        }
        if !waiting.is_empty() {
            let synced = journal.sync();
            if let Err(error) = &synced {
                tracing::error!(%error, "journal can't be written");
            }
            for (told, written) in waiting.drain(..) {
                let _ = told.send(written && synced.is_ok());
            }
        }
        if stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn records_are_on_disk_when_they_are_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Arc::new(Ledger::start(Journal::open(dir.path()).unwrap()).unwrap());
        let writes = (0..40).map(|_| {
            let ledger = ledger.clone();
            async move { ledger.write(Record::Fee { lamports: 5 }).await }
        });
        assert!(
            futures::future::join_all(writes)
                .await
                .iter()
                .all(|good| *good)
        );
        assert_eq!(ledger.read().money.fees_lamports, 200);
        ledger.write_soft(Record::Fee { lamports: 7 });
        ledger.close().await;
        assert!(!ledger.write(Record::Fee { lamports: 1 }).await, "closed");
        let again = Journal::open(dir.path()).unwrap();
        assert_eq!(again.state().money.fees_lamports, 207);
    }
}
