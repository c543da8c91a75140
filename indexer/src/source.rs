//! Reads the spool on a thread of its own and hands over what it reads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mythic_stream::spool::{Item, Position, Reader, ReaderConfig, SpoolError};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Envelopes handed over at once.
const CHUNK: usize = 4_096;
/// Chunks that may wait: what is read ahead is bounded.
const AHEAD: usize = 4;
/// Longest wait for envelopes before acknowledgements and a stop are looked at.
const WAIT: Duration = Duration::from_millis(100);

/// A spool being read. Dropping it stops the thread.
#[derive(Debug)]
pub struct Source {
    chunks: mpsc::Receiver<Result<Vec<Item>, SpoolError>>,
    ack: Arc<Mutex<Option<Position>>>,
    _stop: DropGuard,
}

impl Source {
    /// Starts reading at `start`; without one, at the oldest envelope.
    pub fn spawn(dir: PathBuf, name: String, start: Option<Position>) -> std::io::Result<Self> {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let ack = Arc::new(Mutex::new(None));
        let stop = CancellationToken::new();
        let (acks, stopped) = (ack.clone(), stop.clone());
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || {
                if let Err(e) = read(ReaderConfig { dir, name, start }, &sender, &acks, &stopped) {
                    // The receiver is gone only when nobody waits for the reason any more.
                    let _ = sender.blocking_send(Err(e));
                }
            })?;
        Ok(Self {
            chunks,
            ack,
            _stop: stop.drop_guard(),
        })
    }

    /// The next envelopes; `None` when the reader has ended.
    pub async fn next(&mut self) -> Option<Result<Vec<Item>, SpoolError>> {
        self.chunks.recv().await
    }

    /// Everything before `position` is committed.
    pub fn ack(&self, position: Position) {
        *self.ack.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}

fn read(
    config: ReaderConfig,
    sender: &mpsc::Sender<Result<Vec<Item>, SpoolError>>,
    acks: &Mutex<Option<Position>>,
    stopped: &CancellationToken,
) -> Result<(), SpoolError> {
    let mut reader = Reader::open(config)?;
    let mut acked: Option<Position> = None;
    loop {
        let ack = *acks.lock().unwrap_or_else(PoisonError::into_inner);
        // Segments are what an acknowledgement frees; within one it is only news for a restart without database.
        if let Some(position) = ack
            && acked.is_none_or(|a| {
                a.segment != position.segment || position.offset.saturating_sub(a.offset) > 1 << 20
            })
        {
            reader.ack(&position)?;
            acked = ack;
        }
        if stopped.is_cancelled() {
            return match ack {
                Some(position) => reader.ack(&position),
                None => Ok(()),
            };
        }
        let items = reader.next_batch(CHUNK, WAIT)?;
        if !items.is_empty() && sender.blocking_send(Ok(items)).is_err() {
            return Ok(());
        }
    }
}
