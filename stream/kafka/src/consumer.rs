//! Consumers: one that is told where to read, and one of a group.

use crate::{
    settings::{Settings, Topic},
    trouble::{BrokerError, Trouble},
    watch::Watch,
};
use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
};
use std::time::{Duration, Instant};

/// Pause before a partition that librdkafka does not know yet is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the oldest message there is.
    Oldest,
    /// Behind the newest message there is.
    Newest,
    /// At this offset, which must be there.
    At(i64),
}

impl Start {
    fn offset(self) -> Offset {
        match self {
            Self::Oldest => Offset::Beginning,
            Self::Newest => Offset::End,
            Self::At(offset) => Offset::Offset(offset),
        }
    }
}

/// A message that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its partition.
    pub partition: i32,
    /// Its place there; the next one may be any larger number.
    pub offset: i64,
    /// Its key, empty where it has none.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
}

/// Reads one topic. Nothing is committed but by [`Self::commit`].
pub struct Consumer {
    inner: BaseConsumer<Watch>,
    topic: String,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Consumer {
    fn open(
        settings: &Settings,
        topic: Topic,
        group: &str,
        fresh: Start,
    ) -> Result<Self, BrokerError> {
        let group = format!("{}.{group}", settings.topic_prefix);
        let mut config = settings.consumer_config(&group)?;
        let reset = match fresh {
            Start::Oldest => "earliest",
            Start::Newest => "latest",
            Start::At(_) => "error",
        };
        config.set("auto.offset.reset", reset);
        Ok(Self {
            inner: config
                .create_with_context(Watch::default())
                .map_err(|e| BrokerError::of_kafka(&e, "the consumer"))?,
            topic: settings.topic(topic),
        })
    }

    /// Reads these partitions from these places, in no group and whoever else reads them. A place that is gone is
    /// [`Trouble::LogLost`]: what lay between it and the oldest message is a gap.
    pub fn assigned(
        settings: &Settings,
        topic: Topic,
        starts: &[(i32, Start)],
    ) -> Result<Self, BrokerError> {
        // The library wants a name. Nobody joins the group.
        let consumer = Self::open(settings, topic, "assigned", Start::At(0))?;
        let mut list = TopicPartitionList::new();
        for (partition, start) in starts {
            list.add_partition_offset(&consumer.topic, *partition, start.offset())
                .map_err(|e| BrokerError::of_kafka(&e, "where to read"))?;
        }
        consumer
            .inner
            .assign(&list)
            .map_err(|e| BrokerError::of_kafka(&e, "where to read"))?;
        Ok(consumer)
    }

    /// Reads as a member of the group `PREFIX.NAME`, which divides the partitions among its members; a group without a position
    /// begins at `fresh`.
    pub fn grouped(
        settings: &Settings,
        topic: Topic,
        name: &str,
        fresh: Start,
    ) -> Result<Self, BrokerError> {
        let consumer = Self::open(settings, topic, name, fresh)?;
        consumer
            .inner
            .subscribe(&[&consumer.topic])
            .map_err(|e| BrokerError::of_kafka(&e, "the group"))?;
        Ok(consumer)
    }

    /// The next message, if one comes in `wait`. After an error of a kind that passes ([`Trouble::needs_a_person`]) the library goes
    /// on by itself; [`Trouble::LogLost`] ends the reading of its partition.
    pub fn poll(&self, wait: Duration) -> Result<Option<Message>, BrokerError> {
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(polled) = self.inner.poll(left) else {
                // Without a message: events may have come.
                if deadline <= Instant::now() {
                    return Ok(None);
                }
                continue;
            };
            return match polled {
                Ok(message) => Ok(Some(Message {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
                    value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
                })),
                // An assigned consumer asks for no position of its group, so it needs no right to it.
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::GroupAuthorizationFailed))
                    if self.inner.subscription().is_ok_and(|s| s.count() == 0) =>
                {
                    continue;
                }
                Err(e) => {
                    let said = self.inner.context().take();
                    let error = BrokerError::of_kafka(&e, "reading");
                    // What the library said beside it tells more.
                    Err(said
                        .filter(|said| said.trouble >= error.trouble)
                        .unwrap_or(error))
                }
            };
        }
    }

    /// Takes no more messages of a partition for now, or takes them again.
    pub fn pause(&self, partition: i32, yes: bool) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        match yes {
            true => self.inner.pause(&list),
            false => self.inner.resume(&list),
        }
        .map_err(|e| BrokerError::of_kafka(&e, "pausing"))
    }

    /// Stores the group's position in a partition: the next message wanted.
    pub fn commit(&self, partition: i32, next: i64) -> Result<(), BrokerError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(next))
            .map_err(|e| BrokerError::of_kafka(&e, "a group's position"))?;
        self.inner
            .commit(&list, CommitMode::Sync)
            .map_err(|e| BrokerError::of_kafka(&e, "a group's position was not stored"))
    }

    /// The oldest offset of a partition, and the one behind the newest.
    pub fn range(&self, partition: i32, within: Duration) -> Result<(i64, i64), BrokerError> {
        let since = Instant::now();
        loop {
            let range = self.inner.fetch_watermarks(&self.topic, partition, within);
            let unknown = Some(RDKafkaErrorCode::UnknownPartition);
            let is_unknown = matches!(&range, Err(e) if e.rdkafka_error_code() == unknown);
            // Said while librdkafka has no metadata of the topic yet, too.
            if is_unknown
                && since.elapsed() < within
                && i32::from(self.partitions(within)?) > partition
            {
                std::thread::sleep(ASK_AGAIN);
                continue;
            }
            return range.map_err(|e| BrokerError::of_kafka(&e, "the range of a partition"));
        }
    }

    /// How many partitions the topic has now.
    pub fn partitions(&self, within: Duration) -> Result<u16, BrokerError> {
        let metadata = self
            .inner
            .fetch_metadata(Some(&self.topic), within)
            .map_err(|e| BrokerError::of_kafka(&e, "the topic's partitions"))?;
        let topic = metadata.topics().iter().find(|t| t.name() == self.topic);
        let Some(topic) = topic else {
            return Err(BrokerError::new(Trouble::TopicMissing, &self.topic));
        };
        match topic.error() {
            Some(error) => Err(BrokerError::of_resp(error, &self.topic)),
            None => Ok(topic.partitions().len().min(u16::MAX.into()) as u16),
        }
    }
}
