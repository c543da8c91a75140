//! Accounts that our programs own or owned: their closing (no lamports, or another owner) must be
//! seen although it no longer passes the owner filter. The callbacks read and extend the set; the
//! drain thread removes what closed in a rooted slot, and keeps a copy beside the spool.

use parking_lot::RwLock;
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
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

const MAGIC: &[u8; 8] = b"MYTRACK2";
/// magic, primed u8, crc32c u32
const HEAD: usize = 13;
/// op u8, pubkey, crc32c u32
const ENTRY: usize = 37;
const ADD: u8 = 1;
const REMOVE: u8 = 2;

/// The copy on disk: a header that says whether a whole set was ever known, then a log of changes. It is durable before the
/// updates that it speaks of, so an entry that a crash tore is of an update that nobody has seen.
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
        self.pending.extend_from_slice(&entry(op, pubkey));
        self.entries += 1;
    }

    /// Brings the copy up to date; call it before the updates themselves become durable. `durable`: they will be.
    pub fn save(&mut self, tracked: &Tracked, durable: bool) -> io::Result<()> {
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
        let mut written = self.file.write_all(&self.pending);
        self.pending.clear();
        if durable {
            written = written.and_then(|()| self.file.sync_data());
        }
        if written.is_err() {
            // Part of an entry may be there, or be lost later: the whole is written anew.
            tracked.stale.store(true, Relaxed);
        }
        written
    }
}

fn head(primed: bool) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8] = u8::from(primed);
    let crc = crc32c::crc32c(&head[..9]);
    head[9..].copy_from_slice(&crc.to_le_bytes());
    head
}

fn entry(op: u8, pubkey: &[u8; 32]) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[0] = op;
    entry[1..33].copy_from_slice(pubkey);
    let crc = crc32c::crc32c(&entry[..33]);
    entry[33..].copy_from_slice(&crc.to_le_bytes());
    entry
}

/// Takes what the bytes say; whether that is a whole set. A damaged entry before a good one is one that is missing; what is torn
/// at the end never was a part of the set.
fn restore(bytes: &[u8], tracked: &Tracked) -> bool {
    let Some((start, entries)) = bytes.split_first_chunk::<HEAD>() else {
        return false;
    };
    let (mut missing, mut torn) = (false, false);
    for bytes in entries.chunks(ENTRY) {
        let pubkey = bytes
            .get(1..33)
            .and_then(|key| <[u8; 32]>::try_from(key).ok());
        match pubkey {
            Some(pubkey) if *bytes == entry(ADD, &pubkey) => {
                missing |= torn;
                tracked.seen_alive(&pubkey, 0);
            }
            Some(pubkey) if *bytes == entry(REMOVE, &pubkey) => {
                missing |= torn;
                tracked.closed(&pubkey, 0);
            }
            _ => torn = true,
        }
    }
    if missing {
        log::error!(
            "the set of tracked accounts is damaged: closings may be missed until the validator starts again"
        );
    }
    *start == head(true) && !missing
}

/// Writes the whole set to a file of its own, which takes the place of the old one once it is durable.
fn rewrite(path: &Path, tracked: &Tracked, primed: bool) -> io::Result<(File, usize)> {
    let temporary = path.with_extension("new");
    let mut bytes = head(primed).to_vec();
    for shard in &tracked.shards {
        for pubkey in shard.read().keys() {
            bytes.extend_from_slice(&entry(ADD, pubkey));
        }
    }
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    // The same file: it goes on at its end.
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
        file.save(&tracked, true).unwrap();
        assert!(tracked.closed(&[3; 32], 5));
        file.remove(&[3; 32]);
        file.save(&tracked, true).unwrap();
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
    fn a_damaged_set_never_says_that_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tracked");
        let tracked = Tracked::default();
        let mut file = TrackedFile::open(dir.path(), &tracked).unwrap();
        file.set_primed(&tracked);
        file.save(&tracked, true).unwrap();
        for n in 0..4 {
            tracked.seen_alive(&[n; 32], 5);
            file.add(&[n; 32]);
        }
        file.save(&tracked, true).unwrap();
        drop(file);
        let good = fs::read(&path).unwrap();
        let last = HEAD + 3 * ENTRY;
        assert_eq!(good.len(), HEAD + 4 * ENTRY);
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let again = Tracked::default();
            let whole = restore(&bytes, &again);
            // The last entry can't be told from one that was torn.
            assert_eq!(whole, bit / 8 >= last, "bit {bit}");
            assert_eq!(again.len(), if bit / 8 < HEAD { 4 } else { 3 }, "bit {bit}");
        }
        for cut in 0..good.len() {
            let again = Tracked::default();
            assert_eq!(restore(&good[..cut], &again), cut >= HEAD, "cut at {cut}");
            assert_eq!(again.len(), cut.saturating_sub(HEAD) / ENTRY);
            let mut zeros = good[..cut].to_vec();
            zeros.resize(good.len() + 100, 0);
            let again = Tracked::default();
            // Zeros that were there already are no damage.
            let same = good[cut..].iter().take_while(|byte| **byte == 0).count() + cut;
            assert_eq!(restore(&zeros, &again), same >= HEAD, "zeros from {cut}");
            assert_eq!(again.len(), same.saturating_sub(HEAD) / ENTRY);
        }
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
