//! What the forwarder knows of its own past: up to where it has delivered, and where that was in the brokers' logs. Kept beside the
//! spool, so that a start finds out whether the brokers still have what they acknowledged.

use mythic_stream::spool::Position;
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"MYFWD001";
const POSITION: usize = 40;

/// Everything before `position` was delivered, below `ends` of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    pub position: Position,
    /// For each partition the offset behind the newest message that was acknowledged; 0 where none was.
    pub ends: Vec<i64>,
}

impl Delivered {
    /// The brokers have all of it, where `ends` is what they have.
    pub fn is_held_by(&self, ends: &[i64]) -> bool {
        self.ends.len() == ends.len() && self.ends.iter().zip(ends).all(|(ours, has)| has >= ours)
    }
}

/// The file `forwarded` of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Up to here the spool may forget.
    pub held: Delivered,
    /// Up to here all is delivered.
    pub newest: Delivered,
}

impl Saved {
    fn path(dir: &Path) -> PathBuf {
        dir.join("forwarded")
    }

    /// In place, as the other small files of a spool: it must work on a full disk, and a torn one only makes repeats.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&(self.held.ends.len() as u32).to_le_bytes());
        for delivered in [&self.held, &self.newest] {
            bytes.extend_from_slice(&delivered.position.to_bytes());
            for end in &delivered.ends {
                bytes.extend_from_slice(&end.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&(!crc32c::crc32c(&bytes)).to_le_bytes());
        let file = OpenOptions::new()
            .create(true)
            .mode(0o600)
            .truncate(false)
            .write(true)
            .open(Self::path(dir))?;
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)
    }

    /// What was saved; `None` where nothing is, or it does not read.
    pub fn read(dir: &Path) -> Option<Self> {
        let bytes = fs::read(Self::path(dir)).ok()?;
        let (rest, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if crc != (!crc32c::crc32c(rest)).to_le_bytes() {
            return None;
        }
        let rest = rest.strip_prefix(MAGIC)?;
        let (count, rest) = rest.split_at_checked(4)?;
        let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
        let one = POSITION.checked_add(count.checked_mul(8)?)?;
        let (held, newest) = rest.split_at_checked(one)?;
        Some(Self {
            held: delivered(held)?,
            newest: delivered(newest).filter(|newest| newest.ends.len() == count)?,
        })
    }
}

fn delivered(bytes: &[u8]) -> Option<Delivered> {
    let (position, ends) = bytes.split_at_checked(POSITION)?;
    let ends = ends.as_chunks::<8>().0.iter();
    Some(Delivered {
        position: Position::from_bytes(position)?,
        ends: ends.map(|end| i64::from_le_bytes(*end)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_reads_back_and_what_is_torn_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |seq| Position {
            run: [9; 16],
            segment: 3,
            offset: 48 + seq,
            seq,
        };
        let saved = Saved {
            held: Delivered {
                position: at(5),
                ends: vec![3, 0, 7],
            },
            newest: Delivered {
                position: at(8),
                ends: vec![4, 1, 7],
            },
        };
        assert_eq!(Saved::read(dir.path()), None);
        saved.write(dir.path()).unwrap();
        assert_eq!(Saved::read(dir.path()), Some(saved.clone()));
        let path = Saved::path(dir.path());
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(Saved::read(dir.path()), None, "{length}");
        }
        assert!(saved.newest.is_held_by(&[4, 1, 9]));
        assert!(!saved.newest.is_held_by(&[4, 0, 9]));
        assert!(!saved.newest.is_held_by(&[4, 1]));
    }
}
