//! The node's journal: what was accepted, prepared, finished and submitted, so that a kill at any moment loses no job.
//!
//! An append-only file: [`MAGIC`], then frames `len u32 | crc32c(len, JSON) u32 | JSON`, little-endian. A write that was cut off is
//! cut when the file is opened; a damaged record in the middle costs itself alone, and is named. Opening rewrites the file with
//! what is still alive, and reads files of the first format, whose checksums are of the JSON alone.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{RwLock, RwLockReadGuard};
use serde::{Deserialize, Serialize};

use super::files;
use crate::serve::fsm::Origin;
use mythic_verifier::book::{Book, Note};

/// Longest frame, in bytes: a prompt of 262,144 ids in JSON fits.
const MAX_FRAME: usize = 8 << 20;
/// The file is rewritten when it has grown to this many bytes and mostly holds jobs that are over.
const COMPACT_AT: u64 = 32 << 20;
const FILE: &str = "journal";
/// First bytes of the file.
const MAGIC: &[u8] = b"mythic-journal-2\n";
/// Every record begins like this.
const OPENING: &[u8] = b"{\"record\":";
/// Length and checksum before a record.
const HEAD: usize = 8;

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("journal {path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record is too long.
    #[error("journal record of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// Another node uses the directory.
    #[error("{path} is locked: another node runs with this data directory")]
    Locked {
        /// Lock file.
        path: PathBuf,
    },
}

/// One thing to remember. `job` is the base58 address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// A job begins. Durable before anything is signed for it.
    Accepted {
        /// Address.
        job: String,
        /// How it came.
        origin: Origin,
        /// Hex identity of the model.
        model: String,
        /// Base64 transaction with our signature (co-signed only).
        transaction: Option<String>,
        /// Base URL of the gateway that holds the prompt and takes the result.
        source: String,
        /// Hex prompt hash.
        prompt_hash: String,
        /// The prompt, when it came with the job.
        prompt: Option<Prompt>,
    },
    /// The prompt of a consumed job.
    Prompt {
        /// Address.
        job: String,
        /// The prompt.
        prompt: Prompt,
    },
    /// Tokens the client holds. Written without waiting for the disk.
    Handed {
        /// Address.
        job: String,
        /// Their number.
        tokens: u32,
    },
    /// The evidence file of the job is written.
    Finished {
        /// Address.
        job: String,
        /// Number of output tokens.
        tokens: u32,
    },
    /// SubmitResult was sent.
    Submitted {
        /// Address.
        job: String,
        /// Base58 signature.
        signature: String,
    },
    /// Nothing is left to do; the evidence stays if `keep`.
    Retired {
        /// Address.
        job: String,
        /// Whether our result is final on chain, so that evidence is kept and money expected.
        keep: bool,
    },
    /// The job's outcome is final: the evidence may go after a while.
    Closed {
        /// Address.
        job: String,
        /// The validator's share, if it settled; lamports.
        earned_lamports: Option<u64>,
    },
    /// Fees of a transaction that was sent.
    Fee {
        /// Lamports.
        lamports: u64,
    },
    /// Earnings withdrawn to the authority.
    Withdrawn {
        /// Lamports.
        lamports: u64,
    },
    /// What the verifier remembers.
    Verifier(Note),
    /// Money so far; replaces the earlier one. Written when the file is rewritten.
    Money(Money),
}

/// A prompt as the model sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Salt of the prompt hash, hex.
    pub salt: String,
    /// Stop strings.
    pub stop: Vec<String>,
}

/// What the node earned and spent, in lamports, since its data directory was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Validator's shares of jobs that settled.
    pub earned_lamports: u64,
    /// Transaction fees paid.
    pub fees_lamports: u64,
    /// Withdrawn to the authority.
    pub withdrawn_lamports: u64,
    /// Jobs that settled.
    pub jobs_settled: u64,
    /// Jobs submitted.
    pub jobs_submitted: u64,
}

impl Money {
    /// Earned less fees, for each settled job; `None` before the first. Lamports.
    pub fn net_per_job(&self) -> Option<i64> {
        let net = i64::try_from(self.earned_lamports)
            .ok()?
            .checked_sub(i64::try_from(self.fees_lamports).ok()?)?;
        net.checked_div(i64::try_from(self.jobs_settled).ok()?)
    }
}

/// All that the journal knows of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// How it came.
    pub origin: Origin,
    /// Hex identity of the model.
    pub model: String,
    /// Base64 transaction.
    pub transaction: Option<String>,
    /// Base URL of the gateway.
    pub source: String,
    /// Hex.
    pub prompt_hash: String,
    /// The prompt, if known.
    pub prompt: Option<Prompt>,
    /// Tokens the client holds.
    pub handed: u32,
    /// Number of tokens of the saved result.
    pub finished: Option<u32>,
    /// Base58 signature of the last SubmitResult.
    pub submitted: Option<String>,
    /// Retired with its evidence kept: waits for the settlement.
    pub kept: bool,
}

/// The journal's content: a pure fold over records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Jobs that are not over, and those kept for their settlement, by address.
    pub jobs: BTreeMap<String, JobRecord>,
    /// Checks and disputes.
    pub book: Book,
    /// Money.
    pub money: Money,
}

impl JournalState {
    /// Takes one record. Records of unknown jobs are ignored: they follow a `Closed`.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Accepted {
                job,
                origin,
                model,
                transaction,
                source,
                prompt_hash,
                prompt,
            } => {
                self.jobs.insert(
                    job.clone(),
                    JobRecord {
                        origin: *origin,
                        model: model.clone(),
                        transaction: transaction.clone(),
                        source: source.clone(),
                        prompt_hash: prompt_hash.clone(),
                        prompt: prompt.clone(),
                        handed: 0,
                        finished: None,
                        submitted: None,
                        kept: false,
                    },
                );
            }
            Record::Prompt { job, prompt } => self.with(job, |j| j.prompt = Some(prompt.clone())),
            Record::Handed { job, tokens } => self.with(job, |j| j.handed = j.handed.max(*tokens)),
            Record::Finished { job, tokens } => self.with(job, |j| j.finished = Some(*tokens)),
            Record::Submitted { job, signature } => {
                self.with(job, |j| j.submitted = Some(signature.clone()))
            }
            Record::Retired { job, keep: true } => {
                self.money.jobs_submitted = self.money.jobs_submitted.saturating_add(1);
                self.with(job, |j| {
                    j.kept = true;
                    j.prompt = None;
                    j.transaction = None;
                });
            }
            Record::Retired { job, keep: false } => {
                self.jobs.remove(job);
            }
            Record::Closed {
                job,
                earned_lamports,
            } => {
                if self.jobs.remove(job).is_some()
                    && let Some(lamports) = earned_lamports
                {
                    self.money.earned_lamports =
                        self.money.earned_lamports.saturating_add(*lamports);
                    self.money.jobs_settled = self.money.jobs_settled.saturating_add(1);
                }
            }
            Record::Fee { lamports } => {
                self.money.fees_lamports = self.money.fees_lamports.saturating_add(*lamports);
            }
            Record::Withdrawn { lamports } => {
                self.money.withdrawn_lamports =
                    self.money.withdrawn_lamports.saturating_add(*lamports);
            }
            Record::Verifier(note) => self.book.apply(note),
            Record::Money(money) => self.money = *money,
        }
    }

    fn with(&mut self, job: &str, change: impl FnOnce(&mut JobRecord)) {
        if let Some(job) = self.jobs.get_mut(job) {
            change(job);
        }
    }

    /// The fewest records that fold to this state.
    pub fn records(&self) -> Vec<Record> {
        let mut out = Vec::new();
        for (job, r) in &self.jobs {
            let job = job.clone();
            out.push(Record::Accepted {
                job: job.clone(),
                origin: r.origin,
                model: r.model.clone(),
                transaction: r.transaction.clone(),
                source: r.source.clone(),
                prompt_hash: r.prompt_hash.clone(),
                prompt: r.prompt.clone(),
            });
            if r.handed > 0 {
                out.push(Record::Handed {
                    job: job.clone(),
                    tokens: r.handed,
                });
            }
            if let Some(tokens) = r.finished {
                out.push(Record::Finished {
                    job: job.clone(),
                    tokens,
                });
            }
            if let Some(signature) = &r.submitted {
                out.push(Record::Submitted {
                    job: job.clone(),
                    signature: signature.clone(),
                });
            }
            if r.kept {
                out.push(Record::Retired { job, keep: true });
            }
        }
        out.extend(self.book.notes().into_iter().map(Record::Verifier));
        // Last: it replaces what the records before it count again.
        out.push(Record::Money(self.money));
        out
    }
}

/// The open journal. Holds the data directory's lock.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    bytes: u64,
    compact_at: u64,
    state: Arc<RwLock<JournalState>>,
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal in `dir`, leaves out what is damaged and rewrites the file with what is alive.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        files::private_dir(dir).map_err(io)?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io)?;
        lock.try_lock()
            .map_err(|_| JournalError::Locked { path: lock_path })?;
        let state = match fs::read(&path) {
            Ok(bytes) => {
                let read = read(&bytes);
                read.report(&path);
                if !read.damage.is_empty() {
                    // For whoever wants to look at what was lost.
                    let copy = dir.join("journal.damaged");
                    files::create_private(&copy)
                        .and_then(|mut file| file.write_all(&bytes))
                        .map_err(io)?;
                }
                read.state
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => JournalState::default(),
            Err(error) => return Err(io(error)),
        };
        let new = rewrite(dir, &path, &state)?;
        if let Some(source) = new.unsure {
            return Err(io(source));
        }
        Ok(Self {
            path,
            file: new.file,
            bytes: new.bytes,
            compact_at: COMPACT_AT.max(new.bytes * 2),
            state: Arc::new(RwLock::new(state)),
            _lock: lock,
        })
    }

    /// What the journal says now.
    pub fn state(&self) -> RwLockReadGuard<'_, JournalState> {
        self.state.read()
    }

    /// Where what it says can be read while it is written.
    pub fn shared(&self) -> Arc<RwLock<JournalState>> {
        self.state.clone()
    }

    /// Appends a record and waits until it is on disk.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.append_soft(record)?;
        self.sync()
    }

    /// Waits until everything is on disk.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Appends a record; it survives the death of the process, not of the machine.
    pub fn append_soft(&mut self, record: &Record) -> Result<(), JournalError> {
        let frame = frame(record)?;
        if let Err(source) = self.file.write_all(&frame) {
            // Half a frame must not stay in the middle: back to where it began.
            let _ = self.file.set_len(self.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.bytes));
            return Err(JournalError::Io {
                path: self.path.clone(),
                source,
            });
        }
        self.bytes += frame.len() as u64;
        self.state.write().apply(record);
        if self.bytes > self.compact_at {
            self.compact()?;
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), JournalError> {
        let Some(dir) = self.path.parent() else {
            return Ok(());
        };
        let new = rewrite(dir, &self.path, &self.state.read())?;
        // From here on the old file has no name: what is written goes into the new one, whatever else fails.
        self.file = new.file;
        self.bytes = new.bytes;
        self.compact_at = COMPACT_AT.max(new.bytes * 2);
        match new.unsure {
            None => Ok(()),
            Some(source) => Err(JournalError::Io {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len), body)
}

fn frame(record: &Record) -> Result<Vec<u8>, JournalError> {
    let body = serde_json::to_vec(record).map_err(|_| JournalError::TooLong(usize::MAX))?;
    let len = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME);
    let len = len.ok_or(JournalError::TooLong(body.len()))?.to_le_bytes();
    let mut out = Vec::with_capacity(body.len() + HEAD);
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(len, &body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// What was read of a file.
#[derive(Debug, Default)]
struct Read {
    state: JournalState,
    /// Where records are damaged, and what can be said of them.
    damage: Vec<(usize, usize, String)>,
    /// Bytes at the end that no write completed.
    torn: usize,
}

impl Read {
    fn report(&self, path: &Path) {
        let path = path.display();
        for (from, to, what) in &self.damage {
            tracing::error!(%path, from, to, what, "a record of the journal is damaged and left out; the file is kept as journal.damaged");
        }
        if self.torn > 0 {
            tracing::warn!(%path, cut = self.torn, "journal ended in the middle of a write; cut there");
        }
    }
}

/// Reads a file, whatever is in it.
fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    let first_format = !bytes.starts_with(MAGIC);
    let mut at = if first_format { 0 } else { MAGIC.len() };
    while at < bytes.len() {
        if let Some((record, end)) = frame_at(bytes, at, first_format) {
            read.state.apply(&record);
            at = end;
            continue;
        }
        // Damage, if something readable follows; else the last write.
        let next = (at + 1..bytes.len()).find(|at| frame_at(bytes, *at, first_format).is_some());
        match next {
            Some(next) => read.damage.push((at, next, describe(bytes.get(at..next)))),
            None => read.torn = bytes.len() - at,
        }
        at = next.unwrap_or(bytes.len());
    }
    read
}

/// The record of the frame that begins there, and where it ends, if one does.
fn frame_at(bytes: &[u8], at: usize, first_format: bool) -> Option<(Record, usize)> {
    let (len, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    if count > MAX_FRAME || !rest.starts_with(OPENING) {
        return None;
    }
    let body = rest.get(..count)?;
    let crc = u32::from_le_bytes(*crc);
    let good = match first_format {
        true => crc32c::crc32c(body) == crc,
        false => checksum(*len, body) == crc,
    };
    let record = good.then(|| serde_json::from_slice(body).ok())??;
    Some((record, at + HEAD + count))
}

/// What can still be read of damaged bytes: kind and job.
fn describe(bytes: Option<&[u8]>) -> String {
    let text = String::from_utf8_lossy(bytes.unwrap_or_default());
    let word = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
        let word: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        (!word.is_empty()).then_some(word)
    };
    match (word("record"), word("job")) {
        (Some(record), Some(job)) => format!("{record} of job {job}"),
        (None, Some(job)) => format!("of job {job}"),
        (Some(record), None) => record,
        (None, None) => "unreadable".into(),
    }
}

/// A file that was written anew and has the journal's name.
struct New {
    file: File,
    bytes: u64,
    /// The directory could not be brought to disk: after a power cut the old file may be back.
    unsure: Option<std::io::Error>,
}

fn rewrite(dir: &Path, path: &Path, state: &JournalState) -> Result<New, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_path_buf(),
        source,
    };
    let fresh = dir.join("journal.new");
    let mut bytes = MAGIC.len() as u64;
    let mut file = files::create_private(&fresh).map_err(io)?;
    file.write_all(MAGIC).map_err(io)?;
    for record in state.records() {
        let frame = frame(&record)?;
        file.write_all(&frame).map_err(io)?;
        bytes += frame.len() as u64;
    }
    file.sync_all().map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    let unsure = File::open(dir).and_then(|d| d.sync_all()).err();
    Ok(New {
        file,
        bytes,
        unsure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(job: &str) -> Record {
        Record::Accepted {
            job: job.into(),
            origin: Origin::CoSigned,
            model: "m".into(),
            transaction: Some("t".into()),
            source: "http://g".into(),
            prompt_hash: "h".into(),
            prompt: Some(Prompt {
                ids: vec![1, 2],
                salt: "s".into(),
                stop: vec![],
            }),
        }
    }

    fn steps(job: &str) -> Vec<Record> {
        let job = job.to_string();
        vec![
            accepted(&job),
            Record::Handed {
                job: job.clone(),
                tokens: 3,
            },
            Record::Finished {
                job: job.clone(),
                tokens: 4,
            },
            Record::Submitted {
                job: job.clone(),
                signature: "sig".into(),
            },
            Record::Retired {
                job: job.clone(),
                keep: true,
            },
            Record::Fee { lamports: 5_000 },
            Record::Closed {
                job,
                earned_lamports: Some(9),
            },
        ]
    }

    #[test]
    fn a_restart_after_any_record_finds_the_same_state() {
        let all = steps("a");
        for n in 0..=all.len() {
            let dir = tempfile::tempdir().unwrap();
            let mut journal = Journal::open(dir.path()).unwrap();
            for record in &all[..n] {
                journal.append(record).unwrap();
            }
            let before = journal.state().clone();
            drop(journal);
            assert_eq!(
                *Journal::open(dir.path()).unwrap().state(),
                before,
                "after {n} records"
            );
        }
    }

    /// A journal of two accepted jobs: its directory, its bytes, and where the second record begins.
    fn two() -> (tempfile::TempDir, Vec<u8>, usize) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.append(&accepted("a")).unwrap();
        let first = journal.bytes as usize;
        journal.append(&accepted("b")).unwrap();
        drop(journal);
        let bytes = fs::read(dir.path().join(FILE)).unwrap();
        (dir, bytes, first)
    }

    fn jobs(bytes: &[u8]) -> Vec<String> {
        read(bytes).state.jobs.into_keys().collect()
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte() {
        let (dir, bytes, first) = two();
        for cut in first..bytes.len() {
            fs::write(dir.path().join(FILE), &bytes[..cut]).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            let jobs: Vec<_> = journal.state().jobs.keys().cloned().collect();
            assert_eq!(jobs, ["a"], "cut at {cut}");
        }
    }

    #[test]
    fn a_tail_of_zeroes_is_a_write_that_was_cut_off() {
        let (dir, bytes, first) = two();
        for (kept, zeroes) in [(bytes.len(), 16), (bytes.len(), 4_096), (first + 5, 300)] {
            let mut file = bytes[..kept].to_vec();
            file.resize(kept + zeroes, 0);
            fs::write(dir.path().join(FILE), &file).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            let found = journal.state().jobs.len();
            assert_eq!(found, if kept == bytes.len() { 2 } else { 1 });
            let read = read(&file);
            assert!(read.damage.is_empty() && read.torn > 0);
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_record_which_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let mut ends = vec![journal.bytes as usize];
        for job in ["a", "b", "c"] {
            journal.append(&accepted(job)).unwrap();
            ends.push(journal.bytes as usize);
        }
        drop(journal);
        let good = fs::read(dir.path().join(FILE)).unwrap();
        for bit in ends[0] * 8..ends[3] * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().filter(|end| **end <= bit / 8).count();
            let left: Vec<_> = ["a", "b", "c"]
                .into_iter()
                .enumerate()
                .filter(|(i, _)| i + 1 != hit)
                .map(|(_, job)| job)
                .collect();
            let read = read(&bytes);
            let found: Vec<_> = read.state.jobs.keys().cloned().collect();
            assert_eq!(found, left, "bit {bit}");
            if hit < 3 {
                assert_eq!(read.damage.len(), 1, "bit {bit}");
            }
        }
        let mut bytes = good.clone();
        bytes[ends[1] + 60] ^= 1;
        assert!(read(&bytes).damage[0].2.contains("accepted"));
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        drop(Journal::open(dir.path()).unwrap());
        assert_eq!(fs::read(dir.path().join("journal.damaged")).unwrap(), bytes);
    }

    #[test]
    fn a_file_of_the_first_format_is_read() {
        let mut bytes = Vec::new();
        for job in ["a", "b"] {
            let body = serde_json::to_vec(&accepted(job)).unwrap();
            bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
            bytes.extend_from_slice(&body);
        }
        assert_eq!(jobs(&bytes), ["a", "b"]);
        bytes[0] ^= 64;
        assert_eq!(jobs(&bytes), ["b"]);
        bytes.extend_from_slice(&[0; 16]);
        assert_eq!(jobs(&bytes), ["b"]);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), &bytes).unwrap();
        drop(Journal::open(dir.path()).unwrap());
        assert!(fs::read(dir.path().join(FILE)).unwrap().starts_with(MAGIC));
    }

    #[test]
    fn two_nodes_never_share_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Journal::open(dir.path()).unwrap();
        assert!(matches!(
            Journal::open(dir.path()),
            Err(JournalError::Locked { .. })
        ));
    }

    #[test]
    fn finished_jobs_leave_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let empty = journal.bytes;
        for i in 0..50 {
            for record in steps(&i.to_string()) {
                journal.append_soft(&record).unwrap();
            }
        }
        assert!(journal.bytes > empty * 50);
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert!(journal.bytes < empty + 32, "only the money is left");
        assert_eq!(journal.state().money.earned_lamports, 450);
        assert_eq!(journal.state().money.jobs_submitted, 50);
    }

    #[test]
    fn net_per_job_is_unknown_before_the_first() {
        let mut money = Money {
            fees_lamports: 10_000,
            ..Money::default()
        };
        assert_eq!(money.net_per_job(), None);
        money.earned_lamports = 13_000;
        money.jobs_settled = 2;
        assert_eq!(money.net_per_job(), Some(1_500));
    }
}
