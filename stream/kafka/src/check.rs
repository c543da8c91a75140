//! The check at start: tells apart what can be wrong, and makes a topic that is missing.

use crate::{
    settings::{Settings, Topic},
    trouble::{BrokerError, Trouble},
    watch::Watch,
};
use futures::executor::block_on;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    bindings as native,
    client::Client,
    consumer::{BaseConsumer, Consumer as _},
    error::RDKafkaErrorCode as Code,
    metadata::Metadata,
    types::RDKafkaType,
};
use std::{
    ffi::{c_char, c_int, c_void},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

/// One question's share of the deadline. It is asked again, and meanwhile what stands in the way may be told.
const QUESTION: Duration = Duration::from_millis(1500);
/// That of a request that changes something.
const REQUEST: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// What the topic is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Writing,
    Reading,
}

/// What is known about the topic.
enum Found {
    Here(usize),
    Missing,
    /// Being made, or its broker just left.
    NotYet(BrokerError),
}

/// Asks the cluster for a topic until it is there as the settings say, at most `within`. Makes it if it is missing and may be made.
pub fn check(settings: &Settings, topic: Topic, within: Duration) -> Result<(), BrokerError> {
    ask(settings, topic, For::Writing, within)
}

/// The same for whoever reads: the topic may have been given more partitions, and they are read too. Fewer are refused here as well. A
/// topic never gets fewer, so it is another one, or was made anew: places in the one that was read mean nothing in it.
pub fn check_to_read(
    settings: &Settings,
    topic: Topic,
    within: Duration,
) -> Result<(), BrokerError> {
    ask(settings, topic, For::Reading, within)
}

fn ask(
    settings: &Settings,
    topic: Topic,
    wanted: For,
    within: Duration,
) -> Result<(), BrokerError> {
    let deadline = Instant::now() + within;
    let name = settings.topic(topic);
    let config = settings.client_config()?;
    let client: BaseConsumer<Watch> = config
        .create_with_context(Watch::default())
        .map_err(|e| BrokerError::of_kafka(&e, "the client"))?;
    let mut made = false;
    let mut last = None;
    while Instant::now() < deadline {
        let found = match client.fetch_metadata(Some(&name), left(deadline, QUESTION)) {
            Ok(metadata) => find(&metadata, &name)?,
            Err(e) => Found::NotYet(said(
                &client,
                BrokerError::of_kafka(&e, "no broker answers"),
            )),
        };
        match found {
            Found::Here(partitions) => {
                return fits(settings, (&name, wanted), partitions, deadline);
            }
            Found::Missing if made => {}
            Found::Missing if settings.create_topics => {
                make(settings, &name, deadline)?;
                made = true;
            }
            Found::Missing => {
                let detail = format!("topic {name} does not exist");
                return Err(BrokerError::new(Trouble::TopicMissing, detail));
            }
            Found::NotYet(error) if error.trouble.needs_a_person() => {
                return Err(match error.trouble {
                    Trouble::Tls => certificate(settings, deadline).unwrap_or(error),
                    _ => error,
                });
            }
            Found::NotYet(error) => last = Some(error),
        }
        std::thread::sleep(PAUSE);
    }
    Err(last.unwrap_or_else(|| {
        BrokerError::new(
            Trouble::Unreachable,
            format!("topic {name} does not appear"),
        )
    }))
}

fn left(deadline: Instant, share: Duration) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.min(share).max(Duration::from_millis(1))
}

/// What the client's library said, if it is more telling than `error`.
fn said(client: &BaseConsumer<Watch>, error: BrokerError) -> BrokerError {
    // One event a call; those before it may be of other kinds.
    for _ in 0..100 {
        let _ = client.poll(Duration::ZERO);
    }
    let said = client.context().take();
    said.filter(|said| said.trouble >= error.trouble)
        .unwrap_or(error)
}

fn find(metadata: &Metadata, name: &str) -> Result<Found, BrokerError> {
    let Some(topic) = metadata.topics().iter().find(|t| t.name() == name) else {
        return Ok(Found::Missing);
    };
    match topic.error().map(Code::from) {
        None => {}
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(Found::Missing),
        Some(code) => {
            let error = BrokerError::of_code(code, &format!("topic {name}: {code}"));
            return match error.trouble.needs_a_person() {
                true => Err(error),
                false => Ok(Found::NotYet(error)),
            };
        }
    }
    let leaderless = topic
        .partitions()
        .iter()
        .find(|partition| partition.leader() < 0);
    Ok(match leaderless {
        Some(partition) => Found::NotYet(BrokerError::new(
            Trouble::Unreachable,
            format!("partition {} of topic {name} has no leader", partition.id()),
        )),
        None => Found::Here(topic.partitions().len()),
    })
}

fn admin(settings: &Settings) -> Result<AdminClient<Watch>, BrokerError> {
    let config = settings.client_config()?;
    config
        .create_with_context(Watch::default())
        .map_err(|e| BrokerError::of_kafka(&e, "the client"))
}

fn make(settings: &Settings, name: &str, deadline: Instant) -> Result<(), BrokerError> {
    let retention = (u64::from(settings.retention_h) * 3_600_000).to_string();
    let size = settings.max_message_bytes.to_string();
    let bytes = settings.retention_bytes.to_string();
    let replicas = (settings.replication / 2 + 1).to_string();
    let mut topic = NewTopic::new(
        name,
        settings.partitions.into(),
        TopicReplication::Fixed(settings.replication.into()),
    )
    .set("cleanup.policy", "delete")
    .set("retention.ms", &retention)
    .set("max.message.bytes", &size)
    .set("min.insync.replicas", &replicas);
    if settings.retention_bytes > 0 {
        topic = topic.set("retention.bytes", &bytes);
    }
    let wait = left(deadline, REQUEST);
    let options = AdminOptions::new()
        .request_timeout(Some(wait))
        .operation_timeout(Some(wait));
    let doing = format!("topic {name} was not made");
    let results = block_on(admin(settings)?.create_topics([&topic], &options))
        .map_err(|e| BrokerError::of_kafka(&e, &doing))?;
    match results.into_iter().next() {
        Some(Err((_, Code::TopicAlreadyExists))) | Some(Ok(_)) | None => Ok(()),
        Some(Err((_, code @ Code::InvalidReplicationFactor))) => Err(BrokerError::new(
            Trouble::Settings,
            format!(
                "{doing}: {code}: kafka.replication = {} is more than there are brokers",
                settings.replication
            ),
        )),
        Some(Err((_, code))) => Err(BrokerError::of_code(code, &format!("{doing}: {code}"))),
    }
}

/// The topic loses nothing of ours.
fn fits(
    settings: &Settings,
    (name, wanted): (&str, For),
    partitions: usize,
    deadline: Instant,
) -> Result<(), BrokerError> {
    let ours = usize::from(settings.partitions);
    if partitions < ours || (partitions > ours && wanted == For::Writing) {
        let why = match partitions < ours {
            true => ": it is another topic, was made anew, or was not given as many yet",
            false => "",
        };
        return Err(BrokerError::new(
            Trouble::Partitions,
            format!(
                "topic {name} has {partitions} partitions, kafka.partitions = {}{why}",
                settings.partitions
            ),
        ));
    }
    let options = AdminOptions::new().request_timeout(Some(left(deadline, REQUEST)));
    let described =
        block_on(admin(settings)?.describe_configs([&ResourceSpecifier::Topic(name)], &options));
    // Without the right to see them the broker tells later, when it refuses.
    let Some(Ok(config)) = described.ok().and_then(|all| all.into_iter().next()) else {
        return Ok(());
    };
    let value = |key: &str| config.get(key).and_then(|entry| entry.value.as_deref());
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        return Err(BrokerError::new(
            Trouble::TopicUnfit,
            format!("topic {name} is compacted: it keeps one update of each account"),
        ));
    }
    let largest = value("max.message.bytes").and_then(|bytes| bytes.parse::<u32>().ok());
    match largest {
        Some(bytes) if bytes < settings.max_message_bytes && wanted == For::Writing => {
            Err(BrokerError::new(
                Trouble::TopicUnfit,
                format!(
                    "topic {name} takes messages up to {bytes} bytes, kafka.max_message_bytes = {}",
                    settings.max_message_bytes
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// OpenSSL's verdict on the broker's certificate, which the library does not tell.
fn certificate(settings: &Settings, deadline: Instant) -> Option<BrokerError> {
    let config = settings.client_config().ok()?;
    let asked = config.create_native_config().ok()?;
    // SAFETY: the configuration is alive, and the callback keeps to what it is given.
    unsafe { native::rd_kafka_conf_set_ssl_cert_verify_cb(asked.ptr(), Some(verdict)) };
    let kind = RDKafkaType::RD_KAFKA_PRODUCER;
    let client = Client::new(&config, asked, kind, Watch::default()).ok()?;
    let _ = client.fetch_metadata(
        Some(&settings.topic(Topic::Updates)),
        left(deadline, QUESTION),
    );
    let (trouble, what) = match client.context().certificate.load(Relaxed) {
        // X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        9 => (
            Trouble::CertificateExpired,
            "the broker's certificate is not valid yet",
        ),
        10 => (
            Trouble::CertificateExpired,
            "the broker's certificate has expired",
        ),
        18..=21 => (
            Trouble::Tls,
            "the broker's certificate is from an authority that is not trusted here",
        ),
        62 | 64 => (
            Trouble::Tls,
            "the broker's certificate is of another host name",
        ),
        _ => return None,
    };
    Some(BrokerError::new(trouble, what))
}

/// Called by OpenSSL for each certificate of a chain; keeps the first objection.
unsafe extern "C" fn verdict(
    _: *mut native::rd_kafka_t,
    _: *const c_char,
    _: i32,
    error: *mut c_int,
    _: c_int,
    _: *const c_char,
    _: usize,
    _: *mut c_char,
    _: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: the library hands over the context that the client was made with, which outlives its connections, and a valid place.
    let (watch, error) = unsafe { (&*(opaque as *const Watch), *error) };
    if error == 0 {
        return 1;
    }
    let _ = watch
        .certificate
        .compare_exchange(0, error, Relaxed, Relaxed);
    0
}
