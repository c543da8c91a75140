//! The spool as its users see it: tailing, crashes, the byte bound, acknowledgements.

use mythic_stream::{
    proto::{AccountUpdate, End, Event},
    spool::{
        Ack, FsyncPolicy, Item, Mark, Reader, ReaderConfig, Room, SpoolError, Writer, WriterConfig,
    },
};
use proptest::prelude::*;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

const NOW: Duration = Duration::ZERO;

fn config(dir: &Path) -> WriterConfig {
    WriterConfig {
        fsync: FsyncPolicy::Never,
        ..WriterConfig::new(dir)
    }
}

fn account(n: u64, size: usize) -> Event {
    Event::Account(AccountUpdate {
        slot: n,
        data: vec![n as u8; size].into(),
        ..Default::default()
    })
}

fn reader(dir: &Path, name: &str) -> Reader {
    Reader::open(ReaderConfig {
        dir: dir.into(),
        name: name.into(),
        start: None,
    })
    .unwrap()
}

fn slots(items: &[Item]) -> Vec<u64> {
    items
        .iter()
        .map(|item| match &item.envelope.as_ref().unwrap().event {
            Some(Event::Account(account)) => account.slot,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn fill(writer: &mut Writer, from: u64, to: u64, size: usize) {
    for n in from..to {
        writer.append(account(n, size), Room::Ordinary).unwrap();
    }
    writer.sync().unwrap();
}

#[test]
fn a_reader_sees_what_is_durable_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut tail = reader(dir.path(), "early");
    assert!(tail.next_batch(10, NOW).unwrap().is_empty());
    let mut writer = Writer::open(config(dir.path()), [1; 16]).unwrap();
    writer.append(account(1, 10), Room::Ordinary).unwrap();
    assert!(tail.next_batch(10, NOW).unwrap().is_empty());
    assert!(writer.sync_due().is_some());
    writer.sync().unwrap();
    assert!(writer.sync_due().is_none());
    let items = tail.next_batch(10, NOW).unwrap();
    assert_eq!(slots(&items), [1]);
    assert_eq!(items[0].envelope.as_ref().unwrap().seq, 1);
    fill(&mut writer, 2, 5, 10);
    assert_eq!(slots(&tail.next_batch(2, NOW).unwrap()), [2, 3]);
    assert_eq!(slots(&tail.next_batch(2, NOW).unwrap()), [4]);
    // Whoever holds the lock may be about to end.
    let asked = Instant::now();
    assert!(matches!(
        Writer::open(config(dir.path()), [2; 16]),
        Err(SpoolError::Locked(_))
    ));
    assert!(asked.elapsed() >= Duration::from_secs(1));
}

#[test]
fn any_position_can_be_read_again_across_segments_and_runs() {
    let dir = tempfile::tempdir().unwrap();
    let small = || WriterConfig {
        segment_bytes: 1000,
        ..config(dir.path())
    };
    let mut writer = Writer::open(small(), [1; 16]).unwrap();
    fill(&mut writer, 0, 50, 100);
    drop(writer);
    let mut writer = Writer::open(small(), [2; 16]).unwrap();
    fill(&mut writer, 50, 60, 100);
    let all = reader(dir.path(), "all").next_batch(1000, NOW).unwrap();
    assert_eq!(slots(&all), (0..60).collect::<Vec<_>>());
    assert_eq!(all[49].position.run, [1; 16]);
    assert_eq!(all[50].envelope.as_ref().unwrap().seq, 1);
    for (n, item) in all.iter().enumerate() {
        let mut again = Reader::open(ReaderConfig {
            dir: dir.path().into(),
            name: "again".into(),
            start: Some(item.position),
        })
        .unwrap();
        assert_eq!(slots(&again.poll(1).unwrap()), [n as u64]);
        assert_eq!(again.position(), Some(item.next));
    }
}

#[test]
fn acknowledged_segments_go_and_their_positions_are_lost_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        WriterConfig {
            segment_bytes: 1000,
            ..config(dir.path())
        },
        [1; 16],
    )
    .unwrap();
    fill(&mut writer, 0, 40, 100);
    let mut fast = reader(dir.path(), "fast");
    let items = fast.next_batch(1000, NOW).unwrap();
    let mut slow = reader(dir.path(), "slow");
    fast.ack(&items[39].next).unwrap();
    writer.reap().unwrap();
    let before = writer.stats();
    assert_eq!(before.readers, 2);
    assert_eq!(slots(&slow.poll(1).unwrap()), [0]);
    slow.ack(&items[20].position).unwrap();
    writer.reap().unwrap();
    assert!(writer.stats().segments < before.segments);
    assert!(writer.stats().bytes < before.bytes);
    let gone = Reader::open(ReaderConfig {
        dir: dir.path().into(),
        name: "gone".into(),
        start: Some(items[0].position),
    })
    .unwrap()
    .poll(1);
    match gone {
        Err(SpoolError::Lost { wanted, oldest }) => {
            assert_eq!(wanted, items[0].position);
            let oldest = oldest.unwrap();
            assert!(oldest > wanted && oldest <= items[20].position);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_spool_refuses_the_newest_and_keeps_room_for_slot_records() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        WriterConfig {
            max_bytes: 64 << 10,
            ..config(dir.path())
        },
        [1; 16],
    )
    .unwrap();
    let mut tail = reader(dir.path(), "tail");
    let mut taken = 0;
    while writer.append(account(taken, 500), Room::Ordinary).is_ok() {
        taken += 1;
    }
    assert!(matches!(
        writer.append(account(0, 500), Room::Ordinary),
        Err(SpoolError::Full { .. })
    ));
    writer.append(Event::End(End {}), Room::Reserved).unwrap();
    writer.sync().unwrap();
    assert!(writer.stats().bytes <= 64 << 10);
    let items = tail.next_batch(10_000, NOW).unwrap();
    assert_eq!(items.len() as u64, taken + 1);
    // A reader that catches up makes room again.
    tail.ack(&items.last().unwrap().next).unwrap();
    writer.reap().unwrap();
    writer.append(account(1, 500), Room::Ordinary).unwrap();
}

#[test]
fn start_up_accounts_have_a_bound_of_their_own_and_take_no_room_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        WriterConfig {
            max_bytes: 64 << 10,
            startup_max_bytes: 200 << 10,
            ..config(dir.path())
        },
        [1; 16],
    )
    .unwrap();
    let mut tail = reader(dir.path(), "tail");
    let fill = |writer: &mut Writer, room| {
        let mut taken = 0;
        loop {
            match writer.append(account(taken, 500), room) {
                Ok(_) => taken += 1,
                Err(e) => return (taken, e),
            }
        }
    };
    let (startup, full) = fill(&mut writer, Room::Startup);
    assert!(full.to_string().contains("startup_max_bytes"), "{full}");
    let (live, full) = fill(&mut writer, Room::Ordinary);
    assert!(matches!(full, SpoolError::Full { .. }), "{full}");
    assert!(startup > 350 && live > 90, "{startup} {live}");
    writer.sync().unwrap();
    let items = tail.next_batch(10_000, NOW).unwrap();
    assert_eq!(items.len() as u64, startup + live);
    // Once they are read, what is live has its own bound again.
    tail.ack(&items.last().unwrap().next).unwrap();
    writer.reap().unwrap();
    let (again, _) = fill(&mut writer, Room::Ordinary);
    assert!(again <= live + 60 && again > 60, "{again}");
    assert!(writer.stats().bytes <= 64 << 10);
}

#[test]
fn an_idle_reader_is_dropped_with_a_notice() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(
        WriterConfig {
            reader_idle_limit: Duration::ZERO,
            ..config(dir.path())
        },
        [1; 16],
    )
    .unwrap();
    fill(&mut writer, 0, 3, 10);
    let items = reader(dir.path(), "sleeper").next_batch(10, NOW).unwrap();
    Ack::write(dir.path(), "sleeper", &items[0].position).unwrap();
    writer.reap().unwrap();
    std::thread::sleep(Duration::from_millis(5));
    writer.reap().unwrap();
    assert_eq!(Ack::read(dir.path(), "sleeper"), None);
    assert!(writer.take_notices()[0].contains("sleeper"));
}

#[test]
fn a_clock_that_leaps_costs_no_reader_its_segments() {
    let dir = tempfile::tempdir().unwrap();
    let small = || WriterConfig {
        segment_bytes: 1000,
        ..config(dir.path())
    };
    let mut writer = Writer::open(small(), [1; 16]).unwrap();
    fill(&mut writer, 0, 20, 100);
    let first = reader(dir.path(), "away").poll(1).unwrap()[0].position;
    Ack::write(dir.path(), "away", &first).unwrap();
    let path = dir.path().join("acks/away");
    let file = fs::File::options().write(true).open(path).unwrap();
    let (now, leap) = (SystemTime::now(), 2 * small().reader_idle_limit);
    for beat in [now - leap, now + leap, now - leap, now] {
        file.set_modified(beat).unwrap();
        writer.reap().unwrap();
        writer.reap().unwrap();
        assert_eq!(Ack::read(dir.path(), "away"), Some(first));
    }
    // Nor in the run that begins after it.
    file.set_modified(now - leap).unwrap();
    drop(writer);
    let mut writer = Writer::open(small(), [2; 16]).unwrap();
    assert_eq!((writer.stats().readers, writer.take_notices()), (1, vec![]));
    assert_eq!(slots(&reader(dir.path(), "away").poll(1).unwrap()), [0]);
}

#[test]
fn names_and_envelopes_out_of_bounds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "../x", "UPPER", "a.b"] {
        let opened = Reader::open(ReaderConfig {
            dir: dir.path().into(),
            name: name.into(),
            start: None,
        });
        assert!(matches!(opened, Err(SpoolError::BadName(_))), "{name}");
    }
    let mut writer = Writer::open(config(dir.path()), [1; 16]).unwrap();
    assert!(matches!(
        writer.append(account(1, 17 << 20), Room::Ordinary),
        Err(SpoolError::TooLarge(_))
    ));
    // An account of the largest size passes and reads back.
    fill(&mut writer, 1, 2, 10 << 20);
    let items = reader(dir.path(), "r").poll(10).unwrap();
    assert_eq!(slots(&items), [1]);
}

#[test]
fn a_spool_that_is_open_to_others_is_closed_or_refused() {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let open = |path: &Path, to| fs::set_permissions(path, PermissionsExt::from_mode(to)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(config(dir.path()), [1; 16]).unwrap();
    fill(&mut writer, 0, 2, 10);
    let first = reader(dir.path(), "r").poll(10).unwrap()[0].position;
    Ack::write(dir.path(), "r", &first).unwrap();
    drop(writer);
    let files = ["000000000001.seg", "durable", "lock", "acks/r"].map(|n| dir.path().join(n));
    let folders = [dir.path().to_path_buf(), dir.path().join("acks")];
    files.iter().for_each(|file| open(file, 0o644));
    folders.iter().for_each(|folder| open(folder, 0o755));
    drop(Writer::open(config(dir.path()), [2; 16]).unwrap());
    assert!(files.iter().all(|file| mode(file) == 0o600));
    assert!(folders.iter().all(|folder| mode(folder) == 0o700));
    // A directory that others use as well is not taken from them.
    fs::write(dir.path().join("letters"), "").unwrap();
    open(dir.path(), 0o777);
    let refused = Writer::open(config(dir.path()), [3; 16]).unwrap_err();
    assert!(refused.to_string().contains("letters") && refused.to_string().contains("chmod 700"));
    assert_eq!(mode(dir.path()), 0o777);
}

/// Bytes of a segment before its first frame.
const HEADER: usize = 48;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Wherever a crash tears the last segment, a prefix survives, and the next run continues.
    #[test]
    fn a_torn_tail_is_cut_to_whole_frames(cut in 0usize..3000, junk in 0usize..64, zeros: bool) {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(config(dir.path()), [1; 16]).unwrap();
        fill(&mut writer, 0, 20, 100);
        drop(writer);
        let path = dir.path().join("000000000001.seg");
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len().saturating_sub(cut));
        // Junk behind a torn header is damage, which readers are told if it changed what the header says.
        let damage = bytes.len() < HEADER && bytes.len() + junk > HEADER && !zeros;
        bytes.extend(std::iter::repeat_n(if zeros { 0 } else { 0xa5 }, junk));
        fs::write(&path, &bytes).unwrap();
        let mut writer = Writer::open(config(dir.path()), [2; 16]).unwrap();
        fill(&mut writer, 100, 103, 100);
        let mut items = reader(dir.path(), "r").poll(1000).unwrap();
        let read = items.len();
        items.retain(|item| item.envelope.is_ok());
        prop_assert!(damage || read == items.len());
        let got = slots(&items);
        let (old, new) = got.split_at(got.len() - 3);
        prop_assert_eq!(new, &[100, 101, 102]);
        prop_assert_eq!(old, &(0..old.len() as u64).collect::<Vec<_>>()[..]);
        if cut == 0 {
            prop_assert_eq!(old.len(), 20);
        }
        prop_assert!(Mark::read(dir.path()).unwrap().is_some());
    }
}
