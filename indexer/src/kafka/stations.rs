//! Names of the producers that write to the topic.

use std::collections::BTreeMap;

use mythic_stream::spool::Position;

use crate::merge::MAX_PRODUCERS;
use crate::plan::Reached;

/// Name of the producer of a station.
pub(crate) fn station_name(station: usize) -> String {
    match station {
        0 => "kafka".into(),
        n => format!("kafka-{}", n + 1),
    }
}

/// Where each station stands that has a position; those before one that has none are there too.
pub(crate) fn stations(positions: &BTreeMap<String, Reached>) -> BTreeMap<usize, Position> {
    let all = (0..MAX_PRODUCERS).filter_map(|station| {
        let reached = positions.get(&station_name(station))?;
        Some((station, reached.resume))
    });
    all.collect()
}
