//! Saved results: one evidence file for each job, written durably before the journal says `finished`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use mythic_support::files;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use mythic_wire::{Evidence, Finish};

/// Largest evidence file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// A finished job's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Why the output ended.
    #[serde(with = "mythic_wire::finish")]
    pub finish: Finish,
    /// Proof of it. Sealed under a terms hash of zeroes while the job was not yet seen on chain.
    pub evidence: Evidence,
    /// Who besides validators that check it may ask for it: owner, requester and canceller, base58.
    pub readers: Vec<String>,
}

/// Directory of evidence files.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Opens or makes the directory of our own results.
    pub fn open(data_dir: &Path) -> std::io::Result<Self> {
        Self::open_named(data_dir, "evidence")
    }

    /// Opens or makes the directory of others' results that were checked.
    pub fn open_others(data_dir: &Path) -> std::io::Result<Self> {
        Self::open_named(data_dir, "others")
    }

    fn open_named(data_dir: &Path, name: &str) -> std::io::Result<Self> {
        let dir = data_dir.join(name);
        files::private_dir(&dir)?;
        Ok(Self { dir })
    }

    fn path(&self, job: &Pubkey) -> PathBuf {
        self.dir.join(format!("{job}.json"))
    }

    /// Writes a result; it is on disk when this returns.
    pub fn save(&self, saved: &Saved) -> std::io::Result<()> {
        let path = self.path(&Pubkey::new_from_array(saved.evidence.job));
        files::replace(&path, &serde_json::to_vec(saved)?)
    }

    /// Reads a result; `None` if there is none.
    pub fn load(&self, job: &Pubkey) -> std::io::Result<Option<Saved>> {
        let path = self.path(job);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(meta) if meta.len() > MAX_FILE => {
                return Err(std::io::Error::other("evidence file is too large"));
            }
            Ok(_) => {}
        }
        Ok(Some(serde_json::from_slice(&fs::read(path)?)?))
    }

    /// Removes results that are older than `age` and for which `keep` says no. Returns how many.
    pub fn sweep(&self, age: Duration, keep: impl Fn(&str) -> bool) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let job = name.strip_suffix(".json").unwrap_or(&name);
            let old = entry
                .metadata()?
                .modified()
                .ok()
                .and_then(|at| SystemTime::now().duration_since(at).ok())
                .is_some_and(|elapsed| elapsed >= age);
            if old && !keep(job) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_interface::sampler::Sampling;
    use mythic_wire::evidence::Draft;

    fn saved() -> Saved {
        let sampling = Sampling {
            seed: [7; 32],
            temperature_milli: 0,
        };
        let top4 = [(9, 900), (5, 500), (7, 400), (3, -2)];
        Saved {
            finish: Finish::Length,
            evidence: Evidence::seal(Draft {
                job: [1; 32],
                submitter: [2; 32],
                terms_hash: [3; 32],
                salt: [4; 16],
                prompt_ids: vec![1],
                output_ids: vec![sampling.choose(0, &top4)],
                leaves: vec![top4],
                sampling,
            })
            .unwrap(),
            readers: vec![],
        }
    }

    #[test]
    fn a_result_is_read_back_and_swept_when_nobody_needs_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let job = Pubkey::new_from_array([1; 32]);
        assert_eq!(store.load(&job).unwrap(), None);
        store.save(&saved()).unwrap();
        assert_eq!(store.load(&job).unwrap(), Some(saved()));
        assert_eq!(
            store
                .sweep(Duration::ZERO, |name| name == job.to_string())
                .unwrap(),
            0
        );
        assert_eq!(store.sweep(Duration::from_secs(60), |_| false).unwrap(), 0);
        assert_eq!(store.sweep(Duration::ZERO, |_| false).unwrap(), 1);
        assert_eq!(store.load(&job).unwrap(), None);
    }
}
