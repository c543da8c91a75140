//! The positions that a case draws, known before it is opened, and those that a claim names beside them.

use mythic_interface::{
    hash::Hash,
    sortition::{SAMPLE_HASHES, Sample, sample_positions, sample_slot},
    state::{Job, NAMED_POSITIONS},
};

/// `SysvarS1otHashes111111111111111111111111111`.
pub const SLOT_HASHES: [u8; 32] = [
    6, 167, 213, 23, 25, 47, 10, 175, 198, 242, 101, 227, 251, 119, 204, 122, 218, 130, 197, 41,
    208, 190, 59, 19, 110, 45, 0, 85, 32, 0, 0, 0,
];
/// Entries that the runtime keeps.
const MOST: usize = 512;

/// The sysvar: slots and their hashes, latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHashes(Vec<(u64, Hash)>);

impl SlotHashes {
    /// Reads the sysvar's account data; `None` if it is cut short or out of order.
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (count, mut rest) = data.split_first_chunk::<8>()?;
        let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
        if count > MOST {
            return None;
        }
        let mut entries: Vec<(u64, Hash)> = Vec::with_capacity(count);
        for _ in 0..count {
            let (slot, behind) = rest.split_first_chunk::<8>()?;
            let (hash, behind) = behind.split_first_chunk::<32>()?;
            rest = behind;
            let slot = u64::from_le_bytes(*slot);
            if entries.last().is_some_and(|(last, _)| *last <= slot) {
                return None;
            }
            entries.push((slot, *hash));
        }
        Some(Self(entries))
    }

    /// The hash of the first slot at or after `slot` that was not skipped; `None` while there is none, and once no older slot is
    /// kept, because the first one may then be forgotten.
    pub fn first_from(&self, slot: u64) -> Option<Hash> {
        let (oldest, _) = self.0.last()?;
        if *oldest >= slot {
            return None;
        }
        let at = self.0.iter().rposition(|(known, _)| *known >= slot)?;
        Some(self.0[at].1)
    }
}

/// The first slot in which the sample of a result can be known.
pub fn known_from(submitted_slot: u64) -> u64 {
    sample_slot(submitted_slot, SAMPLE_HASHES - 1).saturating_add(1)
}

/// The sampled positions of a job's result, if they are known.
pub fn of_job(job: &Job, hashes: &SlotHashes) -> Option<Sample> {
    let mut drawn = [[0; 32]; SAMPLE_HASHES];
    for (group, hash) in drawn.iter_mut().enumerate() {
        *hash = hashes.first_from(sample_slot(job.submitted_slot.get(), group))?;
    }
    Some(sample_positions(
        job.output_tokens.get(),
        &job.fingerprint,
        &drawn,
    ))
}

/// What a claim names of the positions in which an answer differs: up to two that are not sampled, so that it holds on a fork
/// which draws others.
pub fn named(differing: &[u32], sample: &[u32]) -> Vec<u32> {
    let fresh = differing.iter().filter(|p| !sample.contains(p));
    let mut named: Vec<u32> = fresh.copied().take(NAMED_POSITIONS).collect();
    named.sort_unstable();
    named.dedup();
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable;

    fn data(slots: &[u64]) -> Vec<u8> {
        let mut out = (slots.len() as u64).to_le_bytes().to_vec();
        for slot in slots {
            out.extend(slot.to_le_bytes());
            out.extend([*slot as u8; 32]);
        }
        out
    }

    #[test]
    fn the_first_slot_from_a_given_one_is_found_over_skipped_ones() {
        let hashes = SlotHashes::parse(&data(&[20, 17, 12, 9])).unwrap();
        assert_eq!(hashes.first_from(13), Some([17; 32]));
        assert_eq!(hashes.first_from(12), Some([12; 32]));
        assert_eq!(hashes.first_from(21), None, "not there yet");
        assert_eq!(hashes.first_from(9), None, "an older one may be forgotten");
        assert_eq!(hashes.first_from(10), Some([12; 32]));
    }

    #[test]
    fn damaged_data_is_refused() {
        let good = data(&[20, 17]);
        assert!(SlotHashes::parse(&good[..good.len() - 1]).is_none());
        assert!(SlotHashes::parse(&data(&[17, 20])).is_none());
        assert!(SlotHashes::parse(&u64::MAX.to_le_bytes()).is_none());
        assert!(SlotHashes::parse(&[]).is_none());
    }

    #[test]
    fn a_sample_is_known_from_the_slot_after_its_last_draw() {
        let mut job = Job::zeroed();
        job.submitted_slot.set(100);
        job.output_tokens.set(500);
        assert_eq!(known_from(100), 121);
        let slots: Vec<u64> = (90..=119).rev().collect();
        assert_eq!(
            of_job(&job, &SlotHashes::parse(&data(&slots)).unwrap()),
            None
        );
        let slots: Vec<u64> = (90..=120).rev().collect();
        let sample = of_job(&job, &SlotHashes::parse(&data(&slots)).unwrap()).unwrap();
        assert_eq!(sample.positions().len(), 16);
    }

    #[test]
    fn named_are_two_that_differ_and_are_not_sampled() {
        assert_eq!(named(&[3, 5, 8, 9], &[5]), [3, 8]);
        assert_eq!(named(&[5], &[5]), [0u32; 0]);
    }
}
