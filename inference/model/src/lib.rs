//! A model's file without its weights: what gateways, nodes and wallets share.
//!
//! - [`gguf`]: the file, read as hostile input
//! - [`tokenizer`]: text to token ids and back
//! - [`prompt`]: a conversation as the model reads it; a model's identity
//! - [`layout`]: sizes and tensors of the decoders that the engine runs
//! - [`servable`]: whether the engine can serve a file
//! - [`sampling`]: how tokens are drawn
//! - [`catalogue`]: the model files that are known, and fetching them
//! - [`pull`]: fetching any other

pub mod catalogue;
mod file_hash;
pub mod gguf;
pub mod layout;
pub mod prompt;
pub mod pull;
pub mod sampling;
pub mod servable;
pub mod tokenizer;
