//! Records as bytes: how they are framed, and how a file with damage in it is read.

use std::path::Path;

use super::record::{JournalState, Record};

/// Longest frame, in bytes: a prompt of 262,144 ids in JSON fits.
const MAX_FRAME: usize = 8 << 20;
/// First bytes of the file.
pub(super) const MAGIC: &[u8] = b"mythic-journal-2\n";
/// Every record begins like this.
const OPENING: &[u8] = b"{\"record\":";
/// Length and checksum before a record.
const HEAD: usize = 8;

/// A record of so many bytes is too long.
#[derive(Debug, thiserror::Error)]
#[error("journal record of {0} bytes is longer than {MAX_FRAME}")]
pub struct TooLong(usize);

fn checksum(len: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&len), body)
}

/// A record as it is written.
pub(super) fn frame(record: &Record) -> Result<Vec<u8>, TooLong> {
    let body = serde_json::to_vec(record).map_err(|_| TooLong(usize::MAX))?;
    let len = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_FRAME);
    let len = len.ok_or(TooLong(body.len()))?.to_le_bytes();
    let mut out = Vec::with_capacity(body.len() + HEAD);
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(len, &body).to_le_bytes());
    out.extend_from_slice(&body);
    Ok(out)
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub state: JournalState,
    /// Where records are damaged, and what can be said of them.
    pub damage: Vec<(usize, usize, String)>,
    /// Bytes at the end that no write completed.
    pub torn: usize,
}

impl Read {
    /// Tells the operator.
    pub fn report(&self, path: &Path) {
        let path = path.display();
        for (from, to, what) in &self.damage {
            tracing::error!(%path, from, to, what, "a record of the journal is damaged and left out; the file is kept as journal.damaged");
        }
        if self.torn > 0 {
            tracing::warn!(%path, cut = self.torn, "journal ended in the middle of a write; cut there");
        }
    }
}

/// Reads a file, whatever is in it.
pub(super) fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    let first_format = !bytes.starts_with(MAGIC);
    let mut at = if first_format { 0 } else { MAGIC.len() };
    while at < bytes.len() {
        if let Some((record, end)) = frame_at(bytes, at, first_format) {
            read.state.apply(&record);
            at = end;
            continue;
        }
        // Damage, if something readable follows; else the last write.
        let next = (at + 1..bytes.len()).find(|at| frame_at(bytes, *at, first_format).is_some());
        match next {
            Some(next) => read.damage.push((at, next, describe(bytes.get(at..next)))),
            None => read.torn = bytes.len() - at,
        }
        at = next.unwrap_or(bytes.len());
    }
    read
}

/// The record of the frame that begins there, and where it ends, if one does.
fn frame_at(bytes: &[u8], at: usize, first_format: bool) -> Option<(Record, usize)> {
    let (len, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let count = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    if count > MAX_FRAME || !rest.starts_with(OPENING) {
        return None;
    }
    let body = rest.get(..count)?;
    let crc = u32::from_le_bytes(*crc);
    let good = match first_format {
        true => crc32c::crc32c(body) == crc,
        false => checksum(*len, body) == crc,
    };
    let record = good.then(|| serde_json::from_slice(body).ok())??;
    Some((record, at + HEAD + count))
}

/// What can still be read of damaged bytes: kind and job.
fn describe(bytes: Option<&[u8]>) -> String {
    let text = String::from_utf8_lossy(bytes.unwrap_or_default());
    let word = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":\""))?;
        let word: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        (!word.is_empty()).then_some(word)
    };
    match (word("record"), word("job")) {
        (Some(record), Some(job)) => format!("{record} of job {job}"),
        (None, Some(job)) => format!("of job {job}"),
        (Some(record), None) => record,
        (None, None) => "unreadable".into(),
    }
}
