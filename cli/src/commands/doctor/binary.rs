//! What an executable or a library says of itself, read from the file: nothing of it runs. The file may be anything, so every read is
//! bounded, and a name that is no regular file is never waited for.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::Path,
    time::{Duration, Instant},
};

/// Most sections that a file is believed to have.
const MAX_SECTIONS: u16 = 4096;
/// Longest section that is read whole, in bytes.
const MAX_SECTION: u64 = 16 << 20;
/// Bytes of a file that are searched for paths of the compiler: a validator has a few hundred million.
const MAX_SEARCHED: u64 = 4 << 30;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(60);
const CHUNK: usize = 1 << 20;
/// What rustc leaves in its standard library's messages, before the hash of its commit.
const RUSTC_PATH: &[u8] = b"/rustc/";
const HASH: usize = 40;

/// Why a file can't be read as one.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is {0}, not a file")]
    Kind(&'static str),
    #[error("it is a script")]
    Script,
    #[error("it is no program for Linux (no ELF file of 64 bits)")]
    NotElf,
    #[error("its ELF header is damaged: {0}")]
    Damaged(&'static str),
}

/// A compiler, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rustc {
    /// Like `1.95.0`.
    release: Option<String>,
    /// The beginning of its commit's hash, or all of it.
    commit: Option<String>,
}

impl Rustc {
    /// From `1.95.0 (59807616e 2026-04-14)`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let release = words.next()?;
        let known = release.starts_with(|c: char| c.is_ascii_digit()) && release.len() <= 40;
        let commit = words.next().and_then(|word| word.strip_prefix('('));
        let commit = commit.filter(|commit| is_hash(commit.as_bytes()));
        known.then(|| Self {
            release: Some(release.to_owned()),
            commit: commit.map(str::to_owned),
        })
    }

    /// Whether both may be one compiler. `None`: nothing that is known of both.
    pub fn is(&self, other: &Self) -> Option<bool> {
        if let (Some(ours), Some(theirs)) = (&self.commit, &other.commit) {
            return Some(ours.starts_with(theirs.as_str()) || theirs.starts_with(ours.as_str()));
        }
        let (ours, theirs) = (self.release.as_ref()?, other.release.as_ref()?);
        Some(ours == theirs)
    }
}

impl fmt::Display for Rustc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commit = self
            .commit
            .as_deref()
            .map(|hash| hash.get(..9).unwrap_or(hash));
        match (&self.release, commit) {
            (Some(release), Some(commit)) => write!(f, "rustc {release} ({commit})"),
            (Some(release), None) => write!(f, "rustc {release}"),
            (None, Some(commit)) => write!(f, "the rustc of commit {commit}"),
            (None, None) => f.write_str("an unknown rustc"),
        }
    }
}

fn is_hash(text: &[u8]) -> bool {
    (7..=HASH).contains(&text.len()) && text.iter().all(u8::is_ascii_hexdigit)
}

struct Section {
    name: u32,
    offset: u64,
    size: u64,
}

/// An open ELF file.
pub struct Binary {
    file: File,
    len: u64,
    machine: u16,
    sections: Vec<Section>,
    names: Vec<u8>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

/// Opens a file that is one. A pipe is not waited for.
pub fn open_file(path: &Path) -> Result<File, Unreadable> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)?;
    let kind = file.metadata()?.file_type();
    match () {
        () if kind.is_file() => Ok(file),
        () if kind.is_dir() => Err(Unreadable::Kind("a directory")),
        () if kind.is_fifo() => Err(Unreadable::Kind("a pipe")),
        () if kind.is_char_device() || kind.is_block_device() => Err(Unreadable::Kind("a device")),
        () => Err(Unreadable::Kind("something else")),
    }
}

impl Binary {
    /// Reads the headers.
    pub fn open(path: &Path) -> Result<Self, Unreadable> {
        let file = open_file(path)?;
        let len = file.metadata()?.len();
        let mut head = [0; 64];
        let read = file.read_at(&mut head, 0)?;
        if head.starts_with(b"#!") {
            return Err(Unreadable::Script);
        }
        // 64 bits, least byte first.
        if read < head.len() || !head.starts_with(b"\x7fELF\x02\x01") {
            return Err(Unreadable::NotElf);
        }
        let damaged = || Unreadable::Damaged("its table of sections");
        let (table, size) = (long(&head, 40).ok_or_else(damaged)?, half(&head, 58));
        let (count, names) = (half(&head, 60).unwrap_or(0), half(&head, 62).unwrap_or(0));
        let mut this = Self {
            file,
            len,
            machine: half(&head, 18).unwrap_or(0),
            sections: Vec::new(),
            names: Vec::new(),
        };
        if count == 0 {
            return Ok(this);
        }
        if size != Some(64) || count > MAX_SECTIONS {
            return Err(damaged());
        }
        let bytes = this
            .bytes(table, u64::from(count) * 64)
            .ok_or_else(damaged)?;
        for entry in bytes.chunks_exact(64) {
            let name = number(entry, 0).map(u32::from_le_bytes);
            // A section of this kind takes no room in the file.
            let empty = number(entry, 4).map(u32::from_le_bytes) == Some(8);
            this.sections.push(Section {
                name: name.unwrap_or(0),
                offset: long(entry, 24).unwrap_or(0),
                size: if empty {
                    0
                } else {
                    long(entry, 32).unwrap_or(0)
                },
            });
        }
        let table = this.sections.get(usize::from(names));
        let found = table.and_then(|section| this.bytes(section.offset, section.size));
        this.names = found.ok_or_else(damaged)?;
        Ok(this)
    }

    /// Which processors it is for, as ELF numbers them.
    pub fn machine(&self) -> u16 {
        self.machine
    }

    /// Bytes of the file; `None` if it has not as many there, or they are too many.
    fn bytes(&self, offset: u64, size: u64) -> Option<Vec<u8>> {
        let end = offset.checked_add(size)?;
        if end > self.len || size > MAX_SECTION {
            return None;
        }
        let mut bytes = vec![0; usize::try_from(size).ok()?];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// A section by its name.
    pub fn section(&self, name: &str) -> Option<Vec<u8>> {
        let named = |section: &&Section| {
            let rest = self.names.get(section.name as usize..).unwrap_or_default();
            rest.strip_prefix(name.as_bytes())
                .is_some_and(|rest| rest.first() == Some(&0))
        };
        let section = self.sections.iter().find(named)?;
        self.bytes(section.offset, section.size)
    }

    /// Whether others can find a function of this name in it.
    pub fn exports(&self, name: &str) -> bool {
        let strings = self.section(".dynstr").unwrap_or_default();
        strings
            .split(|byte| *byte == 0)
            .any(|found| found == name.as_bytes())
    }

    /// The compilers that its parts were made with: as they signed them, or else by the paths in their messages.
    pub fn rustc(&self) -> BTreeSet<Rustc> {
        let comment = self.section(".comment").unwrap_or_default();
        let signed = comment.split(|byte| *byte == 0).filter_map(|line| {
            let line = std::str::from_utf8(line).ok()?;
            Rustc::parse(line.strip_prefix("rustc version ")?)
        });
        let signed: BTreeSet<Rustc> = signed.collect();
        match signed.is_empty() {
            true => self.rustc_by_paths(),
            false => signed,
        }
    }

    fn rustc_by_paths(&self) -> BTreeSet<Rustc> {
        let began = Instant::now();
        let mut found = BTreeSet::new();
        let overlap = RUSTC_PATH.len() + HASH;
        let (mut chunk, mut kept, mut at) = (vec![0; CHUNK], 0, 0);
        while at < self.len.min(MAX_SEARCHED) && began.elapsed() < PATIENCE && found.len() < 16 {
            let Ok(read) = self.file.read_at(&mut chunk[kept..], at) else {
                break;
            };
            if read == 0 {
                break;
            }
            at += read as u64;
            let seen = &chunk[..kept + read];
            for hash in hashes(seen) {
                found.insert(Rustc {
                    release: None,
                    commit: Some(hash),
                });
            }
            let rest = seen.len().min(overlap);
            let from = seen.len() - rest;
            chunk.copy_within(from..from + rest, 0);
            kept = rest;
        }
        found
    }
}

fn hashes(bytes: &[u8]) -> impl Iterator<Item = String> {
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter_map(|(at, _)| {
        let hash = bytes.get(at..)?.strip_prefix(RUSTC_PATH)?.get(..HASH)?;
        let hash = std::str::from_utf8(hash).ok()?;
        is_hash(hash.as_bytes()).then(|| hash.to_owned())
    })
}

/// What a plugin's section `.mythic.plugin` says.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    pub version: String,
    /// The crate of the validator's interface, and its release.
    pub interface: (String, String),
    pub rustc: Rustc,
}

impl Note {
    pub fn of(library: &Binary) -> Option<Self> {
        let section = library.section(".mythic.plugin")?;
        let text = section.split(|byte| *byte == 0).next()?;
        let mut lines = std::str::from_utf8(text).ok()?.lines();
        (lines.next()? == "mythic-geyser-plugin").then_some(())?;
        let mut value = |key: &str| {
            let (found, value) = lines.next()?.split_once('=')?;
            (found == key).then(|| value.to_owned())
        };
        Some(Self {
            version: value("version")?,
            interface: (value("crate")?, value("interface")?),
            rustc: Rustc::parse(value("rustc")?.strip_prefix("rustc ")?)?,
        })
    }
}
