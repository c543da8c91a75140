//! Makes one log for each producer of the partitions of a topic again. Pure.
//!
//! A producer gives the records of a run the numbers 1, 2, 3, … and writes them in that order, each account's into its own partition
//! and all others into every one; after a crash it repeats some. So the records of a run (a *lane* here) are in order again once
//! each is taken at its number's turn, and one that is missing is lost when every partition shows a later one.
//!
//! The topic does not say which runs are lives of one producer. A run that begins when another one is silent follows it, in its
//! *station*; one that begins while the others go on has a station of its own. A run that goes on although another one has followed it
//! moves to its own, so that a wrong guess costs the banks that were open at that moment and nothing else.
//!
//! Whoever may write to the topic may write anything: what can't be placed is garbage, and what waits is bounded.

mod lane;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use mythic_stream::proto::{Envelope, Event};
use mythic_stream::spool::Position;

use super::marks::{Checkpoints, Fresh, Past};
use crate::merge::MAX_PRODUCERS;
use crate::source::{Content, Entry};
use lane::{Held, Lane};

/// Runs of a station that wait for their turn; a new one takes the place of that which was silent for the longest time.
const LANES: usize = 8;
/// Numbers ahead of the next one that a record may have.
const WINDOW: u64 = 1 << 24;
/// Memory that a record takes beside its bytes.
const RECORD: usize = 256;
/// A producer that says nothing for this long, by its own clock, is silent: one that lives tells every slot.
const SILENCE: u64 = 5_000_000_000;

/// A record as a partition has it.
#[derive(Clone, Debug)]
pub struct Message {
    pub partition: i32,
    pub offset: i64,
    pub run: [u8; 16],
    pub envelope: Envelope,
    pub bytes: usize,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Held,
    /// It was there before.
    Repeat,
    /// It belongs nowhere.
    Garbage(&'static str),
}

/// What comes next.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "every record passes through, and nothing is kept in it"
)]
pub enum Next {
    /// Of the station with this number.
    Entry(usize, Entry),
    /// Every partition that is known is past the next record of a station, or past its run: it is lost, or over, unless there are
    /// more partitions.
    Doubt(Wait),
    /// In each of these stations something waits for partitions that are not past what comes next.
    Waits(Vec<Wait>),
    /// Nothing waits.
    Idle,
}

/// What a station waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub station: usize,
    /// The run whose turn it is, and the number.
    pub at: (u64, u64),
    pub partitions: Vec<i32>,
}

/// One producer's runs.
#[derive(Debug, Default)]
struct Station {
    /// The run whose turn it is, and its place among all.
    front: Option<(Lane, u64)>,
    waiting: VecDeque<Lane>,
    shown: BTreeMap<i32, Shown>,
}

/// What a partition shows of a station.
#[derive(Debug, Default)]
struct Shown {
    /// The run of its newest record, unless that one is over.
    lane: Option<u64>,
    /// Runs that wait, as they came.
    order: Vec<u64>,
}

#[derive(Debug, Default)]
struct Partition {
    at_end: bool,
    /// What it shows next may be far from what it showed before.
    jumped: bool,
}

/// See the module's description.
#[derive(Debug)]
pub struct Order {
    stations: Vec<Station>,
    partitions: BTreeMap<i32, Partition>,
    segment: u64,
    lanes: u64,
    clock: u64,
    bytes: usize,
    max_bytes: usize,
    turn: usize,
}

impl Order {
    /// Each station from its position on. More than `max_bytes` wait only where nothing else goes on.
    pub fn new(starts: &BTreeMap<usize, Position>, max_bytes: usize) -> Self {
        let mut order = Self {
            stations: Vec::new(),
            partitions: BTreeMap::new(),
            segment: starts.values().map(|at| at.segment).max().unwrap_or(0),
            lanes: 0,
            clock: 0,
            bytes: 0,
            max_bytes,
            turn: 0,
        };
        let count = starts.keys().next_back().map_or(0, |last| last + 1);
        for number in 0..count.min(MAX_PRODUCERS) {
            let front = starts.get(&number).map(|at| {
                order.lanes += 1;
                (Lane::new(order.lanes, at.run, at.seq), at.segment)
            });
            order.stations.push(Station {
                front,
                ..Station::default()
            });
        }
        order
    }

    /// A partition is read.
    pub fn add(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default();
    }

    /// A partition is read on from somewhere else.
    pub fn jump(&mut self, partition: i32) {
        let state = self.partitions.entry(partition).or_default();
        (state.at_end, state.jumped) = (false, true);
        for station in &mut self.stations {
            station.shown.remove(&partition);
            for lane in station.lanes_mut() {
                lane.newest.remove(&partition);
            }
        }
    }

    /// There is nothing more in a partition now.
    pub fn at_end(&mut self, partition: i32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.at_end = true;
        }
    }

    /// Whether all of these have been read to their ends.
    pub fn are_at_end(&self, partitions: &[i32]) -> bool {
        let at_end = |number| self.partitions.get(number).is_none_or(|p| p.at_end);
        partitions.iter().all(at_end)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// More than a part (one of `share`) of what may wait does, and most of it not for this partition.
    pub fn is_ahead(&self, partition: i32, share: usize) -> bool {
        let all = 0..self.stations.len();
        let heaviest = || all.max_by_key(|s| self.stations[*s].bytes());
        self.bytes > self.max_bytes / share.max(1)
            && heaviest().is_some_and(|station| self.is_past(station, partition))
    }

    /// Takes a record.
    pub fn take(&mut self, message: Message, marks: &mut Checkpoints) -> Taken {
        let (partition, offset) = (message.partition, message.offset);
        marks.passed(partition, offset);
        let (seq, time) = (message.envelope.seq, message.envelope.time_unix_nanos);
        if seq == u64::MAX {
            return Taken::Garbage("its number can't be");
        }
        let Some((number, id)) = self.lane(&message, marks) else {
            return Taken::Repeat;
        };
        self.clock += 1;
        let state = self.partitions.entry(partition).or_default();
        let jumped = state.jumped;
        let station = &mut self.stations[number];
        let segment = station.segment_of(id);
        let Some(lane) = station.lanes_mut().find(|l| l.id == id) else {
            return Taken::Garbage("its run is not known");
        };
        let far = seq > lane.expects().saturating_add(WINDOW);
        if far && !lane.newest.is_empty() && !jumped {
            return Taken::Garbage("its number is far ahead of all others");
        }
        lane.hear(self.clock, time);
        if let Some(Event::Damage(damage)) = &message.envelope.event {
            lane.damaged(damage);
            return Taken::Held;
        }
        let newest = lane.newest.entry(partition).or_default();
        *newest = seq.max(*newest);
        let bytes = message.bytes + RECORD;
        let envelope = message.envelope;
        let new = lane.hold(seq, Held { envelope, bytes });
        (state.at_end, state.jumped) = (false, false);
        station.show(partition, id);
        if !new {
            return Taken::Repeat;
        }
        self.bytes += bytes;
        marks.held(Fresh {
            partition,
            offset,
            lane: id,
            station: number,
            segment,
            seq,
        });
        Taken::Held
    }

    /// The station and lane of a message, made if there is none; none for what a run that is over repeats.
    fn lane(&mut self, message: &Message, marks: &mut Checkpoints) -> Option<(usize, u64)> {
        let (run, seq) = (message.run, message.envelope.seq);
        let of_run = |station: &Station| station.lanes().find(|l| l.run == run).map(|l| l.id);
        let mut known = self.stations.iter().enumerate();
        if let Some(found) = known.find_map(|(number, station)| Some((number, of_run(station)?))) {
            return Some(found);
        }
        let past = marks.past(&run);
        if past.is_some_and(|past| seq < past.next) {
            return None;
        }
        let number = match past {
            // Another one has followed it, and it goes on.
            Some(_) => None,
            None => self.station_of(message.envelope.time_unix_nanos),
        };
        let number = number.unwrap_or(self.stations.len());
        let number = match number < MAX_PRODUCERS {
            true => number,
            false => self.most_silent(),
        };
        if number == self.stations.len() {
            self.stations.push(Station::default());
        }
        let station = &mut self.stations[number];
        if station.waiting.len() >= LANES {
            let silent = station.waiting.iter().min_by_key(|l| l.heard).map(|l| l.id);
            self.bytes -= silent.map_or(0, |id| station.drop_lane(id));
            silent.into_iter().for_each(|id| marks.forget(id));
        }
        self.lanes += 1;
        let next = past.map_or(1, |past| past.next);
        station.waiting.push_back(Lane::new(self.lanes, run, next));
        Some((number, self.lanes))
    }

    /// The station that a run belongs to which is heard at this time: one in which nobody is heard then.
    fn station_of(&self, time: u64) -> Option<usize> {
        let is_silent = |station: &Station| {
            station.lanes().all(|lane| {
                lane.heard == 0
                    || lane.ended
                    || time > lane.newest_time.saturating_add(SILENCE)
                    || time.saturating_add(SILENCE) < lane.first_time
            })
        };
        let silent = (0..self.stations.len()).filter(|s| is_silent(&self.stations[*s]));
        silent.max_by_key(|s| self.stations[*s].heard())
    }

    fn most_silent(&self) -> usize {
        let all = 0..self.stations.len();
        all.min_by_key(|s| self.stations[*s].heard()).unwrap_or(0)
    }

    /// Whether a partition has nothing more of what comes next in a station.
    fn is_past(&self, number: usize, partition: i32) -> bool {
        let station = &self.stations[number];
        let shown = station.shown.get(&partition).and_then(|s| s.lane);
        match &station.front {
            Some((lane, _)) => {
                shown.is_some_and(|id| id != lane.id && station.follows(id, partition))
                    || lane.newest.get(&partition).is_some_and(|n| *n > lane.next)
            }
            // The first run of all is known when every partition has shown its own.
            None => shown.is_some() || self.partitions.get(&partition).is_none_or(|p| p.at_end),
        }
    }

    /// The next record in order.
    pub fn next(&mut self) -> Next {
        let (mut doubt, mut waits) = (None, Vec::new());
        for offset in 0..self.stations.len() {
            let number = (self.turn + offset) % self.stations.len();
            if let Some((entry, bytes)) = self.stations[number].entry() {
                self.bytes -= bytes;
                // One that has much to say is heard on; the others come when it stops.
                self.turn = number;
                return Next::Entry(number, entry);
            }
            if !self.stations[number].waits() {
                continue;
            }
            let all = self.partitions.keys().copied();
            let behind: Vec<i32> = all.filter(|p| !self.is_past(number, *p)).collect();
            let nobody = behind.is_empty();
            let wait = Wait {
                station: number,
                at: self.stations[number].at(),
                partitions: behind,
            };
            match nobody {
                true => doubt = doubt.or(Some(wait)),
                false => waits.push(wait),
            }
        }
        match doubt {
            Some(wait) => Next::Doubt(wait),
            None if waits.is_empty() => Next::Idle,
            None => Next::Waits(waits),
        }
    }

    /// In a doubt: nothing can be missing. It is the first run of all, or the one before said that it ends.
    pub fn is_clear(&self, number: usize) -> bool {
        let front = self.stations.get(number).and_then(|s| s.front.as_ref());
        front.is_none_or(|(lane, _)| lane.ended && lane.is_empty())
    }

    /// There are no more partitions, or they are not waited for: what comes next in a station is lost, or its run is over.
    pub fn resolve(&mut self, number: usize, marks: &mut Checkpoints) -> Option<Entry> {
        let station = self.stations.get_mut(number)?;
        if let Some((lane, segment)) = &mut station.front
            && let Some(missing) = lane.skip()
        {
            let records = missing.records.unwrap_or(0);
            let next = position(lane.run, *segment, lane.next);
            return Some(Entry {
                position: position(lane.run, *segment, lane.next - records),
                next,
                content: Content::Missing(missing),
            });
        }
        let lane = station.following()?;
        if let Some((old, segment)) = station.front.take() {
            station.leave(old.id);
            marks.over(Past {
                run: old.run,
                station: number,
                segment,
                next: old.next,
            });
        }
        self.segment += 1;
        marks.place(lane.id, self.segment);
        station.front = Some((lane, self.segment));
        None
    }
}

impl Station {
    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        let front = self.front.iter().map(|(lane, _)| lane);
        front.chain(&self.waiting)
    }

    fn lanes_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        let front = self.front.iter_mut().map(|(lane, _)| lane);
        front.chain(&mut self.waiting)
    }

    fn segment_of(&self, id: u64) -> Option<u64> {
        let front = self.front.as_ref().filter(|(lane, _)| lane.id == id);
        front.map(|(_, segment)| *segment)
    }

    fn heard(&self) -> u64 {
        self.lanes().map(|l| l.heard).max().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        self.lanes().map(|l| l.bytes).sum()
    }

    fn at(&self) -> (u64, u64) {
        let front = self.front.as_ref();
        front.map_or((0, 0), |(lane, _)| (lane.id, lane.next))
    }

    /// A run that waits goes on in this partition not far from where it must begin: it is a life of the producer, and the one before is
    /// over there. A record with any other number ends nobody's run.
    fn follows(&self, id: u64, partition: i32) -> bool {
        let lane = self.waiting.iter().find(|lane| lane.id == id);
        let shown = lane.and_then(|lane| Some((lane.next, *lane.newest.get(&partition)?)));
        shown.is_some_and(|(next, newest)| newest <= next.saturating_add(WINDOW))
    }

    /// Something is here that is not next.
    fn waits(&self) -> bool {
        let front = self.front.as_ref();
        !self.waiting.is_empty() || front.is_some_and(|(lane, _)| !lane.is_empty())
    }

    /// A partition shows a record of a lane.
    fn show(&mut self, partition: i32, id: u64) {
        let is_front = self.segment_of(id).is_some();
        let shown = self.shown.entry(partition).or_default();
        shown.lane = Some(id);
        if !is_front && !shown.order.contains(&id) {
            shown.order.push(id);
        }
    }

    /// The record whose turn it is, with the bytes that it took.
    fn entry(&mut self) -> Option<(Entry, usize)> {
        let (lane, segment) = self.front.as_mut()?;
        let held = lane.turn()?;
        let next = position(lane.run, *segment, lane.next);
        let entry = Entry {
            position: position(lane.run, *segment, lane.next - 1),
            next,
            content: Content::Envelope(held.envelope),
        };
        Some((entry, held.bytes))
    }

    /// Takes out of the runs that wait one that no partition shows behind another.
    fn following(&mut self) -> Option<Lane> {
        let is_first = |id: u64| {
            let mut orders = self.shown.values().map(|shown| &shown.order);
            orders.all(|order| !order.contains(&id) || order.first() == Some(&id))
        };
        let at = self
            .waiting
            .iter()
            .position(|l| is_first(l.id))
            .unwrap_or(0);
        let lane = self.waiting.remove(at)?;
        for shown in self.shown.values_mut() {
            shown.order.retain(|waits| *waits != lane.id);
        }
        Some(lane)
    }

    /// Drops a run that waits; says how many bytes it took.
    fn drop_lane(&mut self, id: u64) -> usize {
        let dropped = self.waiting.iter().filter(|l| l.id == id);
        let bytes = dropped.map(|l| l.bytes).sum();
        self.waiting.retain(|l| l.id != id);
        self.leave(id);
        bytes
    }

    fn leave(&mut self, id: u64) {
        for shown in self.shown.values_mut() {
            shown.order.retain(|lane| *lane != id);
            shown.lane = shown.lane.filter(|lane| *lane != id);
        }
    }
}

fn position(run: [u8; 16], segment: u64, seq: u64) -> Position {
    Position {
        run,
        segment,
        offset: seq,
        seq,
    }
}
