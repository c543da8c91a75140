//! The reading side: tails the durable part of a spool from a position, and acknowledges.

use super::{
    dirs,
    error::SpoolError,
    format::{self, FRAME_HEAD, Frame, HEADER_LEN, Header, MAX_FRAME},
    position::Position,
    records::{Ack, Mark},
    segment::{self, Opened, oldest, read_at},
};
use crate::proto::Envelope;
use bytes::Bytes;
use prost::Message;
use std::{
    fs::File,
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
    /// The envelope, or what is lost instead of it.
    pub envelope: Result<Envelope, Unreadable>,
}

/// Bytes of a spool that don't read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("spool segment {segment} is damaged at byte {offset} ({bytes} bytes: {what}): {}", lost(.records))]
pub struct Unreadable {
    /// Segment number.
    pub segment: u64,
    /// Where the damage begins.
    pub offset: u64,
    /// How far it reaches.
    pub bytes: u64,
    /// Records lost, as the numbers of those around them show; `None` where nothing readable follows.
    pub records: Option<u64>,
    /// What is wrong.
    pub what: &'static str,
}

fn lost(records: &Option<u64>) -> String {
    match records {
        None => "it is not known how many records are lost".into(),
        Some(0) => "no record is lost".into(),
        Some(1) => "1 record is lost".into(),
        Some(n) => format!("{n} records are lost"),
    }
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
    header: Header,
    at: Position,
    /// Bytes before `at` could not be read to their end, so the number that follows is not known.
    doubtful: bool,
}

impl Reader {
    /// Opens a reader and registers it, so that the writer keeps what it has not acknowledged.
    /// The spool's directory is made if no writer was there yet.
    pub fn open(config: ReaderConfig) -> Result<Self, SpoolError> {
        Ack::check_name(&config.name)?;
        dirs::make(&config.dir)?;
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
    /// lies between as a gap.
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
            let Some(mut cursor) = self.open_cursor(&mut items)? else {
                break;
            };
            let number = cursor.at.segment;
            if number > mark.segment {
                self.cursor = Some(cursor);
                break;
            }
            let length = cursor.length()?;
            let end = match number < mark.segment {
                true => length,
                false if cursor.at.offset > mark.offset => return Err(self.lost(cursor.at)),
                // Without `fsync` a crash may have taken what the mark says is there.
                false => mark.offset.min(length),
            };
            if cursor.at.offset < end {
                let read = cursor.read(end, max - items.len(), &mut items);
                self.cursor = Some(cursor);
                read?;
            } else if number < mark.segment {
                self.cursor = Some(self.following(&cursor, &mut items)?);
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

    fn open_cursor(&mut self, items: &mut Vec<Item>) -> Result<Option<Cursor>, SpoolError> {
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
        let opened =
            segment::open(&self.config.dir, at.segment, at)?.ok_or_else(|| self.lost(at))?;
        if opened.header.run != at.run || at.offset < HEADER_LEN as u64 {
            return Err(self.lost(at));
        }
        let mut cursor = Cursor::new(opened, at, items);
        // A position from before a crash may lie where the writer has cut since.
        cursor.doubtful |= at.offset > cursor.length()?;
        Ok(Some(cursor))
    }

    /// Goes on in the next segment, and says what is missing at the end of this one.
    fn following(&self, last: &Cursor, items: &mut Vec<Item>) -> Result<Cursor, SpoolError> {
        let at = last.at;
        // A segment in which nothing was written yet is removed at start-up, so a number may be missing.
        let next = format::segments(&self.config.dir)?
            .into_iter()
            .map(|(number, _)| number)
            .find(|&number| number > at.segment);
        let opened = match next {
            Some(next) => segment::open(&self.config.dir, next, at)?,
            None => None,
        };
        let opened = opened.ok_or_else(|| self.lost(at))?;
        let first = opened.header.position();
        let same_run = first.run == at.run;
        if same_run && first.seq < at.seq {
            return Err(self.lost(at));
        }
        let (guessed, missing) = (opened.damaged, first.seq - at.seq.min(first.seq));
        let mut cursor = Cursor::new(opened, first, items);
        if same_run && missing > 0 && !last.doubtful {
            let what = "the end of the segment is missing";
            items.push(last.unreadable(first, Some(missing), what));
        }
        cursor.doubtful |= guessed && same_run && last.doubtful;
        Ok(cursor)
    }

    fn lost(&self, wanted: Position) -> SpoolError {
        SpoolError::Lost {
            wanted,
            oldest: oldest(&self.config.dir).ok().flatten(),
        }
    }
}

impl Cursor {
    fn new(opened: Opened, at: Position, items: &mut Vec<Item>) -> Self {
        let cursor = Self {
            file: opened.file,
            header: opened.header,
            at,
            doubtful: false,
        };
        if opened.damaged && at.offset == HEADER_LEN as u64 {
            let mut item = cursor.unreadable(at, Some(0), "its header does not read");
            if let Err(unreadable) = &mut item.envelope {
                (unreadable.offset, unreadable.bytes) = (0, HEADER_LEN as u64);
            }
            items.push(item);
        }
        cursor
    }

    fn length(&self) -> Result<u64, SpoolError> {
        let meta = self.file.metadata();
        meta.map(|meta| meta.len()).map_err(self.io())
    }

    fn io(&self) -> impl FnOnce(std::io::Error) -> SpoolError {
        SpoolError::io(format!("segment {}", self.at.segment))
    }

    /// Reads whole frames before `end` into `items`: one block, or one frame larger than a block.
    fn read(&mut self, end: u64, max: usize, items: &mut Vec<Item>) -> Result<(), SpoolError> {
        let most = items.len() + max;
        let mut want = BLOCK;
        loop {
            let size = (end - self.at.offset).min(want as u64) as usize;
            let block = read_at(&self.file, self.at.offset, size).map_err(self.io())?;
            if block.len() < size {
                return Ok(());
            }
            let block = Bytes::from(block);
            let mut used = 0;
            while items.len() < most && used < block.len() {
                let rest = block.get(used..).unwrap_or_default();
                match format::frame(rest, self.header.version) {
                    Frame::Whole(payload) => {
                        let from = used + FRAME_HEAD;
                        used = from + payload.len();
                        if !self.take(block.slice(from..used), items) {
                            return self.skip(end, "it is of another place", items);
                        }
                    }
                    Frame::Partial(size) if self.at.offset + size as u64 > end => {
                        return self.skip(end, "it passes the end of its segment", items);
                    }
                    Frame::Partial(size) if used == 0 => {
                        want = size;
                        break;
                    }
                    Frame::Partial(_) => return Ok(()),
                    Frame::Bad(what) => return self.skip(end, what, items),
                }
            }
            if used > 0 {
                return Ok(());
            }
        }
    }

    /// Takes the payload of a whole frame. `false`: it does not belong here.
    fn take(&mut self, payload: Bytes, items: &mut Vec<Item>) -> bool {
        let size = (FRAME_HEAD + payload.len()) as u64;
        let decoded = Envelope::decode(payload);
        if let Ok(envelope) = &decoded {
            if envelope.run != self.at.run.as_slice() || envelope.seq < self.at.seq {
                return false;
            }
            let missing = envelope.seq - self.at.seq;
            if missing > 0 && !self.doubtful {
                let next = Position {
                    seq: envelope.seq,
                    ..self.at
                };
                items.push(self.unreadable(next, Some(missing), "records are missing here"));
            }
            self.at.seq = envelope.seq;
        }
        self.doubtful = false;
        let position = self.at;
        let next = Position {
            offset: position.offset + size,
            seq: position.seq + 1,
            ..position
        };
        items.push(match decoded {
            Ok(envelope) => Item {
                position,
                next,
                envelope: Ok(envelope),
            },
            Err(_) => self.unreadable(next, Some(1), "it is no envelope"),
        });
        self.at = next;
        true
    }

    /// Goes on with the next frame that can be read before `end`, and says what is lost.
    fn skip(
        &mut self,
        end: u64,
        what: &'static str,
        items: &mut Vec<Item>,
    ) -> Result<(), SpoolError> {
        let mut from = self.at.offset + 1;
        let found = loop {
            let window = (2 * MAX_FRAME as u64).min(end.saturating_sub(from)) as usize;
            let bytes = read_at(&self.file, from, window).map_err(self.io())?;
            if let Some((at, seq)) = format::find_frame(&bytes, 0, &self.header, self.at.seq) {
                break Some((from + at as u64, seq));
            }
            if from + window as u64 >= end {
                break None;
            }
            // A frame that begins in the second half may end behind the window.
            from += MAX_FRAME as u64;
        };
        let (offset, seq) = found.unwrap_or((end, self.at.seq));
        let next = Position {
            offset,
            seq,
            ..self.at
        };
        let records = match (found, self.doubtful) {
            (Some(_), false) => Some(seq - self.at.seq),
            _ => None,
        };
        items.push(self.unreadable(next, records, what));
        self.doubtful = found.is_none();
        self.at = next;
        Ok(())
    }

    /// What lies between here and `next` is lost.
    fn unreadable(&self, next: Position, records: Option<u64>, what: &'static str) -> Item {
        Item {
            position: self.at,
            next,
            envelope: Err(Unreadable {
                segment: self.at.segment,
                offset: self.at.offset,
                bytes: match next.segment == self.at.segment {
                    true => next.offset - self.at.offset,
                    false => 0,
                },
                records,
                what,
            }),
        }
    }
}
