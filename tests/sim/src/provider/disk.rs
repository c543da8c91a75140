//! A machine: the disk under a journal, and containers. A process that is killed in the middle of a write leaves any part of it, and its
//! containers running; a machine that loses power also forgets what was not synced: a file that was removed may be there again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use mythic_provider::journal::Promise;
use solana_pubkey::Pubkey;
use tempfile::TempDir;

use crate::rng::Rng;

pub struct Disk {
    dir: TempDir,
    /// Files that were removed since the directory was synced.
    removed: BTreeMap<PathBuf, Vec<u8>>,
    /// Leases whose containers run.
    pub containers: BTreeSet<Pubkey>,
}

impl Disk {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            dir: tempfile::tempdir()?,
            removed: BTreeMap::new(),
            containers: BTreeSet::new(),
        })
    }

    /// The provider's data directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, lease: &Pubkey) -> PathBuf {
        self.path().join(format!("leases/{lease}.json"))
    }

    /// A promise was written: the directory is synced, with whatever was removed from it.
    pub fn kept(&mut self) {
        self.removed.clear();
    }

    /// A promise is about to be removed, which nothing syncs.
    pub fn forgets(&mut self, lease: &Pubkey) {
        let file = self.file(lease);
        if let Ok(bytes) = fs::read(&file) {
            self.removed.insert(file, bytes);
        }
    }

    /// The process died while it wrote a promise.
    pub fn cut(&self, lease: &Pubkey, promise: &Promise, rng: &mut Rng) -> io::Result<()> {
        let (file, bytes) = (self.file(lease), serde_json::to_vec(promise)?);
        let fresh = file.with_extension("new");
        match rng.below(4) {
            0 => Ok(()),
            1 => fs::write(fresh, &bytes[..rng.below(bytes.len())]),
            2 => fs::write(fresh, bytes),
            _ => fs::write(file, bytes),
        }
    }

    /// The machine lost power.
    pub fn lose(&mut self, rng: &mut Rng) -> io::Result<()> {
        self.containers.clear();
        for (file, bytes) in std::mem::take(&mut self.removed) {
            if rng.percent(50) {
                fs::write(file, bytes)?;
            }
        }
        Ok(())
    }

    /// Promises that lie on it.
    pub fn promises(&self) -> io::Result<usize> {
        let is_promise = |file: &fs::DirEntry| {
            let path = file.path();
            path.extension()
                .is_some_and(|extension| extension == "json")
        };
        match fs::read_dir(self.path().join("leases")) {
            Ok(files) => Ok(files.flatten().filter(is_promise).count()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }
}
