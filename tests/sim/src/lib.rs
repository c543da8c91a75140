//! A simulation of networks, from a seed: what validators see of blocks, forks, restarts and losses is written to a real
//! spool, indexed by the real indexer into a real PostgreSQL, and compared with a plain model of the true chain.
//!
//! - [`rng`], [`profile`], [`plan`], [`generate`], [`telling`]: from a seed to a [`story`], printed by [`words`]
//! - [`accounts`], [`truth`]: the plain model; it shares no code with the indexer
//! - [`log`], [`observer`]: the producer's log, and what a perfect reader could know from it
//! - [`play`], [`database`], [`pool`], [`proxy`]: the real indexer, disturbed; [`tables`]: what it shows
//! - [`chain`], [`judge`], [`feed`]: the comparison; [`shrink`]: the smallest story that still fails
//! - [`ledger`]: seeds that once failed
//!
//! Another simulation is beside it: [`provider`], schedules of kills for a provider of the Compute Market.
#![forbid(unsafe_code)]

mod accounts;
mod chain;
mod database;
mod feed;
mod generate;
mod judge;
pub mod ledger;
mod log;
mod observer;
mod plan;
mod play;
mod pool;
mod profile;
mod provider;
mod proxy;
mod rng;
pub mod run;
mod shrink;
mod story;
mod tables;
mod telling;
mod truth;
mod words;

pub use judge::{Fault, Verdict};
pub use profile::Profile;
pub use provider::occurrences;
