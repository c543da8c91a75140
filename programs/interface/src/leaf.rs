//! What an answer says of each of its positions: the leaves under its fingerprint.

use core::cmp::Ordering;

use crate::hash::{Hash, domain, sha256};
use crate::sampler::{Sampling, Top4, order};
use crate::state::LEAF_LEN;

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
    let t = &leaf.top4;
    for (i, a) in t.iter().enumerate() {
        for b in &t[i + 1..] {
            if a.0 == b.0 {
                return Err(LeafFault::RepeatedId);
            }
        }
    }
    for pair in t.windows(2) {
        if order(&pair[0], &pair[1]) != Ordering::Less {
            return Err(LeafFault::NotOrdered);
        }
    }
    if sampling.choose(leaf.position, t) != leaf.token {
        return Err(LeafFault::NotTheChoice);
    }
    Ok(())
}
