//! Durable state of the root: a snapshot file, and a log of the blocks rooted since.
//!
//! `state.bin` = magic, then frames: a head, every account, the head again. `log.bin` = frames: rooted blocks with
//! the accounts they wrote, and notes of the newest slot in use, so that a restart never uses a slot number twice. A
//! block is on disk (fsync) before it counts as rooted. When the log is long, a new snapshot takes its place.
//!
//! A torn or zero-filled end is cut. Other damage costs the frame it hit: it is named in the process's log, a copy of
//! the damaged file is kept beside it (`.damaged`), and the files are written anew.

mod frames;
mod saved;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use solana_account::AccountSharedData;
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;

use crate::chain::{Block, CLOCK_ID, Resume, bank_hash, clock_account};
use crate::storages::Storages;
use frames::{Frames, Kind};
use saved::{Head, LogEntry, OldState, SavedAccount, StateEntry, load_statuses};

const MAGIC: &[u8; 16] = b"mythic-devnet-02";
/// Of the older build whose state file is one record.
const OLD_MAGIC: &[u8; 16] = b"mythic-devnet-01";
/// Size of the log at which a new snapshot is written, and by which it grows after a failure before the next try.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// Why state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}: another process holds this chain's state; stop it, or choose another data_dir")]
    Held(PathBuf),
    #[error("{path}: damaged ({reason}); start anew with an empty data_dir")]
    Damaged { path: PathBuf, reason: String },
}

/// The state directory, held by this process.
pub struct Store {
    dir: PathBuf,
    log: File,
    log_bytes: u64,
    /// Size of the log at which the next snapshot is tried.
    snapshot_at: u64,
    noted: Slot,
    _lock: File,
}

impl Store {
    /// Opens the directory and reads what is there: rooted state and genesis hash, or nothing.
    pub fn open(dir: &Path) -> Result<(Self, Option<(Resume, Hash)>), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(at(dir))?;
        let lock = private(&dir.join("lock"))?;
        if lock.try_lock().is_err() {
            return Err(StoreError::Held(dir.to_path_buf()));
        }
        let log_path = dir.join("log.bin");
        let mut log = private(&log_path)?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes).map_err(at(&log_path))?;
        let in_log = frames::read(&bytes);
        let state_path = dir.join("state.bin");
        let state = read_state(&state_path)?;
        let mut store = Self {
            dir: dir.to_path_buf(),
            log,
            log_bytes: in_log.end as u64,
            snapshot_at: MAX_LOG_BYTES,
            noted: 0,
            _lock: lock,
        };
        let damaged = name_damage(&log_path, &bytes, &in_log);
        store.cut().map_err(at(&log_path))?;
        let entries = entries(&log_path, &in_log)?;
        let Some(state) = state else {
            if entries.is_empty() {
                return Ok((store, None));
            }
            return Err(self::damaged(
                &state_path,
                "missing, while log.bin is there",
            ));
        };
        let anew = damaged || in_log.old || state.anew;
        let (resume, genesis_hash) = replay(state, entries);
        if anew && let Err(error) = store.compact(&resume, &genesis_hash) {
            tracing::error!(%error, "the state could not be written anew");
        }
        Ok((store, Some((resume, genesis_hash))))
    }

    /// Makes rooted blocks durable; when this returns they are on disk.
    pub fn append_roots(
        &mut self,
        blocks: &[Arc<Block>],
        open_slot: Slot,
    ) -> Result<(), StoreError> {
        let path = self.log_path();
        let mut frames = Vec::new();
        for block in blocks {
            push(&mut frames, &LogEntry::root(block), &path)?;
        }
        let next = LogEntry::Next(open_slot.saturating_add(1));
        push(&mut frames, &next, &path)?;
        self.write(&frames)?;
        self.log.sync_data().map_err(at(&path))?;
        self.noted = open_slot;
        Ok(())
    }

    /// Notes the newest slot in use, without waiting for the disk.
    pub fn note(&mut self, open_slot: Slot) -> Result<(), StoreError> {
        if open_slot <= self.noted {
            return Ok(());
        }
        let mut frame = Vec::new();
        let next = LogEntry::Next(open_slot.saturating_add(1));
        push(&mut frame, &next, &self.log_path())?;
        self.write(&frame)?;
        self.noted = open_slot;
        Ok(())
    }

    fn write(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        let path = self.log_path();
        if let Err(error) = self.log.write_all(frames) {
            // What was written of it would be damage in the middle.
            self.cut().map_err(at(&path))?;
            return Err(at(&path)(error));
        }
        self.log_bytes = self.log_bytes.saturating_add(frames.len() as u64);
        Ok(())
    }

    /// Cuts the log behind its last whole frame.
    fn cut(&mut self) -> io::Result<()> {
        self.log.set_len(self.log_bytes)?;
        self.log.seek(SeekFrom::End(0)).map(|_| ())
    }

    /// Whether the log is long enough for a new snapshot.
    pub fn is_long(&self) -> bool {
        self.log_bytes > self.snapshot_at
    }

    /// Writes a snapshot and empties the log.
    pub fn compact(&mut self, resume: &Resume, genesis_hash: &Hash) -> Result<(), StoreError> {
        // If it fails, the next try comes when the log has grown as much again.
        self.snapshot_at = self.log_bytes.saturating_add(MAX_LOG_BYTES);
        let path = self.dir.join("state.bin");
        replace(&path, |file| {
            let mut file = BufWriter::new(file);
            write_state(&mut file, resume, genesis_hash)?;
            file.flush()
        })?;
        self.empty_log()
    }

    /// What the files hold as a validator has it: what each block wrote, closed accounts too. Of what was written before the state
    /// file there is the newest version alone.
    pub fn storages(&self) -> Result<Storages, StoreError> {
        let path = self.dir.join("state.bin");
        let state = read_state(&path)?.ok_or_else(|| damaged(&path, "missing"))?;
        let root = &state.head.root;
        let mut storages = Storages::new(root.slot);
        storages.add(root.slot, CLOCK_ID, clock_account(root.slot, root.unix_ms));
        for (key, (account, written)) in state.accounts.into_iter().map(SavedAccount::load) {
            storages.add(written, key, account);
        }
        let path = self.log_path();
        let bytes = fs::read(&path).map_err(at(&path))?;
        for entry in entries(&path, &frames::read(&bytes))? {
            let LogEntry::Root {
                block, accounts, ..
            } = entry
            else {
                continue;
            };
            if block.slot > storages.state() {
                let clock = clock_account(block.slot, block.unix_ms);
                storages.add(block.slot, CLOCK_ID, clock);
                for (key, (account, written)) in accounts.into_iter().map(SavedAccount::load) {
                    storages.add(written, key, account);
                }
            }
        }
        Ok(storages)
    }

    /// Puts a state that another chain [encoded](encode) in the place of what is here, if it is whole.
    pub fn install(&mut self, bytes: &[u8], genesis_hash: Option<&Hash>) -> Result<(), StoreError> {
        let fetched = self.dir.join("fetched.bin");
        replace(&fetched, |file| file.write_all(bytes))?;
        let saved = read_state(&fetched)?.filter(|saved| !saved.anew);
        let head = saved.filter(|saved| saved.head.accounts == saved.accounts.len() as u64);
        let head = head.ok_or_else(|| damaged(&fetched, "the leader's state is not whole"))?;
        let genesis = Hash::new_from_array(head.head.genesis_hash);
        if genesis_hash.is_some_and(|ours| *ours != genesis) {
            return Err(damaged(&fetched, "the leader's state is another chain's"));
        }
        let path = self.dir.join("state.bin");
        fs::rename(&fetched, &path).map_err(at(&path))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(at(&self.dir))?;
        self.empty_log()
    }

    fn empty_log(&mut self) -> Result<(), StoreError> {
        self.log_bytes = 0;
        self.cut()
            .and_then(|()| self.log.sync_data())
            .map_err(at(&self.log_path()))?;
        self.snapshot_at = MAX_LOG_BYTES;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log.bin")
    }
}

/// A state as its file has it.
pub fn encode(resume: &Resume, genesis_hash: &Hash) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    write_state(&mut bytes, resume, genesis_hash)?;
    Ok(bytes)
}

fn write_state(file: &mut impl Write, resume: &Resume, genesis_hash: &Hash) -> io::Result<()> {
    file.write_all(MAGIC)?;
    let head = StateEntry::Head(Head::new(resume, genesis_hash));
    write_frame(file, &head)?;
    for (key, account, written) in &resume.accounts {
        let account = SavedAccount::new(key, account, *written);
        write_frame(file, &StateEntry::Account(account))?;
    }
    write_frame(file, &head)
}

/// Opens a file for reading and writing that only its owner may read, also if an older build made it otherwise.
fn private(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(at(path))?;
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(at(path))?;
    Ok(file)
}

/// Puts a whole file in the place of another: after a crash there is the old or the new one. Only its owner may
/// read it.
pub fn replace(
    path: &Path,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), StoreError> {
    let temporary = path.with_extension("new");
    let mut file = private(&temporary)?;
    file.set_len(0)
        .and_then(|()| fill(&mut file))
        .and_then(|()| file.sync_all())
        .map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(at(dir))
}

fn at(path: &Path) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Io {
        path: path.clone(),
        source,
    }
}

fn damaged(path: &Path, reason: impl ToString) -> StoreError {
    StoreError::Damaged {
        path: path.to_path_buf(),
        reason: reason.to_string(),
    }
}

fn framed(entry: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = bincode::serialize(entry).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 16);
    if frames::push(&mut frame, &body) {
        Ok(frame)
    } else {
        Err(io::Error::other("a record of more than 1 GiB"))
    }
}

fn push(out: &mut Vec<u8>, entry: &LogEntry, path: &Path) -> Result<(), StoreError> {
    out.extend_from_slice(&framed(entry).map_err(at(path))?);
    Ok(())
}

fn write_frame(file: &mut impl Write, entry: &StateEntry) -> io::Result<()> {
    file.write_all(&framed(entry)?)
}

/// Says in the process's log what of a file can't be read; true if more than its end is damaged, and a copy was kept.
fn name_damage(path: &Path, bytes: &[u8], frames: &Frames) -> bool {
    let mut middle = false;
    for damage in &frames.damage {
        let (file, offset, len) = (path.display(), damage.offset, damage.bytes);
        match damage.kind {
            Kind::Zeros => {
                tracing::warn!(%file, offset, bytes = len, "cut a zero-filled end, as a power cut leaves it");
            }
            Kind::Torn => {
                tracing::warn!(%file, offset, bytes = len, "cut an incomplete or damaged end");
            }
            Kind::Middle => {
                middle = true;
                tracing::error!(%file, offset, bytes = len, "a damaged record can't be read; what follows it can");
            }
        }
    }
    if middle {
        let mut name = path.as_os_str().to_owned();
        name.push(".damaged");
        let kept = replace(Path::new(&name), |file| file.write_all(bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "no copy of the damaged file could be kept");
        }
    }
    middle
}

fn entries(path: &Path, frames: &Frames) -> Result<Vec<LogEntry>, StoreError> {
    let decode = |body: &&[u8]| {
        bincode::deserialize(body)
            .map_err(|error| damaged(path, format!("a record of another version: {error}")))
    };
    frames.bodies.iter().map(decode).collect()
}

/// The content of a state file.
struct Saved {
    head: Head,
    accounts: Vec<SavedAccount>,
    /// Whether the file should be written anew: it is damaged or of an older build.
    anew: bool,
}

fn read_state(path: &Path) -> Result<Option<Saved>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let (magic, rest) = bytes
        .split_first_chunk::<16>()
        .ok_or_else(|| damaged(path, "too short"))?;
    if magic == OLD_MAGIC {
        return read_old_state(path, rest).map(Some);
    }
    // A flipped bit in the magic: the frames have checks of their own.
    let off: u32 = magic
        .iter()
        .zip(MAGIC)
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    if off > 1 {
        return Err(damaged(path, "not a state file of this version"));
    }
    let frames = frames::read(rest);
    let mut anew = off > 0;
    if !frames.damage.is_empty() {
        let whole = Frames {
            damage: frames
                .damage
                .iter()
                .map(|damage| frames::Damage {
                    kind: Kind::Middle,
                    offset: damage.offset + MAGIC.len(),
                    ..*damage
                })
                .collect(),
            ..Frames::default()
        };
        anew |= name_damage(path, &bytes, &whole);
    }
    let mut head = None;
    let mut accounts = Vec::new();
    for body in &frames.bodies {
        match bincode::deserialize(body) {
            Ok(StateEntry::Head(found)) => head = Some(found),
            Ok(StateEntry::Account(account)) => accounts.push(account),
            Err(error) => {
                return Err(damaged(
                    path,
                    format!("a record of another version: {error}"),
                ));
            }
        }
    }
    let head = head.ok_or_else(|| damaged(path, "both heads are lost"))?;
    let lost = head.accounts.saturating_sub(accounts.len() as u64);
    if lost > 0 {
        tracing::error!(file = %path.display(), lost, of = head.accounts, "accounts are lost to damage, unless the log holds newer writes of them");
    }
    Ok(Some(Saved {
        head,
        accounts,
        anew,
    }))
}

fn read_old_state(path: &Path, rest: &[u8]) -> Result<Saved, StoreError> {
    let (digest, body) = rest
        .split_first_chunk::<32>()
        .ok_or_else(|| damaged(path, "too short"))?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(damaged(path, "wrong checksum"));
    }
    let state: OldState = bincode::deserialize(body).map_err(|error| damaged(path, error))?;
    let (head, accounts) = state.split();
    Ok(Saved {
        head,
        accounts,
        anew: true,
    })
}

fn replay(state: Saved, entries: Vec<LogEntry>) -> (Resume, Hash) {
    let genesis_hash = Hash::new_from_array(state.head.genesis_hash);
    let mut resume = state.head.load();
    let mut accounts: HashMap<Pubkey, (AccountSharedData, Slot)> =
        state.accounts.into_iter().map(SavedAccount::load).collect();
    for entry in entries {
        match entry {
            LogEntry::Next(slot) => resume.next_slot = resume.next_slot.max(slot),
            // A crash between a snapshot and the emptying of the log leaves older entries behind.
            LogEntry::Root { block, .. } if block.slot <= resume.root.slot => {}
            LogEntry::Root {
                block,
                statuses,
                accounts: written,
            } => {
                let lost = block
                    .height
                    .saturating_sub(resume.root.height.saturating_add(1));
                if lost > 0 {
                    tracing::error!(
                        blocks = lost,
                        after_slot = resume.root.slot,
                        before_slot = block.slot,
                        "finalized blocks are lost to damage: accounts that only they wrote have their older state"
                    );
                }
                resume.root = block.load();
                let root = &resume.root;
                resume
                    .slot_hashes
                    .add(root.slot, bank_hash(&root.blockhash));
                resume.blockhashes.push((root.blockhash, root.height));
                resume.statuses.extend(load_statuses(statuses));
                accounts.extend(written.into_iter().map(SavedAccount::load));
            }
        }
    }
    resume.next_slot = resume.next_slot.max(resume.root.slot.saturating_add(1));
    resume.accounts = accounts
        .into_iter()
        .map(|(key, (account, written))| (key, account, written))
        .collect();
    (resume, genesis_hash)
}

#[cfg(test)]
mod tests;
