//! What can be wrong between us and the brokers, each with a word and a way out.

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode as Code},
    types::RDKafkaRespErr,
};

/// Longest text of a broker or of the library that is repeated to a person, in characters.
const MAX_DETAIL: usize = 400;

/// What is wrong, in one word: the same in logs, metrics and the operator's guide. Later ones say more than earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Something that is none of the others.
    Other,
    /// No broker answers.
    Unreachable,
    /// Fewer replicas are in sync than the topic asks for.
    Replicas,
    /// The topic is not there.
    TopicMissing,
    /// The topic has another number of partitions than the settings say.
    Partitions,
    /// The topic is one that loses records: it is compacted, or takes smaller messages only.
    TopicUnfit,
    /// The broker does not have what it had: retention passed, or it lost its disk's last writes.
    LogLost,
    /// A message is larger than the broker takes.
    TooLarge,
    /// The login may not do that.
    NoRights,
    /// TLS could not be agreed on.
    Tls,
    /// The broker's certificate is past its date.
    CertificateExpired,
    /// User or password are refused.
    LoginRefused,
    /// The settings can't be used.
    Settings,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Other,
        Self::Unreachable,
        Self::Replicas,
        Self::TopicMissing,
        Self::Partitions,
        Self::TopicUnfit,
        Self::LogLost,
        Self::TooLarge,
        Self::NoRights,
        Self::Tls,
        Self::CertificateExpired,
        Self::LoginRefused,
        Self::Settings,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Other => "kafka_other",
            Self::Unreachable => "kafka_unreachable",
            Self::Replicas => "kafka_replicas",
            Self::TopicMissing => "kafka_topic_missing",
            Self::Partitions => "kafka_partitions",
            Self::TopicUnfit => "kafka_topic_unfit",
            Self::LogLost => "kafka_log_lost",
            Self::TooLarge => "kafka_too_large",
            Self::NoRights => "kafka_no_rights",
            Self::Tls => "kafka_tls",
            Self::CertificateExpired => "kafka_certificate_expired",
            Self::LoginRefused => "kafka_login_refused",
            Self::Settings => "kafka_settings",
        }
    }

    /// What to do about it, with the keys concerned.
    pub const fn fix(self) -> &'static str {
        match self {
            Self::Other => "look at the broker's log",
            Self::Unreachable => {
                "check that the brokers run, that kafka.brokers names them, that security.protocol in kafka.options is what they listen with, and that their advertised listeners can be reached from here"
            }
            Self::Replicas => {
                "bring the missing brokers back, or lower the topic's min.insync.replicas"
            }
            Self::TopicMissing => {
                "create it, or set kafka.create_topics = true and give the login the right to create it"
            }
            Self::Partitions => {
                "give the topic as many, or set kafka.partitions to what it has, on every producer and consumer at once; a topic never gets fewer partitions"
            }
            Self::TopicUnfit => {
                "set cleanup.policy = delete and max.message.bytes of the topic (kafka-configs.sh --alter --entity-type topics), or lower kafka.max_message_bytes"
            }
            Self::LogLost => {
                "give the topic more retention, and brokers replicas (kafka.replication = 3) that don't fail together; `mythic indexer heal` fills the gap"
            }
            Self::TooLarge => {
                "raise max.message.bytes of the topic, or lower kafka.max_message_bytes"
            }
            Self::NoRights => {
                "give the login (kafka.user) Describe, Read, Write and Create on topics, and Read on groups, whose names begin with kafka.topic_prefix"
            }
            Self::Tls => {
                "check security.protocol, ssl.ca.location and, where the broker asks for one, ssl.certificate.location in kafka.options"
            }
            Self::CertificateExpired => {
                "give the broker a new certificate, or correct this machine's clock"
            }
            Self::LoginRefused => {
                "check kafka.user, kafka.password_file and sasl.mechanism in kafka.options"
            }
            Self::Settings => "correct that key",
        }
    }

    /// It does not pass by itself: a person has to act.
    pub const fn needs_a_person(self) -> bool {
        !matches!(
            self,
            Self::Other | Self::Unreachable | Self::Replicas | Self::LogLost
        )
    }

    pub(crate) fn of_code(code: Code) -> Self {
        match code {
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::KafkaStorageError => Self::Unreachable,
            Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ISRInsufficient => Self::Replicas,
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownTopicId => {
                Self::TopicMissing
            }
            Code::UnknownPartition => Self::Partitions,
            Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => Self::LogLost,
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
                Self::TooLarge
            }
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed => Self::NoRights,
            Code::SSL => Self::Tls,
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SecurityDisabled => Self::LoginRefused,
            Code::InvalidReplicationFactor
            | Code::InvalidConfig
            | Code::InvalidTopic
            | Code::InvalidPartitions
            | Code::InvalidGroupId
            | Code::PolicyViolation
            | Code::InvalidArgument => Self::Settings,
            _ => Self::Other,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with the brokers, or with what we may do there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{trouble}: {detail}; {}", .trouble.fix())]
pub struct BrokerError {
    /// Its kind.
    pub trouble: Trouble,
    /// What was seen. Without secrets.
    pub detail: String,
}

impl BrokerError {
    /// `detail` may come from a broker: it is cut, and one line.
    pub fn new(trouble: Trouble, detail: impl AsRef<str>) -> Self {
        let clean = detail.as_ref().chars().take(MAX_DETAIL);
        Self {
            trouble,
            detail: clean
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
        }
    }

    pub(crate) fn of_code(code: Code, reason: &str) -> Self {
        let detail = match reason {
            "" => code.to_string(),
            reason => reason.to_owned(),
        };
        Self::new(Trouble::of_code(code), detail)
    }

    pub(crate) fn of_resp(error: RDKafkaRespErr, doing: &str) -> Self {
        let code = Code::from(error);
        Self::of_code(code, &format!("{doing}: {code}"))
    }

    pub(crate) fn of_kafka(error: &KafkaError, doing: &str) -> Self {
        match error {
            // Without the value, which may be a secret.
            KafkaError::ClientConfig(_, what, key, _) => {
                Self::new(Trouble::Settings, format!("kafka.options, {key}: {what}"))
            }
            KafkaError::ClientCreation(what) => Self::new(
                Trouble::Settings,
                format!("the client was not made: {what}"),
            ),
            KafkaError::AdminOp(code) => Self::of_code(*code, &format!("{doing}: {code}")),
            _ => match error.rdkafka_error_code() {
                Some(code) => Self::of_code(code, &format!("{doing}: {code}")),
                None => Self::new(Trouble::Other, format!("{doing}: {error}")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_says_is_one_short_line() {
        let hostile = format!("a\nb\u{1b}[31m{}", "x".repeat(10_000));
        let error = BrokerError::new(Trouble::Other, hostile);
        assert!(error.detail.starts_with("a b [31m"));
        assert_eq!(error.detail.chars().count(), MAX_DETAIL);
    }

    #[test]
    fn each_word_is_its_own() {
        let mut words: Vec<_> = Trouble::ALL.map(Trouble::as_str).to_vec();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Trouble::ALL.len());
    }
}
