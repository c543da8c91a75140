//! What is kept of leases. Of a tenant's own: the key with which it uses each, for its owner alone; the chain has only its hash. Of
//! disputes about any: the element that convicts.

use crate::{
    commands::init::{private_dir, write_private},
    context::Connection,
};
use anyhow::{Context, Result};
use mythic_provider::proof::opening::OpenedElement;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use std::{io, path::PathBuf};

/// What is kept of a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Base58 address of the lease.
    pub lease: String,
    /// The tenant's key.
    pub key: String,
    /// The provider's URL.
    pub endpoint: String,
    /// The document that was left there, for a provider that lost it; not kept by older versions, nor of a container, which is lost with
    /// its provider's disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
    /// The SSH key of a container, as OpenSSH has it; then there is no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_key: Option<String>,
}

fn path(connection: &Connection, lease: &Pubkey) -> PathBuf {
    let dir = connection.data_dir().join("leases");
    dir.join(format!("{lease}.json"))
}

impl Kept {
    /// Keeps it, before anything is paid. Returns the file.
    pub fn write(&self, connection: &Connection, lease: &Pubkey) -> Result<PathBuf> {
        let path = path(connection, lease);
        if let Some(dir) = path.parent() {
            private_dir(dir)?;
        }
        write_private(&path, &serde_json::to_vec_pretty(self)?)?;
        Ok(path)
    }

    /// What was kept of a lease here, if anything.
    pub fn read(connection: &Connection, lease: &Pubkey) -> Result<Option<Self>> {
        let path = path(connection, lease);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let kept = serde_json::from_slice(&bytes);
                Ok(Some(kept.with_context(|| {
                    format!("{} is damaged", path.display())
                })?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
}

/// The wrong elements that disputes name, as their providers published them, each kept until its verdict: whatever becomes of the
/// command, or of the provider, it can be shown.
#[derive(Clone, Debug)]
pub struct Elements(PathBuf);

impl Elements {
    /// Those of the data directory.
    pub fn of(connection: &Connection) -> Self {
        Self(connection.data_dir().join("leases"))
    }

    fn file(&self, dispute: &Pubkey) -> PathBuf {
        self.0.join(format!("{dispute}.dispute.json"))
    }

    /// Keeps one, before a bond is put down.
    pub fn write(&self, dispute: &Pubkey, shown: &OpenedElement) -> Result<()> {
        private_dir(&self.0)?;
        write_private(&self.file(dispute), &serde_json::to_vec(shown)?)
    }

    /// What is kept of a dispute, if anything.
    pub fn read(&self, dispute: &Pubkey) -> Result<Option<OpenedElement>> {
        let file = self.file(dispute);
        match std::fs::read(&file) {
            Ok(bytes) => {
                let kept = serde_json::from_slice(&bytes);
                let damaged = || format!("{} is damaged; remove it", file.display());
                kept.map(Some).with_context(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Forgets it.
    pub fn remove(&self, dispute: &Pubkey) -> Result<()> {
        let file = self.file(dispute);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", file.display()))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The element of this round, as a provider publishes it.
    pub fn element(round: u32) -> OpenedElement {
        OpenedElement {
            unit: 0,
            round,
            row: 0,
            column: 0,
            leaf: "00".into(),
            path: Vec::new(),
            root: String::new(),
            root_path: Vec::new(),
            link: None,
        }
    }

    /// Elements that are kept in a directory.
    pub fn elements(dir: &std::path::Path) -> Elements {
        Elements(dir.join("leases"))
    }

    #[test]
    fn an_element_is_kept_until_it_is_removed_and_a_damaged_one_is_no_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, dispute) = (elements(dir.path()), Pubkey::new_from_array([7; 32]));
        assert_eq!(kept.read(&dispute).unwrap(), None);
        kept.remove(&dispute).unwrap();
        kept.write(&dispute, &element(1)).unwrap();
        kept.write(&dispute, &element(2)).unwrap();
        assert_eq!(kept.read(&dispute).unwrap(), Some(element(2)));
        assert_eq!(kept.read(&Pubkey::default()).unwrap(), None);
        std::fs::write(kept.file(&dispute), "{").unwrap();
        let refused = format!("{:#}", kept.read(&dispute).unwrap_err());
        assert!(refused.contains("remove it"), "{refused}");
        kept.remove(&dispute).unwrap();
        assert_eq!(kept.read(&dispute).unwrap(), None);
    }
}
