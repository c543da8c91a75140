//! Calibration: how far honest answers of a model file differ, and which cheats the rules find.
//!
//! - [`prompts`]: the jobs, split by hash into a calibration and a test set
//! - [`cheats`], [`files`]: who writes answers, and the model files that cheaters run
//! - [`transcript`]: what each rule says of a job; [`thresholds`], [`stats`]: limits and bounds
//! - [`run`]: the order of things; [`lab`], [`llama_cpp`], [`journal`]: running them, and going on after an interruption
//! - [`identity`], [`tally`], [`report`]: the outcome
//! - [`audit`]: what an audit of layers costs and finds
//!
//! Thresholds come from honest answers to the calibration set alone and are frozen before the first
//! answer to the test set is written.

pub mod audit;
pub mod cheats;
pub mod files;
mod identity;
mod journal;
mod lab;
mod llama_cpp;
pub mod prompts;
pub mod report;
mod run;
pub mod stats;
mod tally;
pub mod thresholds;
pub mod transcript;

use std::path::PathBuf;

pub use cheats::Writer;
pub use report::{Report, Skipped};
pub use run::calibrate;
use thresholds::Frozen;

use mythic_engine::{Choice, EngineError, LoadError};
use mythic_model::prompt::PromptError;

/// What to calibrate with.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Prompts of the set, two fifths of them to calibrate; at least 2.
    pub prompts: usize,
    /// Most tokens of an answer.
    pub tokens: u32,
    /// Threads of every engine; 0 = one for each core.
    pub threads: usize,
    /// What else checks: a GPU, which must not move a bit.
    pub device: Choice,
    /// A Python that imports `xllamacpp`; without one, `python3` and `python` are tried.
    pub python: Option<PathBuf>,
    /// Where records and derived files lie; by default beside the cache of model files.
    pub directory: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prompts: 60,
            tokens: 48,
            threads: 0,
            device: Choice::Cpu,
            python: None,
            directory: None,
        }
    }
}

impl Settings {
    /// A first look, in a minute or two.
    pub fn quick() -> Self {
        Self {
            prompts: 10,
            tokens: 24,
            ..Self::default()
        }
    }
}

/// What a running calibration tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// How long it will take, measured on this machine.
    Estimate { seconds: f64 },
    /// A part begins; `kept` of its jobs are there from an earlier run.
    Began {
        what: String,
        jobs: usize,
        kept: usize,
    },
    /// Jobs of the part that are done.
    Done { done: usize, of: usize },
    /// A part that is left out.
    Skipped(Skipped),
    /// The thresholds that hold from here on.
    Frozen(Frozen),
}

/// Why a calibration failed.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error("at least 2 prompts are needed, one to calibrate and one to test; {0} given")]
    TooFew(usize),
    #[error("--tokens is 0; at least 1 is needed")]
    NoTokens,
    #[error("--audit {0}: allowed is above 0, up to 1")]
    Part(f64),
    #[error("an answer's residual rows don't fit {0} bytes; ask for fewer tokens")]
    NoRows(u64),
    #[error("{path}: {source}")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Cache(#[from] mythic_model::catalogue::FetchError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("while {what}: {source}")]
    Engine { what: String, source: EngineError },
}
