//! From the stream of a validator's account updates to Postgres tables, exactly once.
//!
//! Pure core, in the order of the data:
//! - [`holder`]: envelopes to sealed banks and statuses; `merge`: several producers as one; [`tree`]: forks, confirmation, roots
//! - [`projection`]: account bytes to rows ([`entity`]) and feed events ([`feed`])
//! - [`plan`]: inputs to everything one transaction writes
//!
//! Shell: [`source`] reads the spools, `pump` batches, [`writer`] runs the transaction ([`sql`], [`db`], [`alarms`]), [`lease`] keeps
//! writers apart, [`archive`] keeps all that came and `upkeep` keeps it small, [`state`] restores, [`service`] is the process, [`migrate`] and [`rebuild`] the maintenance,
//! [`export`] hands finalized rows to others.
#![recursion_limit = "256"]
#![forbid(unsafe_code)]

pub mod alarms;
pub mod archive;
pub mod config;
pub mod db;
pub mod entity;
pub mod error;
mod export;
pub mod feed;
pub mod holder;
pub mod lease;
mod merge;
mod migrate;
pub mod plan;
pub mod projection;
mod pump;
mod rebuild;
pub mod service;
pub mod source;
pub mod sql;
pub mod state;
mod tables;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod tree;
mod upkeep;
pub mod writer;

pub use archive::{FileReport, FileState, archive_files, archived_update};
pub use config::{IndexerConfig, SpoolConfig};
pub use error::IndexerError;
pub use export::{ExportReport, ExportedFile, ExportedTable, Manifest, export};
pub use migrate::migrate;
pub use rebuild::{RebuildReport, Swap, rebuild, rebuild_from};
pub use service::run;
pub use tables::{TableHash, differences, hash_tables};
