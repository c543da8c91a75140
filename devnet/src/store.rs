//! Durable state of the root: a snapshot file, and a log of the blocks rooted since.
//!
//! `state.bin` = magic, SHA-256 of the body, body (bincode). `log.bin` = frames of `length u32 | first 4 bytes of
//! SHA-256 | body`; a torn tail is cut when the log is opened. A block is on disk (fsync) before it counts as rooted.
//! The log also notes the newest slot in use, so that a restart never uses a slot number twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_clock::Slot;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_slot_hashes::SlotHashes;

use crate::chain::{Block, Resume, SignatureStatus, bank_hash};

const MAGIC: &[u8; 16] = b"mythic-devnet-01";
/// Size of the log at which a new snapshot is written.
const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;
/// Largest frame believed when reading.
const MAX_FRAME_BYTES: usize = 1024 * 1024 * 1024;

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

#[derive(Clone, Serialize, Deserialize)]
struct SavedBlock {
    slot: Slot,
    parent_slot: Slot,
    height: u64,
    blockhash: [u8; 32],
    parent_blockhash: [u8; 32],
    unix_ms: i64,
    transaction_count: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedAccount {
    pubkey: [u8; 32],
    lamports: u64,
    owner: [u8; 32],
    executable: bool,
    rent_epoch: u64,
    written: Slot,
    data: Vec<u8>,
}

type SavedStatus = (Vec<u8>, SignatureStatus);

#[derive(Serialize, Deserialize)]
struct State {
    genesis_hash: [u8; 32],
    root: SavedBlock,
    slot_hashes: Vec<(Slot, [u8; 32])>,
    blockhashes: Vec<([u8; 32], u64)>,
    statuses: Vec<SavedStatus>,
    accounts: Vec<SavedAccount>,
    next_slot: Slot,
}

#[derive(Serialize, Deserialize)]
enum Entry {
    /// Slots below this one may be in use.
    Next(Slot),
    Root {
        block: SavedBlock,
        statuses: Vec<SavedStatus>,
        accounts: Vec<SavedAccount>,
    },
}

/// The state directory, held by this process.
pub struct Store {
    dir: PathBuf,
    log: File,
    log_bytes: u64,
    noted: Slot,
    _lock: File,
}

impl Store {
    /// Opens the directory and reads what is there: rooted state and genesis hash, or nothing.
    pub fn open(dir: &Path) -> Result<(Self, Option<(Resume, Hash)>), StoreError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock_path = dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        if lock.try_lock().is_err() {
            return Err(StoreError::Held(dir.to_path_buf()));
        }
        let log_path = dir.join("log.bin");
        let mut log = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&log_path)
            .map_err(at(&log_path))?;
        let (entries, log_bytes) = read_log(&mut log, &log_path)?;
        log.set_len(log_bytes)
            .and_then(|()| log.seek(SeekFrom::End(0)))
            .map_err(at(&log_path))?;
        let state = read_state(&dir.join("state.bin"))?;
        let store = Self {
            dir: dir.to_path_buf(),
            log,
            log_bytes,
            noted: 0,
            _lock: lock,
        };
        Ok((store, state.map(|state| replay(state, entries))))
    }

    /// Makes rooted blocks durable; when this returns they are on disk.
    pub fn append_roots(
        &mut self,
        blocks: &[Arc<Block>],
        open_slot: Slot,
    ) -> Result<(), StoreError> {
        let mut frames = Vec::new();
        for block in blocks {
            let entry = Entry::Root {
                block: save_block(block),
                statuses: block
                    .transactions
                    .iter()
                    .map(|executed| {
                        let status = SignatureStatus {
                            slot: block.slot,
                            height: block.height,
                            err: executed.meta.status.clone().err(),
                        };
                        (executed.signature.as_ref().to_vec(), status)
                    })
                    .collect(),
                accounts: block
                    .writes
                    .iter()
                    .filter(|(_, account)| !crate::chain::is_kept_by_the_chain(account))
                    .map(|(key, account)| save_account(key, account, block.slot))
                    .collect(),
            };
            push_frame(&mut frames, &entry, &self.dir)?;
        }
        push_frame(
            &mut frames,
            &Entry::Next(open_slot.saturating_add(1)),
            &self.dir,
        )?;
        self.write(&frames)?;
        let path = self.log_path();
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
        push_frame(
            &mut frame,
            &Entry::Next(open_slot.saturating_add(1)),
            &self.dir,
        )?;
        self.write(&frame)?;
        self.noted = open_slot;
        Ok(())
    }

    fn write(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        let path = self.log_path();
        if let Err(error) = self.log.write_all(frames) {
            // A torn frame in the middle would hide what follows it.
            self.log
                .set_len(self.log_bytes)
                .and_then(|()| self.log.seek(SeekFrom::End(0)))
                .map_err(at(&path))?;
            return Err(at(&path)(error));
        }
        self.log_bytes = self.log_bytes.saturating_add(frames.len() as u64);
        Ok(())
    }

    /// Whether the log is long enough for a new snapshot.
    pub fn is_long(&self) -> bool {
        self.log_bytes > MAX_LOG_BYTES
    }

    /// Writes a snapshot and empties the log.
    pub fn compact(&mut self, resume: &Resume, genesis_hash: &Hash) -> Result<(), StoreError> {
        let state = State {
            genesis_hash: genesis_hash.to_bytes(),
            root: save_block(&resume.root),
            slot_hashes: resume
                .slot_hashes
                .slot_hashes()
                .iter()
                .map(|(slot, hash)| (*slot, hash.to_bytes()))
                .collect(),
            blockhashes: resume
                .blockhashes
                .iter()
                .map(|(hash, height)| (hash.to_bytes(), *height))
                .collect(),
            statuses: resume
                .statuses
                .iter()
                .map(|(signature, status)| (signature.as_ref().to_vec(), status.clone()))
                .collect(),
            accounts: resume
                .accounts
                .iter()
                .map(|(key, account, written)| save_account(key, account, *written))
                .collect(),
            next_slot: resume.next_slot,
        };
        let path = self.dir.join("state.bin");
        let temporary = self.dir.join("state.new");
        let body = bincode::serialize(&state).map_err(|error| damaged(&path, error))?;
        let mut file = File::create(&temporary).map_err(at(&temporary))?;
        file.write_all(MAGIC)
            .and_then(|()| file.write_all(&Sha256::digest(&body)))
            .and_then(|()| file.write_all(&body))
            .and_then(|()| file.sync_all())
            .map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))?;
        File::open(&self.dir)
            .and_then(|dir| dir.sync_all())
            .map_err(at(&self.dir))?;
        let log_path = self.log_path();
        self.log
            .set_len(0)
            .and_then(|()| self.log.seek(SeekFrom::Start(0)))
            .and_then(|_| self.log.sync_data())
            .map_err(at(&log_path))?;
        self.log_bytes = 0;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log.bin")
    }
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

fn push_frame(out: &mut Vec<u8>, entry: &Entry, path: &Path) -> Result<(), StoreError> {
    let body = bincode::serialize(entry).map_err(|error| damaged(path, error))?;
    let len = u32::try_from(body.len()).map_err(|error| damaged(path, error))?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&check(&body));
    out.extend_from_slice(&body);
    Ok(())
}

fn check(body: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::digest(body).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// The whole entries of the log, and the length up to the end of the last one.
fn read_log(log: &mut File, path: &Path) -> Result<(Vec<Entry>, u64), StoreError> {
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes).map_err(at(path))?;
    let mut entries = Vec::new();
    let mut offset = 0usize;
    while let Some((entry, len)) = next_frame(bytes.get(offset..).unwrap_or_default()) {
        entries.push(entry);
        offset += len;
    }
    if offset < bytes.len() {
        tracing::warn!(bytes = bytes.len() - offset, "cut the torn tail of the log");
    }
    Ok((entries, offset as u64))
}

fn next_frame(bytes: &[u8]) -> Option<(Entry, usize)> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let len = u32::from_le_bytes(*len) as usize;
    if len > MAX_FRAME_BYTES {
        return None;
    }
    let body = rest.get(..len)?;
    if check(body) != *sum {
        return None;
    }
    Some((bincode::deserialize(body).ok()?, len + 8))
}

fn read_state(path: &Path) -> Result<Option<State>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let (magic, rest) = bytes
        .split_first_chunk::<16>()
        .ok_or_else(|| damaged(path, "too short"))?;
    if magic != MAGIC {
        return Err(damaged(path, "not a state file of this version"));
    }
    let (digest, body) = rest
        .split_first_chunk::<32>()
        .ok_or_else(|| damaged(path, "too short"))?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(damaged(path, "wrong checksum"));
    }
    bincode::deserialize(body)
        .map(Some)
        .map_err(|error| damaged(path, error))
}

fn replay(state: State, entries: Vec<Entry>) -> (Resume, Hash) {
    let genesis_hash = Hash::new_from_array(state.genesis_hash);
    let slot_hashes: Vec<_> = state
        .slot_hashes
        .iter()
        .map(|(slot, hash)| (*slot, Hash::new_from_array(*hash)))
        .collect();
    let mut resume = Resume {
        root: load_block(&state.root),
        slot_hashes: SlotHashes::new(&slot_hashes),
        blockhashes: state
            .blockhashes
            .iter()
            .map(|(hash, height)| (Hash::new_from_array(*hash), *height))
            .collect(),
        statuses: load_statuses(state.statuses).collect(),
        accounts: Vec::new(),
        next_slot: state.next_slot,
    };
    let mut accounts: std::collections::HashMap<Pubkey, (AccountSharedData, Slot)> =
        state.accounts.into_iter().map(load_account).collect();
    for entry in entries {
        match entry {
            Entry::Next(slot) => resume.next_slot = resume.next_slot.max(slot),
            // A crash between a snapshot and the emptying of the log leaves older entries behind.
            Entry::Root { block, .. } if block.slot <= resume.root.slot => {}
            Entry::Root {
                block,
                statuses,
                accounts: written,
            } => {
                resume.root = load_block(&block);
                let root = &resume.root;
                resume
                    .slot_hashes
                    .add(root.slot, bank_hash(&root.blockhash));
                resume.blockhashes.push((root.blockhash, root.height));
                resume.statuses.extend(load_statuses(statuses));
                accounts.extend(written.into_iter().map(load_account));
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

fn save_block(block: &Block) -> SavedBlock {
    SavedBlock {
        slot: block.slot,
        parent_slot: block.parent_slot,
        height: block.height,
        blockhash: block.blockhash.to_bytes(),
        parent_blockhash: block.parent_blockhash.to_bytes(),
        unix_ms: block.unix_ms,
        transaction_count: block.transaction_count,
    }
}

fn load_block(saved: &SavedBlock) -> Block {
    Block {
        slot: saved.slot,
        parent_slot: saved.parent_slot,
        height: saved.height,
        blockhash: Hash::new_from_array(saved.blockhash),
        parent_blockhash: Hash::new_from_array(saved.parent_blockhash),
        unix_ms: saved.unix_ms,
        transaction_count: saved.transaction_count,
        transactions: Vec::new(),
        writes: Vec::new(),
    }
}

fn save_account(key: &Pubkey, account: &AccountSharedData, written: Slot) -> SavedAccount {
    SavedAccount {
        pubkey: key.to_bytes(),
        lamports: account.lamports(),
        owner: account.owner().to_bytes(),
        executable: account.executable(),
        rent_epoch: account.rent_epoch(),
        written,
        data: account.data().to_vec(),
    }
}

fn load_account(saved: SavedAccount) -> (Pubkey, (AccountSharedData, Slot)) {
    let account = Account {
        lamports: saved.lamports,
        data: saved.data,
        owner: Pubkey::new_from_array(saved.owner),
        executable: saved.executable,
        rent_epoch: saved.rent_epoch,
    };
    (
        Pubkey::new_from_array(saved.pubkey),
        (account.into(), saved.written),
    )
}

fn load_statuses(saved: Vec<SavedStatus>) -> impl Iterator<Item = (Signature, SignatureStatus)> {
    saved
        .into_iter()
        .filter_map(|(signature, status)| Some((Signature::try_from(signature).ok()?, status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(slot: Slot) -> Arc<Block> {
        let account = Account {
            lamports: slot + 1,
            data: vec![7; 3],
            ..Account::default()
        };
        Arc::new(Block {
            slot,
            parent_slot: slot - 1,
            height: slot,
            blockhash: Hash::new_from_array([slot as u8; 32]),
            parent_blockhash: Hash::default(),
            unix_ms: 1000 * slot as i64,
            transaction_count: 0,
            transactions: Vec::new(),
            writes: vec![(Pubkey::new_from_array([9; 32]), account.into())],
        })
    }

    fn first(next_slot: Slot) -> Resume {
        Resume {
            root: load_block(&save_block(&block(1))),
            slot_hashes: SlotHashes::new(&[]),
            blockhashes: vec![(Hash::default(), 0)],
            statuses: Vec::new(),
            accounts: Vec::new(),
            next_slot,
        }
    }

    #[test]
    fn what_was_rooted_is_there_again_and_a_torn_tail_is_cut() {
        let dir = tempfile::tempdir().unwrap();
        let genesis = Hash::new_from_array([4; 32]);
        {
            let (mut store, state) = Store::open(dir.path()).unwrap();
            assert!(state.is_none());
            assert!(matches!(Store::open(dir.path()), Err(StoreError::Held(_))));
            store.compact(&first(2), &genesis).unwrap();
            store.append_roots(&[block(2), block(3)], 36).unwrap();
            store.note(40).unwrap();
        }
        let log = dir.path().join("log.bin");
        let whole = fs::metadata(&log).unwrap().len();
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all(&[200, 0, 0, 0, 1, 2, 3]).unwrap();
        let (_store, state) = Store::open(dir.path()).unwrap();
        let (resume, hash) = state.unwrap();
        assert_eq!(hash, genesis);
        assert_eq!((resume.root.slot, resume.next_slot), (3, 41));
        assert_eq!(resume.blockhashes.len(), 3);
        assert_eq!(resume.slot_hashes.slot_hashes()[0].0, 3);
        let [(_, account, written)] = &resume.accounts[..] else {
            panic!("one account");
        };
        assert_eq!((account.lamports(), *written), (4, 3));
        assert_eq!(fs::metadata(&log).unwrap().len(), whole);
    }

    #[test]
    fn a_changed_state_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (mut store, _) = Store::open(dir.path()).unwrap();
            store.compact(&first(2), &Hash::default()).unwrap();
        }
        let path = dir.path().join("state.bin");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        let error = Store::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("wrong checksum"), "{error}");
    }
}
