//! Draws that nobody controls: which positions of an answer are checked, and who judges.

use core::cmp::Ordering;

use crate::gumbel::{gumbel_q16, ln_q16};
use crate::hash::{Hash, domain, jury_uniform, sha256, uniform, uniform64};
use crate::state::{COMMITTER_BYTES, SAMPLED_POSITIONS};
use crate::window::SEAT_SLOTS;

/// Groups of draws, each with the hash of another slot.
pub const SAMPLE_HASHES: usize = 4;

/// The slots whose hashes draw the sample: group `g` takes the first slot at or after
/// `submitted_slot + 8 + 4·g`.
pub const fn sample_slot(submitted_slot: u64, group: usize) -> u64 {
    submitted_slot.saturating_add(8 + 4 * (group as u64 & 3))
}

/// Checked positions, ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    positions: [u32; SAMPLED_POSITIONS],
    len: usize,
}

impl Sample {
    /// The positions, ascending and distinct.
    pub fn positions(&self) -> &[u32] {
        &self.positions[..self.len]
    }
}

/// Positions of an answer of `count` tokens that are checked: all of few, of many a partial Fisher-Yates shuffle of
/// `0..count` whose draw `i` is taken from the fingerprint and `hashes[i % 4]`.
pub fn sample_positions(count: u32, fingerprint: &Hash, hashes: &[Hash; SAMPLE_HASHES]) -> Sample {
    let mut out = Sample {
        positions: [0; SAMPLED_POSITIONS],
        len: SAMPLED_POSITIONS.min(count as usize),
    };
    if count as usize <= SAMPLED_POSITIONS {
        for (i, position) in out.positions.iter_mut().enumerate() {
            *position = if i < out.len { i as u32 } else { 0 };
        }
        return out;
    }
    // Of the shuffled array only the places that were swapped away are kept: place -> value.
    let mut moved = [(0u32, 0u32); SAMPLED_POSITIONS];
    let value_at = |moved: &[(u32, u32)], place: u32| {
        moved
            .iter()
            .rev()
            .find(|entry| entry.0 == place)
            .map_or(place, |entry| entry.1)
    };
    for i in 0..SAMPLED_POSITIONS {
        let draw = uniform64(&sha256(&[
            domain::SAMPLE,
            fingerprint,
            &hashes[i % SAMPLE_HASHES],
            &(i as u32).to_le_bytes(),
        ]));
        let place = i as u32;
        let other = place + (draw % u64::from(count - place)) as u32;
        out.positions[i] = value_at(&moved[..i], other);
        moved[i] = (other, value_at(&moved[..i], place));
    }
    out.positions.sort_unstable();
    out
}

/// A candidate's claim to a jury seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// `ln(stake) + gumbel`, Q16.16.
    pub rank: i32,
    /// The validator's authority, which breaks ties.
    pub authority: [u8; 32],
}

impl Rank {
    /// Whether this claim goes before `other`: the higher rank, ties to the lower authority.
    pub fn beats(&self, other: &Rank) -> bool {
        match self.rank.cmp(&other.rank) {
            Ordering::Greater => true,
            Ordering::Equal => self.authority < other.authority,
            Ordering::Less => false,
        }
    }
}

/// One seat of one case's jury.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The case's address.
    pub case: &'a [u8; 32],
    /// Hash of the seat's slot, see [`seat_slot`].
    pub slot_hash: &'a Hash,
    /// Index of the seat, from 0.
    pub index: u32,
}

/// The slot whose hash draws seat `index`: the first at or after this one.
pub const fn seat_slot(j0: u64, index: u32) -> u64 {
    j0.saturating_add(SEAT_SLOTS * index as u64)
}

/// The bit by which a case notes that a validator has committed. The hash of seat 0 draws it, so that nobody can have registered
/// keys that share another's.
pub fn committer_bit(slot_hash: &Hash, authority: &[u8; 32]) -> usize {
    let digest = sha256(&[domain::COMMITTER, slot_hash, authority]);
    uniform(&digest) as usize % (8 * COMMITTER_BYTES)
}

impl Seat<'_> {
    /// The rank of a validator with `stake` active lamports; `None` without stake.
    pub fn rank(&self, authority: &[u8; 32], stake: u64) -> Option<Rank> {
        let noise = gumbel_q16(jury_uniform(
            self.case,
            self.slot_hash,
            self.index,
            authority,
        ));
        // At most 43.7 + 22.9 in Q16.16: far inside i32.
        let rank = ln_q16(stake)?.wrapping_add(noise);
        Some(Rank {
            rank,
            authority: *authority,
        })
    }
}
