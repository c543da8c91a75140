//! The writing side: buffers frames, rolls segments, keeps the durable mark, deletes what every
//! reader has acknowledged, refuses what would pass the byte bound.
//!
//! After a failed `fsync` the system may have dropped what it was handed, and a second `fsync` may say that all is well
//! (Linux does). So frames stay in memory until they are durable, and what was handed over since the mark is never trusted
//! again: the segment is cut at the mark, and the frames are written anew into the next one.

use super::{
    dirs,
    error::SpoolError,
    format::{self, FRAME_HEAD, HEADER_LEN},
    position::MAX_PAYLOAD,
    records::{Ack, Mark},
    segment::{Segment, cut_torn_tail, opening},
};
use crate::proto::{Envelope, Event};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Frames are handed to the system when this many bytes wait.
const BUFFER: usize = 256 << 10;
/// Frames wait in memory for at most this many bytes before they are made durable.
const UNSYNCED: usize = 8 << 20;
/// What slot records, seals and losses may fill in memory while the system refuses.
const HELD: usize = UNSYNCED + 2 * BUFFER;
/// Pause before another try after the system refused a write, e.g. on a full disk.
const RETRY: Duration = Duration::from_millis(100);
/// Tries for the lock, and the pause between two. A process holds the lock for an instant longer than its writer lives if it starts
/// another process at that moment.
const LOCK: (u32, Duration) = (100, Duration::from_millis(10));
/// A reader that was not alive for this long while a spool waits for it that is nearly full is gone, if the clock says so too.
const GONE: Duration = Duration::from_secs(60);

/// When appended envelopes are made durable and shown to readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsyncPolicy {
    /// `fsync` at most every [`WriterConfig::fsync_interval`].
    #[default]
    Interval,
    /// `fsync` whenever the queue is empty or the buffer is full.
    Always,
    /// Never `fsync`; readers see what was handed to the system at the same interval.
    Never,
}

/// How a spool is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterConfig {
    /// Directory of the spool; made if missing.
    pub dir: PathBuf,
    /// A segment is closed at this size, in bytes.
    pub segment_bytes: u64,
    /// Bound of all segments together, in bytes, without start-up accounts.
    pub max_bytes: u64,
    /// Bound of start-up accounts, those of earlier runs that nobody has read yet too, in bytes, beside `max_bytes`.
    pub startup_max_bytes: u64,
    /// Durability.
    pub fsync: FsyncPolicy,
    /// Interval of [`FsyncPolicy::Interval`].
    pub fsync_interval: Duration,
    /// A reader not alive for this long no longer holds segments. The writer measures it itself, from its start on: clocks leap. Only
    /// a spool that is nearly full takes the clock's word for what was before.
    pub reader_idle_limit: Duration,
}

impl WriterConfig {
    /// 64 MiB segments, 4 GiB bound and 16 GiB beside it for start-up accounts, `fsync` every 50 ms, readers dropped after a day.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            max_bytes: 4 << 30,
            startup_max_bytes: 16 << 30,
            fsync: FsyncPolicy::Interval,
            fsync_interval: Duration::from_millis(50),
            reader_idle_limit: Duration::from_secs(24 * 3600),
        }
    }

    /// Room above which only [`Room::Reserved`] records are taken.
    fn reserve(&self) -> u64 {
        (self.max_bytes / 16).clamp(4 << 10, 16 << 20)
    }
}

/// Which part of the byte bound a record may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// Account updates.
    Ordinary,
    /// Accounts that the producer starts from: they have a bound of their own.
    Startup,
    /// Slot records, seals and losses, for which a sixteenth is set aside.
    Reserved,
}

/// Counters of a writer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Envelopes appended in this run.
    pub envelopes: u64,
    /// Bytes of all segments, buffered ones included.
    pub bytes: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Readers that hold segments.
    pub readers: u64,
}

/// A reader's last sign of life, and since when there is no newer one.
#[derive(Debug)]
struct Watched {
    beat: Option<SystemTime>,
    since: Instant,
}

/// The one writer of a spool. Dropping it flushes what it can, but writes no `End`.
#[derive(Debug)]
pub struct Writer {
    config: WriterConfig,
    run: [u8; 16],
    seq: u64,
    active: Segment,
    /// Closed segments, oldest first: number, bytes.
    closed: Vec<(u64, u64)>,
    closed_bytes: u64,
    /// Bytes of this run's start-up accounts, and the last segment that has some.
    startup: (u64, u64),
    /// Segments of earlier runs that hold their start-up accounts, and their bytes: what a run starts from must not take the room of
    /// what the next one sees, only because nobody has read it yet.
    earlier: BTreeMap<u64, u64>,
    /// The first segment of this run.
    first: u64,
    /// Frames behind the mark.
    buffer: Vec<u8>,
    /// How many of these bytes the system was handed.
    handed: usize,
    mark_file: File,
    mark: Mark,
    /// `seq` of the last envelope before the mark.
    marked_seq: u64,
    /// An `fsync` failed: the open segment is good up to the mark only.
    doubtful: bool,
    synced_at: Instant,
    failed_at: Option<Instant>,
    readers: u64,
    watched: BTreeMap<String, Watched>,
    /// A record was refused since the last look at the readers.
    pressed: bool,
    notices: Vec<String>,
    _lock: File,
    /// That many times `fsync` fails, and drops what it should have kept.
    #[cfg(test)]
    failing_syncs: u32,
}

impl Writer {
    /// Takes the spool over: locks it, cuts a torn tail, and opens a segment for `run`.
    pub fn open(mut config: WriterConfig, run: [u8; 16]) -> Result<Self, SpoolError> {
        // The open segment is never deleted, so it may hold only a part of the bound.
        config.segment_bytes = config.segment_bytes.min(config.max_bytes / 4);
        let mut notices = Vec::new();
        let dir = config.dir.clone();
        dirs::make(&dir)?;
        dirs::close_files(&dir)?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .mode(0o600)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(SpoolError::io(&lock_path))?;
        if !taken(&lock).map_err(SpoolError::io(lock_path))? {
            return Err(SpoolError::Locked(dir));
        }
        if let Some(&(last, _)) = format::segments(&dir)?.last() {
            notices.extend(cut_torn_tail(&dir, last)?);
        }
        let closed = format::segments(&dir)?;
        let mark_path = Mark::path(&dir);
        let mark_file = OpenOptions::new()
            .create(true)
            .mode(0o600)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&mark_path)
            .map_err(SpoolError::io(&mark_path))?;
        // Numbers are never used twice, even when somebody emptied the directory by hand.
        let number = closed
            .last()
            .map(|&(number, _)| number)
            .into_iter()
            .chain(Mark::read(&dir)?.map(|mark| mark.segment))
            .max()
            .map_or(1, |last| last + 1);
        let active = Segment::create(&dir, number, run, 1)?;
        let mark = Mark {
            segment: number,
            offset: HEADER_LEN as u64,
        };
        mark.write(&mark_file, &dir)?;
        let mut writer = Self {
            closed_bytes: closed.iter().map(|&(_, bytes)| bytes).sum(),
            startup: (0, 0),
            earlier: earlier_startup(&dir, &closed),
            first: number,
            config,
            run,
            seq: 0,
            active,
            closed,
            buffer: Vec::with_capacity(BUFFER),
            handed: 0,
            mark_file,
            mark,
            marked_seq: 0,
            doubtful: false,
            synced_at: Instant::now(),
            failed_at: None,
            readers: 0,
            watched: BTreeMap::new(),
            pressed: false,
            notices,
            _lock: lock,
            #[cfg(test)]
            failing_syncs: 0,
        };
        writer.reap()?;
        Ok(writer)
    }

    /// Appends an event as the next envelope of this run and returns its `seq`.
    ///
    /// # Errors
    /// On any error the event was not taken and no `seq` is spent: the caller counts it as lost.
    pub fn append(&mut self, event: Event, room: Room) -> Result<u64, SpoolError> {
        let envelope = Envelope {
            run: bytes::Bytes::copy_from_slice(&self.run),
            seq: self.seq + 1,
            time_unix_nanos: unix_nanos(),
            event: Some(event),
        };
        let size = envelope.encoded_len();
        if size > MAX_PAYLOAD {
            return Err(SpoolError::TooLarge(size));
        }
        let frame = (size + FRAME_HEAD) as u64;
        self.make_room(frame, room)?;
        if room == Room::Startup {
            self.startup = (self.startup.0 + frame, self.active.number);
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; FRAME_HEAD]);
        // A `Vec` grows: encoding into it can't fail.
        let _ = envelope.encode(&mut self.buffer);
        let (head, payload) = self.buffer[start..].split_at_mut(FRAME_HEAD);
        head.copy_from_slice(&format::frame_head(payload));
        self.seq += 1;
        Ok(self.seq)
    }

    fn make_room(&mut self, frame: u64, room: Room) -> Result<(), SpoolError> {
        let flush = self.waiting() >= BUFFER || self.buffer.len() >= UNSYNCED;
        let roll =
            self.size() + frame > self.config.segment_bytes && self.size() > HEADER_LEN as u64;
        if flush || roll {
            let tried = match self.failed_at {
                Some(at) if at.elapsed() < RETRY => Err(self.full()),
                _ => {
                    let done = match roll {
                        true => self.roll(),
                        false if self.buffer.len() >= UNSYNCED => self.sync(),
                        false => self.flush(),
                    };
                    self.failed_at = done.is_err().then(Instant::now);
                    done
                }
            };
            self.pressed |= tried.is_err();
            // A seal says what its bank lost, so it waits in memory for the disk to come back.
            if room != Room::Reserved || self.buffer.len() >= HELD {
                tried?;
            }
        }
        let startup = self.startup.0 + self.earlier.values().sum::<u64>();
        let max_bytes = match room {
            Room::Startup if startup + frame > self.config.startup_max_bytes => {
                self.pressed = true;
                return Err(SpoolError::StartupFull {
                    bytes: startup,
                    max_bytes: self.config.startup_max_bytes,
                });
            }
            Room::Startup => return Ok(()),
            Room::Ordinary => self.config.max_bytes.saturating_sub(self.config.reserve()),
            Room::Reserved => self.config.max_bytes,
        };
        if self.stats().bytes.saturating_sub(startup) + frame > max_bytes {
            self.pressed = true;
            return Err(self.full());
        }
        Ok(())
    }

    fn full(&self) -> SpoolError {
        SpoolError::Full {
            bytes: self.stats().bytes,
            max_bytes: self.config.max_bytes,
        }
    }

    /// Bytes that the system was not handed yet.
    fn waiting(&self) -> usize {
        self.buffer.len() - self.handed
    }

    /// Bytes of the open segment, buffered ones included.
    fn size(&self) -> u64 {
        self.active.written + self.waiting() as u64
    }

    fn flush(&mut self) -> Result<(), SpoolError> {
        if self.doubtful {
            self.start_over()?;
        }
        let segment = &mut self.active;
        let waiting = self.buffer.get(self.handed..).unwrap_or_default();
        // What is buffered was accepted: it stays until the system takes it. A partial write is
        // overwritten by the next try, and cut after a crash.
        if let Err(e) = segment.file.write_all_at(waiting, segment.written) {
            let path = format::segment_path(&self.config.dir, segment.number);
            return Err(SpoolError::io(path)(e));
        }
        segment.written += waiting.len() as u64;
        self.handed = self.buffer.len();
        if self.config.fsync == FsyncPolicy::Never {
            self.forget_buffer();
        }
        Ok(())
    }

    fn forget_buffer(&mut self) {
        self.buffer.clear();
        self.handed = 0;
    }

    /// Leaves a segment whose tail may be gone: cuts it at the mark and goes on in the next one, with every frame
    /// behind the mark.
    fn start_over(&mut self) -> Result<(), SpoolError> {
        let path = format::segment_path(&self.config.dir, self.active.number);
        self.active
            .file
            .set_len(self.mark.offset)
            .map_err(SpoolError::io(&path))?;
        self.fsync().map_err(SpoolError::io(&path))?;
        let cut = self.open_next(self.marked_seq + 1)?;
        self.doubtful = false;
        self.notices.push(format!(
            "spool segment {cut} was cut at byte {}: the system could not make what followed durable; it is written again to segment {}",
            self.closed.last().map_or(0, |&(_, bytes)| bytes),
            self.active.number
        ));
        Ok(())
    }

    /// Closes the open segment and opens the next, whose first envelope has `first_seq`. Returns the closed one's number.
    fn open_next(&mut self, first_seq: u64) -> Result<u64, SpoolError> {
        let next = Segment::create(
            &self.config.dir,
            self.active.number + 1,
            self.run,
            first_seq,
        )?;
        let mark = Mark {
            segment: next.number,
            offset: HEADER_LEN as u64,
        };
        mark.write(&self.mark_file, &self.config.dir)?;
        self.mark = mark;
        let old = std::mem::replace(&mut self.active, next);
        self.closed.push((old.number, old.written));
        self.closed_bytes += old.written;
        Ok(old.number)
    }

    /// Makes everything appended durable, as the policy has it, and shows it to readers.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.synced_at = Instant::now();
        self.flush()?;
        let mark = Mark {
            segment: self.active.number,
            offset: self.active.written,
        };
        if mark == self.mark {
            return Ok(());
        }
        if self.config.fsync != FsyncPolicy::Never
            && let Err(e) = self.fsync()
        {
            self.doubtful = true;
            self.handed = 0;
            self.active.written = self.mark.offset;
            let path = format::segment_path(&self.config.dir, self.active.number);
            return Err(SpoolError::io(path)(e));
        }
        mark.write(&self.mark_file, &self.config.dir)?;
        self.mark = mark;
        self.marked_seq = self.seq;
        self.forget_buffer();
        Ok(())
    }

    fn fsync(&mut self) -> std::io::Result<()> {
        #[cfg(test)]
        if self.failing_syncs > 0 {
            self.failing_syncs -= 1;
            let lost = self.active.written - self.mark.offset;
            self.active
                .file
                .write_all_at(&vec![0; lost as usize], self.mark.offset)?;
            return Err(std::io::Error::from_raw_os_error(5));
        }
        self.active.file.sync_data()
    }

    /// How long until [`Self::sync`] is due; `None` when there is nothing to sync.
    pub fn sync_due(&self) -> Option<Duration> {
        let clean = self.buffer.is_empty() && self.active.written == self.mark.offset;
        let interval = match self.config.fsync {
            FsyncPolicy::Always => Duration::ZERO,
            FsyncPolicy::Interval | FsyncPolicy::Never => self.config.fsync_interval,
        };
        (!clean).then(|| interval.saturating_sub(self.synced_at.elapsed()))
    }

    fn roll(&mut self) -> Result<(), SpoolError> {
        self.sync()?;
        self.open_next(self.seq + 1)?;
        self.reap()
    }

    /// Drops idle readers and deletes the segments that no reader needs. Call it now and then.
    pub fn reap(&mut self) -> Result<(), SpoolError> {
        let mut lowest = None;
        self.readers = 0;
        let pressed = std::mem::take(&mut self.pressed) || self.is_nearly_full();
        let acks = Ack::list(&self.config.dir)?;
        self.watched
            .retain(|name, _| acks.iter().any(|ack| ack.reader == *name));
        for ack in acks {
            if let Some(idle) = self.idle(&ack, pressed) {
                self.notices.push(format!(
                    "spool reader {} was idle for {} s and no longer holds segments: it will meet a gap",
                    ack.reader,
                    idle.as_secs()
                ));
                let path = Ack::dir(&self.config.dir).join(&ack.reader);
                fs::remove_file(&path).map_err(SpoolError::io(path))?;
                self.watched.remove(&ack.reader);
                continue;
            }
            self.readers += 1;
            let needs = ack.position.map_or(0, |position| position.segment);
            lowest = Some(lowest.map_or(needs, |l: u64| l.min(needs)));
        }
        let Some(lowest) = lowest else { return Ok(()) };
        while let Some(&(number, bytes)) = self.closed.first() {
            if number >= lowest {
                break;
            }
            let path = format::segment_path(&self.config.dir, number);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(SpoolError::io(path)(e));
                }
                _ => {}
            }
            self.closed.remove(0);
            self.closed_bytes = self.closed_bytes.saturating_sub(bytes);
            // Start-up accounts are the first that a run writes.
            self.earlier.remove(&number);
            let (startup, last) = self.startup;
            if number >= last {
                self.startup.0 = 0;
            } else if number >= self.first {
                self.startup.0 = startup.saturating_sub(bytes);
            }
        }
        Ok(())
    }

    /// Little room is left for what comes.
    fn is_nearly_full(&self) -> bool {
        let startup = self.startup.0 + self.earlier.values().sum::<u64>();
        let rest = self.stats().bytes.saturating_sub(startup);
        let most = self.config.max_bytes.saturating_sub(self.config.reserve());
        rest > most / 8 * 7 || startup > self.config.startup_max_bytes / 8 * 7
    }

    /// For how long a reader that no longer holds segments was idle; `None` for one that does.
    fn idle(&mut self, ack: &Ack, pressed: bool) -> Option<Duration> {
        let fresh = || Watched {
            beat: ack.beat,
            since: Instant::now(),
        };
        let watched = self.watched.entry(ack.reader.clone()).or_insert_with(fresh);
        if watched.beat != ack.beat {
            *watched = fresh();
        }
        let limit = self.config.reader_idle_limit;
        let silent = watched.since.elapsed();
        if silent > limit {
            return Some(silent);
        }
        let age = ack.age();
        (pressed && silent > GONE && age > limit).then_some(age)
    }

    /// Counters, for metrics.
    pub fn stats(&self) -> WriterStats {
        WriterStats {
            envelopes: self.seq,
            bytes: self.closed_bytes + self.size(),
            segments: self.closed.len() as u64 + 1,
            readers: self.readers,
        }
    }

    /// What an operator should hear since the last call: a torn tail cut, a reader dropped.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// The run this writer writes.
    pub fn run(&self) -> [u8; 16] {
        self.run
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nobody is left to tell: the missing `End` shows the unknown tail.
        let _ = self.sync();
    }
}

/// Whether the lock is ours now.
fn taken(lock: &File) -> std::io::Result<bool> {
    for _ in 0..LOCK.0 {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK.1),
            Err(fs::TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(false)
}

/// Segments that are filled with accounts a run started from, and their bytes. These come first in a run, so a segment holds nothing
/// else if the next one of its run begins with one; the last of them is counted with what follows.
fn earlier_startup(dir: &Path, closed: &[(u64, u64)]) -> BTreeMap<u64, u64> {
    let opened = closed.iter().map(|&(number, _)| opening(dir, number));
    let opened: Vec<_> = opened.collect();
    let pairs = closed.iter().zip(opened.windows(2));
    let filled = pairs.filter_map(|(&segment, pair)| match pair {
        [Some((run, _)), Some((next, true))] if run == next => Some(segment),
        _ => None,
    });
    filled.collect()
}

fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos().min(u128::from(u64::MAX)) as u64)
}

#[cfg(test)]
mod tests;
