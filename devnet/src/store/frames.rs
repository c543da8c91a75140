//! Frames of the store's files: mark, length u32, first 8 bytes of SHA-256 over length and body, body.
//!
//! The mark lets a reader find the next frame behind damaged bytes, so that damage costs the frame it hit. Logs of
//! older builds have frames without mark (length u32, first 4 bytes of SHA-256 over the body, body); they are read,
//! never written.

use sha2::{Digest, Sha256};

/// As a little-endian length it would be above [`MAX_BODY`], so that no frame of an older build begins so.
const MARK: [u8; 4] = *b"\xf5MX\xf5";
const HEAD: usize = 16;
/// Largest body believed when reading.
const MAX_BODY: usize = 1024 * 1024 * 1024;

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub offset: usize,
    pub bytes: usize,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The end of the file holds zeros, as some file systems leave it after a power cut.
    Zeros,
    /// The last frame is incomplete or damaged.
    Torn,
    /// Whole frames follow.
    Middle,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Frames<'a> {
    pub bodies: Vec<&'a [u8]>,
    /// Offset behind the last whole frame.
    pub end: usize,
    pub damage: Vec<Damage>,
    /// Whether frames of an older build were among them.
    pub old: bool,
}

/// Appends a frame; false if the body is too long for one.
#[must_use]
pub fn push(out: &mut Vec<u8>, body: &[u8]) -> bool {
    let Some(len) = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MAX_BODY)
    else {
        return false;
    };
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&check(len, body));
    out.extend_from_slice(body);
    true
}

fn check(len: u32, body: &[u8]) -> [u8; 8] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(len.to_le_bytes())
        .chain_update(body)
        .finalize()
        .into();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    first
}

/// Reads all frames, also those behind damaged bytes.
pub fn read(bytes: &[u8]) -> Frames<'_> {
    let mut frames = Frames::default();
    let mut offset = 0;
    // Damaged bytes may be full of marks: what is hashed to look for frames among them has an end.
    let mut budget = bytes.len().saturating_mul(4);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        if let Some((body, len, old)) = frame(rest) {
            frames.bodies.push(body);
            frames.old |= old;
            offset += len;
            frames.end = offset;
            continue;
        }
        let next = find(rest, &mut budget);
        let kind = match next {
            Some(_) => Kind::Middle,
            None if rest.iter().all(|byte| *byte == 0) => Kind::Zeros,
            None => Kind::Torn,
        };
        frames.damage.push(Damage {
            offset,
            bytes: next.unwrap_or(rest.len()),
            kind,
        });
        match next {
            Some(next) => offset += next,
            None => break,
        }
    }
    frames
}

/// Distance to the next whole frame.
fn find(bytes: &[u8], budget: &mut usize) -> Option<usize> {
    let marks = bytes
        .windows(MARK.len())
        .enumerate()
        .skip(1)
        .filter(|(_, window)| *window == MARK);
    for (at, _) in marks {
        let rest = bytes.get(at..)?;
        let claimed = length(rest.get(4..8)?).filter(|len| HEAD + len <= rest.len());
        let Some(claimed) = claimed else {
            continue;
        };
        *budget = budget.checked_sub(claimed)?;
        if frame(rest).is_some() {
            return Some(at);
        }
    }
    None
}

fn length(bytes: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    usize::try_from(len).ok().filter(|len| *len <= MAX_BODY)
}

/// The frame with which the bytes begin: body, length of the frame, whether an older build wrote it.
fn frame(bytes: &[u8]) -> Option<(&[u8], usize, bool)> {
    let Some(rest) = bytes.strip_prefix(&MARK) else {
        return old_frame(bytes);
    };
    let len = length(rest)?;
    let sum = rest.get(4..12)?;
    let body = rest.get(12..)?.get(..len)?;
    (check(u32::try_from(len).ok()?, body) == sum).then_some((body, HEAD + len, false))
}

fn old_frame(bytes: &[u8]) -> Option<(&[u8], usize, bool)> {
    let len = length(bytes)?;
    let sum = bytes.get(4..8)?;
    let body = bytes.get(8..)?.get(..len)?;
    (Sha256::digest(body).get(..4) == Some(sum)).then_some((body, len + 8, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODIES: [&[u8]; 4] = [b"one", b"", b"three\xf5MX\xf5three", b"four"];

    fn file() -> (Vec<u8>, Vec<usize>) {
        let mut out = Vec::new();
        let mut starts = Vec::new();
        for body in BODIES {
            starts.push(out.len());
            assert!(push(&mut out, body));
        }
        (out, starts)
    }

    #[test]
    fn a_flipped_bit_costs_the_frame_it_hit() {
        let (file, starts) = file();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut bytes = file.clone();
                bytes[at] ^= 1 << bit;
                let hit = starts.iter().rposition(|start| *start <= at).unwrap();
                let mut left = BODIES.to_vec();
                left.remove(hit);
                let frames = read(&bytes);
                assert_eq!(frames.bodies, left, "bit {bit} of byte {at}");
                let [damage] = frames.damage[..] else {
                    panic!("one damage: {frames:?}");
                };
                assert_eq!(damage.offset, starts[hit]);
                let last = hit == BODIES.len() - 1;
                assert_eq!(damage.kind, if last { Kind::Torn } else { Kind::Middle });
            }
        }
    }

    #[test]
    fn a_cut_or_zero_tail_costs_the_last_frame_at_most() {
        let (file, starts) = file();
        for cut in 0..file.len() {
            let whole = starts.iter().filter(|start| **start <= cut).count() - 1;
            let mut zeros = file.clone();
            zeros[cut..].fill(0);
            let mut short = file.clone();
            short.truncate(cut);
            let mut longer = short.clone();
            longer.extend_from_slice(&[0; 4096]);
            for bytes in [zeros, short, longer] {
                let frames = read(&bytes);
                assert!(frames.bodies.len() >= whole, "cut at {cut}");
                assert_eq!(frames.bodies[..whole], BODIES[..whole]);
            }
        }
        let mut bytes = file.clone();
        bytes.extend_from_slice(&[0; 4096]);
        let frames = read(&bytes);
        assert_eq!(frames.bodies, BODIES);
        assert_eq!(frames.end, file.len());
        assert_eq!(frames.damage[0].kind, Kind::Zeros);
    }

    #[test]
    fn frames_of_older_builds_are_read() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&3u32.to_le_bytes());
        bytes.extend_from_slice(&Sha256::digest(b"old")[..4]);
        bytes.extend_from_slice(b"old");
        assert!(push(&mut bytes, b"new"));
        let frames = read(&bytes);
        assert_eq!(frames.bodies, [&b"old"[..], b"new"]);
        assert!(frames.old && frames.damage.is_empty());
    }
}
