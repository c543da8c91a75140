//! The records of one run on their way into order.

use std::collections::BTreeMap;

use mythic_stream::proto::{Damage, Envelope, Event};

use crate::holder::{Missing, loss};

/// Damage of a run that is remembered at a time.
const DAMAGE: usize = 64;

/// A record that waits for its turn.
#[derive(Debug)]
pub struct Held {
    pub envelope: Envelope,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Lane {
    pub id: u64,
    pub run: [u8; 16],
    /// The number whose turn it is.
    pub next: u64,
    waiting: BTreeMap<u64, Held>,
    /// Of what waits.
    pub bytes: usize,
    /// Newest number in each partition.
    pub newest: BTreeMap<i32, u64>,
    /// When it was heard, in records; 0 = never.
    pub heard: u64,
    /// By the producer's clock.
    pub first_time: u64,
    pub newest_time: u64,
    /// Its last record was heard.
    pub ended: bool,
    /// What the forwarder said is missing, by the first number.
    damage: BTreeMap<u64, String>,
}

impl Lane {
    pub fn new(id: u64, run: [u8; 16], next: u64) -> Self {
        Self {
            id,
            run,
            next,
            waiting: BTreeMap::new(),
            bytes: 0,
            newest: BTreeMap::new(),
            heard: 0,
            first_time: u64::MAX,
            newest_time: 0,
            ended: false,
            damage: BTreeMap::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The lowest number that is still to come, as far as is known.
    pub fn expects(&self) -> u64 {
        let first = self.waiting.keys().next().copied();
        first.map_or(self.next, |first| first.max(self.next))
    }

    pub fn hear(&mut self, clock: u64, time: u64) {
        self.heard = clock;
        self.first_time = self.first_time.min(time);
        self.newest_time = self.newest_time.max(time);
    }

    /// Holds a record; says whether it is new.
    pub fn hold(&mut self, seq: u64, held: Held) -> bool {
        self.ended |= matches!(held.envelope.event, Some(Event::End(_)));
        let new = seq >= self.next && !self.waiting.contains_key(&seq);
        if new {
            self.bytes += held.bytes;
            self.waiting.insert(seq, held);
        }
        new
    }

    /// The record whose turn it is.
    pub fn turn(&mut self) -> Option<Held> {
        let held = self.waiting.remove(&self.next)?;
        self.bytes -= held.bytes;
        self.next += 1;
        Some(held)
    }

    /// The forwarder could not read some records.
    pub fn damaged(&mut self, damage: &Damage) {
        if damage.records != Some(0) && damage.first_seq >= self.next {
            let what = damage.what.chars().take(200).collect();
            self.damage.insert(damage.first_seq, what);
        }
        while self.damage.len() > DAMAGE {
            self.damage.pop_first();
        }
    }

    /// Passes over the records before the next one that is here.
    pub fn skip(&mut self) -> Option<Missing> {
        let first = *self.waiting.keys().next()?;
        let records = first.saturating_sub(self.next);
        let said = self.damage.range(self.next..first).next();
        let missing = match said {
            Some((_, what)) => Missing {
                records: Some(records),
                reason: loss::SPOOL_DAMAGED,
                what: what.clone(),
            },
            None => Missing {
                records: Some(records),
                reason: loss::KAFKA_LOST,
                what: format!("{records} records of the run are in no partition"),
            },
        };
        self.damage = self.damage.split_off(&first);
        self.next = first;
        Some(missing)
    }
}
