//! Account updates that wait on disk. The files have no name: they are gone with the process, which reads again from the log.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::projection::Account;

/// Before the data: pubkey, owner, lamports, write version, slot, whether there is a signature, signature, length.
const HEAD: usize = 32 + 32 + 8 + 8 + 8 + 1 + 64 + 4;
/// What a reader and a writer of a file buffer.
const BUFFER: usize = 64 << 10;

/// The directory in which files are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpillDir(PathBuf);

impl SpillDir {
    pub fn new(dir: &Path) -> Self {
        Self(dir.to_path_buf())
    }

    /// An empty file.
    pub fn file(&self) -> io::Result<Spilled> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", self.0.display()));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(named)?;
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = self.0.join(format!("{}-{number}", std::process::id()));
        // A killed process may have left one between making and unlinking it.
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(named)?;
        fs::remove_file(&path).map_err(named)?;
        Ok(Spilled { file, bytes: 0 })
    }
}

/// A file of accounts, in the order in which they were written.
#[derive(Debug)]
pub(super) struct Spilled {
    file: File,
    bytes: u64,
}

impl Spilled {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes accounts behind those that are there.
    pub fn append(
        &mut self,
        accounts: impl Iterator<Item = io::Result<Account>>,
    ) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.bytes))?;
        let mut out = BufWriter::with_capacity(BUFFER, &self.file);
        for account in accounts {
            self.bytes += write(&mut out, &account?)?;
        }
        out.flush()
    }

    /// All accounts, from the first; the file stays.
    pub fn read_again(&self) -> io::Result<SpillReader> {
        let file = self.file.try_clone()?;
        let bytes = self.bytes;
        Self { file, bytes }.read()
    }

    /// All accounts, from the first.
    pub fn read(self) -> io::Result<SpillReader> {
        let mut file = self.file;
        file.seek(SeekFrom::Start(0))?;
        Ok(SpillReader {
            file: BufReader::with_capacity(BUFFER, file),
            left: self.bytes,
        })
    }
}

/// Yields what a file holds.
#[derive(Debug)]
pub(super) struct SpillReader {
    file: BufReader<File>,
    left: u64,
}

impl Iterator for SpillReader {
    type Item = io::Result<Account>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let read = read(&mut self.file);
        self.left = match &read {
            Ok(account) => self.left.saturating_sub((HEAD + account.data.len()) as u64),
            Err(_) => 0,
        };
        Some(read)
    }
}

fn write(out: &mut impl Write, account: &Account) -> io::Result<u64> {
    let mut head = [0; HEAD];
    let (keys, rest) = head.split_at_mut(64);
    keys[..32].copy_from_slice(&account.pubkey);
    keys[32..].copy_from_slice(&account.owner);
    rest[..8].copy_from_slice(&account.lamports.to_le_bytes());
    rest[8..16].copy_from_slice(&account.write_version.to_le_bytes());
    rest[16..24].copy_from_slice(&account.slot.to_le_bytes());
    if let Some(signature) = &account.signature {
        rest[24] = 1;
        rest[25..89].copy_from_slice(signature);
    }
    rest[89..].copy_from_slice(&(account.data.len() as u32).to_le_bytes());
    out.write_all(&head)?;
    out.write_all(&account.data)?;
    Ok((HEAD + account.data.len()) as u64)
}

fn read(from: &mut impl Read) -> io::Result<Account> {
    fn part<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&head[at..at + N]);
        part
    }
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let mut data = vec![0; u32::from_le_bytes(part(&head, HEAD - 4)) as usize];
    from.read_exact(&mut data)?;
    Ok(Account {
        pubkey: part(&head, 0),
        owner: part(&head, 32),
        lamports: u64::from_le_bytes(part(&head, 64)),
        write_version: u64::from_le_bytes(part(&head, 72)),
        slot: u64::from_le_bytes(part(&head, 80)),
        signature: (head[88] == 1).then(|| part(&head, 89)),
        data: data.into(),
    })
}
