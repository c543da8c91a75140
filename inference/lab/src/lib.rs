//! The laboratory: what tries and measures engines and nodes, and no honest node needs.
//!
//! - [`calibrate`]: how far honest answers differ, and which cheats are found
//! - [`cheat`]: nodes that lie, on development networks
//! - [`random_model`]: small random model files of any architecture and weight format, for tests
//! - [`gguf_writer`], [`quantise`]: writing them

#[cfg(feature = "nodes")]
pub mod calibrate;
#[cfg(feature = "nodes")]
pub mod cheat;
pub mod gguf_writer;
pub mod quantise;
pub mod random_model;
