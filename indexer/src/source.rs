//! Reads each spool on a thread of its own and hands over what it reads.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mythic_stream::spool::{Item, Position, Reader, ReaderConfig, SpoolError};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Envelopes handed over at once.
const CHUNK: usize = 4_096;
/// Chunks of each spool that may wait: what is read ahead is bounded.
const AHEAD: usize = 4;
/// Longest wait for envelopes before acknowledgements and a stop are looked at.
const WAIT: Duration = Duration::from_millis(100);

/// What one of several spools brought.
pub type Chunk = (usize, Result<Vec<Item>, SpoolError>);

/// Where the chunks of all spools come in.
pub fn chunks(spools: usize) -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
    mpsc::channel(AHEAD * spools.max(1))
}

/// A spool being read. Dropping it stops the thread.
#[derive(Debug)]
pub struct Source {
    ack: Arc<Mutex<Option<Position>>>,
    _stop: DropGuard,
}

impl Source {
    /// Starts reading after a pause, at the start that `config` names. Chunks and the error that ends it go to `chunks`, with the
    /// spool's number.
    pub fn spawn(
        config: ReaderConfig,
        pause: Duration,
        number: usize,
        chunks: mpsc::Sender<Chunk>,
    ) -> std::io::Result<Self> {
        let ack = Arc::new(Mutex::new(None));
        let stop = CancellationToken::new();
        let (acks, stopped) = (ack.clone(), stop.clone());
        std::thread::Builder::new()
            .name("spool".into())
            .spawn(move || {
                std::thread::sleep(pause);
                let send = |chunk| {
                    !stopped.is_cancelled() && chunks.blocking_send((number, chunk)).is_ok()
                };
                if let Err(e) = read(config, &send, &acks, &stopped) {
                    // Nobody waits for the reason any more when this fails.
                    send(Err(e));
                }
            })?;
        Ok(Self {
            ack,
            _stop: stop.drop_guard(),
        })
    }

    /// Everything before `position` is committed.
    pub fn ack(&self, position: Position) {
        *self.ack.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }
}

fn read(
    config: ReaderConfig,
    send: &impl Fn(Result<Vec<Item>, SpoolError>) -> bool,
    acks: &Mutex<Option<Position>>,
    stopped: &CancellationToken,
) -> Result<(), SpoolError> {
    let mut reader = Reader::open(config)?;
    // It can be read, even if nothing comes for long.
    if !send(Ok(Vec::new())) {
        return Ok(());
    }
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
        if !items.is_empty() && !send(Ok(items)) {
            return Ok(());
        }
    }
}
