//! The node's journal: what was accepted, prepared, finished and submitted, so that a kill at any moment loses no job.
//!
//! An append-only file of frames `len u32 | crc32c u32 | JSON`, little-endian. A torn tail is cut when it is opened; damage before the tail
//! stops the node, since a silently lost job costs its fee. Opening rewrites the file with what is still alive.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::serve::fsm::Origin;
use mythic_verifier::book::{Book, Note};

/// Longest frame, in bytes: a prompt of 262,144 ids in JSON fits.
const MAX_FRAME: usize = 8 << 20;
/// The file is rewritten when it has grown to this many bytes and mostly holds jobs that are over.
const COMPACT_AT: u64 = 32 << 20;
const FILE: &str = "journal";

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
    /// A frame in the middle is damaged.
    #[error(
        "journal {path} is damaged at byte {offset}: {reason}; the jobs after it are unknown. Restore the file, or move it away to give \
         those jobs up"
    )]
    Damaged {
        /// File.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// How.
        reason: String,
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
    state: JournalState,
    _lock: File,
}

impl Journal {
    /// Opens or makes the journal in `dir`, cuts a torn tail and rewrites the file with what is alive.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(FILE);
        let io = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io)?;
        lock.try_lock()
            .map_err(|_| JournalError::Locked { path: lock_path })?;
        let state = match File::open(&path) {
            Ok(mut file) => read_all(&path, &mut file)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => JournalState::default(),
            Err(error) => return Err(io(error)),
        };
        let (file, bytes) = rewrite(dir, &path, &state)?;
        Ok(Self {
            path,
            file,
            bytes,
            compact_at: COMPACT_AT.max(bytes * 2),
            state,
            _lock: lock,
        })
    }

    /// What the journal says now.
    pub fn state(&self) -> &JournalState {
        &self.state
    }

    /// Appends a record and waits until it is on disk.
    pub fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.write(record)?;
        self.file.sync_data().map_err(|source| JournalError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Appends a record; it survives the death of the process, not of the machine.
    pub fn append_soft(&mut self, record: &Record) -> Result<(), JournalError> {
        self.write(record)
    }

    fn write(&mut self, record: &Record) -> Result<(), JournalError> {
        let io = |source| JournalError::Io {
            path: self.path.clone(),
            source,
        };
        let frame = frame(record)?;
        if let Err(error) = self.file.write_all(&frame) {
            // Half a frame must not stay in the middle: back to where it began.
            let _ = self.file.set_len(self.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.bytes));
            return Err(io(error));
        }
        self.bytes += frame.len() as u64;
        self.state.apply(record);
        if self.bytes > self.compact_at
            && let Some(dir) = self.path.parent()
        {
            let (file, bytes) = rewrite(dir, &self.path, &self.state)?;
            self.file = file;
            self.bytes = bytes;
            self.compact_at = COMPACT_AT.max(bytes * 2);
        }
        Ok(())
    }
}

fn frame(record: &Record) -> Result<Vec<u8>, JournalError> {
    let body = serde_json::to_vec(record).map_err(|_| JournalError::TooLong(usize::MAX))?;
    if body.len() > MAX_FRAME {
        return Err(JournalError::TooLong(body.len()));
    }
    let mut out = Vec::with_capacity(body.len() + 8);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

fn read_all(path: &Path, file: &mut File) -> Result<JournalState, JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_path_buf(),
        source,
    };
    let total = file.metadata().map_err(io)?.len();
    let mut reader = std::io::BufReader::new(file);
    let mut state = JournalState::default();
    let mut offset = 0u64;
    let mut body = Vec::new();
    while total - offset >= 8 {
        let mut head = [0u8; 8];
        reader.read_exact(&mut head).map_err(io)?;
        let [a, b, c, d, e, f, g, h] = head;
        let (len, crc) = (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
        );
        let end = offset + 8 + u64::from(len);
        let damaged = |reason: String| JournalError::Damaged {
            path: path.to_path_buf(),
            offset,
            reason,
        };
        if end > total {
            // The last write was cut off, unless the length itself is nonsense.
            if len as usize > MAX_FRAME {
                return Err(damaged(format!("frame of {len} bytes")));
            }
            break;
        }
        if len as usize > MAX_FRAME {
            return Err(damaged(format!("frame of {len} bytes")));
        }
        body.resize(len as usize, 0);
        reader.read_exact(&mut body).map_err(io)?;
        if crc32c::crc32c(&body) != crc {
            if end == total {
                break;
            }
            return Err(damaged("checksum differs".into()));
        }
        let record: Record =
            serde_json::from_slice(&body).map_err(|error| damaged(error.to_string()))?;
        state.apply(&record);
        offset = end;
    }
    if offset < total {
        tracing::warn!(path = %path.display(), cut = total - offset, "journal ended in the middle of a write; cut there");
    }
    Ok(state)
}

fn rewrite(dir: &Path, path: &Path, state: &JournalState) -> Result<(File, u64), JournalError> {
    let io = |source| JournalError::Io {
        path: path.to_path_buf(),
        source,
    };
    let fresh = dir.join("journal.new");
    let mut bytes = 0u64;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&fresh)
        .map_err(io)?;
    for record in state.records() {
        let frame = frame(&record)?;
        file.write_all(&frame).map_err(io)?;
        bytes += frame.len() as u64;
    }
    file.sync_all().map_err(io)?;
    fs::rename(&fresh, path).map_err(io)?;
    File::open(dir).and_then(|d| d.sync_all()).map_err(io)?;
    Ok((file, bytes))
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
                Journal::open(dir.path()).unwrap().state(),
                &before,
                "after {n} records"
            );
        }
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.append(&accepted("a")).unwrap();
        let before = journal.state().clone();
        let whole = journal.bytes;
        journal.append(&accepted("b")).unwrap();
        drop(journal);
        let bytes = fs::read(dir.path().join(FILE)).unwrap();
        for cut in whole as usize..bytes.len() {
            fs::write(dir.path().join(FILE), &bytes[..cut]).unwrap();
            assert_eq!(
                Journal::open(dir.path()).unwrap().state(),
                &before,
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn damage_in_the_middle_is_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.append(&accepted("a")).unwrap();
        journal.append(&accepted("b")).unwrap();
        drop(journal);
        let path = dir.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(
            Journal::open(dir.path()),
            Err(JournalError::Damaged { .. })
        ));
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
