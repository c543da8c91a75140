//! Images that Docker fetched because tenants named them: what room they take, and which of them go first.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use mythic_support::files;
use serde::{Deserialize, Serialize};

/// One of them.
#[derive(Debug, Serialize, Deserialize)]
struct Pulled {
    /// Its repository and digest.
    reference: String,
    /// Unpacked; while it comes, the most that it may be.
    bytes: u64,
    /// When it was last named.
    #[serde(skip, default = "Instant::now")]
    used: Instant,
}

/// All of them, the one that was not named for the longest time first.
#[derive(Debug)]
pub struct Fetched {
    file: PathBuf,
    /// How long one stays after a request that named it.
    kept: Duration,
    images: Vec<Pulled>,
}

impl Fetched {
    /// Those that are noted in this file.
    pub fn open(file: PathBuf, kept: Duration) -> Result<Self> {
        let images: Vec<Pulled> = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{}: no list of images", file.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        Ok(Self { file, kept, images })
    }

    /// Notes an image: before a byte of it comes, and again when its size is known.
    pub fn note(&mut self, reference: &str, bytes: u64, now: Instant) -> io::Result<()> {
        self.images.retain(|one| one.reference != reference);
        self.images.push(Pulled {
            reference: reference.to_owned(),
            bytes,
            used: now,
        });
        self.save()
    }

    /// A request names an image, which may be none of these.
    pub fn used(&mut self, reference: &str, now: Instant) {
        let mut images = self.images.iter();
        if let Some(at) = images.position(|one| one.reference == reference) {
            let mut image = self.images.remove(at);
            image.used = now;
            self.images.push(image);
        }
    }

    /// An image is not there any more.
    pub fn forget(&mut self, reference: &str) -> io::Result<()> {
        self.images.retain(|one| one.reference != reference);
        self.save()
    }

    /// What all take.
    pub fn bytes(&self) -> u64 {
        let sizes = self.images.iter().map(|one| one.bytes);
        sizes.fold(0, u64::saturating_add)
    }

    /// Those that no request named lately, in the order in which they go.
    pub fn idle(&self, now: Instant) -> Vec<String> {
        let is_idle = |one: &&Pulled| now.saturating_duration_since(one.used) >= self.kept;
        let idle = self.images.iter().filter(is_idle);
        idle.map(|one| one.reference.clone()).collect()
    }

    fn save(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec(&self.images).map_err(io::Error::from)?;
        files::replace(&self.file, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Duration = Duration::from_secs(900);

    #[test]
    fn what_was_not_named_for_the_longest_time_goes_first_and_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fetched.json");
        let mut fetched = Fetched::open(file.clone(), KEPT).unwrap();
        let now = Instant::now();
        for (reference, bytes) in [("a", 9), ("b", 2), ("c", 4)] {
            fetched.note(reference, bytes, now).unwrap();
        }
        fetched.note("a", 1, now).unwrap();
        assert_eq!(fetched.bytes(), 7);
        assert!(fetched.idle(now).is_empty(), "all were just named");
        let later = now + KEPT;
        assert_eq!(fetched.idle(later), ["b", "c", "a"]);
        fetched.used("b", later);
        fetched.used("other", later);
        assert_eq!(fetched.idle(later), ["c", "a"]);
        fetched.forget("c").unwrap();
        let again = Fetched::open(file.clone(), KEPT).unwrap();
        assert_eq!(again.bytes(), 3);
        assert!(again.idle(Instant::now()).is_empty());
        fs::write(&file, "?").unwrap();
        assert!(Fetched::open(file, KEPT).is_err());
    }
}
