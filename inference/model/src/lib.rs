//! A model's file without its weights: what gateways, nodes and wallets share.
//!
//! - [`gguf`]: the file, read as hostile input
//! - [`tokenizer`]: text to token ids and back
//! - [`prompt`]: a conversation as the model reads it; a model's identity
//! - [`llama`]: sizes and tensors of the architecture that the engine runs
//! - [`servable`]: whether the engine can serve a file
//! - [`sampling`]: how tokens are drawn
//! - [`catalogue`]: the model files that are known, and fetching them

pub mod catalogue;
pub mod gguf;
pub mod llama;
pub mod prompt;
pub mod sampling;
pub mod servable;
pub mod tokenizer;
