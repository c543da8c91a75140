//! What is forwarded, and what is said of what can't be.

use crate::world::{Running, Spool, read_all, settings, until};
use mythic_broker::shared;
use mythic_stream::{
    proto::Event,
    spool::{Position, Reader, ReaderConfig},
};
use std::{fs, os::unix::fs::FileExt, time::Duration};

#[test]
fn every_record_arrives_and_a_restart_goes_on_where_it_stopped() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    spool.banks(50);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    drop(running);
    let first = read_all(&settings, spool.run);
    first.assert_whole(spool.written);
    first.assert_order();
    assert_eq!(first.repeats, 0);

    spool.banks(20);
    let again = Running::start(&spool, &settings);
    again.delivered(20 * 11);
    until("it says that it works", || {
        again.stats.started() && again.stats.trouble().is_none()
    });
    drop(again);
    let second = read_all(&settings, spool.run);
    second.assert_whole(spool.written);
    second.assert_order();
    assert_eq!(second.repeats, 0, "a stop saves what was delivered");
}

#[test]
fn a_crash_repeats_and_never_loses() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    drop(running);
    // What a crash leaves: notes of before.
    let notes = ["forwarded", "acks/kafka", "acks/kafka-held"].map(|name| {
        let path = spool.dir().join(name);
        (fs::read(&path).unwrap(), path)
    });
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    running.delivered(5 * 11);
    drop(running);
    for (bytes, path) in notes {
        fs::write(path, bytes).unwrap();
    }
    spool.banks(5);
    let running = Running::start(&spool, &settings);
    running.delivered(10 * 11);
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    assert!(read.repeats > 0);
    read.assert_order();
}

#[test]
fn damage_in_the_spool_is_told_in_every_partition() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    spool.banks(4);
    let hit = nth(&spool, 7);
    let segment = spool.dir().join(format!("{:012}.seg", hit.segment));
    let file = fs::OpenOptions::new().write(true).open(segment).unwrap();
    file.write_all_at(b"\xff\xff\xff\xff", hit.offset + 60)
        .unwrap();
    let running = Running::start(&spool, &settings);
    // The damage counts like a record.
    running.delivered(spool.written);
    drop(running);
    let read = read_all(&settings, spool.run);
    assert_eq!(read.records.len() as u64, spool.written - 1);
    assert!(!read.records.contains_key(&hit.seq));
    assert_eq!(read.damage.len(), usize::from(settings.partitions));
    for damage in &read.damage {
        assert_eq!((damage.first_seq, damage.records), (hit.seq, Some(1)));
        assert!(damage.what.contains("checksum"), "{}", damage.what);
    }
}

/// Where the record with this number lies.
fn nth(spool: &Spool, seq: u64) -> Position {
    let mut reader = Reader::open(ReaderConfig {
        dir: spool.dir(),
        name: "looks".into(),
        start: None,
    })
    .unwrap();
    let items = reader.next_batch(1000, Duration::ZERO).unwrap();
    let found = items.iter().find(|item| item.position.seq == seq);
    found.unwrap().position
}

#[test]
fn the_largest_account_passes_and_one_above_the_limit_is_told_as_lost() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    spool.account(1, noise(10 << 20));
    spool.banks(1);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    drop(running);
    let read = read_all(&settings, spool.run);
    read.assert_whole(spool.written);
    let Some(Event::Account(large)) = &read.records[&1].0.event else {
        panic!("no account")
    };
    assert_eq!(large.data.len(), 10 << 20);

    let small = mythic_kafka::Settings {
        max_message_bytes: 1 << 20,
        ..self::settings(settings.brokers)
    };
    again(&spool);
    let running = Running::start(&spool, &small);
    running.delivered(spool.written);
    drop(running);
    let read = read_all(&small, spool.run);
    assert!(!read.records.contains_key(&1));
    assert_eq!(read.records.len() as u64, spool.written - 1);
    assert_eq!(read.damage[0].first_seq, 1);
    assert!(read.damage[0].what.contains("max_message_bytes"));
}

/// The same spool as if nobody had read it.
fn again(spool: &Spool) {
    for name in ["forwarded", "acks/kafka", "acks/kafka-held"] {
        fs::remove_file(spool.dir().join(name)).unwrap();
    }
}

/// Bytes that don't compress.
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn what_the_spool_lost_is_told() {
    let Some(guard) = shared() else { return };
    let settings = settings(guard.as_ref().unwrap().plain());
    let mut spool = Spool::new();
    // Several segments.
    spool.banks(40);
    let running = Running::start(&spool, &settings);
    running.delivered(spool.written);
    drop(running);
    let before = spool.written;
    spool.banks(40);
    // As after a reader was idle for too long and the writer let go.
    let mut segments: Vec<_> = fs::read_dir(spool.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "seg"))
        .collect();
    segments.sort();
    let last = segments.pop().unwrap();
    assert!(segments.len() > 4);
    for path in &segments {
        fs::remove_file(path).unwrap();
    }
    let running = Running::start(&spool, &settings);
    until("the newest is delivered", || running.stats.damages() > 0);
    spool.banks(1);
    until("the rest is delivered", || {
        running.stats.lag() == Duration::ZERO && running.stats.records() > 11
    });
    drop(running);
    assert!(last.exists());
    let read = read_all(&settings, spool.run);
    assert!(read.records.contains_key(&spool.written));
    let missing = (1..=spool.written)
        .filter(|seq| !read.records.contains_key(seq))
        .collect::<Vec<u64>>();
    let damage = &read.damage[0];
    assert_eq!(damage.first_seq, before + 1);
    assert_eq!(damage.records, Some(missing.len() as u64));
    assert_eq!(missing.first(), Some(&(before + 1)));
}
