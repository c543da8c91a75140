//! What can go wrong before anything is computed.

use mythic_model::gguf::GgufError;

use super::instructions::InstructionSet;

/// Why there are no kernels, or no weights for them.
#[derive(Debug, thiserror::Error)]
pub enum KernelsError {
    #[error("cannot start threads: {0}")]
    Threads(#[from] std::io::Error),
    #[error(
        "instruction_set = {asked}: this processor has {}, or auto",
        available.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Instructions {
        asked: InstructionSet,
        available: Vec<InstructionSet>,
    },
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "floats are not computed as a process starts with (control register {found:#x}, not {default:#x}): a library of this process changed \
         rounding, subnormals or exceptions, and answers would be false"
    )]
    Environment { found: u64, default: u64 },
    #[error(
        "the packed weights need {bytes} bytes of memory, because no directory took them: {source}"
    )]
    Memory { bytes: u64, source: std::io::Error },
}
