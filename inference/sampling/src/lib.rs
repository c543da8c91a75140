//! How the tokens of a paid answer are chosen, beyond what the program replays itself: a job's options, their one encoding and
//! their limits, and the sampler. Integers only: the same bits on every machine.

#![forbid(unsafe_code)]

pub mod choice;
pub mod grammar;
mod mask;
mod options;
mod tables;

pub use mask::Mask;
pub use options::{
    MAX_BIAS, MAX_BIAS_MILLI, MAX_BYTES, MAX_GRAMMAR_BYTES, MAX_PENALTY_MILLI,
    MAX_REPETITION_MILLI, MAX_STOP_BYTES, MAX_STOPS, MAX_TOP_K, Options, PPM, Refusal,
};
