//! The idempotent producer: what it has told as delivered is on every replica in sync.

use crate::{
    settings::{Settings, Topic},
    trouble::{BrokerError, Trouble},
    watch::Watch,
};
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use std::time::Duration;

/// Headers of a message, by name.
type Headers<'a> = &'a [(&'a str, &'a [u8])];

/// A message to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Its partition, see [`crate::partition_of`].
    pub partition: i32,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// Its headers.
    pub headers: Headers<'a>,
    /// What its report is called.
    pub tag: usize,
}

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The message's tag.
    pub tag: usize,
    /// Partition and offset where it is, or why it is not.
    pub result: Result<(i32, i64), BrokerError>,
}

/// Sends messages to one topic, each until it is taken: while no broker is there they wait. Dropping it forgets what waits.
///
/// A report with an error means that the broker refuses the message. After [`Self::fatal`] says something nothing is sent any more:
/// open another producer and begin behind the last message before which all were delivered.
pub struct Producer {
    inner: BaseProducer<Watch>,
    topic: String,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl Producer {
    /// Makes a producer; connects in the background.
    pub fn open(settings: &Settings, topic: Topic) -> Result<Self, BrokerError> {
        let config = settings.producer_config()?;
        let inner = config
            .create_with_context(Watch::default())
            .map_err(|e| BrokerError::of_kafka(&e, "the producer"))?;
        Ok(Self {
            inner,
            topic: settings.topic(topic),
        })
    }

    /// Takes a message. `false`: too many wait; poll, then offer it again.
    pub fn send(&self, message: &Outgoing<'_>) -> Result<bool, BrokerError> {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len());
        for (key, value) in message.headers {
            headers = headers.insert(Header {
                key,
                value: Some(*value),
            });
        }
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&self.topic, message.tag)
            .partition(message.partition)
            .payload(message.value)
            .headers(headers);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        match self.inner.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((e, _)) => Err(BrokerError::of_kafka(&e, "a message was not taken")),
        }
    }

    /// Reports that are there, or that come in `wait`.
    pub fn poll(&self, wait: Duration) -> Vec<Report> {
        let mut reports = self.drain();
        if reports.is_empty() && !wait.is_zero() {
            self.inner.poll(wait);
            reports = self.drain();
        }
        reports
    }

    fn drain(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        loop {
            // One event a call, of many messages.
            self.inner.poll(Duration::ZERO);
            let more = self.inner.client().context().delivered();
            if more.is_empty() {
                return reports;
            }
            reports.extend(more.into_iter().map(|delivered| Report {
                tag: delivered.tag,
                result: delivered.result,
            }));
        }
    }

    /// Messages that wait for their report.
    pub fn waiting(&self) -> usize {
        self.inner.in_flight_count().max(0) as usize
    }

    /// The most telling error since the last call, if nothing goes on. Errors that pass are among them.
    pub fn trouble(&self) -> Option<BrokerError> {
        self.inner.client().context().take()
    }

    /// Why this producer sends no more, if so.
    pub fn fatal(&self) -> Option<BrokerError> {
        let (code, reason) = self.inner.client().fatal_error()?;
        let mut error = BrokerError::of_code(code, &reason);
        // The broker has lost what it acknowledged, or forgot this producer.
        if matches!(
            code,
            RDKafkaErrorCode::OutOfOrderSequenceNumber
                | RDKafkaErrorCode::UnknownProducerId
                | RDKafkaErrorCode::InvalidProducerIdMapping
        ) {
            error.trouble = Trouble::LogLost;
        }
        Some(error)
    }
}
