//! The hash of a model file, taken once: reading gigabytes at every start takes longer than all else.
//! It is kept in the user's cache directory under what the system says of the file: device, inode,
//! size, and when its content and its entry last changed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// A file that changed so short a while ago could change again without its times telling.
#[cfg(unix)]
const YOUNG: std::time::Duration = std::time::Duration::from_secs(2);

/// SHA-256 of a file, from `directory` if it is kept there.
pub fn sha256(path: &Path, directory: Option<&Path>) -> io::Result<[u8; 32]> {
    sha256_at(path, directory, SystemTime::now())
}

fn sha256_at(path: &Path, directory: Option<&Path>, now: SystemTime) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let stamp = stamp(&file, now)?;
    let place = directory.zip(stamp.as_ref()).map(|(d, s)| d.join(s));
    if let Some(hash) = place.as_deref().and_then(read) {
        return Ok(hash);
    }
    let hash = digest(&mut file)?;
    // Not if it changed while it was read.
    if let Some(place) = place
        && self::stamp(&file, now)? == stamp
    {
        // What can't be kept is taken again.
        let _ = write(&place, &hash);
    }
    Ok(hash)
}

fn digest(file: &mut File) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().into()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

/// What tells this content of this file from any other; none where nothing can.
#[cfg(unix)]
fn stamp(file: &File, now: SystemTime) -> io::Result<Option<PathBuf>> {
    use std::os::unix::fs::MetadataExt;
    let m = file.metadata()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs().cast_signed());
    let young = YOUNG.as_secs().cast_signed();
    if now - m.mtime().max(m.ctime()) <= young {
        return Ok(None);
    }
    let all = [
        m.dev(),
        m.ino(),
        m.size(),
        m.mtime().cast_unsigned(),
        m.mtime_nsec().cast_unsigned(),
        m.ctime().cast_unsigned(),
        m.ctime_nsec().cast_unsigned(),
    ];
    let mut hasher = Sha256::new();
    for number in all {
        hasher.update(number.to_le_bytes());
    }
    Ok(Some(hex::encode(hasher.finalize()).into()))
}

#[cfg(not(unix))]
fn stamp(_file: &File, _now: SystemTime) -> io::Result<Option<PathBuf>> {
    Ok(None)
}

fn read(place: &Path) -> Option<[u8; 32]> {
    let mut text = String::new();
    // One byte more than a hash and a line's end shows that it is something else.
    File::open(place)
        .ok()?
        .take(66)
        .read_to_string(&mut text)
        .ok()?;
    let mut hash = [0; 32];
    hex::decode_to_slice(text.strip_suffix('\n')?, &mut hash).ok()?;
    Some(hash)
}

fn write(place: &Path, hash: &[u8; 32]) -> io::Result<()> {
    if let Some(directory) = place.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let part = place.with_extension(std::process::id().to_string());
    let written = std::fs::write(&part, hex::encode(hash) + "\n")
        .and_then(|()| std::fs::rename(&part, place));
    if written.is_err() {
        // It may not be there.
        let _ = std::fs::remove_file(&part);
    }
    written
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Duration;

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    fn of(text: &str) -> [u8; 32] {
        Sha256::digest(text).into()
    }

    #[test]
    fn a_hash_is_taken_once_as_long_as_the_file_stays_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("hashes");
        let path = directory.path().join("file");
        std::fs::write(&path, "one").unwrap();
        let hash = |now| sha256_at(&path, Some(kept.as_path()), now).unwrap();
        assert_eq!(hash(SystemTime::now()), of("one"));
        assert!(!kept.exists(), "it changed a moment ago");
        assert_eq!(hash(later()), of("one"));
        let places: Vec<_> = std::fs::read_dir(&kept).unwrap().collect();
        let [Ok(place)] = &places[..] else {
            panic!("{places:?}");
        };
        // What is kept is what is said.
        std::fs::write(place.path(), hex::encode(of("kept")) + "\n").unwrap();
        assert_eq!(hash(later()), of("kept"));
        // What is no hash is not.
        let longer = hex::encode(of("kept")) + "00\n";
        for text in ["", "zz\n", longer.as_str()] {
            std::fs::write(place.path(), text).unwrap();
            assert_eq!(hash(later()), of("one"));
        }
        // Another content has another size, or other times.
        std::fs::write(&path, "two, longer").unwrap();
        assert_eq!(hash(later()), of("two, longer"));
        std::fs::write(place.path(), hex::encode(of("kept")) + "\n").unwrap();
        assert_eq!(hash(later()), of("two, longer"));
    }

    #[test]
    fn a_directory_that_takes_nothing_is_no_reason_to_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "one").unwrap();
        for kept in [Some(path.as_path()), None] {
            assert_eq!(sha256_at(&path, kept, later()).unwrap(), of("one"));
        }
        assert!(sha256_at(&directory.path().join("none"), None, later()).is_err());
    }
}
