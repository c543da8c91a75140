//! What logs hand over, and the thread that reads a spool.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mythic_stream::proto::Envelope;
use mythic_stream::spool::{Item, Position, Reader, ReaderConfig, SpoolError};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::IndexerError;
use crate::holder::{Missing, loss};

/// Envelopes handed over at once.
const CHUNK: usize = 4_096;
/// Chunks of each spool that may wait: what is read ahead is bounded.
const AHEAD: usize = 4;
/// Longest wait for envelopes before acknowledgements and a stop are looked at.
const WAIT: Duration = Duration::from_millis(100);

/// A record of a log and where it stood.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it starts: a restart from here reads it again.
    pub position: Position,
    /// Where the next one starts.
    pub next: Position,
    pub content: Content,
}

/// What a log has at a place.
#[derive(Clone, Debug)]
pub enum Content {
    Envelope(Envelope),
    /// Records that can't be had.
    Missing(Missing),
    /// A message that is no record, for people to look at. It has no place.
    Letter(Letter),
    /// What people should be told of the log. It has no place.
    Notice(String),
}

/// A message of Kafka that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub reason: String,
    /// Its length, and its first bytes.
    pub length: i64,
    pub bytes: Vec<u8>,
}

/// What one of several logs brought.
pub type Chunk = (usize, Result<Vec<Entry>, IndexerError>);

/// Where the chunks of all logs come in.
pub fn chunks(logs: usize) -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
    mpsc::channel(AHEAD * logs.max(1))
}

impl From<Item> for Entry {
    fn from(item: Item) -> Self {
        let content = match item.envelope {
            Ok(envelope) => Content::Envelope(envelope),
            Err(unreadable) => Content::Missing(Missing {
                records: unreadable.records,
                reason: loss::SPOOL_DAMAGED,
                what: unreadable.to_string(),
            }),
        };
        Self {
            position: item.position,
            next: item.next,
            content,
        }
    }
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
                    send(Err(e.into()));
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
    send: &impl Fn(Result<Vec<Entry>, IndexerError>) -> bool,
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
        if !items.is_empty() && !send(Ok(items.into_iter().map(Entry::from).collect())) {
            return Ok(());
        }
    }
}
