//! A segment as a file: made by the writer, mended at its end by the next one, opened by readers.

use super::{
    error::SpoolError,
    format::{self, FRAME_HEAD, Frame, HEADER_LEN, Header, MAX_FRAME, Version},
    position::Position,
    records::Mark,
};
use crate::proto::{Envelope, Event};
use prost::Message;
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

/// The run of a segment, and whether its first envelope is an account that the producer started from; none if neither can be read.
pub(crate) fn opening(dir: &Path, number: u64) -> Option<([u8; 16], bool)> {
    let file = File::open(format::segment_path(dir, number)).ok()?;
    let mut head = [0; HEADER_LEN + FRAME_HEAD];
    file.read_exact_at(&mut head, 0).ok()?;
    let header = Header::from_bytes(&head)?;
    let len = u32::from_le_bytes(*head.get(HEADER_LEN..)?.first_chunk()?) as usize;
    let mut bytes = vec![0; FRAME_HEAD + len.min(MAX_FRAME)];
    file.read_exact_at(&mut bytes, HEADER_LEN as u64).ok()?;
    let Frame::Whole(payload) = format::frame(&bytes, header.version) else {
        return None;
    };
    let event = Envelope::decode(payload).ok()?.event;
    let startup = matches!(event, Some(Event::Account(account)) if account.is_startup);
    Some((header.run, startup))
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub file: File,
    /// Bytes handed to the system, as far as they are trusted.
    pub written: u64,
}

impl Segment {
    pub fn create(
        dir: &Path,
        number: u64,
        run: [u8; 16],
        first_seq: u64,
    ) -> Result<Self, SpoolError> {
        let path = format::segment_path(dir, number);
        let header = Header {
            version: Version::Two,
            run,
            segment: number,
            first_seq,
        };
        // Not `create_new`: an earlier try on a full disk may have left a file without frames.
        let file = OpenOptions::new()
            .create(true)
            .mode(0o600)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(SpoolError::io(&path))?;
        file.write_all_at(&header.to_bytes(), 0)
            .and_then(|()| file.sync_all())
            .map_err(SpoolError::io(&path))?;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(SpoolError::io(dir))?;
        Ok(Self {
            number,
            file,
            written: HEADER_LEN as u64,
        })
    }
}

/// Cuts what a crash left behind the last whole frame of a segment; says what it did. Damage before that frame stays, for the
/// readers to name.
pub(crate) fn cut_torn_tail(dir: &Path, number: u64) -> Result<Option<String>, SpoolError> {
    let path = format::segment_path(dir, number);
    let bytes = fs::read(&path).map_err(SpoolError::io(&path))?;
    let first = bytes.get(HEADER_LEN..).unwrap_or_default();
    let header = Header::from_bytes(&bytes)
        .filter(|header| header.segment == number)
        .or_else(|| Header::from_first_frame(number, first));
    let Some(header) = header else {
        if first.iter().any(|byte| *byte != 0) {
            return Ok(Some(format!(
                "spool segment {number} has no readable header: its readers will say what is lost"
            )));
        }
        fs::remove_file(&path).map_err(SpoolError::io(&path))?;
        return Ok(Some(format!(
            "removed spool segment {number}, in which nothing was written yet"
        )));
    };
    let mut good = HEADER_LEN;
    loop {
        let rest = bytes.get(good..).unwrap_or_default();
        if let Frame::Whole(payload) = format::frame(rest, header.version) {
            good += FRAME_HEAD + payload.len();
        } else if let Some((next, _)) = format::find_frame(&bytes, good + 1, &header, 0) {
            good = next;
        } else {
            break;
        }
    }
    let file = OpenOptions::new()
        .write(true)
        .open(&path)
        .map_err(SpoolError::io(&path))?;
    file.set_len(good as u64)
        .and_then(|()| file.sync_all())
        .map_err(SpoolError::io(&path))?;
    let torn = bytes.len() - good;
    Ok((torn > 0).then(|| format!("cut a torn tail of {torn} bytes from spool segment {number}")))
}

/// A segment opened for reading.
pub(crate) struct Opened {
    pub file: File,
    pub header: Header,
    /// The header is damaged: this one was found by the first frame, or is `expected` if that is damaged too.
    pub damaged: bool,
}

/// Opens a segment to read it; `None` when there is none. `expected` is what is believed to stand there.
pub(crate) fn open(
    dir: &Path,
    number: u64,
    expected: Position,
) -> Result<Option<Opened>, SpoolError> {
    let path = format::segment_path(dir, number);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(SpoolError::io(path)(e)),
    };
    let mut bytes = read_at(&file, 0, HEADER_LEN).map_err(SpoolError::io(&path))?;
    let intact = Header::from_bytes(&bytes).filter(|header| header.segment == number);
    let header = match intact {
        Some(header) => header,
        None => {
            bytes = read_at(&file, HEADER_LEN as u64, MAX_FRAME).map_err(SpoolError::io(&path))?;
            Header::from_first_frame(number, &bytes).unwrap_or(Header {
                version: Version::Two,
                run: expected.run,
                segment: number,
                first_seq: expected.seq,
            })
        }
    };
    Ok(Some(Opened {
        file,
        header,
        damaged: intact.is_none(),
    }))
}

/// Up to `size` bytes, fewer where the file ends.
pub(crate) fn read_at(file: &File, offset: u64, size: usize) -> std::io::Result<Vec<u8>> {
    let left = file.metadata()?.len().saturating_sub(offset);
    let mut bytes = vec![0; left.min(size as u64) as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Where a reader that starts at the front of the spool begins.
pub(crate) fn oldest(dir: &Path) -> Result<Option<Position>, SpoolError> {
    // A segment that the mark has not reached may have no header yet.
    let (Some(&(number, _)), Some(mark)) = (format::segments(dir)?.first(), Mark::read(dir)?)
    else {
        return Ok(None);
    };
    if number > mark.segment {
        return Ok(None);
    }
    let unknown = Position {
        run: [0; 16],
        segment: number,
        offset: HEADER_LEN as u64,
        seq: 0,
    };
    Ok(open(dir, number, unknown)?.map(|opened| opened.header.position()))
}
