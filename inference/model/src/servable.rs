//! Whether the engine can serve a file, said from its head alone: what is registered for money, written
//! into configurations and loaded passes this one check.

use std::path::Path;

use mythic_interface::state::MODEL_EOS_IDS;

use crate::gguf::{Gguf, GgufError};
use crate::layout::{Layout, architecture_of};
use crate::prompt::{PromptError, PromptFormatter};

/// A file that the engine can serve.
pub struct Servable {
    pub formatter: PromptFormatter,
    pub layout: Layout,
}

/// Why it can't.
#[derive(Debug, thiserror::Error)]
pub enum ServableError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error(
        "the file is part {part} of {parts} of a model; merge the parts with llama.cpp's `llama-gguf-split --merge`"
    )]
    Part { part: u32, parts: u32 },
    #[error(
        "the model has {0} tokens that end an answer; a model on chain has 1 to {MODEL_EOS_IDS}"
    )]
    EndTokens(usize),
    #[error("a context of {0} token has no room for a prompt and an answer")]
    Context(u32),
}

/// Checks a file: whole, of an architecture and shape that the engine knows, in formats that it computes
/// with, with a tokenizer that it reads and a chat template that renders, or none.
///
/// Weights are not read, so a file of wrong weights passes; so does one that this machine has no room for.
pub fn check_servable(path: &Path) -> Result<Servable, ServableError> {
    check(&Gguf::open(path)?)
}

/// The same of a file that is open already.
pub fn check(gguf: &Gguf) -> Result<Servable, ServableError> {
    let part = |key: &str| gguf.int(key, 0, u32::from(u16::MAX));
    let parts = part("split.count")?.unwrap_or(1);
    if parts > 1 {
        let part = part("split.no")?.unwrap_or(0).saturating_add(1);
        return Err(ServableError::Part { part, parts });
    }
    // First, since all other keys are named after it.
    architecture_of(gguf)?;
    // A number on chain.
    gguf.int("general.file_type", 0, u32::from(u16::MAX))?;
    let formatter = PromptFormatter::from_parsed(gguf)?;
    let layout = Layout::read(gguf, formatter.vocab_size())?;
    let ends = formatter.eos_ids().len();
    if !(1..=MODEL_EOS_IDS).contains(&ends) {
        return Err(ServableError::EndTokens(ends));
    }
    if formatter.context_length() < 2 {
        return Err(ServableError::Context(formatter.context_length()));
    }
    formatter.check_template()?;
    Ok(Servable { formatter, layout })
}
