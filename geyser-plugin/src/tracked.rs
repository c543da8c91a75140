//! Accounts that our programs own or owned: their closing (no lamports, or another owner) must be
//! seen although it no longer passes the owner filter. The callbacks read and extend the set; the
//! drain thread removes what closed in a rooted slot, and keeps a copy beside the spool.

use parking_lot::RwLock;
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Enough that two committing threads seldom meet; each holds its shard for nanoseconds.
const SHARDS: usize = 256;

/// Pubkey -> highest slot in which the account was seen alive.
type Shard = RwLock<HashMap<[u8; 32], u64>>;

/// The tracked accounts, in shards so that committing threads rarely meet.
#[derive(Debug)]
pub(crate) struct Tracked {
    shards: Box<[Shard]>,
    /// The copy on disk misses something: write it anew.
    pub stale: AtomicBool,
}

impl Default for Tracked {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            stale: AtomicBool::new(false),
        }
    }
}

impl Tracked {
    fn shard(&self, pubkey: &[u8; 32]) -> &RwLock<HashMap<[u8; 32], u64>> {
        // Derived addresses are hashes: any byte spreads well, and the last can't be ground cheaply.
        &self.shards[usize::from(pubkey[31])]
    }

    pub fn contains(&self, pubkey: &[u8; 32]) -> bool {
        self.shard(pubkey).read().contains_key(pubkey)
    }

    /// The account lives in `slot`. `true`: it was not tracked before.
    pub fn seen_alive(&self, pubkey: &[u8; 32], slot: u64) -> bool {
        let shard = self.shard(pubkey);
        if shard.read().get(pubkey).is_some_and(|&seen| seen >= slot) {
            return false;
        }
        let mut shard = shard.write();
        match shard.get_mut(pubkey) {
            Some(seen) => {
                *seen = slot.max(*seen);
                false
            }
            None => {
                shard.insert(*pubkey, slot);
                true
            }
        }
    }

    /// The account closed in rooted `slot`; `true` if it was removed, as it was not seen alive later.
    pub fn closed(&self, pubkey: &[u8; 32], slot: u64) -> bool {
        let mut shard = self.shard(pubkey).write();
        let gone = shard.get(pubkey).is_some_and(|&seen| seen <= slot);
        if gone {
            shard.remove(pubkey);
        }
        gone
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }
}

const MAGIC: &[u8; 8] = b"MYTRACK1";
const HEAD: usize = 9;
/// op u8, pubkey, crc32c u32
const ENTRY: usize = 37;
const ADD: u8 = 1;
const REMOVE: u8 = 2;

/// The copy on disk: a header that says whether a whole set was ever known, then a log of changes.
#[derive(Debug)]
pub(crate) struct TrackedFile {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
    entries: usize,
    primed: bool,
}

impl TrackedFile {
    /// Restores the set from `dir` and writes it afresh. The file says whether it is complete.
    pub fn open(dir: &Path, tracked: &Tracked) -> io::Result<Self> {
        let path = dir.join("tracked");
        let primed = match fs::read(&path) {
            Ok(bytes) => restore(&bytes, tracked),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(e),
        };
        let (file, entries) = rewrite(&path, tracked, primed)?;
        Ok(Self {
            path,
            file,
            pending: Vec::new(),
            entries,
            primed,
        })
    }

    /// The set was whole when it was stored.
    pub fn primed(&self) -> bool {
        self.primed
    }

    pub fn set_primed(&mut self, tracked: &Tracked) {
        self.primed = true;
        tracked.stale.store(true, Relaxed);
    }

    pub fn add(&mut self, pubkey: &[u8; 32]) {
        self.push(ADD, pubkey);
    }

    pub fn remove(&mut self, pubkey: &[u8; 32]) {
        self.push(REMOVE, pubkey);
    }

    fn push(&mut self, op: u8, pubkey: &[u8; 32]) {
        let start = self.pending.len();
        self.pending.push(op);
        self.pending.extend_from_slice(pubkey);
        let crc = crc32c::crc32c(&self.pending[start..]);
        self.pending.extend_from_slice(&crc.to_le_bytes());
        self.entries += 1;
    }

    /// Brings the copy up to date; call it before the updates themselves become durable.
    pub fn save(&mut self, tracked: &Tracked) -> io::Result<()> {
        let wasteful = self.entries > 65_536 && self.entries > 4 * tracked.len();
        if wasteful || tracked.stale.swap(false, Relaxed) {
            self.pending.clear();
            match rewrite(&self.path, tracked, self.primed) {
                Ok((file, entries)) => (self.file, self.entries) = (file, entries),
                Err(e) => {
                    tracked.stale.store(true, Relaxed);
                    return Err(e);
                }
            }
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.pending);
        self.pending.clear();
        if written.is_err() {
            // Part of an entry may be there: what follows it would not be read.
            tracked.stale.store(true, Relaxed);
        }
        written
    }
}

fn restore(bytes: &[u8], tracked: &Tracked) -> bool {
    if bytes.get(..8) != Some(MAGIC) {
        return false;
    }
    for entry in bytes.get(HEAD..).unwrap_or_default().chunks_exact(ENTRY) {
        let (body, crc) = entry.split_at(33);
        let Some(pubkey) = body.get(1..).and_then(|key| <[u8; 32]>::try_from(key).ok()) else {
            break;
        };
        if crc != crc32c::crc32c(body).to_le_bytes() {
            break;
        }
        match body.first() {
            Some(&ADD) => {
                tracked.seen_alive(&pubkey, 0);
            }
            Some(&REMOVE) => {
                tracked.closed(&pubkey, 0);
            }
            _ => break,
        }
    }
    bytes.get(8) == Some(&1)
}

fn rewrite(path: &Path, tracked: &Tracked, primed: bool) -> io::Result<(File, usize)> {
    let temporary = path.with_extension("new");
    let mut bytes = MAGIC.to_vec();
    bytes.push(u8::from(primed));
    for shard in &tracked.shards {
        for pubkey in shard.read().keys() {
            let start = bytes.len();
            bytes.push(ADD);
            bytes.extend_from_slice(pubkey);
            let crc = crc32c::crc32c(&bytes[start..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
        }
    }
    let mut file = File::create(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let file = OpenOptions::new().append(true).open(path)?;
    Ok((file, (bytes.len() - HEAD) / ENTRY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_survives_a_restart_and_a_torn_tail() {
        let dir = tempfile::tempdir().unwrap();
        let tracked = Tracked::default();
        let mut file = TrackedFile::open(dir.path(), &tracked).unwrap();
        assert!(!file.primed());
        for n in 0..10 {
            assert!(tracked.seen_alive(&[n; 32], 5));
            file.add(&[n; 32]);
        }
        file.set_primed(&tracked);
        file.save(&tracked).unwrap();
        assert!(tracked.closed(&[3; 32], 5));
        file.remove(&[3; 32]);
        file.save(&tracked).unwrap();
        drop(file);
        let mut bytes = fs::read(dir.path().join("tracked")).unwrap();
        bytes.extend_from_slice(&[1, 2, 3]);
        fs::write(dir.path().join("tracked"), bytes).unwrap();
        let again = Tracked::default();
        assert!(TrackedFile::open(dir.path(), &again).unwrap().primed());
        assert_eq!(again.len(), 9);
        assert!(!again.contains(&[3; 32]));
    }

    #[test]
    fn an_account_seen_alive_later_stays() {
        let tracked = Tracked::default();
        tracked.seen_alive(&[1; 32], 5);
        tracked.seen_alive(&[1; 32], 7);
        assert!(!tracked.closed(&[1; 32], 6));
        assert!(tracked.closed(&[1; 32], 7));
    }
}
