//! What a binary may put in the place of the node's own parts. Honest binaries leave all as it is.

use std::{path::Path, sync::Arc};

use mythic_engine::Engine;
use mythic_wire::evidence::{Draft, Evidence, EvidenceError};

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
    /// Seals a result.
    fn seal(&self, draft: Draft) -> Result<Evidence, EvidenceError> {
        Evidence::seal(draft)
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
