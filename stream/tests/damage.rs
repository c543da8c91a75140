//! A spool whose bytes are damaged: what a reader still finds, and that it names what it does not.

use mythic_stream::{
    proto::{AccountUpdate, Envelope, Event},
    spool::{FsyncPolicy, Item, Reader, ReaderConfig, Room, Unreadable, Writer, WriterConfig},
};
use prost::Message;
use std::{fs, path::Path};

const RUN: [u8; 16] = [0xb7; 16];
const RECORDS: usize = 7;

/// A frame that stands in an account's data: whoever pays for the account chooses them.
fn forged(run: [u8; 16], seq: u64) -> Vec<u8> {
    let envelope = Envelope {
        run: run.to_vec().into(),
        seq,
        time_unix_nanos: 5,
        event: Some(Event::End(Default::default())),
    };
    let payload = envelope.encode_to_vec();
    let len = (payload.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &payload);
    [&len[..], &crc.to_le_bytes(), &payload].concat()
}

/// A spool of one segment, its envelopes, and where each begins; the last place is the end.
struct Spool {
    dir: tempfile::TempDir,
    bytes: Vec<u8>,
    envelopes: Vec<Envelope>,
    places: Vec<usize>,
}

impl Spool {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path(), RUN);
        for n in 0..RECORDS {
            let update = AccountUpdate {
                slot: n as u64,
                data: match n {
                    3 => forged([0x11; 16], 5).into(),
                    _ => vec![n as u8; 11 * n].into(),
                },
                ..Default::default()
            };
            writer
                .append(Event::Account(update), Room::Ordinary)
                .unwrap();
        }
        writer.sync().unwrap();
        drop(writer);
        let items = read(dir.path());
        let mut places: Vec<_> = items.iter().map(|i| i.position.offset as usize).collect();
        places.push(items.last().unwrap().next.offset as usize);
        Self {
            bytes: fs::read(segment(dir.path())).unwrap(),
            envelopes: items.into_iter().map(|i| i.envelope.unwrap()).collect(),
            places,
            dir,
        }
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(segment(self.dir.path()), bytes).unwrap();
    }

    /// Which records are left with these bytes on disk, and what the reader says of the others.
    fn left(&self, bytes: &[u8]) -> (Vec<usize>, Vec<Unreadable>) {
        self.put(bytes);
        self.sort(read(self.dir.path()))
    }

    fn sort(&self, items: Vec<Item>) -> (Vec<usize>, Vec<Unreadable>) {
        let (mut left, mut damage) = (Vec::new(), Vec::new());
        for item in items {
            match item.envelope {
                Ok(envelope) => {
                    let number = self.envelopes.iter().position(|e| *e == envelope);
                    left.push(number.expect("an invented record"));
                }
                Err(unreadable) => damage.push(unreadable),
            }
        }
        (left, damage)
    }

    /// Records that end before this byte.
    fn before(&self, byte: usize) -> Vec<usize> {
        let whole = self.places.iter().skip(1).filter(|end| **end <= byte);
        (0..whole.count()).collect()
    }
}

fn writer(dir: &Path, run: [u8; 16]) -> Writer {
    let config = WriterConfig {
        fsync: FsyncPolicy::Never,
        ..WriterConfig::new(dir)
    };
    Writer::open(config, run).unwrap()
}

fn segment(dir: &Path) -> std::path::PathBuf {
    dir.join("000000000001.seg")
}

fn read(dir: &Path) -> Vec<Item> {
    let config = ReaderConfig {
        dir: dir.into(),
        name: "test".into(),
        start: None,
    };
    Reader::open(config).unwrap().poll(1000).unwrap()
}

#[test]
fn a_flipped_bit_costs_the_record_it_hits_and_is_named() {
    let spool = Spool::new();
    for bit in 0..spool.bytes.len() * 8 {
        let mut bytes = spool.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (left, damage) = spool.left(&bytes);
        let hit = spool
            .places
            .iter()
            .filter(|place| **place <= bit / 8)
            .count();
        let expected: Vec<_> = (0..RECORDS).filter(|n| n + 1 != hit).collect();
        assert_eq!(left, expected, "bit {bit}");
        match hit {
            // The last bytes of the header mean nothing.
            0 if bit / 8 >= 44 => assert_eq!(damage, [], "bit {bit}"),
            0 => assert_eq!(damage[0].records, Some(0), "bit {bit}"),
            RECORDS => assert_eq!(damage[0].records, None, "bit {bit}"),
            _ => assert_eq!(damage[0].records, Some(1), "bit {bit}"),
        }
        assert!(damage.len() <= 1, "bit {bit}");
        if let (Some(damage), 1..) = (damage.first(), hit) {
            assert_eq!(damage.offset as usize, spool.places[hit - 1], "bit {bit}");
            assert!(damage.to_string().contains("segment 1 is damaged at byte"));
        }
    }
}

#[test]
fn a_segment_cut_at_any_byte_keeps_the_records_before_it() {
    let spool = Spool::new();
    for cut in 0..=spool.bytes.len() {
        let (left, damage) = spool.left(&spool.bytes[..cut]);
        assert_eq!(left, spool.before(cut), "cut at {cut}");
        let torn = !spool.places.contains(&cut);
        assert_eq!(damage.len(), usize::from(torn), "cut at {cut}");
        // The next run goes on behind it, and nothing of it is taken for the old one.
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment(dir.path()), &spool.bytes[..cut]).unwrap();
        let mut next = writer(dir.path(), [2; 16]);
        next.append(Event::End(Default::default()), Room::Reserved)
            .unwrap();
        next.sync().unwrap();
        let mut items = read(dir.path());
        let last = items.pop().unwrap();
        assert_eq!(last.envelope.unwrap().run, &[2; 16][..]);
        let (left, damage) = spool.sort(items);
        assert_eq!((left, damage), (spool.before(cut), vec![]), "cut at {cut}");
    }
}

#[test]
fn a_tail_of_zeros_is_a_torn_tail() {
    let spool = Spool::new();
    let size = spool.bytes.len();
    for from in spool.places[0]..=size {
        for zeros in [size - from, size - from + 1, 4096] {
            let mut bytes = spool.bytes[..from].to_vec();
            bytes.resize(from + zeros, 0);
            let (left, damage) = spool.left(&bytes);
            // A record may end in zeros itself.
            let same = (from..size)
                .find(|at| spool.bytes[*at] != 0)
                .unwrap_or(size);
            assert_eq!(left, spool.before(same), "zeros from {from}");
            assert!(damage.len() <= 1, "zeros from {from}");
            if zeros != size - from + 1 {
                continue;
            }
            let dir = tempfile::tempdir().unwrap();
            fs::write(segment(dir.path()), &bytes).unwrap();
            let mut next = writer(dir.path(), [2; 16]);
            let whole = spool.places[left.len()];
            assert_eq!(
                fs::metadata(segment(dir.path())).unwrap().len(),
                whole as u64
            );
            let notices = next.take_notices();
            assert_eq!(
                notices.len(),
                usize::from(bytes.len() > whole),
                "{notices:?}"
            );
        }
    }
}

#[test]
fn two_damaged_places_cost_two_records() {
    let spool = Spool::new();
    for (a, b) in [(0, 2), (1, 2), (2, 6), (0, 1)] {
        let mut bytes = spool.bytes.clone();
        bytes[spool.places[a] + 1] ^= 4;
        bytes[spool.places[b] + 9] ^= 4;
        let (left, damage) = spool.left(&bytes);
        assert_eq!(left.len(), RECORDS - 2, "{a} and {b}");
        assert!(!left.contains(&a) && !left.contains(&b));
        let named: Vec<_> = damage.iter().map(|d| d.records).collect();
        match (a, b) {
            (_, 6) => assert_eq!(named, [Some(1), None]),
            _ if b == a + 1 => assert_eq!(named, [Some(2)]),
            _ => assert_eq!(named, [Some(1), Some(1)]),
        }
    }
}

#[test]
fn a_reader_of_the_damage_goes_on_with_the_next_run_and_can_start_again_anywhere() {
    let spool = Spool::new();
    let mut bytes = spool.bytes.clone();
    bytes[spool.places[2] + 3] ^= 1;
    spool.put(&bytes);
    let mut next = writer(spool.dir.path(), [2; 16]);
    next.append(Event::End(Default::default()), Room::Reserved)
        .unwrap();
    next.sync().unwrap();
    let all = read(spool.dir.path());
    assert_eq!(all.len(), RECORDS + 1);
    for (n, item) in all.iter().enumerate() {
        let config = ReaderConfig {
            dir: spool.dir.path().into(),
            name: "again".into(),
            start: Some(item.position),
        };
        let again = Reader::open(config).unwrap().poll(1000).unwrap();
        let seen =
            |items: &[Item]| -> Vec<_> { items.iter().map(|i| i.envelope.clone()).collect() };
        assert_eq!(seen(&again), seen(&all[n..]));
    }
}

#[test]
fn segments_of_the_first_format_are_read() {
    let spool = Spool::new();
    let mut bytes = spool.bytes.clone();
    bytes[..8].copy_from_slice(b"MYSPOOL1");
    let crc = crc32c::crc32c(&bytes[..40]);
    bytes[40..44].copy_from_slice(&crc.to_le_bytes());
    for place in spool.places.windows(2) {
        let crc = crc32c::crc32c(&bytes[place[0] + 8..place[1]]);
        bytes[place[0] + 4..place[0] + 8].copy_from_slice(&crc.to_le_bytes());
    }
    let all: Vec<_> = (0..RECORDS).collect();
    assert_eq!(spool.left(&bytes), (all, vec![]));
    bytes[spool.places[1] + 2] ^= 1;
    let (left, damage) = spool.left(&bytes);
    assert_eq!((left.len(), damage[0].records), (RECORDS - 1, Some(1)));
}
