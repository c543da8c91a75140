//! Why a text can't be tokenised.

use super::split::PreTokenizer;
use crate::gguf::GgufError;

/// Why a tokenizer could not be made or a text not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error(transparent)]
    Gguf(#[from] GgufError),
    #[error(
        "tokenizer model `{0}` is not supported; supported are `gpt2` (BPE) and `llama` (SentencePiece)"
    )]
    Model(String),
    #[error(
        "pre-tokenizer `{0}` is not supported; supported are {list}",
        list = PreTokenizer::NAMES.join(", ")
    )]
    Pre(String),
    #[error("the file's tokenizer is damaged: {0}")]
    Damaged(String),
    #[error("cannot encode the text: {0}")]
    Encode(String),
}
