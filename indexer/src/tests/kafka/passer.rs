//! Passes a spool on to the topic, as a forwarder does.

use std::path::Path;
use std::time::Duration;

use mythic_kafka::{Outgoing, Place, Producer, Settings, Topic, check, partition_of, place};
use mythic_stream::proto::Envelope;
use mythic_stream::spool::{Item, Position, Reader, ReaderConfig};
use prost::Message;

use super::PATIENCE;

/// A validator takes this long to start again, by the clock of what it says.
const RESTART: u64 = 60_000_000_000;

/// What is sent in the place of a record: nothing, or these bytes.
type Instead = fn(&Envelope) -> Option<Vec<u8>>;

pub struct Passer {
    settings: Settings,
    producer: Producer,
    reader: Reader,
    /// The runs so far.
    runs: Vec<Vec<u8>>,
    /// What is done to records.
    pub instead: Option<Instead>,
}

impl Passer {
    /// From a place in the spool on, or from its beginning. Makes the topic.
    pub fn new(settings: &Settings, spool: &Path, start: Option<Position>) -> Self {
        check(settings, Topic::Updates, PATIENCE).unwrap();
        let config = ReaderConfig {
            dir: spool.to_owned(),
            name: "passer".into(),
            start,
        };
        Self {
            settings: settings.clone(),
            producer: Producer::open(settings, Topic::Updates).unwrap(),
            reader: Reader::open(config).unwrap(),
            runs: Vec::new(),
            instead: None,
        }
    }

    /// Sends all that is in the spool. Where it began, and whether the brokers took it.
    pub fn pass(&mut self) -> (Option<Position>, bool) {
        let mut first = None;
        loop {
            let items = self.reader.poll(1_000).unwrap();
            if items.is_empty() {
                break;
            }
            first = first.or(items.first().map(|item| item.position));
            for item in items {
                self.item(item);
            }
        }
        (first, self.delivered())
    }

    fn item(&mut self, item: Item) {
        let mut envelope = item.envelope.unwrap();
        let run = envelope.run.to_vec();
        let number = self.runs.iter().position(|known| *known == run);
        let number = number.unwrap_or_else(|| {
            self.runs.push(run);
            self.runs.len() - 1
        });
        envelope.time_unix_nanos += number as u64 * RESTART;
        let partitions = i32::from(self.settings.partitions);
        let range = match place(envelope.event.as_ref().unwrap()) {
            Place::Keyed(key) => {
                let one = partition_of(key, self.settings.partitions);
                one..one + 1
            }
            Place::Everywhere => 0..partitions,
        };
        let value = match self.instead.and_then(|instead| instead(&envelope)) {
            Some(value) => value,
            None => envelope.encode_to_vec(),
        };
        for partition in range {
            self.send(partition, &value);
        }
    }

    /// Sends bytes to a partition.
    pub fn send(&self, partition: i32, value: &[u8]) {
        let message = Outgoing {
            partition,
            key: None,
            value,
            headers: &[],
            tag: 0,
        };
        while !self.producer.send(&message).unwrap() {
            self.producer.poll(Duration::from_millis(10));
        }
    }

    /// Waits for what was sent; `false` if the brokers lost it.
    pub fn delivered(&self) -> bool {
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.producer.waiting() > 0 {
            let reports = self.producer.poll(Duration::from_millis(50));
            if self.producer.fatal().is_some() || reports.iter().any(|r| r.result.is_err()) {
                return false;
            }
            assert!(std::time::Instant::now() < deadline, "nothing is taken");
        }
        self.producer.fatal().is_none()
    }
}
