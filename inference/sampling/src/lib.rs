//! How the tokens of a paid answer are chosen, beyond what the program replays itself.
//!
//! - [`Options`]: what a requester may say, its one encoding and its limits
//! - [`grammar`]: what an answer must look like, and the limits of such texts
//! - [`choice`]: the choice of one token among all of a vocabulary, in integers
//! - [`guide`]: masks of a grammar, by `llguidance`
//! - [`sampler`]: one answer as it is made
//! - [`course`]: one answer that is shown, as a judge follows it

#![forbid(unsafe_code)]

pub mod choice;
pub mod course;
pub mod grammar;
pub mod guide;
mod mask;
mod options;
pub mod sampler;
mod tables;

pub use guide::{Guide, GuideError, Vocabulary};
pub use mask::Mask;
pub use options::{
    MAX_BIAS, MAX_BIAS_MILLI, MAX_BYTES, MAX_GRAMMAR_BYTES, MAX_PENALTY_MILLI,
    MAX_REPETITION_MILLI, MAX_STOP_BYTES, MAX_STOPS, MAX_TOP_K, Options, PPM, Refusal,
};
pub use sampler::{Ending, Sampler};
