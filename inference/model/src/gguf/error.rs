//! Why a GGUF file is refused.

use std::path::PathBuf;

use super::format::TensorFormat;

/// Why a GGUF file was refused.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    #[error("cannot open model file {path}: {source}")]
    Open {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a GGUF model file (it does not start with `GGUF`)")]
    NotGguf { path: PathBuf },
    #[error("{path} is a big-endian GGUF file; convert it with llama.cpp's gguf_convert_endian.py")]
    BigEndian { path: PathBuf },
    #[error("GGUF version {0} is not supported; convert the model to version 3")]
    Version(u32),
    #[error(
        "the model file is damaged: {what} at byte {at}; fetch it again and compare its SHA-256"
    )]
    Damaged { what: String, at: u64 },
    #[error("the model file lacks the metadata key `{0}`")]
    MissingKey(String),
    #[error("metadata key `{key}` is {found}, expected {expected}")]
    WrongType {
        key: String,
        found: &'static str,
        expected: &'static str,
    },
    #[error("metadata key `{key}` is {value}, allowed is {allowed}")]
    OutOfRange {
        key: String,
        value: String,
        allowed: String,
    },
    #[error("the model file lacks the tensor `{0}`")]
    MissingTensor(String),
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },
    #[error(
        "tensor `{name}` has quantisation type {code}{}; the engine computes with {}",
        TensorFormat::name_of_other(*code).map_or_else(String::new, |name| format!(" ({name})")),
        TensorFormat::ALL.map(|format| format.to_string()).join(", ")
    )]
    TensorType { name: String, code: u32 },
    #[error("{0}")]
    Unsupported(String),
}
