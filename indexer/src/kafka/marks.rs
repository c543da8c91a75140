//! From where a restart has to read each partition. Pure.
//!
//! A partition is a row of stretches; each knows how far it reaches in the lanes (see `order`) that have records in it. What a restart
//! needs begins with the first stretch that reaches far enough in one of them.

use std::collections::{BTreeMap, VecDeque};

/// Records that one stretch holds at most, while there are few stretches.
const STRETCH: u32 = 256;
/// Stretches of a partition; beyond that, neighbours become one.
const MOST: usize = 4_096;
/// Runs that are over and still known: what a producer repeats of them is no new run.
const PAST: usize = 64;
/// Place of a lane whose turn has not come.
const LATER: u64 = u64::MAX;

/// A run that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    pub run: [u8; 16],
    pub station: usize,
    /// Where its turn was, see `Position::segment`.
    pub segment: u64,
    /// The number that its next record would have.
    pub next: u64,
}

/// Where a restart reads from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Partition and offset.
    pub offsets: Vec<(i32, i64)>,
    pub past: Vec<Past>,
}

/// From where on each station's records are needed: segment and number.
pub type From = BTreeMap<usize, (u64, u64)>;

#[derive(Clone, Copy, Debug)]
struct Reach {
    lane: u64,
    station: usize,
    segment: u64,
    seq: u64,
}

#[derive(Clone, Debug)]
struct Stretch {
    offset: i64,
    records: u32,
    reaches: Vec<Reach>,
}

#[derive(Debug)]
struct Track {
    /// Offset that is read next.
    next: i64,
    stretches: VecDeque<Stretch>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Checkpoints {
    tracks: BTreeMap<i32, Track>,
    /// Oldest first.
    past: VecDeque<Past>,
}

/// A record that was not there before.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    pub partition: i32,
    pub offset: i64,
    pub lane: u64,
    pub station: usize,
    /// None before the lane's turn.
    pub segment: Option<u64>,
    pub seq: u64,
}

impl Checkpoints {
    /// With the runs that were over when this was stored.
    pub fn new(past: &[Past]) -> Self {
        Self {
            tracks: BTreeMap::new(),
            past: past.iter().copied().collect(),
        }
    }

    /// A partition is read from an offset on, whatever was read of it before.
    pub fn read_from(&mut self, partition: i32, offset: i64) {
        let track = self.tracks.entry(partition).or_insert_with(|| Track {
            next: offset,
            stretches: VecDeque::new(),
        });
        // What lies behind is met again; what was skipped is there no more.
        let skipped = offset > track.next;
        track.stretches.retain(|s| !skipped && s.offset < offset);
        track.next = offset;
    }

    /// The partitions, and the offset that is read next in each.
    pub fn read_next(&self) -> impl Iterator<Item = (i32, i64)> {
        self.tracks
            .iter()
            .map(|(number, track)| (*number, track.next))
    }

    /// The offset that is read next in one.
    pub fn next_offset(&self, partition: i32) -> Option<i64> {
        self.tracks.get(&partition).map(|track| track.next)
    }

    /// The oldest offset that a restart may need.
    pub fn oldest_offset(&self, partition: i32) -> Option<i64> {
        let track = self.tracks.get(&partition)?;
        let first = track.stretches.front().map_or(track.next, |s| s.offset);
        Some(first.min(track.next))
    }

    /// Something was read.
    pub fn passed(&mut self, partition: i32, offset: i64) {
        if let Some(track) = self.tracks.get_mut(&partition) {
            track.next = offset.saturating_add(1);
        }
    }

    /// A record is held.
    pub fn held(&mut self, fresh: Fresh) {
        let Some(track) = self.tracks.get_mut(&fresh.partition) else {
            return;
        };
        let full = |s: &Stretch| s.records >= STRETCH;
        if track.stretches.back().is_none_or(full) {
            track.stretches.push_back(Stretch {
                offset: fresh.offset,
                records: 0,
                reaches: Vec::new(),
            });
        }
        if let Some(last) = track.stretches.back_mut() {
            last.records += 1;
            last.reach(Reach {
                lane: fresh.lane,
                station: fresh.station,
                segment: fresh.segment.unwrap_or(LATER),
                seq: fresh.seq,
            });
        }
        if track.stretches.len() > MOST {
            track.halve();
        }
    }

    /// The turn of a lane has come: its place among the others is known.
    pub fn place(&mut self, lane: u64, segment: u64) {
        let stretches = self.tracks.values_mut().flat_map(|t| &mut t.stretches);
        let reaches = stretches.flat_map(|s| &mut s.reaches);
        for reach in reaches.filter(|r| r.lane == lane) {
            reach.segment = segment;
        }
    }

    /// Nothing of a lane is wanted.
    pub fn forget(&mut self, lane: u64) {
        let stretches = self.tracks.values_mut().flat_map(|t| &mut t.stretches);
        for stretch in stretches {
            stretch.reaches.retain(|r| r.lane != lane);
        }
    }

    /// A run is over.
    pub fn over(&mut self, past: Past) {
        self.past.retain(|p| p.run != past.run);
        self.past.push_back(past);
        while self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    /// What is known of a run that is over.
    pub fn past(&self, run: &[u8; 16]) -> Option<Past> {
        self.past.iter().find(|p| p.run == *run).copied()
    }

    /// Where a restart has to read from to meet everything that is needed.
    pub fn places(&self, from: &From) -> Places {
        let offset = |track: &Track| track.first(from).map_or(track.next, |s| s.offset);
        let is_before = |p: &&Past| from.get(&p.station).is_none_or(|at| p.segment < at.0);
        Places {
            offsets: self
                .tracks
                .iter()
                .map(|(number, track)| (*number, offset(track)))
                .collect(),
            past: self.past.iter().filter(is_before).copied().collect(),
        }
    }

    /// What is not needed any more goes.
    pub fn done(&mut self, from: &From) {
        for track in self.tracks.values_mut() {
            while track.stretches.len() > 1
                && track.stretches.front().is_some_and(|s| !s.is_needed(from))
            {
                track.stretches.pop_front();
            }
        }
    }
}

impl Stretch {
    fn reach(&mut self, reach: Reach) {
        match self.reaches.iter_mut().find(|r| r.lane == reach.lane) {
            Some(old) => old.seq = old.seq.max(reach.seq),
            None => self.reaches.push(reach),
        }
    }

    fn is_needed(&self, from: &From) -> bool {
        self.reaches.iter().any(|r| {
            let from = from.get(&r.station);
            r.segment == LATER || from.is_none_or(|from| (r.segment, r.seq) >= *from)
        })
    }
}

impl Track {
    fn first(&self, from: &From) -> Option<&Stretch> {
        self.stretches.iter().find(|s| s.is_needed(from))
    }

    /// Makes one of every two neighbours, which can only make a restart read more.
    fn halve(&mut self) {
        let mut all = std::mem::take(&mut self.stretches).into_iter();
        while let Some(mut one) = all.next() {
            if let Some(other) = all.next() {
                one.records = one.records.saturating_add(other.records);
                other.reaches.into_iter().for_each(|r| one.reach(r));
            }
            self.stretches.push_back(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(segment: u64, seq: u64) -> From {
        From::from([(0, (segment, seq))])
    }

    fn offset(marks: &Checkpoints, from: &From) -> i64 {
        marks.places(from).offsets[0].1
    }

    fn fresh(offset: i64, lane: u64, segment: Option<u64>, seq: u64) -> Fresh {
        Fresh {
            partition: 0,
            offset,
            lane,
            station: 0,
            segment,
            seq,
        }
    }

    fn hold(marks: &mut Checkpoints, fresh: Fresh) {
        marks.passed(fresh.partition, fresh.offset);
        marks.held(fresh);
    }

    #[test]
    fn a_lane_that_waits_is_met_again() {
        let mut marks = Checkpoints::default();
        marks.read_from(0, 5);
        hold(&mut marks, fresh(5, 1, Some(3), 10));
        hold(&mut marks, fresh(6, 2, None, 1));
        assert_eq!(offset(&marks, &from(3, 11)), 5);
        marks.place(2, 4);
        assert_eq!(offset(&marks, &from(4, 1)), 5);
        assert_eq!(offset(&marks, &from(4, 2)), 7, "nothing is needed");
        marks.read_from(0, 2);
        assert_eq!(marks.read_next().collect::<Vec<_>>(), [(0, 2)]);
        assert_eq!(offset(&marks, &from(4, 1)), 2);
    }

    #[test]
    fn runs_that_are_over_are_known_for_long_and_told_from_their_end_on() {
        let mut marks = Checkpoints::default();
        let past = |n: u8| Past {
            run: [n; 16],
            station: 0,
            segment: n.into(),
            next: 7,
        };
        for n in 1..=(PAST as u8 + 2) {
            marks.over(past(n));
        }
        assert_eq!(marks.past(&[2; 16]), None);
        assert_eq!(marks.past(&[3; 16]), Some(past(3)));
        let told = marks.places(&from(5, 1)).past;
        assert_eq!(told, [past(3), past(4)]);
    }

    proptest! {
        /// Lanes one after the other or in between each other: from where a restart reads, nothing is missed, however many
        /// stretches there are.
        #[test]
        fn nothing_that_is_needed_lies_before(
            lanes in proptest::collection::vec((1u64..4, 1u32..400), 1..60),
            at in (1u64..4, 0u64..6_000),
            halves in 0usize..3,
        ) {
            let mut marks = Checkpoints::default();
            marks.read_from(0, 0);
            let (mut at_offset, mut next) = (0, [0u64; 4]);
            let mut all = Vec::new();
            for (lane, records) in lanes {
                for _ in 0..records {
                    next[lane as usize] += 1;
                    let seq = next[lane as usize];
                    hold(&mut marks, fresh(at_offset, lane, Some(lane), seq));
                    all.push((at_offset, (lane, seq)));
                    at_offset += 1;
                }
            }
            for _ in 0..halves {
                marks.tracks.get_mut(&0).unwrap().halve();
            }
            let from = from(at.0, at.1);
            let start = offset(&marks, &from);
            let needed = all.iter().find(|(_, place)| *place >= at);
            prop_assert!(needed.is_none_or(|(offset, _)| *offset >= start));
            if halves == 0 && let Some((offset, _)) = needed {
                prop_assert!(offset - start < i64::from(STRETCH));
            }
            marks.done(&from);
            prop_assert_eq!(offset(&marks, &from), start);
        }
    }
}
