//! What was promised, so that a kill at any moment breaks no promise: a file for each lease, written before the request is accepted and
//! removed when the chain has forgotten the lease. Everything else follows from the chain.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use mythic_interface::market::state::Lease;
use mythic_support::files;
use russh::keys::PrivateKey;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use crate::{container::ssh::keys, spec::ContainerSpec};

/// Longest file that is read: a spec, and little beside it.
const MAX_FILE: u64 = 256 << 10;

/// What a tenant was promised. Of a lease that is only seen to its end nothing is: its hashes and its access are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Base58 address of the request.
    pub request: String,
    /// Slot from which the request can't be accepted any more.
    pub deadline_slot: u64,
    /// Base58 address of the tenant; empty in promises of versions that did not count what a tenant has.
    #[serde(default)]
    pub tenant: String,
    /// Units.
    pub units: u8,
    /// Hex SHA-256 of the weights that are served.
    pub weights: String,
    /// The model's id, as tenants name it.
    pub model: String,
    /// Hex hash of the tenant's key.
    pub key_hash: String,
    /// Answers at once.
    pub max_concurrent: usize,
    /// What the tenant is given to reach it: the exact bytes whose hash the start states.
    pub access: String,
    /// Of a container; then nothing is said of weights, model, key and answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Contained>,
}

impl Promise {
    /// Of a lease that can't be served: its machine settles it.
    pub fn unserved(state: &Lease) -> Self {
        Self {
            request: Pubkey::new_from_array(state.terms.request).to_string(),
            tenant: Pubkey::new_from_array(state.terms.tenant).to_string(),
            units: state.terms.units,
            ..Self::default()
        }
    }

    /// Whether its lease is only seen to its end.
    pub fn is_unserved(&self) -> bool {
        self.access.is_empty()
    }
}

/// What the tenant of a container was promised.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contained {
    pub spec: ContainerSpec,
    /// Values that the spec only commits to.
    pub environment: Vec<(String, String)>,
    /// Seed of the SSH host key, 64 hex digits.
    pub host_key: String,
    /// Ports of this machine: of SSH, then of each port that is published.
    pub ports: Vec<u16>,
    /// Number of its network.
    pub place: u16,
}

impl std::fmt::Debug for Contained {
    /// Without what is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Contained");
        shown.field("spec", &self.spec).field("ports", &self.ports);
        shown.field("place", &self.place).finish_non_exhaustive()
    }
}

impl Contained {
    /// Its SSH host key.
    pub fn host_key(&self) -> anyhow::Result<PrivateKey> {
        let seed = mythic_wire::parse_hex32(&self.host_key);
        Ok(keys::host_key(
            &seed.context("the journal has no host key")?,
        ))
    }
}

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk failed.
    #[error("journal {path}: {source}")]
    Io {
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another provider uses the directory.
    #[error("{path} is locked: another provider runs with this data directory")]
    Locked { path: PathBuf },
}

/// The open journal. Holds the data directory's lock.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    lock: File,
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A process that is just being started has the file too until it becomes another program, and would keep the lock.
        let _ = self.lock.unlock();
    }
}

impl Journal {
    /// Opens or makes the journal in `data_dir`; gives what was promised, by lease. A damaged file is named and kept under another
    /// name.
    pub fn open(data_dir: &Path) -> Result<(Self, Vec<(Pubkey, Promise)>), JournalError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| JournalError::Io { path, source }
        };
        files::private_dir(data_dir).map_err(at(data_dir))?;
        let lock_path = data_dir.join("lock");
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let lock = options.open(&lock_path).map_err(at(&lock_path))?;
        lock.try_lock()
            .map_err(|_| JournalError::Locked { path: lock_path })?;
        let dir = data_dir.join("leases");
        files::private_dir(&dir).map_err(at(&dir))?;
        let mut promises = Vec::new();
        for entry in fs::read_dir(&dir).map_err(at(&dir))? {
            let path = entry.map_err(at(&dir))?.path();
            // A write that was cut off left a file of another name, and promised nothing.
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(promise) => promises.push(promise),
                Err(error) => {
                    let kept = path.with_extension("damaged");
                    tracing::error!(path = %path.display(), %error, kept = %kept.display(), "a promise can't be read; the lease is not served");
                    fs::rename(&path, &kept).map_err(at(&path))?;
                }
            }
        }
        Ok((Self { dir, lock }, promises))
    }

    fn path(&self, lease: &Pubkey) -> PathBuf {
        self.dir.join(format!("{lease}.json"))
    }

    /// Writes a promise; it is on disk when this returns.
    pub fn keep(&self, lease: &Pubkey, promise: &Promise) -> Result<(), JournalError> {
        let path = self.path(lease);
        let bytes = serde_json::to_vec(promise).map_err(io::Error::from);
        bytes
            .and_then(|bytes| files::replace(&path, &bytes))
            .map_err(|source| JournalError::Io { path, source })
    }

    /// Nothing is promised any more about a lease.
    pub fn forget(&self, lease: &Pubkey) -> Result<(), JournalError> {
        let path = self.path(lease);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                Err(JournalError::Io { path, source })
            }
            _ => Ok(()),
        }
    }
}

fn read(path: &Path) -> io::Result<(Pubkey, Promise)> {
    if fs::metadata(path)?.len() > MAX_FILE {
        return Err(io::Error::other("it is too long"));
    }
    let name = path.file_stem().and_then(|stem| stem.to_str());
    let lease = name.and_then(|name| name.parse().ok());
    let lease = lease.ok_or_else(|| io::Error::other("its name is no address"))?;
    Ok((lease, serde_json::from_slice(&fs::read(path)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise(n: u8) -> (Pubkey, Promise) {
        let promise = Promise {
            request: Pubkey::new_from_array([n; 32]).to_string(),
            deadline_slot: 7,
            tenant: "t".into(),
            units: 1,
            weights: "00".into(),
            model: "m@0".into(),
            key_hash: "11".into(),
            max_concurrent: 2,
            access: "{}".into(),
            container: None,
        };
        (Pubkey::new_from_array([n + 100; 32]), promise)
    }

    fn opened(dir: &Path) -> Vec<(Pubkey, Promise)> {
        let (_, mut found) = Journal::open(dir).unwrap();
        found.sort_by_key(|(lease, _)| *lease);
        found
    }

    #[test]
    fn a_restart_after_any_step_finds_what_was_promised() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (promise(1), promise(2));
        let steps: [&dyn Fn(&Journal); 4] = [
            &|journal| journal.keep(&first.0, &first.1).unwrap(),
            &|journal| journal.keep(&second.0, &second.1).unwrap(),
            &|journal| journal.forget(&first.0).unwrap(),
            &|journal| journal.forget(&first.0).unwrap(),
        ];
        let all = [first.clone(), second.clone()];
        let after: [&[(Pubkey, Promise)]; 4] = [&all[..1], &all, &all[1..], &all[1..]];
        for (step, after) in steps.iter().zip(after) {
            let (journal, _) = Journal::open(dir.path()).unwrap();
            step(&journal);
            // No farewell: what is on disk is all there is.
            drop(journal);
            assert_eq!(opened(dir.path()), after);
        }
    }

    #[test]
    fn a_write_that_was_cut_off_promises_nothing_and_keeps_what_was_promised_before() {
        let dir = tempfile::tempdir().unwrap();
        let (lease, kept) = promise(1);
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.keep(&lease, &kept).unwrap();
        let bytes = fs::read(journal.path(&lease)).unwrap();
        drop(journal);
        for cut in 0..bytes.len() {
            let other = dir.path().join(format!("leases/{}.new", promise(2).0));
            fs::write(&other, &bytes[..cut]).unwrap();
            assert_eq!(opened(dir.path()), [(lease, kept.clone())]);
        }
    }

    #[test]
    fn damage_costs_the_damaged_promise_alone_and_the_file_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(dir.path()).unwrap();
        for n in [1, 2] {
            let (lease, promise) = promise(n);
            journal.keep(&lease, &promise).unwrap();
        }
        let path = journal.path(&promise(1).0);
        fs::write(&path, b"{\"request\":").unwrap();
        drop(journal);
        assert_eq!(opened(dir.path()), [promise(2)]);
        assert!(path.with_extension("damaged").is_file());
    }

    #[test]
    fn a_container_is_promised_with_all_that_is_its_own_and_older_promises_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (lease, mut kept) = promise(1);
        let old = serde_json::to_string(&kept).unwrap();
        assert!(!old.contains("container"));
        kept.container = Some(Contained {
            spec: crate::spec::container::tests::small(),
            environment: vec![("TOKEN".into(), "secret".into())],
            host_key: "07".repeat(32),
            ports: vec![22_000, 22_001],
            place: 3,
        });
        let (journal, _) = Journal::open(dir.path()).unwrap();
        journal.keep(&lease, &kept).unwrap();
        drop(journal);
        let found = opened(dir.path());
        assert_eq!(found, [(lease, kept)]);
        let contained = found[0].1.container.as_ref().unwrap();
        assert!(contained.host_key().is_ok());
        assert!(!format!("{contained:?}").contains("secret"));
    }

    #[test]
    fn one_provider_at_a_time_uses_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = Journal::open(dir.path()).unwrap();
        let second = Journal::open(dir.path());
        assert!(matches!(second, Err(JournalError::Locked { .. })));
        drop(held);
        Journal::open(dir.path()).unwrap();
    }
}
