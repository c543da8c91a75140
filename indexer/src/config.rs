//! The indexer's configuration.

use std::{net::SocketAddr, path::PathBuf};

use mythic_support::check::in_range;
use serde::{Deserialize, Serialize};

/// Keys of the indexer's TOML file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexerConfig {
    /// PostgreSQL 15 or later: a URL or key-value string.
    pub database_url: String,
    /// Directory that the plugin writes its spool to.
    pub spool_dir: PathBuf,
    /// Name under which this indexer acknowledges the spool and keeps its position.
    pub reader: String,
    /// Where to serve `/metrics` and `/health`; without an address in the file, on loopback.
    pub metrics_addr: Option<SocketAddr>,
    /// Account updates that one transaction holds at most (a bank is never split).
    pub batch_updates: usize,
    /// Bytes of memory for accounts of a start and for banks that are not sealed yet; the rest waits in `spill_dir`.
    pub max_held_bytes: usize,
    /// Directory for what does not fit in `max_held_bytes`; without one, `spill` in `spool_dir`.
    pub spill_dir: Option<PathBuf>,
    /// How long slots without content may wait to be written together, milliseconds.
    pub idle_linger_ms: u64,
    /// An indexer that has not renewed its lease for this long can be replaced, seconds.
    pub lease_ttl_s: u64,
    /// Feed events older than this are removed, hours.
    pub feed_retention_h: u32,
}

impl Default for IndexerConfig {
    fn default() -> Self {
        Self {
            database_url: "host=/run/postgresql dbname=mythic".into(),
            spool_dir: "spool".into(),
            reader: "indexer".into(),
            metrics_addr: Some(([127, 0, 0, 1], 9470).into()),
            batch_updates: 20_000,
            max_held_bytes: 512 << 20,
            spill_dir: None,
            idle_linger_ms: 500,
            lease_ttl_s: 15,
            feed_retention_h: 7 * 24,
        }
    }
}

impl IndexerConfig {
    pub(crate) fn spill_dir(&self) -> PathBuf {
        self.spill_dir
            .clone()
            .unwrap_or_else(|| self.spool_dir.join("spill"))
    }

    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        mythic_postgres::check_url(&self.database_url)
            .map_err(|error| format!("database_url: {error}"))?;
        if self.spool_dir.as_os_str().is_empty() {
            return Err("spool_dir = \"\": allowed is a directory".into());
        }
        let name_ok = (1..=64).contains(&self.reader.len())
            && self
                .reader
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if !name_ok {
            return Err(format!(
                "reader = {:?}: allowed is 1 to 64 of a-z, 0-9, - and _",
                self.reader
            ));
        }
        in_range("batch_updates", self.batch_updates as u64, 1, 1_000_000)?;
        in_range(
            "max_held_bytes",
            self.max_held_bytes as u64,
            1 << 20,
            64 << 30,
        )?;
        in_range("idle_linger_ms", self.idle_linger_ms, 0, 10_000)?;
        in_range("lease_ttl_s", self.lease_ttl_s, 5, 600)?;
        in_range(
            "feed_retention_h",
            self.feed_retention_h.into(),
            1,
            24 * 365,
        )
    }
}
