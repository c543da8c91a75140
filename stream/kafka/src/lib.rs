//! Kafka between whoever watches the chain and whoever projects it: settings, a check at start that names what is wrong, clients
//! with the guarantees that the stream needs, the encoding, and the forwarder from a spool.
//!
//! Two topics: [`Topic::Updates`] (`PREFIX.updates`) carries the envelopes of all producers, [`Topic::Feed`] (`PREFIX.feed`) the feed.
//!
//! What stands in `PREFIX.updates`:
//! - the value of a message is an `Envelope` of `mythic.stream.v1`;
//! - an account update has its pubkey as key and is in one partition, that of [`partition_of`] over the `partitions` of the settings;
//!   a transaction likewise, by its signature;
//! - everything else (starts, ends, statuses, seals, losses, damage) is in every partition, without a key. So whoever has read a
//!   bank's seal in every partition has read all of that bank;
//! - headers `run` (16 bytes) and `seq` (8 bytes, big-endian) say the same as the envelope, for tools that don't decode it. They are no
//!   proof of anything: our own consumers read the envelope;
//! - messages repeat, after a crash of the producer: (run, seq) tells. In one partition the first copies of a run's records rise by
//!   `seq`; repeats start over somewhere before;
//! - what the forwarder can't read, or doesn't have any more, is told by an envelope with `Damage` and seq 0, which is none of the
//!   records and may come more than once.
//!
//! Clients poll: nothing here starts a thread of its own (librdkafka does), so whoever holds one polls it.

mod check;
mod consumer;
mod encoding;
mod forward;
mod offsets;
mod producer;
mod settings;
mod stats;
mod trouble;
mod watch;

pub use check::{check, check_to_read};
pub use consumer::{Consumer, Message, Start};
pub use encoding::{Malformed, Place, decode, partition_of, place};
pub use forward::Forwarder;
pub use producer::{Outgoing, Producer, Report};
pub use settings::{Settings, Topic};
pub use stats::ForwardStats;
pub use trouble::{BrokerError, Trouble};
