//! The topic that forwarders write, as a log of each producer again.
//!
//! `order` makes logs of the partitions, `marks` knows from where a restart has to read each, `source` asks the brokers.

mod marks;
mod order;
mod source;
mod stations;

pub use marks::{Past, Places};
pub(crate) use source::{KafkaSource, Origin};
pub(crate) use stations::{station_name, stations};
