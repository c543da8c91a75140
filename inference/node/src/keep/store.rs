//! Saved results: one evidence file for each job, written durably before the journal says `finished`.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use mythic_support::files;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use mythic_wire::{Evidence, Finish};

/// Largest evidence file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// A result that is older than this process is kept for so long at least: the clock may have been wrong when it started.
const WATCH: Duration = Duration::from_secs(600);

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
    /// The files of the last sweep.
    aging: Arc<Mutex<HashMap<String, Aging>>>,
}

/// How old a file is, whatever the clock does meanwhile.
#[derive(Debug, Clone, Copy)]
struct Aging {
    written: Option<SystemTime>,
    /// Its age when it was first seen, or less: a leap forward makes nothing older.
    before: Duration,
    since: Instant,
}

impl Aging {
    fn of(known: Option<Self>, written: Option<SystemTime>, now: SystemTime) -> Self {
        let by_clock = written
            .and_then(|at| now.duration_since(at).ok())
            .unwrap_or_default();
        let fresh = Self {
            written,
            before: by_clock,
            since: Instant::now(),
        };
        match known.filter(|known| known.written == written) {
            Some(known) => Self {
                before: known
                    .before
                    .min(by_clock.saturating_sub(known.since.elapsed())),
                ..known
            },
            None => fresh,
        }
    }

    fn is_over(self, age: Duration) -> bool {
        let watched = self.since.elapsed();
        watched >= WATCH.min(age) && self.before + watched >= age
    }
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
        Ok(Self {
            dir,
            aging: Arc::default(),
        })
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
        self.sweep_at(SystemTime::now(), age, keep)
    }

    fn sweep_at(
        &self,
        now: SystemTime,
        age: Duration,
        keep: impl Fn(&str) -> bool,
    ) -> std::io::Result<usize> {
        let (mut aging, mut removed, mut failed) = (self.aging.lock(), 0, None);
        let entries = fs::read_dir(&self.dir)?;
        let known = std::mem::take(&mut *aging);
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // One that is being written has another name by now.
            let Ok(meta) = entry.metadata() else {
                continue;
            };
            let written = meta.modified().ok();
            let file = Aging::of(known.get(&name).copied(), written, now);
            let job = name.strip_suffix(".json").unwrap_or(&name);
            if file.is_over(age) && !keep(job) {
                match fs::remove_file(entry.path()) {
                    Ok(()) => {
                        removed += 1;
                        continue;
                    }
                    Err(error) => failed = Some(error),
                }
            }
            aging.insert(name, file);
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(removed),
        }
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
                options: None,
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

    #[test]
    fn a_clock_that_leaps_makes_no_result_old() {
        let (dir, kept) = (tempfile::tempdir().unwrap(), Duration::from_secs(86_400));
        let store = Store::open(dir.path()).unwrap();
        store.save(&saved()).unwrap();
        let now = SystemTime::now();
        let swept = |store: &Store, now| store.sweep_at(now, kept, |_| false).unwrap();
        let pass = |store: &Store, time: Duration| {
            for file in store.aging.lock().values_mut() {
                file.since = file.since.checked_sub(time).unwrap();
            }
        };
        assert_eq!(swept(&store, now), 0);
        pass(&store, kept / 2);
        for leap in [now + 2 * kept, now - 2 * kept, now + 2 * kept] {
            assert_eq!(swept(&store, leap), 0);
        }
        pass(&store, kept / 2);
        assert_eq!(swept(&store, now - 2 * kept), 1);
        // A process takes the clock's word for what was before it, but not at once.
        store.save(&saved()).unwrap();
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(swept(&again, now + 2 * kept), 0);
        assert_eq!(swept(&again, now), 0);
        pass(&again, WATCH);
        assert_eq!(swept(&again, now + 2 * kept), 0, "it took that back");
        let third = Store::open(dir.path()).unwrap();
        assert_eq!(swept(&third, now + 2 * kept), 0);
        pass(&third, WATCH);
        assert_eq!(swept(&third, now + 2 * kept), 1);
    }
}
