//! How the brokers are reached, and what the topics are like.

use crate::trouble::{BrokerError, Trouble};
use mythic_support::check::{credentials, in_range, is_private};
use rdkafka::ClientConfig;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The largest envelope and what stands around it.
const LARGEST_MESSAGE: u32 = (mythic_stream::spool::MAX_PAYLOAD as u32) + (64 << 10);
/// Longest secret, in bytes.
const MAX_SECRET: u64 = 16 << 10;

/// One of our topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Envelopes of all producers.
    Updates,
    /// The feed.
    Feed,
}

/// The section `[kafka]`, alike in every process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the cluster is asked for first: `HOST:PORT`, several with commas between.
    pub brokers: String,
    /// Topics are `PREFIX.updates` and `PREFIX.feed`; groups begin with it too.
    pub topic_prefix: String,
    /// Partitions of each topic. Must be what the topics have, and alike in all processes.
    pub partitions: u16,
    /// Replicas of a topic that is made here.
    pub replication: u16,
    /// Hours that a topic made here keeps messages.
    pub retention_h: u32,
    /// Bytes that a topic made here keeps at most in each partition; 0 = as many as come in `retention_h`.
    pub retention_bytes: u64,
    /// Make a topic that is missing.
    pub create_topics: bool,
    /// Largest message in bytes. Accounts may hold 10 MiB, envelopes 16 MiB; what is larger than this is told as lost.
    pub max_message_bytes: u32,
    /// User of SASL.
    pub user: Option<String>,
    /// File with the password of SASL, for its owner's eyes only.
    pub password_file: Option<PathBuf>,
    /// File with the password of the key in `ssl.key.location`.
    pub key_password_file: Option<PathBuf>,
    /// Handed to librdkafka as they are, e.g. `"security.protocol" = "SASL_SSL"`.
    pub options: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic_prefix: "mythic".into(),
            partitions: 8,
            replication: 3,
            retention_h: 72,
            retention_bytes: 0,
            create_topics: true,
            max_message_bytes: LARGEST_MESSAGE,
            user: None,
            password_file: None,
            key_password_file: None,
            options: BTreeMap::new(),
        }
    }
}

/// What our guarantees rest on: the key, the value that it has (or "" where it depends), what to do instead.
const OURS: &[(&str, &str, &str)] = &[
    ("bootstrap.servers", "", "set kafka.brokers"),
    ("metadata.broker.list", "", "set kafka.brokers"),
    (
        "enable.idempotence",
        "true",
        "a message must not be stored twice in one life of a producer",
    ),
    (
        "enable.gapless.guarantee",
        "true",
        "what follows a lost message must not be stored before it",
    ),
    (
        "acks",
        "all",
        "a message is forgotten here once every replica has it",
    ),
    (
        "request.required.acks",
        "all",
        "a message is forgotten here once every replica has it",
    ),
    ("retries", "", "a message is sent until it is taken"),
    (
        "message.send.max.retries",
        "",
        "a message is sent until it is taken",
    ),
    ("max.in.flight", "", "it follows from enable.idempotence"),
    (
        "max.in.flight.requests.per.connection",
        "",
        "it follows from enable.idempotence",
    ),
    (
        "message.timeout.ms",
        "0",
        "a message is sent until it is taken",
    ),
    (
        "delivery.timeout.ms",
        "0",
        "a message is sent until it is taken",
    ),
    (
        "transactional.id",
        "",
        "positions are kept outside of Kafka",
    ),
    (
        "enable.auto.commit",
        "false",
        "a position is committed with what was made of it",
    ),
    (
        "auto.commit.enable",
        "false",
        "a position is committed with what was made of it",
    ),
    (
        "enable.auto.offset.store",
        "false",
        "a position is committed with what was made of it",
    ),
    (
        "auto.offset.reset",
        "error",
        "a position that is gone is told as a gap",
    ),
    (
        "isolation.level",
        "read_uncommitted",
        "no producer of ours has transactions",
    ),
    (
        "allow.auto.create.topics",
        "false",
        "topics are made with kafka.partitions and kafka.replication",
    ),
    ("check.crcs", "true", "a damaged message is told"),
    (
        "enable.partition.eof",
        "",
        "consumers set it where they need it",
    ),
    (
        "enable.ssl.certificate.verification",
        "true",
        "name the broker's authority in ssl.ca.location",
    ),
    ("partitioner", "", "a key's partition is computed here"),
    ("group.id", "", "groups are named after kafka.topic_prefix"),
    ("message.max.bytes", "", "set kafka.max_message_bytes"),
    (
        "receive.message.max.bytes",
        "",
        "set kafka.max_message_bytes",
    ),
    ("fetch.message.max.bytes", "", "set kafka.max_message_bytes"),
    (
        "max.partition.fetch.bytes",
        "",
        "set kafka.max_message_bytes",
    ),
    ("fetch.max.bytes", "", "set kafka.max_message_bytes"),
    (
        "queue.buffering.max.messages",
        "",
        "what waits is bounded here",
    ),
    (
        "queue.buffering.max.kbytes",
        "",
        "what waits is bounded here",
    ),
    ("sasl.username", "", "set kafka.user"),
    (
        "sasl.password",
        "",
        "put it into a file and set kafka.password_file",
    ),
    (
        "ssl.key.password",
        "",
        "put it into a file and set kafka.key_password_file",
    ),
    (
        "ssl.key.pem",
        "",
        "put it into a file and set ssl.key.location",
    ),
    (
        "ssl.keystore.password",
        "",
        "use ssl.key.location and kafka.key_password_file",
    ),
    (
        "sasl.oauthbearer.client.secret",
        "",
        "put it into a file and set kafka.password_file",
    ),
    ("sasl.oauthbearer.config", "", "use another sasl.mechanism"),
    ("plugin.library.paths", "", "no other code is loaded here"),
    (
        "test.mock.num.brokers",
        "",
        "name real brokers in kafka.brokers",
    ),
    (
        "statistics.interval.ms",
        "",
        "the metrics of this process tell",
    ),
];

impl Settings {
    /// Name of a topic.
    pub fn topic(&self, topic: Topic) -> String {
        match topic {
            Topic::Updates => format!("{}.updates", self.topic_prefix),
            Topic::Feed => format!("{}.feed", self.topic_prefix),
        }
    }

    /// Checks every key without asking a broker; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let broker_ok = |broker: &str| {
            broker.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty()
                    && host.chars().all(|c| c.is_ascii_graphic() && c != ',')
                    && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if self.brokers.is_empty() || !self.brokers.split(',').all(|b| broker_ok(b.trim())) {
            return Err(format!(
                "kafka.brokers = {:?}: allowed is HOST:PORT, several with commas between",
                self.brokers
            ));
        }
        let name_ok = (1..=200).contains(&self.topic_prefix.len())
            && !matches!(self.topic_prefix.as_str(), "." | "..")
            && self
                .topic_prefix
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if !name_ok {
            return Err(format!(
                "kafka.topic_prefix = {:?}: allowed is 1 to 200 of a-z, A-Z, 0-9, ., - and _",
                self.topic_prefix
            ));
        }
        in_range("kafka.partitions", self.partitions.into(), 1, 1024)?;
        in_range("kafka.replication", self.replication.into(), 1, 15)?;
        in_range("kafka.retention_h", self.retention_h.into(), 1, 24 * 365)?;
        in_range(
            "kafka.retention_bytes",
            self.retention_bytes,
            0,
            i64::MAX as u64,
        )?;
        in_range(
            "kafka.max_message_bytes",
            self.max_message_bytes.into(),
            64 << 10,
            LARGEST_MESSAGE.into(),
        )?;
        if self.user.is_some() != self.password_file.is_some() {
            return Err("kafka.user and kafka.password_file go together".into());
        }
        for (key, value) in &self.options {
            if let Some((_, ours, instead)) = OURS.iter().find(|(name, ..)| name == key)
                && (ours.is_empty() || ours != value)
            {
                // Not the value: it may be a secret.
                return Err(format!(
                    "kafka.options: {key} is not for the configuration: {instead}"
                ));
            }
        }
        self.client_config()
            .map_err(|error| error.detail)?
            .create_native_config()
            .map(drop)
            .map_err(|error| BrokerError::of_kafka(&error, "kafka.options").detail)
    }

    /// What every client has. Holds secrets: not to be shown.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, BrokerError> {
        let mut config = ClientConfig::new();
        for (key, value) in &self.options {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("allow.auto.create.topics", "false")
            // Seconds, not minutes, until a broker that came back is found.
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true");
        if !self.options.contains_key("client.id") {
            config.set("client.id", "mythic");
        }
        if let Some(user) = &self.user {
            config.set("sasl.username", user);
        }
        for (key, option, file) in [
            ("password_file", "sasl.password", &self.password_file),
            (
                "key_password_file",
                "ssl.key.password",
                &self.key_password_file,
            ),
        ] {
            if let Some(file) = file {
                config.set(option, secret(key, file)?);
            }
        }
        Ok(config)
    }

    pub(crate) fn producer_config(&self) -> Result<ClientConfig, BrokerError> {
        let mut config = self.client_config()?;
        let compression = ["compression.codec", "compression.type"];
        if !compression
            .iter()
            .any(|key| self.options.contains_key(*key))
        {
            config.set("compression.codec", "lz4");
        }
        let linger = ["linger.ms", "queue.buffering.max.ms"];
        if !linger.iter().any(|key| self.options.contains_key(*key)) {
            config.set("linger.ms", "10");
        }
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", self.max_message_bytes.to_string())
            // Bounded by our own count; this is where the library would refuse.
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "1048576");
        Ok(config)
    }

    pub(crate) fn consumer_config(&self, group: &str) -> Result<ClientConfig, BrokerError> {
        let mut config = self.client_config()?;
        let fetch = self.max_message_bytes.max(8 << 20);
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", fetch.to_string())
            .set("fetch.max.bytes", fetch.to_string())
            .set("receive.message.max.bytes", (fetch + (1 << 20)).to_string());
        for (key, value) in [
            ("queued.max.messages.kbytes", "65536"),
            ("fetch.wait.max.ms", "100"),
            // Partitions that are added are found so soon.
            ("topic.metadata.refresh.interval.ms", "15000"),
        ] {
            if !self.options.contains_key(key) {
                config.set(key, value);
            }
        }
        Ok(config)
    }
}

fn secret(key: &str, file: &Path) -> Result<String, BrokerError> {
    let wrong = |what: String| {
        let file = file.display();
        BrokerError::new(Trouble::Settings, format!("kafka.{key} = {file}: {what}"))
    };
    let meta = fs::metadata(file).map_err(|e| wrong(e.to_string()))?;
    if !is_private(file, meta.permissions().mode(), credentials().as_deref()) {
        return Err(wrong("others can read it: `chmod 600` it".into()));
    }
    let mut text = String::new();
    fs::File::open(file)
        .and_then(|file| file.take(MAX_SECRET + 1).read_to_string(&mut text))
        .map_err(|e| wrong(e.to_string()))?;
    let text = text.trim_end_matches(['\n', '\r']);
    match text.len() as u64 {
        0 => Err(wrong("it is empty".into())),
        n if n > MAX_SECRET => Err(wrong(format!("it is longer than {MAX_SECRET} bytes"))),
        _ => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Settings {
        Settings {
            brokers: "one.example:9092,two.example:9092".into(),
            ..Settings::default()
        }
    }

    #[test]
    fn what_our_guarantees_rest_on_is_refused_and_what_agrees_is_not() {
        assert_eq!(good().validate(), Ok(()));
        let with = |key: &str, value: &str| Settings {
            options: [(key.to_owned(), value.to_owned())].into(),
            ..good()
        };
        for (key, value) in [
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("enable.auto.commit", "true"),
            ("auto.offset.reset", "latest"),
            ("sasl.password", "hunter2"),
            ("enable.ssl.certificate.verification", "false"),
            ("plugin.library.paths", "/tmp/x.so"),
        ] {
            let refused = with(key, value).validate().unwrap_err();
            assert!(refused.contains(key), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        assert_eq!(with("acks", "all").validate(), Ok(()));
        assert_eq!(with("compression.codec", "zstd").validate(), Ok(()));
        assert_eq!(with("security.protocol", "ssl").validate(), Ok(()));
        let unknown = with("no.such.option", "secret-value")
            .validate()
            .unwrap_err();
        assert!(unknown.contains("no.such.option"), "{unknown}");
        assert!(!unknown.contains("secret-value"), "{unknown}");
    }

    #[test]
    fn secrets_come_from_private_files_and_are_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        fs::write(&file, "hunter2\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let settings = Settings {
            user: Some("mythic".into()),
            password_file: Some(file.clone()),
            ..good()
        };
        let open = settings.validate().unwrap_err();
        assert!(open.contains("chmod 600"), "{open}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(settings.validate(), Ok(()));
        assert!(!format!("{settings:?}").contains("hunter2"));
        let config = settings.client_config().unwrap();
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
        let alone = Settings {
            user: None,
            ..settings
        };
        assert!(alone.validate().unwrap_err().contains("go together"));
    }

    #[test]
    fn brokers_and_prefixes_are_checked() {
        for brokers in ["", "host", "host:0", ":9092", "a:1,,b:2", "a b:1"] {
            let settings = Settings {
                brokers: brokers.into(),
                ..good()
            };
            assert!(settings.validate().is_err(), "{brokers:?}");
        }
        let settings = Settings {
            topic_prefix: "a/b".into(),
            ..good()
        };
        assert!(settings.validate().unwrap_err().contains("topic_prefix"));
    }
}
