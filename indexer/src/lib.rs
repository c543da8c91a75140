//! From the stream of a validator's account updates to Postgres tables, exactly once.
//!
//! Pure core, in the order of the data:
//! - [`holder`]: envelopes to sealed banks and statuses; `merge`: several producers as one; [`tree`]: forks, confirmation, roots
//! - `calls`: transactions to rows
//! - [`projection`], a crate of its own: account bytes to rows ([`entity`]) and feed events ([`feed`])
//! - [`plan`]: inputs to everything one transaction writes
//!
//! Shell: [`source`] reads the spools, `kafka` the topic that stands in for them, [`rpc`] asks a chain that has none, `pump` batches, [`writer`] runs the transaction ([`sql`], [`db`], [`alarms`]), [`lease`] keeps
//! writers apart, [`archive`] keeps all that came and `upkeep` keeps it small, `relay` passes the feed on, [`state`] restores, [`service`] is the process, [`migrate`] and [`rebuild`] the maintenance,
//! [`export`] hands finalized rows to others.
#![forbid(unsafe_code)]

pub mod alarms;
pub mod archive;
mod bare;
mod calls;
pub mod config;
pub mod db;
pub mod error;
mod export;
mod heal;
pub mod holder;
mod kafka;
pub mod lease;
mod merge;
mod migrate;
pub mod plan;
mod pump;
mod rebuild;
mod relay;
pub mod rpc;
pub mod service;
pub mod source;
pub mod sql;
pub mod state;
mod tables;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod traced;
pub mod tree;
mod upkeep;
pub mod writer;

pub use archive::{FileReport, FileState, archive_files, archived_update};
pub use config::{IndexerConfig, SourceKind, SpoolConfig};
pub use error::IndexerError;
pub use export::{ExportReport, ExportedFile, ExportedTable, Manifest, export};
pub use heal::{HealReport, heal};
pub use migrate::migrate;
pub use mythic_projection::{self as projection, entity, feed};
pub use rebuild::{RebuildReport, Swap, rebuild, rebuild_from};
pub use rpc::{HealProgress, Unhealed};
pub use service::run;
pub use tables::{TableHash, differences, hash_tables};
