//! What is remembered for a while: what was computed of answers, so that a check and the vote about the same result share one pass of
//! the engine, and what registrations of models say.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use mythic_interface::{hash::Hash, state::ModelSpec};
use mythic_verifier::question::Own;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;

/// Answers that are remembered, and positions of all of them together: some 64 bytes each.
const MOST: usize = 256;
const MOST_POSITIONS: usize = 1 << 18;

/// One answer, by job and fingerprint.
struct Pass {
    job: Pubkey,
    fingerprint: Hash,
    own: Arc<Vec<Own>>,
}

/// The latest passes. What was forgotten, or lost with the process, is computed again.
#[derive(Default)]
pub struct Passes(Mutex<VecDeque<Pass>>);

impl Passes {
    /// What was computed of a result.
    pub fn get(&self, job: &Pubkey, fingerprint: &Hash) -> Option<Arc<Vec<Own>>> {
        let passes = self.0.lock();
        let mut passes = passes.iter();
        let found = passes.find(|pass| pass.job == *job && pass.fingerprint == *fingerprint);
        found.map(|pass| pass.own.clone())
    }

    /// Remembers what was computed, and forgets the oldest for it.
    pub fn put(&self, job: Pubkey, fingerprint: Hash, own: Arc<Vec<Own>>) {
        let mut passes = self.0.lock();
        passes.retain(|pass| pass.job != job);
        passes.push_back(Pass {
            job,
            fingerprint,
            own,
        });
        let size = |passes: &VecDeque<Pass>| passes.iter().map(|p| p.own.len()).sum::<usize>();
        while passes.len() > MOST || (passes.len() > 1 && size(&passes) > MOST_POSITIONS) {
            passes.pop_front();
        }
    }
}

/// Registrations that are remembered. What a registration says of its file never changes.
const MOST_REGISTRATIONS: usize = 1_024;

/// The registrations of models that were read.
#[derive(Default)]
pub struct Registrations(Mutex<HashMap<Pubkey, ModelSpec>>);

impl Registrations {
    /// What a registration says, if it was read.
    pub fn get(&self, model: &Pubkey) -> Option<ModelSpec> {
        self.0.lock().get(model).copied()
    }

    /// Remembers what a registration says.
    pub fn put(&self, model: Pubkey, spec: ModelSpec) {
        let mut known = self.0.lock();
        if known.len() >= MOST_REGISTRATIONS {
            known.clear();
        }
        known.insert(model, spec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(positions: usize) -> Arc<Vec<Own>> {
        let one = Own {
            values: [1; 5],
            four: [(1, 1); 4],
            fifth: (2, 2),
            choice: None,
        };
        Arc::new(vec![one; positions])
    }

    #[test]
    fn the_latest_passes_are_remembered_within_their_room() {
        let passes = Passes::default();
        let job = |n: u8| Pubkey::new_from_array([n; 32]);
        passes.put(job(1), [1; 32], own(10));
        assert_eq!(passes.get(&job(1), &[1; 32]).map(|own| own.len()), Some(10));
        assert_eq!(passes.get(&job(1), &[2; 32]), None, "another fork's");
        passes.put(job(2), [1; 32], own(MOST_POSITIONS - 10));
        assert!(passes.get(&job(1), &[1; 32]).is_some());
        passes.put(job(3), [1; 32], own(1));
        assert_eq!(passes.get(&job(1), &[1; 32]), None);
        assert!(passes.get(&job(2), &[1; 32]).is_some());
        // One that has no room beside others is remembered alone.
        passes.put(job(4), [1; 32], own(MOST_POSITIONS + 1));
        assert!(passes.get(&job(4), &[1; 32]).is_some());
        assert_eq!(passes.get(&job(2), &[1; 32]), None);
    }
}
