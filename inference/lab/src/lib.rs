//! Inference for Mythic: a GGUF engine, prompt formatting, fingerprints, and the validator's node.
//!
//! - [`prompt`]: tokenizer and chat template of a model file, no weights; [`tokenizer`], [`gguf`]
//! - [`engine`]: loads a model and generates, or scores an answer that is known
//! - [`calibrate`]: how far honest answers differ, and which cheats are found
//! - [`fingerprint`]: the evidence bundle of a job
//! - [`model`]: the catalogue of model files, and fetching them
//! - [`random_model`]: small random model files in any weight format, for tests
//! - [`wire`]: what gateways and nodes say to each other
//! - [`node`]: the validator's daemon
//! - [`verifier`]: checks of others' answers, and the duties in disputes

pub mod calibrate;
pub mod engine;
pub mod fingerprint;
pub mod gguf;
pub mod model;
pub mod node;
pub mod prompt;
pub mod random_model;
pub mod tokenizer;
pub mod verifier;
pub mod wire;
