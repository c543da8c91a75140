//! The plugin's configuration: JSON5, unknown keys refused, every key but three with a default.

use mythic_kafka::Settings;
use mythic_stream::spool::{FsyncPolicy, WriterConfig};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the configuration file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// Path of this library; read by the validator, ignored here.
    pub libpath: Option<PathBuf>,
    /// Name of the plugin; read by the validator, ignored here.
    pub name: Option<String>,
    /// Directory of the spool. Required.
    pub spool_dir: PathBuf,
    /// Programs whose accounts are streamed, base58. Required, 1 to 16.
    pub owners: Vec<String>,
    /// Hash of the chain's genesis, base58 (`solana genesis-hash`). Required: an index takes nothing of another chain.
    pub genesis_hash: String,
    /// Stream the transactions that call these programs too, failed ones among them: what instructions, errors and fees of an index
    /// come from. The validator then tells the plugin about every transaction.
    pub transactions: bool,
    /// Bound of the spool in bytes; when it is reached the newest updates are dropped and counted.
    pub spool_max_bytes: u64,
    /// Bound of the accounts that the validator starts from, in bytes, beside `spool_max_bytes`. More than fits is no base.
    pub startup_max_bytes: u64,
    /// Size at which a spool segment is closed, in bytes.
    pub spool_segment_bytes: u64,
    /// `"interval"`, `"always"` or `"never"`.
    pub fsync: FsyncPolicy,
    /// Milliseconds between two syncs under `"interval"`; also how late readers see an update.
    pub fsync_interval_ms: u64,
    /// Seconds after which a reader that shows no life no longer holds segments.
    pub reader_idle_limit_s: u64,
    /// Account updates that may wait in the queue.
    pub queue_records: usize,
    /// Bytes of account data that may wait in the queue.
    pub queue_max_bytes: usize,
    /// Seconds that the validator's start waits at most while none of its accounts gets into the spool; then this run has no
    /// base, and its start goes on.
    pub startup_wait_s: u64,
    /// Loopback address that serves Prometheus metrics; none when missing.
    pub metrics_addr: Option<SocketAddr>,
    /// Brokers that the spool is forwarded to; nothing is forwarded when missing.
    pub kafka: Option<Settings>,
    /// Seconds that the spool keeps what was forwarded, to send it again if the brokers lose it.
    pub kafka_resend_s: u64,
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            libpath: None,
            name: None,
            spool_dir: PathBuf::new(),
            owners: Vec::new(),
            genesis_hash: String::new(),
            transactions: true,
            spool_max_bytes: 4 << 30,
            startup_max_bytes: 16 << 30,
            spool_segment_bytes: 64 << 20,
            fsync: FsyncPolicy::Interval,
            fsync_interval_ms: 50,
            reader_idle_limit_s: 24 * 3600,
            queue_records: 65_536,
            queue_max_bytes: 256 << 20,
            startup_wait_s: 60,
            metrics_addr: None,
            kafka: None,
            kafka_resend_s: 60,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("plugin config {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not JSON5, an unknown key, or a value of another type.
    #[error("plugin config {path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        message: String,
    },
    /// A key of the section `kafka` is not allowed.
    #[error("plugin config: {0}")]
    Kafka(String),
    /// A key's value is not allowed.
    #[error("plugin config: {key} = {value} is not allowed: {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is.
        allowed: &'static str,
    },
}

/// Reads and validates a configuration file without starting anything.
pub fn check_config(path: impl AsRef<Path>) -> Result<PluginConfig, ConfigError> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })?;
    let config: PluginConfig = json5::from_str(&text).map_err(|e| ConfigError::Parse {
        path: path.into(),
        message: e.to_string(),
    })?;
    config.validate()?;
    Ok(config)
}

impl PluginConfig {
    /// Checks every key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |good: bool, key, value: String, allowed| match good {
            true => Ok(()),
            false => Err(ConfigError::Value {
                key,
                value,
                allowed,
            }),
        };
        check(
            !self.spool_dir.as_os_str().is_empty(),
            "spool_dir",
            "\"\"".into(),
            "the path of a directory for the spool",
        )?;
        check(
            (1..=16).contains(&self.owners.len()),
            "owners",
            format!("{:?}", self.owners),
            "1 to 16 program ids in base58",
        )?;
        for owner in &self.owners {
            check(
                key32(owner).is_some(),
                "owners",
                format!("{owner:?}"),
                "a program id of 32 bytes in base58",
            )?;
        }
        check(
            key32(&self.genesis_hash).is_some(),
            "genesis_hash",
            format!("{:?}", self.genesis_hash),
            "the hash of the chain's genesis, 32 bytes in base58: `solana genesis-hash` prints it",
        )?;
        check(
            self.spool_max_bytes >= 64 << 10,
            "spool_max_bytes",
            self.spool_max_bytes.to_string(),
            "at least 65536",
        )?;
        check(
            self.startup_max_bytes >= 64 << 10,
            "startup_max_bytes",
            self.startup_max_bytes.to_string(),
            "at least 65536",
        )?;
        check(
            self.spool_segment_bytes >= 4 << 10,
            "spool_segment_bytes",
            self.spool_segment_bytes.to_string(),
            "at least 4096",
        )?;
        check(
            (1..=10_000).contains(&self.fsync_interval_ms),
            "fsync_interval_ms",
            self.fsync_interval_ms.to_string(),
            "1 to 10000",
        )?;
        check(
            self.reader_idle_limit_s >= 60,
            "reader_idle_limit_s",
            self.reader_idle_limit_s.to_string(),
            "at least 60",
        )?;
        check(
            (1..=16 << 20).contains(&self.queue_records),
            "queue_records",
            self.queue_records.to_string(),
            "1 to 16777216",
        )?;
        check(
            self.queue_max_bytes >= 1 << 10,
            "queue_max_bytes",
            self.queue_max_bytes.to_string(),
            "at least 1024",
        )?;
        check(
            (1..=3600).contains(&self.startup_wait_s),
            "startup_wait_s",
            self.startup_wait_s.to_string(),
            "1 to 3600",
        )?;
        check(
            self.metrics_addr.is_none_or(|addr| addr.ip().is_loopback()),
            "metrics_addr",
            format!("{:?}", self.metrics_addr),
            "a loopback address such as 127.0.0.1:9102",
        )?;
        check(
            self.kafka_resend_s <= 24 * 3600,
            "kafka_resend_s",
            self.kafka_resend_s.to_string(),
            "0 to 86400",
        )?;
        match &self.kafka {
            Some(kafka) => kafka.validate().map_err(ConfigError::Kafka),
            None => Ok(()),
        }
    }

    /// The programs, as bytes. Call [`Self::validate`] first: what does not decode is left out.
    pub(crate) fn owner_keys(&self) -> Vec<[u8; 32]> {
        self.owners
            .iter()
            .filter_map(|owner| key32(owner))
            .collect()
    }

    pub(crate) fn startup_wait(&self) -> Duration {
        Duration::from_secs(self.startup_wait_s)
    }

    pub(crate) fn writer(&self) -> WriterConfig {
        WriterConfig {
            segment_bytes: self.spool_segment_bytes,
            max_bytes: self.spool_max_bytes,
            startup_max_bytes: self.startup_max_bytes,
            fsync: self.fsync,
            fsync_interval: Duration::from_millis(self.fsync_interval_ms),
            reader_idle_limit: Duration::from_secs(self.reader_idle_limit_s),
            ..WriterConfig::new(&self.spool_dir)
        }
    }
}

/// 32 bytes from base58.
pub(crate) fn key32(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    (bs58::decode(text).onto(&mut key[..]).ok()? == 32).then_some(key)
}
