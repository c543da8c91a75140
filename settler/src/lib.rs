//! The settler: sends what is due of both programs and needs nobody's signature (claims, expiries, sweeps, verdicts, payments, closes),
//! and compares the index with the chain. Never trusted: anyone may send the same.
//!
//! - [`due`](Settler::due): what is due at a slot, pure; `court`: its part about cases
//! - `windows`: what it is told; `crank`: what it answers; `market`: all of this of the Compute Market
//! - `sender`: sending; `rests`: what is left alone because the chain refused it, pure
//! - `reconcile`: the comparison, pure
//! - `chain`, `database`: reading; `service`: the loop; `metrics`: what it counts; `heart`: that it lives; `trouble`: words for why it does not work
#![forbid(unsafe_code)]

mod chain;
mod config;
mod court;
mod crank;
mod database;
mod due;
mod heart;
mod market;
mod metrics;
mod migrate;
mod reconcile;
mod rests;
mod sender;
mod service;
mod trouble;
mod windows;

pub use config::SettlerConfig;
pub use crank::Crank;
pub use due::Settler;
pub use market::{
    LeaseDisputeWindow, LeaseWindow, MarketCrank, MarketWindows, ProviderWindow, RequestWindow,
};
pub use migrate::migrate;
pub use reconcile::{
    ChainAccount, ChainSide, Difference, IndexRow, IndexSide, Kind, Reconciliation, reconcile,
};
pub use service::run;
pub use windows::{CaseWindow, JobWindow, OutputWindow, ValidatorWindow, Windows};
