//! The reading side: tails the durable part of a spool from a position, and acknowledges.

use super::{
    error::SpoolError,
    format::{self, FRAME_HEAD, Frame, HEADER_LEN, Header},
    position::Position,
    records::{Ack, Mark, make_dirs},
    writer::oldest,
};
use crate::proto::Envelope;
use bytes::Bytes;
use prost::Message;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Bytes read at once; account data of a batch are slices of these blocks.
const BLOCK: usize = 1 << 20;
/// How often a reader says that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Bounds of the pause between looks at the mark.
const LOOK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));

/// How a spool is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderConfig {
    /// Directory of the spool; may be still empty.
    pub dir: PathBuf,
    /// This reader's name: 1 to 64 of a-z, 0-9, - and _. Each consumer has its own.
    pub name: String,
    /// First envelope wanted; `None` = the oldest there is.
    pub start: Option<Position>,
}

/// One envelope and where it lay.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it starts: a restart from here reads it again.
    pub position: Position,
    /// Where the next one starts: acknowledge this once it is committed.
    pub next: Position,
    /// The envelope. `Err` when a frame with a good checksum does not decode, which a consumer treats
    /// as a loss of unknown content.
    pub envelope: Result<Envelope, prost::DecodeError>,
}

/// Tails one spool. Blocking; run it on a thread of its own.
#[derive(Debug)]
pub struct Reader {
    config: ReaderConfig,
    cursor: Option<Cursor>,
    acked: Option<Position>,
    beat_at: Instant,
}

#[derive(Debug)]
struct Cursor {
    file: File,
    at: Position,
}

impl Reader {
    /// Opens a reader and registers it, so that the writer keeps what it has not acknowledged.
    /// The spool's directory is made if no writer was there yet.
    pub fn open(config: ReaderConfig) -> Result<Self, SpoolError> {
        Ack::check_name(&config.name)?;
        make_dirs(&config.dir)?;
        let mut reader = Self {
            config,
            cursor: None,
            acked: None,
            beat_at: Instant::now(),
        };
        let first = match reader.config.start {
            Some(start) => Some(start),
            None => oldest(&reader.config.dir)?,
        };
        if let Some(first) = first {
            reader.ack(&first)?;
        }
        Ok(reader)
    }

    /// Waits up to `timeout` for envelopes and returns at most `max` of them, none on timeout.
    ///
    /// # Errors
    /// [`SpoolError::Lost`] when the position is gone: open another reader at `oldest` and treat what
    /// lies between as a gap. [`SpoolError::Corrupt`] when durable frames don't read back.
    pub fn next_batch(&mut self, max: usize, timeout: Duration) -> Result<Vec<Item>, SpoolError> {
        let deadline = Instant::now() + timeout;
        let mut pause = LOOK.0;
        loop {
            let items = self.poll(max)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !items.is_empty() || left.is_zero() {
                return Ok(items);
            }
            self.heartbeat()?;
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LOOK.1);
        }
    }

    /// Like [`Self::next_batch`] without waiting.
    pub fn poll(&mut self, max: usize) -> Result<Vec<Item>, SpoolError> {
        let mut items = Vec::new();
        let Some(mark) = Mark::read(&self.config.dir)? else {
            return Ok(items);
        };
        while items.len() < max {
            let Some(mut cursor) = self.open_cursor()? else {
                break;
            };
            let number = cursor.at.segment;
            let end = if number < mark.segment {
                cursor.length()?
            } else if number == mark.segment {
                mark.offset
            } else {
                self.cursor = Some(cursor);
                break;
            };
            if cursor.at.offset > end {
                return Err(self.lost(cursor.at));
            }
            if cursor.at.offset < end {
                let read = cursor.read(end, max - items.len(), &mut items);
                self.cursor = Some(cursor);
                read?;
            } else if number < mark.segment {
                self.cursor = Some(self.following(cursor.at)?);
            } else {
                self.cursor = Some(cursor);
                break;
            }
        }
        Ok(items)
    }

    /// Stores that everything before `position` is committed.
    pub fn ack(&mut self, position: &Position) -> Result<(), SpoolError> {
        Ack::write(&self.config.dir, &self.config.name, position)?;
        self.acked = Some(*position);
        self.beat_at = Instant::now();
        Ok(())
    }

    /// Where the next envelope will be read; `None` while the spool is empty.
    pub fn position(&self) -> Option<Position> {
        self.cursor
            .as_ref()
            .map(|cursor| cursor.at)
            .or(self.config.start)
    }

    fn heartbeat(&mut self) -> Result<(), SpoolError> {
        match self.acked {
            Some(position) if self.beat_at.elapsed() > HEARTBEAT => self.ack(&position),
            _ => Ok(()),
        }
    }

    fn open_cursor(&mut self) -> Result<Option<Cursor>, SpoolError> {
        if let Some(cursor) = self.cursor.take() {
            return Ok(Some(cursor));
        }
        let at = match self.config.start {
            Some(start) => start,
            None => match oldest(&self.config.dir)? {
                Some(first) => {
                    self.ack(&first)?;
                    self.config.start = Some(first);
                    first
                }
                None => return Ok(None),
            },
        };
        let (file, header) = self.open_segment(at.segment, at)?;
        if header.run != at.run || at.offset < HEADER_LEN as u64 {
            return Err(self.lost(at));
        }
        Ok(Some(Cursor { file, at }))
    }

    fn open_segment(&self, number: u64, wanted: Position) -> Result<(File, Header), SpoolError> {
        let path = format::segment_path(&self.config.dir, number);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(self.lost(wanted)),
            Err(e) => return Err(SpoolError::io(path)(e)),
        };
        let mut bytes = [0; HEADER_LEN];
        let header = file
            .read_exact_at(&mut bytes, 0)
            .ok()
            .and_then(|()| Header::from_bytes(&bytes))
            .filter(|header| header.segment == number)
            .ok_or(SpoolError::Corrupt {
                segment: number,
                offset: 0,
                what: "bad segment header",
            })?;
        Ok((file, header))
    }

    fn following(&self, at: Position) -> Result<Cursor, SpoolError> {
        // A segment whose header was torn was removed at start-up, so a number may be missing.
        let next = format::segments(&self.config.dir)?
            .into_iter()
            .map(|(number, _)| number)
            .find(|&number| number > at.segment);
        let Some(next) = next else {
            return Err(self.lost(at));
        };
        let (file, header) = self.open_segment(next, at)?;
        if header.run == at.run && header.first_seq != at.seq {
            return Err(self.lost(at));
        }
        Ok(Cursor {
            file,
            at: header.position(),
        })
    }

    fn lost(&self, wanted: Position) -> SpoolError {
        SpoolError::Lost {
            wanted,
            oldest: oldest(&self.config.dir).ok().flatten(),
        }
    }
}

impl Cursor {
    fn length(&self) -> Result<u64, SpoolError> {
        let meta = self.file.metadata();
        meta.map(|meta| meta.len())
            .map_err(SpoolError::io(format!("segment {}", self.at.segment)))
    }

    /// Reads whole frames before `end` into `items`: one block, or one frame larger than a block.
    fn read(&mut self, end: u64, max: usize, items: &mut Vec<Item>) -> Result<(), SpoolError> {
        let mut want = BLOCK;
        loop {
            let block = self.block(end, want)?;
            let (mut used, mut taken) = (0, 0);
            let mut need = None;
            while taken < max && used < block.len() {
                match format::frame(block.get(used..).unwrap_or_default()) {
                    Frame::Whole(payload) => {
                        let from = used + FRAME_HEAD;
                        let payload = block.slice(from..from + payload.len());
                        items.push(self.item(payload)?);
                        used = from
                            + items.last().map_or(0, |i| {
                                (i.next.offset - i.position.offset) as usize - FRAME_HEAD
                            });
                        taken += 1;
                    }
                    Frame::Partial(size) => {
                        need = Some(size);
                        break;
                    }
                    Frame::Bad(what) => return Err(self.corrupt(what)),
                }
            }
            match need {
                Some(size) if taken == 0 => {
                    if self.at.offset + size as u64 > end {
                        return Err(self.corrupt("frame passes the end of its segment"));
                    }
                    want = size.max(BLOCK);
                }
                _ => return Ok(()),
            }
        }
    }

    fn block(&self, end: u64, want: usize) -> Result<Bytes, SpoolError> {
        let size = (end - self.at.offset).min(want as u64) as usize;
        let mut block = vec![0; size];
        self.file
            .read_exact_at(&mut block, self.at.offset)
            .map_err(SpoolError::io(format!("segment {}", self.at.segment)))?;
        Ok(block.into())
    }

    fn item(&mut self, payload: Bytes) -> Result<Item, SpoolError> {
        let position = self.at;
        let size = (FRAME_HEAD + payload.len()) as u64;
        let envelope = Envelope::decode(payload);
        if let Ok(envelope) = &envelope {
            if envelope.run != position.run.as_slice() {
                return Err(self.corrupt("envelope of another run"));
            }
            if envelope.seq != position.seq {
                return Err(self.corrupt("sequence number out of order"));
            }
        }
        self.at.offset += size;
        self.at.seq += 1;
        Ok(Item {
            position,
            next: self.at,
            envelope,
        })
    }

    fn corrupt(&self, what: &'static str) -> SpoolError {
        SpoolError::Corrupt {
            segment: self.at.segment,
            offset: self.at.offset,
            what,
        }
    }
}
