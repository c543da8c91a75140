//! What a binary may put in the place of the node's own parts. Honest binaries leave all as it is.

use std::{path::Path, sync::Arc};

use mythic_engine::Engine;
use mythic_interface::le::U32;
use mythic_verifier::check;
use mythic_wire::{
    Finish,
    evidence::{Draft, Evidence, EvidenceError},
};

use crate::{config::NodeConfig, serve::backend::Backend};

/// How much of its own results a node gives out to those who check them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// All evidence.
    Everything,
    /// The prompt and the output, but no leaves.
    Prompt,
    /// Nothing.
    Nothing,
}

/// How a node shows what it committed to.
pub trait Disclosure: Send + Sync + 'static {
    /// How much evidence of its own results is given out.
    fn shown(&self) -> Shown {
        Shown::Everything
    }
    /// Whether what a case asks for is posted on chain.
    fn answers(&self) -> bool {
        true
    }
    /// Seals a result that ended so, of a model with these end-of-sequence ids: none that one leaf would show to be false.
    fn seal(&self, draft: Draft, finish: Finish, eos: &[U32]) -> Result<Evidence, EvidenceError> {
        let count = draft.output_ids.len();
        let mut tokens = draft.output_ids.iter().enumerate();
        let wrong = tokens.find_map(|(at, token)| {
            check::end_fault(eos, *token, at + 1 == count, finish as u8).map(|_| at)
        });
        match wrong {
            Some(position) => Err(EvidenceError::End { position }),
            None => Evidence::seal(draft),
        }
    }
}

/// Everything is shown, and only what holds is sealed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Disclosure for Open {}

/// Makes the backend of a model file from its engine.
pub type MakeBackend = dyn Fn(Engine, &Path, &NodeConfig) -> Arc<dyn Backend> + Send + Sync;

/// The parts that can be replaced.
#[derive(Clone)]
pub struct Seams {
    /// What answers in the place of a loaded model.
    pub backend: Arc<MakeBackend>,
    /// What is shown of results.
    pub disclosure: Arc<dyn Disclosure>,
}

impl Default for Seams {
    fn default() -> Self {
        Self {
            backend: Arc::new(|engine, _, _| Arc::new(engine)),
            disclosure: Arc::new(Open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mythic_interface::sampler::Sampling;

    #[test]
    fn what_its_own_registration_calls_false_is_not_sealed() {
        let sampling = Sampling {
            seed: [1; 32],
            temperature_milli: 700,
        };
        let four = [(5, 400), (6, 300), (7, 200), (8, 100)];
        let output_ids: Vec<u32> = (0..4).map(|at| sampling.choose(at, &four)).collect();
        let seal = |finish, eos: &[u32]| {
            let eos: Vec<U32> = eos.iter().map(|id| U32::new(*id)).collect();
            let draft = Draft {
                job: [1; 32],
                submitter: [2; 32],
                terms_hash: [3; 32],
                salt: [4; 16],
                prompt_ids: vec![9],
                output_ids: output_ids.clone(),
                leaves: vec![four; 4],
                sampling,
                options: None,
            };
            Open.seal(draft, finish, &eos).map(drop)
        };
        let end = |position| Err(EvidenceError::End { position });
        assert_eq!(seal(Finish::Length, &[2]), Ok(()));
        assert_eq!(seal(Finish::Eos, &[2]), end(3), "it has no end");
        assert_eq!(seal(Finish::Length, &output_ids[..1]), end(0), "inside");
    }
}
