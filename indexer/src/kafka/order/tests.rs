use proptest::prelude::*;

use super::*;
use crate::kafka::marks::{From, Places};

const PARTITIONS: i32 = 3;
/// In nanoseconds.
const DAY: u64 = 86_400_000_000_000;

/// Run, number, and the time of it.
type Record = (u8, u64, u64);
/// What one partition holds.
type Log = Vec<Record>;

fn message(partition: i32, offset: i64, (run, seq, time): Record) -> Message {
    let envelope = Envelope {
        run: vec![run; 16].into(),
        seq,
        time_unix_nanos: time,
        ..Envelope::default()
    };
    Message {
        partition,
        offset,
        run: [run; 16],
        envelope,
        bytes: 100,
    }
}

struct Reader {
    order: Order,
    marks: Checkpoints,
    /// Station, place, and how many are missing instead.
    read: Vec<(usize, Position, Option<u64>)>,
}

impl Reader {
    fn new(starts: &BTreeMap<usize, Position>, places: &Places, max_bytes: usize) -> Self {
        let mut marks = Checkpoints::new(&places.past);
        let mut order = Order::new(starts, max_bytes);
        for partition in 0..PARTITIONS {
            let stored = places.offsets.iter().find(|(p, _)| *p == partition);
            marks.read_from(partition, stored.map_or(0, |s| s.1));
            order.add(partition);
        }
        Self {
            order,
            marks,
            read: Vec::new(),
        }
    }

    fn fresh() -> Self {
        Self::new(&BTreeMap::new(), &Places::default(), 1_000_000)
    }

    fn take(&mut self, partition: i32, offset: i64, record: Record) -> Taken {
        let message = message(partition, offset, record);
        self.order.take(message, &mut self.marks)
    }

    fn drain(&mut self) {
        loop {
            let (station, entry) = match self.order.next() {
                Next::Entry(station, entry) => (station, Some(entry)),
                Next::Doubt(Wait { station, .. }) => {
                    (station, self.order.resolve(station, &mut self.marks))
                }
                Next::Waits(_) | Next::Idle => return,
            };
            let Some(entry) = entry else { continue };
            let lost = match entry.content {
                Content::Missing(missing) => missing.records,
                Content::Envelope(envelope) => {
                    assert_eq!(envelope.seq, entry.position.seq);
                    None
                }
                other => panic!("{other:?}"),
            };
            self.read.push((station, entry.position, lost));
        }
    }

    /// Reads `logs` in some order of partitions, never one that is ahead while others have something.
    fn read(&mut self, logs: &[Log], picks: &mut impl Iterator<Item = usize>) {
        loop {
            let next: BTreeMap<i32, i64> = self.marks.read_next().collect();
            let left = |p: &i32| (next[p] as usize) < logs[*p as usize].len();
            let open: Vec<i32> = (0..PARTITIONS).filter(left).collect();
            if open.is_empty() {
                break;
            }
            let allowed: Vec<i32> = open
                .into_iter()
                .filter(|p| !self.order.is_ahead(*p, 1))
                .collect();
            assert!(!allowed.is_empty(), "nothing goes on");
            let pick = allowed[picks.next().unwrap_or(0) % allowed.len()];
            let record = logs[pick as usize][next[&pick] as usize];
            self.take(pick, next[&pick], record);
            self.drain();
        }
        for partition in 0..PARTITIONS {
            self.order.at_end(partition);
        }
        self.drain();
    }

    /// What a partition still waits for is not lost.
    fn read_what_waits(&mut self) {
        for station in 0..self.order.stations.len() {
            for _ in 0..8 {
                if self.order.stations[station].waits() {
                    self.order.resolve(station, &mut self.marks);
                    self.drain();
                }
            }
        }
    }

    fn of_run(&self, run: u8) -> Vec<u64> {
        let of = self.read.iter().filter(|(_, at, _)| at.run == [run; 16]);
        of.map(|(_, at, _)| at.seq).collect()
    }

    fn seqs(&self) -> Vec<(u8, u64)> {
        self.read
            .iter()
            .map(|(_, at, _)| (at.run[0], at.seq))
            .collect()
    }

    fn lost(&self) -> Vec<(u64, Option<u64>)> {
        self.read
            .iter()
            .map(|(_, at, lost)| (at.seq, *lost))
            .collect()
    }
}

/// Runs one after the other as a producer writes them: every fifth record to all partitions, some repeated from further back.
fn written(
    runs: std::ops::Range<u8>,
    lengths: &[u64],
    repeats: &[(usize, usize)],
) -> (Vec<Log>, Log) {
    let mut all = Log::new();
    for (run, length) in runs.zip(lengths) {
        // Each some time after the one before.
        let time = u64::from(run) * 100 * SILENCE;
        all.extend((1..=*length).map(|seq| (run, seq, time + seq)));
    }
    let mut logs = vec![Log::new(); PARTITIONS as usize];
    let mut crashes: Vec<(usize, usize)> = repeats
        .iter()
        .map(|(at, back)| (at % all.len(), *back))
        .collect();
    let mut sent = 0;
    while sent < all.len() {
        let (_, seq, _) = all[sent];
        for (partition, log) in logs.iter_mut().enumerate() {
            if seq == 1 || seq % 5 == 0 || seq as usize % PARTITIONS as usize == partition {
                log.push(all[sent]);
            }
        }
        match crashes.iter().position(|(at, _)| *at == sent) {
            Some(crash) => sent = sent.saturating_sub(crashes.remove(crash).1),
            None => sent += 1,
        }
    }
    (logs, all)
}

/// Two producers' records in one partition. What is written later than the other one's next by more than a silence comes after it: a
/// producer that lives tells every slot.
fn mixed(a: Log, b: Log, mix: &mut impl Iterator<Item = bool>) -> Log {
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    let mut log = Log::new();
    loop {
        let first = match (a.peek(), b.peek()) {
            (None, None) => return log,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(one), Some(other)) if one.2.abs_diff(other.2) > SILENCE => one.2 < other.2,
            _ => mix.next().unwrap_or(true),
        };
        log.extend(if first { a.next() } else { b.next() });
    }
}

fn keys(all: &[Record]) -> Vec<(u8, u64)> {
    all.iter().map(|(run, seq, _)| (*run, *seq)).collect()
}

fn lengths() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(20u64..60, 1..4)
}

fn repeats() -> impl Strategy<Value = Vec<(usize, usize)>> {
    proptest::collection::vec((0usize..200, 1usize..40), 0..4)
}

fn picks() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0usize..3, 600)
}

proptest! {
    #[test]
    fn partitions_are_one_log_again_however_they_are_read(
        lengths in lengths(),
        repeats in repeats(),
        picks in picks(),
        max_bytes in prop_oneof![Just(1_000usize), Just(1_000_000)],
    ) {
        let (logs, all) = written(1..9, &lengths, &repeats);
        let mut reader = Reader::new(&BTreeMap::new(), &Places::default(), max_bytes);
        reader.read(&logs, &mut picks.into_iter());
        prop_assert_eq!(reader.seqs(), keys(&all));
        prop_assert!(reader.read.iter().all(|(station, _, lost)| *station == 0 && lost.is_none()));
        prop_assert!(reader.read.is_sorted_by_key(|(_, at, _)| *at));
        prop_assert_eq!(reader.order.bytes(), 0);
    }

    #[test]
    fn a_restart_from_any_place_reads_the_rest_and_no_more(
        lengths in lengths(),
        repeats in repeats(),
        picks in picks(),
        at in 0usize..180,
    ) {
        let (logs, all) = written(1..9, &lengths, &repeats);
        let mut picks = picks.into_iter().cycle();
        let mut whole = Reader::fresh();
        whole.read(&logs, &mut picks);
        let at = at % all.len();
        let from = whole.read[at].1;
        let places = whole.marks.places(&From::from([(0, (from.segment, from.seq))]));
        let mut again = Reader::new(&BTreeMap::from([(0, from)]), &places, 1_000_000);
        again.read(&logs, &mut picks);
        prop_assert_eq!(again.seqs(), keys(&all[at..]));
    }

    /// Two producers at the same time, each of which restarts: each is read whole and in its order.
    #[test]
    fn producers_beside_each_other_are_logs_of_their_own(
        lengths in (lengths(), lengths()),
        repeats in (repeats(), repeats()),
        picks in picks(),
        mix in proptest::collection::vec(any::<bool>(), 400),
    ) {
        let (first, all) = written(1..9, &lengths.0, &repeats.0);
        let (mut second, also) = written(1..9, &lengths.1, &repeats.1);
        // At the same times, under other names.
        second.iter_mut().flatten().for_each(|record| record.0 += 100);
        let mut mix = mix.into_iter();
        let logs: Vec<Log> = first.into_iter().zip(second).map(|(a, b)| mixed(a, b, &mut mix)).collect();
        let mut reader = Reader::fresh();
        reader.read(&logs, &mut picks.into_iter());
        reader.read_what_waits();
        for (run, count) in (1..9).zip(&lengths.0) {
            prop_assert_eq!(reader.of_run(run), (1..=*count).collect::<Vec<_>>());
        }
        for (run, count) in (101..109).zip(&lengths.1) {
            prop_assert_eq!(reader.of_run(run), (1..=*count).collect::<Vec<_>>());
        }
        prop_assert_eq!(reader.read.len(), all.len() + also.len());
        prop_assert!(reader.read.iter().all(|(_, _, lost)| lost.is_none()));
    }

    /// Clocks leap by a day, in the middle of a run and at a restart: the guess which runs are one producer's may be wrong then, but
    /// every record is read once and in its run's order.
    #[test]
    fn a_clock_that_leaps_costs_no_record(
        lengths in lengths(),
        repeats in repeats(),
        picks in picks(),
        leaps in proptest::collection::vec((0u64..60, 0u64..3), 3..8),
    ) {
        let (mut logs, all) = written(1..9, &lengths, &repeats);
        for record in logs.iter_mut().flatten() {
            let (run, seq, time) = *record;
            // In this run the clock is right up to a number, and from there on a day off, as it is in every other run from its start.
            let (at, days) = leaps[usize::from(run) % leaps.len()];
            let days = if run % 2 == 0 || seq > at { days } else { 1 };
            record.2 = time + days * DAY;
        }
        let mut reader = Reader::fresh();
        reader.read(&logs, &mut picks.into_iter());
        reader.read_what_waits();
        for (run, count) in (1..9).zip(&lengths) {
            prop_assert_eq!(reader.of_run(run), (1..=*count).collect::<Vec<_>>());
        }
        prop_assert_eq!(reader.read.len(), all.len());
        prop_assert!(reader.read.iter().all(|(_, _, lost)| lost.is_none()));
    }

    #[test]
    fn rubbish_in_between_costs_no_record_and_is_bounded(
        rubbish in proptest::collection::vec((0usize..3, 0usize..60, 40u8..240, any::<u64>(), any::<u64>()), 1..200),
        picks in proptest::collection::vec(0usize..3, 900),
    ) {
        let (mut logs, all) = written(1..2, &[60], &[]);
        for (partition, at, run, seq, time) in rubbish {
            let log = &mut logs[partition];
            log.insert(at.min(log.len() - 1), (run, seq, time));
        }
        let start = BTreeMap::from([(0, position([1; 16], 1, 1))]);
        let mut reader = Reader::new(&start, &Places::default(), 1_000_000);
        reader.read(&logs, &mut picks.into_iter());
        let of_all: Vec<u64> = all.iter().map(|(_, seq, _)| *seq).collect();
        prop_assert_eq!(reader.of_run(1), of_all);
        prop_assert!(reader.order.stations.len() <= MAX_PRODUCERS);
        prop_assert!(reader.order.stations.iter().all(|s| s.waiting.len() <= LANES));
    }
}

#[test]
fn what_is_in_no_partition_is_lost_once_all_are_past_it() {
    let mut reader = Reader::fresh();
    let later = 100 * SILENCE;
    let logs = [
        vec![(1, 1, 0), (1, 5, 5), (2, 1, later)],
        vec![(1, 1, 0), (1, 2, 2), (1, 5, 5), (2, 1, later)],
        vec![(1, 1, 0), (1, 5, 5)],
    ];
    reader.read(&logs, &mut std::iter::empty());
    assert_eq!(
        reader.lost(),
        [(1, None), (2, None), (3, Some(2)), (5, None)]
    );
    let Next::Waits(waits) = reader.order.next() else {
        panic!("the second run waits")
    };
    assert_eq!(waits[0].partitions, [2], "more of the first may come there");
    assert!(reader.order.are_at_end(&waits[0].partitions));
    reader.order.resolve(0, &mut reader.marks);
    reader.drain();
    assert_eq!(reader.seqs().last(), Some(&(2, 1)));
    // The first goes on all the same, in a station of its own.
    assert_eq!(reader.take(2, 2, (1, 5, 5)), Taken::Repeat);
    for partition in 0..PARTITIONS {
        let taken = reader.take(partition, 4, (1, 6, later));
        assert_eq!(
            taken,
            if partition == 0 {
                Taken::Held
            } else {
                Taken::Repeat
            }
        );
    }
    reader.drain();
    let (station, at, _) = reader.read.last().unwrap();
    assert_eq!((*station, at.run[0], at.seq), (1, 1, 6));
}

#[test]
fn what_the_forwarder_could_not_read_is_said_as_it_was() {
    let mut reader = Reader::fresh();
    for partition in 0..PARTITIONS {
        reader.take(partition, 0, (1, 1, 0));
        let mut told = message(partition, 1, (1, 0, 0));
        let damage = mythic_stream::proto::Damage {
            first_seq: 2,
            records: Some(3),
            what: "rust".into(),
        };
        told.envelope.event = Some(Event::Damage(damage));
        reader.order.take(told, &mut reader.marks);
        reader.take(partition, 2, (1, 5, 5));
    }
    let said = loop {
        match reader.order.next() {
            Next::Doubt(wait) => {
                if let Some(entry) = reader.order.resolve(wait.station, &mut reader.marks) {
                    break entry;
                }
            }
            Next::Entry(..) => {}
            other => panic!("{other:?}"),
        }
    };
    let Content::Missing(missing) = said.content else {
        panic!("{said:?}")
    };
    assert_eq!(
        (missing.reason, &*missing.what, missing.records),
        ("spool_damaged", "rust", Some(3))
    );
}

#[test]
fn a_partition_that_jumped_may_show_any_number() {
    let mut reader = Reader::fresh();
    for partition in 0..PARTITIONS {
        reader.take(partition, 0, (1, 1, 0));
    }
    reader.drain();
    let far = (1, 3 * WINDOW, 0);
    assert!(matches!(reader.take(0, 1, far), Taken::Garbage(_)));
    reader.order.jump(0);
    assert_eq!(reader.take(0, 1, far), Taken::Held);
}
