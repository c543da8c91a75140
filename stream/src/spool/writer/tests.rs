use super::*;
use crate::proto::AccountUpdate;
use crate::spool::{Reader, ReaderConfig};
use proptest::prelude::*;
use std::path::Path;

fn writer(dir: &Path) -> Writer {
    let mut config = WriterConfig::new(dir);
    config.segment_bytes = 16 << 10;
    Writer::open(config, [1; 16]).unwrap()
}

fn append(writer: &mut Writer, size: usize) -> Result<u64, SpoolError> {
    let update = AccountUpdate {
        data: vec![7; size].into(),
        ..Default::default()
    };
    writer.append(Event::Account(update), Room::Ordinary)
}

fn reader(dir: &Path) -> Reader {
    let config = ReaderConfig {
        dir: dir.into(),
        name: "test".into(),
        start: None,
    };
    Reader::open(config).unwrap()
}

/// The numbers of what can be read now; every frame has to be whole.
fn seqs(reader: &mut Reader) -> Vec<u64> {
    let items = reader.poll(usize::MAX).unwrap();
    items
        .into_iter()
        .map(|item| item.envelope.unwrap().seq)
        .collect()
}

#[test]
fn what_a_failed_fsync_dropped_is_written_again_and_shown_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, mut tail) = (writer(dir.path()), reader(dir.path()));
    append(&mut writer, 100).unwrap();
    writer.sync().unwrap();
    assert_eq!(seqs(&mut tail), [1]);
    append(&mut writer, 100).unwrap();
    append(&mut writer, 100).unwrap();
    let mark = writer.mark;
    writer.failing_syncs = 2;
    assert!(writer.sync().is_err());
    // The second failure is that of the cut.
    assert!(writer.sync().is_err());
    assert_eq!((writer.mark, seqs(&mut tail).len()), (mark, 0));
    assert!(writer.sync_due().is_some(), "it is tried again");
    append(&mut writer, 100).unwrap();
    writer.sync().unwrap();
    assert_eq!(seqs(&mut tail), [2, 3, 4]);
    assert_eq!(
        writer.active.number,
        mark.segment + 1,
        "in a segment of its own"
    );
    assert!(writer.take_notices()[0].contains("written again to segment 2"));
    drop(writer);
    assert_eq!(seqs(&mut reader(dir.path())), [1, 2, 3, 4]);
}

#[test]
fn while_fsync_fails_memory_is_bounded_and_what_was_accepted_survives() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = WriterConfig::new(dir.path());
    config.max_bytes = 1 << 30;
    let mut writer = Writer::open(config, [1; 16]).unwrap();
    writer.failing_syncs = u32::MAX;
    let accepted = (0..1000)
        .take_while(|_| append(&mut writer, 64 << 10).is_ok())
        .count();
    assert!((100..200).contains(&accepted), "{accepted}");
    assert!(writer.buffer.len() < HELD);
    // Slot records have room of their own.
    writer
        .append(Event::End(Default::default()), Room::Reserved)
        .unwrap();
    writer.failing_syncs = 0;
    writer.sync().unwrap();
    let read = seqs(&mut reader(dir.path()));
    assert_eq!(read, (1..=accepted as u64 + 1).collect::<Vec<_>>());
}

/// A run that starts from `accounts` and then says `updates`; how many of each were taken.
fn run_of(config: &WriterConfig, run: u8, (accounts, updates): (usize, usize)) -> (usize, usize) {
    let mut writer = Writer::open(config.clone(), [run; 16]).unwrap();
    let start = Event::Start(Default::default());
    writer.append(start, Room::Reserved).unwrap();
    let mut say = |is_startup: bool, room: Room| {
        let update = AccountUpdate {
            data: vec![7; 1_000].into(),
            is_startup,
            ..Default::default()
        };
        writer.append(Event::Account(update), room).is_ok()
    };
    let base = (0..accounts).filter(|_| say(true, Room::Startup)).count();
    let live = (0..updates).filter(|_| say(false, Room::Ordinary)).count();
    writer.sync().unwrap();
    (base, live)
}

#[test]
fn what_an_earlier_run_started_from_takes_no_room_of_what_the_next_one_sees() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = WriterConfig::new(dir.path());
    config.segment_bytes = 16 << 10;
    config.max_bytes = 256 << 10;
    config.startup_max_bytes = 1 << 20;
    // A reader that is away holds everything.
    let tail = reader(dir.path());
    // More than the bound of ordinary records, unread.
    assert_eq!(run_of(&config, 1, (400, 10)), (400, 10));
    assert_eq!(run_of(&config, 2, (400, 100)), (400, 100));
    // All of them together have a bound.
    let (base, live) = run_of(&config, 3, (400, 0));
    assert!((100..300).contains(&base), "{base}");
    assert_eq!(live, 0);
    let writer = Writer::open(config.clone(), [4; 16]).unwrap();
    let earlier: u64 = writer.earlier.values().sum();
    assert!(earlier > 900 << 10, "{earlier}");
    drop(writer);
    drop(tail);
    // Once it is read the room is there again.
    let mut tail = reader(dir.path());
    let items = tail.poll(usize::MAX).unwrap();
    tail.ack(&items.last().unwrap().next).unwrap();
    assert_eq!(run_of(&config, 5, (400, 10)), (400, 10));
}

#[test]
fn only_a_spool_without_room_takes_the_clocks_word_that_a_reader_is_long_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = WriterConfig::new(dir.path());
    config.max_bytes = 64 << 10;
    let mut writer = Writer::open(config, [1; 16]).unwrap();
    drop(reader(dir.path()));
    let ack = File::options()
        .write(true)
        .open(dir.path().join("acks/test"));
    let long_ago = SystemTime::now() - Duration::from_secs(48 * 3600);
    ack.unwrap().set_modified(long_ago).unwrap();
    while append(&mut writer, 500).is_ok() {}
    writer.reap().unwrap();
    assert_eq!(writer.stats().readers, 1, "it was seen a moment ago");
    let watched = writer.watched.get_mut("test").unwrap();
    watched.since = watched.since.checked_sub(2 * GONE).unwrap();
    writer.config.max_bytes = 1 << 20;
    writer.reap().unwrap();
    assert_eq!(writer.stats().readers, 1, "nothing needs its room");
    // Before anything is refused.
    writer.config.max_bytes = 66 << 10;
    writer.reap().unwrap();
    assert_eq!(writer.stats().readers, 0);
    assert!(writer.take_notices()[0].contains("idle for 1728"));
}

proptest! {
    #[test]
    fn whatever_fails_every_accepted_envelope_is_read_once_in_order(
        steps in proptest::collection::vec((0usize..6, 0usize..5000), 1..80)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (mut writer, mut tail) = (writer(dir.path()), reader(dir.path()));
        let (mut accepted, mut read) = (Vec::new(), Vec::new());
        for (step, size) in steps {
            match step {
                0 => writer.failing_syncs = size as u32 % 4,
                1 => { let _ = writer.sync(); }
                2 => read.extend(seqs(&mut tail)),
                _ => if let Ok(seq) = append(&mut writer, size) { accepted.push(seq); },
            }
        }
        writer.failing_syncs = 0;
        writer.failed_at = None;
        writer.sync().unwrap();
        read.extend(seqs(&mut tail));
        prop_assert_eq!(&read, &accepted);
        drop(writer);
        prop_assert_eq!(seqs(&mut reader(dir.path())), accepted);
    }
}
