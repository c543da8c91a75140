//! Why a prompt can't be formatted.

use crate::gguf::GgufError;
use crate::tokenizer::TokenizerError;

/// Why a prompt could not be formatted.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Conversations need a template; a single prompt does not.
    #[error(
        "this model has no chat template, so it takes no messages: send one `prompt` to /v1/inference instead"
    )]
    NoTemplate,
    #[error("the model's chat template is broken: {0}")]
    BadTemplate(String),
    /// The template called `raise_exception`, or failed on these messages.
    #[error("the model's chat template refuses these messages: {0}")]
    Refused(String),
    /// Said before anything is tokenised.
    #[error(
        "This model's maximum context length is {context} tokens, which hold at most {most_bytes} bytes; the prompt is longer"
    )]
    TooLong { context: u32, most_bytes: usize },
}
