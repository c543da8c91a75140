//! The indexer's configuration.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use mythic_kafka::Settings;
use mythic_stream::spool::{Position, ReaderConfig};
use mythic_support::check::in_range;
use serde::{Deserialize, Serialize};

use crate::merge::MAX_PRODUCERS;
use crate::rpc::{Limits, check_url};

/// Where the chain is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// In the spools that plugins write: every write of every account.
    #[default]
    Spool,
    /// Through JSON-RPC alone: blocks and what accounts are now and then.
    Rpc,
    /// In the topic that the plugins' forwarders write: every write of every account, of all producers.
    Kafka,
}

/// One producer's spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolConfig {
    /// Name under which the position in it is kept.
    pub name: String,
    pub dir: PathBuf,
}

impl SpoolConfig {
    pub(crate) fn reader(&self, config: &IndexerConfig, start: Option<Position>) -> ReaderConfig {
        ReaderConfig {
            dir: self.dir.clone(),
            name: config.reader.clone(),
            start,
        }
    }
}

/// Keys of the indexer's TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexerConfig {
    /// PostgreSQL 15 or later: a URL or key-value string.
    pub database_url: String,
    /// Where the chain is followed: `spool`, `rpc` or `kafka`.
    pub source: SourceKind,
    /// JSON-RPC of the chain that `source = "rpc"` follows.
    pub rpc_url: Option<String>,
    /// Pause between two rounds of questions, milliseconds.
    pub rpc_poll_ms: u64,
    /// Longest answer of an RPC, bytes; it is held in memory.
    pub rpc_max_answer_bytes: usize,
    /// Most bytes of accounts that a comparison with an RPC holds in memory.
    pub rpc_max_snapshot_bytes: usize,
    /// How long a question to an RPC may take, its answer's last byte included, milliseconds; ten times that for all accounts.
    pub rpc_timeout_ms: u64,
    /// JSON-RPC to heal gaps from, by itself; without one, `rpc_url` if it is followed, else gaps wait for `mythic indexer heal`.
    pub heal_rpc_url: Option<String>,
    /// Directory that the plugin writes its spool to.
    pub spool_dir: PathBuf,
    /// Name under which this indexer acknowledges the spools and keeps its position in that of `spool_dir`.
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
    /// Directory of the archive's files: spans that are older than `archive_keep_slots`, for ever.
    pub archive_dir: PathBuf,
    /// Slots below the newest finalized one whose account updates stay in the database, in whole epochs of 432,000.
    pub archive_keep_slots: u64,
    /// Spools of further validators of the same chain: what one loses, another one has.
    pub more_spools: Vec<SpoolConfig>,
    /// Where traces go, and how much is traced.
    pub traces: mythic_trace::TraceConfig,
    /// The brokers that `source = "kafka"` reads from, and that the feed is passed on to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Settings>,
    /// Pass the feed on to the topic `PREFIX.feed`, where `kafka` names brokers.
    pub relay_feed: bool,
    /// Seconds that a record is waited for which is in no partition, while some partitions have nothing newer; a quarter of them where
    /// all have.
    pub kafka_patience_s: u64,
}

impl Default for IndexerConfig {
    fn default() -> Self {
        Self {
            database_url: "host=/run/postgresql dbname=mythic".into(),
            source: SourceKind::Spool,
            rpc_url: None,
            rpc_poll_ms: 400,
            rpc_max_answer_bytes: 64 << 20,
            rpc_max_snapshot_bytes: 2 << 30,
            rpc_timeout_ms: 30_000,
            heal_rpc_url: None,
            spool_dir: "spool".into(),
            reader: "indexer".into(),
            metrics_addr: Some(([127, 0, 0, 1], 9470).into()),
            batch_updates: 20_000,
            max_held_bytes: 512 << 20,
            spill_dir: None,
            idle_linger_ms: 500,
            lease_ttl_s: 15,
            feed_retention_h: 7 * 24,
            archive_dir: "archive".into(),
            archive_keep_slots: 7 * 216_000,
            more_spools: Vec::new(),
            traces: mythic_trace::TraceConfig::default(),
            kafka: None,
            relay_feed: true,
            kafka_patience_s: 120,
        }
    }
}

impl IndexerConfig {
    /// The RPC that gaps are healed from by themselves.
    pub(crate) fn heal_url(&self) -> Option<&str> {
        let followed = self.rpc_url.as_deref();
        let followed = followed.filter(|_| self.source == SourceKind::Rpc);
        self.heal_rpc_url.as_deref().or(followed)
    }

    /// All spools that are read, that of `spool_dir` first.
    pub(crate) fn spools(&self) -> Vec<SpoolConfig> {
        if self.source != SourceKind::Spool {
            return Vec::new();
        }
        let first = SpoolConfig {
            name: self.reader.clone(),
            dir: self.spool_dir.clone(),
        };
        let more = self.more_spools.iter().cloned();
        std::iter::once(first).chain(more).collect()
    }

    pub(crate) fn spill_dir(&self) -> PathBuf {
        self.spill_dir
            .clone()
            .unwrap_or_else(|| self.spool_dir.join("spill"))
    }

    fn validate_kafka(&self) -> Result<(), String> {
        if let Some(kafka) = &self.kafka {
            kafka.validate()?;
        }
        if self.source == SourceKind::Kafka {
            if self.kafka.is_none() {
                return Err("source = \"kafka\" needs a section [kafka] with the brokers".into());
            }
            if !self.more_spools.is_empty() {
                return Err(
                    "source = \"kafka\" reads no spools: leave more_spools out, all producers write to one topic".into(),
                );
            }
        }
        in_range("kafka_patience_s", self.kafka_patience_s, 1, 86_400)
    }

    fn validate_rpc(&self) -> Result<(), String> {
        for (key, url) in [
            ("rpc_url", &self.rpc_url),
            ("heal_rpc_url", &self.heal_rpc_url),
        ] {
            if let Some(url) = url {
                check_url(url).map_err(|e| format!("{key}: {e}"))?;
            }
        }
        if self.source == SourceKind::Rpc {
            if self.rpc_url.is_none() {
                return Err(
                    "source = \"rpc\" needs rpc_url, a validator's or a provider's JSON-RPC".into(),
                );
            }
            if !self.more_spools.is_empty() {
                return Err("source = \"rpc\" reads no spools: leave more_spools out".into());
            }
        }
        in_range("rpc_poll_ms", self.rpc_poll_ms, 50, 60_000)?;
        in_range("rpc_timeout_ms", self.rpc_timeout_ms, 100, 600_000)?;
        in_range(
            "rpc_max_snapshot_bytes",
            self.rpc_max_snapshot_bytes as u64,
            1 << 20,
            64 << 30,
        )?;
        in_range(
            "rpc_max_answer_bytes",
            self.rpc_max_answer_bytes as u64,
            1 << 20,
            4 << 30,
        )
    }

    /// What is granted to an RPC.
    pub(crate) fn rpc_limits(&self) -> Limits {
        Limits {
            answer: self.rpc_max_answer_bytes,
            accounts: self.rpc_max_snapshot_bytes,
            deadline: Duration::from_millis(self.rpc_timeout_ms),
        }
    }

    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        mythic_postgres::check_url(&self.database_url)
            .map_err(|error| format!("database_url: {error}"))?;
        self.validate_rpc()?;
        self.traces.validate()?;
        self.validate_kafka()?;
        let spools = self.spools();
        in_range(
            "number of more_spools",
            self.more_spools.len() as u64,
            0,
            MAX_PRODUCERS as u64 - 1,
        )?;
        for (number, spool) in spools.iter().enumerate() {
            let (key, dir) = match number {
                0 => ("reader", "spool_dir"),
                _ => ("more_spools.name", "more_spools.dir"),
            };
            if spool.dir.as_os_str().is_empty() {
                return Err(format!("{dir} = \"\": allowed is a directory"));
            }
            let name_ok = (1..=64).contains(&spool.name.len())
                && spool
                    .name
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
            if !name_ok {
                return Err(format!(
                    "{key} = {:?}: allowed is 1 to 64 of a-z, 0-9, - and _",
                    spool.name
                ));
            }
            let same = |other: &&SpoolConfig| other.name == spool.name || other.dir == spool.dir;
            if spools.iter().take(number).any(|other| same(&other)) {
                return Err(format!(
                    "{key} = {:?}: name and directory of each spool are its own",
                    spool.name
                ));
            }
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
        if self.archive_dir.as_os_str().is_empty() {
            return Err("archive_dir = \"\": allowed is a directory".into());
        }
        in_range(
            "archive_keep_slots",
            self.archive_keep_slots,
            0,
            1_000_000_000_000,
        )?;
        in_range(
            "feed_retention_h",
            self.feed_retention_h.into(),
            1,
            24 * 365,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_without_a_url_or_with_another_scheme_is_refused_with_what_is_allowed() {
        let rpc = IndexerConfig {
            source: SourceKind::Rpc,
            ..IndexerConfig::default()
        };
        let refused = |config: &IndexerConfig| config.validate().unwrap_err();
        assert!(refused(&rpc).contains("needs rpc_url"));
        let url = |url: &str| IndexerConfig {
            rpc_url: Some(url.into()),
            ..rpc.clone()
        };
        assert_eq!(url("https://rpc.example/key").validate(), Ok(()));
        assert_eq!(
            url("https://rpc.example/key").heal_url(),
            Some("https://rpc.example/key")
        );
        assert_eq!(url("https://rpc.example/key").spools(), []);
        for wrong in ["ftp://rpc.example", "rpc.example", "file:///etc/passwd"] {
            assert!(refused(&url(wrong)).contains("rpc_url: "), "{wrong}");
        }
        let spooled = IndexerConfig {
            rpc_url: Some("http://127.0.0.1:8899".into()),
            ..IndexerConfig::default()
        };
        assert_eq!((spooled.validate(), spooled.heal_url()), (Ok(()), None));
        let fast = IndexerConfig {
            rpc_poll_ms: 1,
            ..url("http://127.0.0.1:8899")
        };
        assert!(refused(&fast).contains("rpc_poll_ms = 1"));
    }
}
