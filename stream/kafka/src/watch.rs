//! What a client's library says beside the answers: kept until somebody asks why nothing goes on.

use crate::trouble::BrokerError;
use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{DeliveryResult, ProducerContext},
};
use std::sync::{Mutex, PoisonError, atomic::AtomicI32};

use rdkafka::Message as _;

/// How a message ended.
pub(crate) struct Outcome {
    pub tag: usize,
    pub result: Result<(i32, i64), BrokerError>,
}

/// The context of our clients.
#[derive(Default)]
pub(crate) struct Watch {
    said: Mutex<Option<BrokerError>>,
    delivered: Mutex<Vec<Outcome>>,
    /// The verdict of OpenSSL on a certificate, where somebody asked for it.
    pub certificate: AtomicI32,
}

impl Watch {
    fn note(&self, error: BrokerError) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref().is_none_or(|old| old.trouble <= error.trouble) {
            *said = Some(error);
        }
    }

    fn said_something(&self) -> bool {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_some()
    }

    /// The most telling error since the last call.
    pub fn take(&self) -> Option<BrokerError> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.take()
    }

    pub fn delivered(&self) -> Vec<Outcome> {
        let mut delivered = self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *delivered)
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters is told once by whoever holds the client; the library repeats itself.
        log::debug!(target: "librdkafka", "{level:?} {facility} {message}");
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        // That all brokers are down says less than why, which was said before.
        if code == RDKafkaErrorCode::AllBrokersDown && self.said_something() {
            return;
        }
        self.note(BrokerError::of_code(code, reason));
    }
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let result = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(BrokerError::of_kafka(error, "a message was not taken")),
        };
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Outcome { tag, result });
    }
}
