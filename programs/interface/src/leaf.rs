//! What an answer says of each of its positions: the leaves under its fingerprint; and what each must satisfy by itself.

use core::cmp::Ordering;

use crate::hash::{Hash, domain, sha256};
use crate::sampler::{Sampling, Top4, order};
use crate::state::LEAF_LEN;

/// What stands in a juror's leaf for the token where none may be chosen. No answer may hold it, or it would be found true there.
pub const NO_TOKEN: u32 = u32::MAX;

/// What the fingerprint commits to at one output position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Index of the output token, from 0.
    pub position: u32,
    /// The token that was chosen.
    pub token: u32,
    /// The four largest logits, Q16.16, in the order of [`order`].
    pub top4: Top4,
}

impl Leaf {
    /// Bytes of a leaf's content.
    pub const LEN: usize = LEAF_LEN;

    /// The content as it is hashed and posted.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[0..4].copy_from_slice(&self.position.to_le_bytes());
        out[4..8].copy_from_slice(&self.token.to_le_bytes());
        for (slot, (id, logit)) in out[8..].chunks_exact_mut(8).zip(self.top4) {
            slot[..4].copy_from_slice(&id.to_le_bytes());
            slot[4..].copy_from_slice(&logit.to_le_bytes());
        }
        out
    }

    /// Reads a content; every value is possible, so it cannot fail. Check it with
    /// [`check_leaf`].
    pub fn decode(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 4];
            word.copy_from_slice(&bytes[at..at + 4]);
            word
        };
        let mut top4 = [(0, 0); 4];
        for (i, entry) in top4.iter_mut().enumerate() {
            *entry = (
                u32::from_le_bytes(word(8 + 8 * i)),
                i32::from_le_bytes(word(12 + 8 * i)),
            );
        }
        Leaf {
            position: u32::from_le_bytes(word(0)),
            token: u32::from_le_bytes(word(4)),
            top4,
        }
    }

    /// The leaf's hash, bound to the job and to the validator that submits it.
    pub fn hash(&self, job: &[u8; 32], submitter: &[u8; 32]) -> Hash {
        sha256(&[domain::LEAF, job, submitter, &self.encode()])
    }
}

/// What can be wrong with a leaf by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafFault {
    /// Two of the four ids are the same.
    RepeatedId,
    /// The four are not ordered by logit descending, id ascending.
    NotOrdered,
    /// The token is not the one that the sampler chooses.
    NotTheChoice,
}

/// Checks what a leaf must satisfy whatever the model: distinct ids, their order, the choice.
pub fn check_leaf(leaf: &Leaf, sampling: &Sampling) -> Result<(), LeafFault> {
    check_four(&leaf.top4)?;
    match sampling.choose(leaf.position, &leaf.top4) == leaf.token {
        true => Ok(()),
        false => Err(LeafFault::NotTheChoice),
    }
}

/// The same under a sampling profile whose choice needs more than a leaf shows: any token may be the choice, but for
/// [`NO_TOKEN`], which never is.
pub fn check_unreplayed(leaf: &Leaf) -> Result<(), LeafFault> {
    check_four(&leaf.top4)?;
    match leaf.token == NO_TOKEN {
        true => Err(LeafFault::NotTheChoice),
        false => Ok(()),
    }
}

fn check_four(four: &Top4) -> Result<(), LeafFault> {
    for (i, a) in four.iter().enumerate() {
        for b in &four[i + 1..] {
            if a.0 == b.0 {
                return Err(LeafFault::RepeatedId);
            }
        }
    }
    for pair in four.windows(2) {
        if order(&pair[0], &pair[1]) != Ordering::Less {
            return Err(LeafFault::NotOrdered);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{SamplingProfile, Terms};
    use bytemuck::Zeroable;

    const FOUR: Top4 = [(3, 9), (4, 8), (5, 7), (6, 6)];

    fn leaf(token: u32, top4: Top4) -> Leaf {
        Leaf {
            position: 7,
            token,
            top4,
        }
    }

    fn terms(profile: SamplingProfile) -> Terms {
        Terms {
            sampling_profile: profile as u8,
            ..Terms::zeroed()
        }
    }

    #[test]
    fn a_choice_among_the_four_is_replayed_and_one_by_options_is_not() {
        let top4 = terms(SamplingProfile::SeededTop4);
        let full = terms(SamplingProfile::SeededFull);
        // Temperature 0: the largest.
        assert_eq!(top4.check_leaf(&leaf(3, FOUR)), Ok(()));
        for token in [4, 99] {
            let other = leaf(token, FOUR);
            assert_eq!(top4.check_leaf(&other), Err(LeafFault::NotTheChoice));
            assert_eq!(full.check_leaf(&other), Ok(()));
        }
        assert!(SamplingProfile::SeededTop4.is_replayed() && top4.replay().is_some());
        assert!(!SamplingProfile::SeededFull.is_replayed() && full.replay().is_none());
    }

    #[test]
    fn order_and_distinct_ids_bind_whatever_the_profile_and_no_answer_holds_the_token_that_is_none()
    {
        let mut repeated = FOUR;
        repeated[2].0 = 3;
        let mut unordered = FOUR;
        unordered.swap(0, 1);
        for profile in [SamplingProfile::SeededTop4, SamplingProfile::SeededFull] {
            let terms = terms(profile);
            let found = |token, four| terms.check_leaf(&leaf(token, four));
            assert_eq!(found(3, repeated), Err(LeafFault::RepeatedId));
            assert_eq!(found(3, unordered), Err(LeafFault::NotOrdered));
            assert_eq!(found(NO_TOKEN, FOUR), Err(LeafFault::NotTheChoice));
        }
    }
}
