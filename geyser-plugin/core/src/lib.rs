//! Geyser plugin of Mythic: a library that a validator loads. It copies the accounts of our programs, the transactions that call
//! them and the slots' statuses into the spool, and never holds the validator up. This is all of it but the validator's interface,
//! of which each release has its own: a thin adapter makes a library of its own from it (`agave`, `v1_18`).
//!
//! ```text
//! callback (many threads) -> filter -> bounded queue -> one drain thread -> spool directory
//!                                                spool directory -> one forward thread -> Kafka, if configured
//! ```
//! - `told`: what a validator tells, in types of no release
//! - `running`: [`Core`], the callbacks' side
//! - `config`: the JSON5 file, [`check_config`]
//! - `build`: what a library says of itself, to be read without loading it
//! - `tracked`: accounts that are or were ours, so that their closing is seen
//! - `startup`, `foreign`: the accounts that a validator starts from, all of them and none in an older version
//! - `implied`: banks of a validator that does not say when it creates one
//! - `calls`: the transactions that call our programs
//! - `lanes`, `queue`, `losses`: what the callbacks touch; atomics only
//! - `sequencer`: generations, seals, digests, untracking; pure
//! - `drain`: the thread between queue and spool
//! - `forward`: the thread between spool and Kafka, one more reader of the spool
//! - `metrics`: Prometheus text on an optional loopback address

mod build;
mod calls;
mod config;
mod drain;
mod foreign;
mod forward;
mod implied;
mod lanes;
mod losses;
mod metrics;
mod queue;
mod running;
mod sequencer;
mod startup;
mod told;
mod tracked;

pub use build::{NOTE_BYTES, RUSTC, note};
pub use config::{ConfigError, PluginConfig, check_config};
pub use running::{Core, LoadError};
pub use told::{Banks, Block, Executed, Failure, Instruction, Interface, Status, Update};

pub use log;
pub use mythic_stream::{proto::SlotStatus, spool::usable};
