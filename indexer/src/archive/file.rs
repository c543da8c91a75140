//! A file of the archive: a page of text that says what is in it, then events with their account updates, compressed with zstd.
//!
//! ```text
//! MYTHIC ARCHIVE 1\n {"genesis":…,"first_event":…,…} spaces \n     4,096 bytes together
//! zstd: for each event its record, then its account updates (see `codec`)
//! ```
//! A file is written under another name, made durable, read back whole, and only then gets its name: a file with its name is a whole
//! file. Each one names the hash of the one before it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::codec::{Codec, damaged, read_account, write_account};
use super::event::ArchivedEvent;
use crate::projection::Account;

const MAGIC: &[u8] = b"MYTHIC ARCHIVE 1\n";
const HEAD: usize = 4096;
/// A faster level takes a tenth more room, a slower one twice the time.
const LEVEL: i32 = 6;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Genesis hash of the chain, base58; null if the database never learned it.
    pub genesis: Option<String>,
    /// Numbers of its events: all from the first to the last.
    pub first_event: i64,
    pub last_event: i64,
    /// Lowest and highest slot of its blocks and start-up accounts; null if it has none.
    pub first_slot: Option<i64>,
    pub last_slot: Option<i64>,
    pub events: u64,
    /// Account updates.
    pub updates: u64,
    /// Of the compressed part.
    pub body_bytes: u64,
    pub body_sha256: String,
    /// SHA-256 of the file before this one, head included; null for the first.
    pub previous: Option<String>,
}

/// Name of the file that begins with an event.
pub(super) fn name(first_event: i64) -> String {
    format!("events-{first_event:015}.archive")
}

/// Writes one file.
pub(super) struct FileWriter {
    part: PathBuf,
    path: PathBuf,
    out: zstd::Encoder<'static, BufWriter<Hashing>>,
    codec: Codec,
    header: Header,
    /// Updates of the last event that are still to come.
    open: i32,
    /// Bytes before compression, about.
    pub raw_bytes: u64,
}

impl FileWriter {
    /// What a crash left of an earlier try is written over.
    pub fn create(dir: &Path, header: Header) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let path = dir.join(name(header.first_event));
        let part = path.with_extension("part");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)?;
        file.write_all(&[0; HEAD])?;
        let hashing = Hashing {
            file,
            hash: Sha256::new(),
            bytes: 0,
        };
        Ok(Self {
            part,
            path,
            out: zstd::Encoder::new(BufWriter::with_capacity(1 << 20, hashing), LEVEL)?,
            codec: Codec::new(header.first_event),
            header,
            open: 0,
            raw_bytes: 0,
        })
    }

    pub fn event(&mut self, event: &ArchivedEvent) -> io::Result<()> {
        self.whole()?;
        self.codec.write(&mut self.out, event)?;
        let header = &mut self.header;
        header.events += 1;
        header.last_event = event.id;
        if event.has_content() {
            let (first, last) = (&mut header.first_slot, &mut header.last_slot);
            *first = Some(first.map_or(event.slot, |slot| slot.min(event.slot)));
            *last = Some(last.map_or(event.slot, |slot| slot.max(event.slot)));
        }
        self.open = event.accounts;
        self.raw_bytes += 100 + event.body.len() as u64;
        Ok(())
    }

    /// An update of the last event.
    pub fn account(&mut self, account: &Account) -> io::Result<()> {
        self.open -= 1;
        self.header.updates += 1;
        self.raw_bytes += 150 + account.data.len() as u64;
        write_account(&mut self.out, account)
    }

    fn whole(&self) -> io::Result<()> {
        match self.open {
            0 => Ok(()),
            open => Err(damaged(&format!(
                "event {} lacks {open} of its account updates in the database",
                self.header.last_event
            ))),
        }
    }

    /// Makes the file durable, reads it back, and gives it its name.
    pub fn finish(self) -> io::Result<Sealed> {
        self.whole()?;
        let Self {
            part,
            path,
            out,
            mut header,
            ..
        } = self;
        let Hashing {
            mut file,
            hash,
            bytes,
        } = out
            .finish()?
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        header.body_bytes = bytes;
        header.body_sha256 = hex::encode(hash.finalize());
        let mut head = MAGIC.to_vec();
        serde_json::to_writer(&mut head, &header)?;
        if head.len() >= HEAD {
            return Err(damaged("a head of more than a page"));
        }
        head.resize(HEAD - 1, b' ');
        head.push(b'\n');
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&head)?;
        file.sync_all()?;
        drop(file);
        let sealed = verify(&part)?;
        if sealed.header != header {
            return Err(damaged("what is read back is not what was written"));
        }
        fs::rename(&part, &path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(sealed)
    }
}

struct Hashing {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A file that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub header: Header,
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
}

fn head(file: &mut impl Read) -> io::Result<(Header, [u8; HEAD])> {
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let text = head
        .strip_prefix(MAGIC)
        .ok_or_else(|| damaged("it is no archive file of this format"))?;
    Ok((serde_json::from_slice(text)?, head))
}

/// Size and SHA-256 of a file.
pub(super) fn hash(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash)?;
    Ok((bytes, hash.finalize().into()))
}

/// Reads a file whole: both hashes, every record, every count.
pub(super) fn verify(path: &Path) -> io::Result<Sealed> {
    let mut file = File::open(path)?;
    let (header, head) = head(&mut file)?;
    let (mut whole, mut body) = (Sha256::new_with_prefix(head), Sha256::new());
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        whole.update(&buffer[..read]);
        body.update(&buffer[..read]);
    }
    if bytes != header.body_bytes || hex::encode(body.finalize()) != header.body_sha256 {
        return Err(damaged("its bytes are not those that its head sums up"));
    }
    let mut reader = FileReader::open(path)?;
    let (mut updates, mut first, mut last) = (0, None, None);
    while let Some(event) = reader.event()? {
        while reader.account()?.is_some() {
            updates += 1;
        }
        if event.has_content() {
            first = Some(first.map_or(event.slot, |slot: i64| slot.min(event.slot)));
            last = Some(last.map_or(event.slot, |slot: i64| slot.max(event.slot)));
        }
    }
    let counted = (
        updates,
        first,
        last,
        header.first_event + header.events as i64 - 1,
    );
    let said = (
        header.updates,
        header.first_slot,
        header.last_slot,
        header.last_event,
    );
    if counted != said {
        return Err(damaged("its events are not those that its head tells of"));
    }
    Ok(Sealed {
        header,
        bytes: bytes + HEAD as u64,
        sha256: whole.finalize().into(),
    })
}

/// Reads one file from its first event.
pub(super) struct FileReader {
    from: BufReader<zstd::Decoder<'static, BufReader<File>>>,
    codec: Codec,
    /// Events that are left.
    left: u64,
    /// Updates of the last event that are left.
    open: i32,
    pub header: Header,
}

impl FileReader {
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (header, _) = head(&mut file)?;
        Ok(Self {
            from: BufReader::with_capacity(1 << 17, zstd::Decoder::new(file)?),
            codec: Codec::new(header.first_event),
            left: header.events,
            open: 0,
            header,
        })
    }

    /// The next event; what is left of the updates of the one before it is passed over.
    pub fn event(&mut self) -> io::Result<Option<ArchivedEvent>> {
        while self.account()?.is_some() {}
        let Some(left) = self.left.checked_sub(1) else {
            // Nothing follows.
            return match self.from.read(&mut [0])? {
                0 => Ok(None),
                _ => Err(damaged("more than the events that its head tells of")),
            };
        };
        self.left = left;
        let event = self.codec.read(&mut self.from)?;
        self.open = event.accounts;
        Ok(Some(event))
    }

    /// The next update of the last event.
    pub fn account(&mut self) -> io::Result<Option<Account>> {
        if self.open <= 0 {
            return Ok(None);
        }
        self.open -= 1;
        read_account(&mut self.from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::kind;

    fn account(key: u8) -> Account {
        Account {
            pubkey: [key; 32],
            owner: [1; 32],
            lamports: 5,
            data: vec![key; 100].into(),
            signature: None,
            write_version: 1,
            slot: 9,
        }
    }

    fn write(dir: &Path) -> Sealed {
        let header = Header {
            first_event: 4,
            ..Header::default()
        };
        let mut file = FileWriter::create(dir, header).unwrap();
        for id in 4..=6 {
            let event = ArchivedEvent {
                id,
                kind: kind::BANK,
                slot: id * 10,
                accounts: 2,
                ..ArchivedEvent::default()
            };
            file.event(&event).unwrap();
            file.account(&account(id as u8)).unwrap();
            file.account(&account(7)).unwrap();
        }
        file.finish().unwrap()
    }

    #[test]
    fn a_file_says_what_is_in_it_and_is_read_from_the_first_event() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = write(dir.path());
        let path = dir.path().join(name(4));
        assert_eq!(hash(&path).unwrap(), (sealed.bytes, sealed.sha256));
        let said = (
            sealed.header.last_event,
            sealed.header.first_slot,
            sealed.header.last_slot,
            sealed.header.updates,
        );
        assert_eq!(said, (6, Some(40), Some(60), 6));
        let mut reader = FileReader::open(&path).unwrap();
        assert_eq!(reader.event().unwrap().unwrap().id, 4);
        assert_eq!(reader.account().unwrap().unwrap(), account(4));
        assert_eq!(
            reader.event().unwrap().unwrap().id,
            5,
            "the rest is passed over"
        );
        assert!(!dir.path().join(name(4)).with_extension("part").exists());
    }

    #[test]
    fn every_byte_counts() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = write(dir.path());
        let path = dir.path().join(name(4));
        let good = fs::read(&path).unwrap();
        for place in (0..good.len()).filter(|at| !(300..HEAD - 1).contains(at)) {
            let mut bad = good.clone();
            bad[place] ^= 0x41;
            fs::write(&path, &bad).unwrap();
            let (_, changed) = hash(&path).unwrap();
            assert_ne!(changed, sealed.sha256, "byte {place}");
            // Of a head that was changed into another valid one only the manifest can tell.
            assert!(
                place < HEAD || verify(&path).is_err(),
                "byte {place} was changed unseen"
            );
        }
        for length in [0, 17, HEAD, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert!(verify(&path).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn an_event_without_its_updates_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let header = Header {
            first_event: 1,
            ..Header::default()
        };
        let mut file = FileWriter::create(dir.path(), header).unwrap();
        let event = ArchivedEvent {
            id: 1,
            accounts: 1,
            ..ArchivedEvent::default()
        };
        file.event(&event).unwrap();
        assert!(file.finish().is_err());
        assert!(!dir.path().join(name(1)).exists());
    }
}
