use super::*;
use crate::serve::fsm::Origin;

fn accepted(job: &str) -> Record {
    Record::Accepted {
        job: job.into(),
        origin: Origin::CoSigned,
        model: "m".into(),
        transaction: Some("t".into()),
        source: "http://g".into(),
        prompt_hash: "h".into(),
        prompt: Some(Prompt {
            ids: vec![1, 2],
            salt: "s".into(),
            stop: vec![],
            options: None,
        }),
        shared: true,
    }
}

fn steps(job: &str) -> Vec<Record> {
    let job = job.to_string();
    vec![
        accepted(&job),
        Record::Accepting {
            job: job.clone(),
            signature: "accept".into(),
        },
        Record::Claimed { job: job.clone() },
        Record::Handed {
            job: job.clone(),
            tokens: 3,
        },
        Record::Finished {
            job: job.clone(),
            tokens: 4,
        },
        Record::Submitted {
            job: job.clone(),
            signature: "sig".into(),
        },
        Record::Retired {
            job: job.clone(),
            keep: true,
        },
        Record::Fee { lamports: 5_000 },
        Record::Closed {
            job,
            earned_lamports: Some(9),
        },
    ]
}

#[test]
fn a_restart_after_any_record_finds_the_same_state() {
    let all = steps("a");
    for n in 0..=all.len() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        for record in &all[..n] {
            journal.append(record).unwrap();
        }
        let before = journal.state().clone();
        drop(journal);
        assert_eq!(
            *Journal::open(dir.path()).unwrap().state(),
            before,
            "after {n} records"
        );
    }
}

/// A journal of two accepted jobs: its directory, its bytes, and where the second record begins.
fn two() -> (tempfile::TempDir, Vec<u8>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    journal.append(&accepted("a")).unwrap();
    let first = journal.bytes as usize;
    journal.append(&accepted("b")).unwrap();
    drop(journal);
    let bytes = fs::read(dir.path().join(FILE)).unwrap();
    (dir, bytes, first)
}

fn jobs(bytes: &[u8]) -> Vec<String> {
    read(bytes).state.jobs.into_keys().collect()
}

#[test]
fn a_torn_tail_is_cut_at_every_byte() {
    let (dir, bytes, first) = two();
    for cut in first..bytes.len() {
        fs::write(dir.path().join(FILE), &bytes[..cut]).unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let jobs: Vec<_> = journal.state().jobs.keys().cloned().collect();
        assert_eq!(jobs, ["a"], "cut at {cut}");
    }
}

#[test]
fn a_tail_of_zeroes_is_a_write_that_was_cut_off() {
    let (dir, bytes, first) = two();
    for (kept, zeroes) in [(bytes.len(), 16), (bytes.len(), 4_096), (first + 5, 300)] {
        let mut file = bytes[..kept].to_vec();
        file.resize(kept + zeroes, 0);
        fs::write(dir.path().join(FILE), &file).unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let found = journal.state().jobs.len();
        assert_eq!(found, if kept == bytes.len() { 2 } else { 1 });
        let read = read(&file);
        assert!(read.damage.is_empty() && read.torn > 0);
    }
}

#[test]
fn a_flipped_bit_costs_one_record_which_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    let mut ends = vec![journal.bytes as usize];
    for job in ["a", "b", "c"] {
        journal.append(&accepted(job)).unwrap();
        ends.push(journal.bytes as usize);
    }
    drop(journal);
    let good = fs::read(dir.path().join(FILE)).unwrap();
    for bit in ends[0] * 8..ends[3] * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let hit = ends.iter().filter(|end| **end <= bit / 8).count();
        let left: Vec<_> = ["a", "b", "c"]
            .into_iter()
            .enumerate()
            .filter(|(i, _)| i + 1 != hit)
            .map(|(_, job)| job)
            .collect();
        let read = read(&bytes);
        let found: Vec<_> = read.state.jobs.keys().cloned().collect();
        assert_eq!(found, left, "bit {bit}");
        if hit < 3 {
            assert_eq!(read.damage.len(), 1, "bit {bit}");
        }
    }
    let mut bytes = good.clone();
    bytes[ends[1] + 60] ^= 1;
    assert!(read(&bytes).damage[0].2.contains("accepted"));
    fs::write(dir.path().join(FILE), &bytes).unwrap();
    drop(Journal::open(dir.path()).unwrap());
    assert_eq!(fs::read(dir.path().join("journal.damaged")).unwrap(), bytes);
}

#[test]
fn a_file_of_the_first_format_is_read() {
    let mut bytes = Vec::new();
    for job in ["a", "b"] {
        let body = serde_json::to_vec(&accepted(job)).unwrap();
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
    }
    assert_eq!(jobs(&bytes), ["a", "b"]);
    bytes[0] ^= 64;
    assert_eq!(jobs(&bytes), ["b"]);
    bytes.extend_from_slice(&[0; 16]);
    assert_eq!(jobs(&bytes), ["b"]);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), &bytes).unwrap();
    drop(Journal::open(dir.path()).unwrap());
    assert!(fs::read(dir.path().join(FILE)).unwrap().starts_with(MAGIC));
}

#[test]
fn two_nodes_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Journal::open(dir.path()).unwrap();
    assert!(matches!(
        Journal::open(dir.path()),
        Err(JournalError::Locked { .. })
    ));
}

#[test]
fn finished_jobs_leave_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(dir.path()).unwrap();
    let empty = journal.bytes;
    for i in 0..50 {
        for record in steps(&i.to_string()) {
            journal.append_soft(&record).unwrap();
        }
    }
    assert!(journal.bytes > empty * 50);
    drop(journal);
    let journal = Journal::open(dir.path()).unwrap();
    assert!(journal.bytes < empty + 32, "only the money is left");
    assert_eq!(journal.state().money.earned_lamports, 450);
    assert_eq!(journal.state().money.jobs_submitted, 50);
}

#[test]
fn net_per_job_is_unknown_before_the_first() {
    let mut money = Money {
        fees_lamports: 10_000,
        ..Money::default()
    };
    assert_eq!(money.net_per_job(), None);
    money.earned_lamports = 13_000;
    money.jobs_settled = 2;
    assert_eq!(money.net_per_job(), Some(1_500));
}
