//! What leaves the database: packs, files of the archive, blocks without content, what only operators read.

use std::path::Path;
use std::time::{Duration, Instant};

use super::chain::*;
use super::drain;
use super::postgres::Database;
use crate::archive::{Reader, Spans};
use crate::db::Session;
use crate::holder::Input;
use crate::projection::ARCHIVED;
use crate::upkeep::{Bounds, archive_step, roll_up, step};
use crate::{FileState, IndexerError, Swap, archive_files, archived_update, rebuild, rebuild_from};

const EPOCH: u64 = 432_000;

/// Everything that may go goes, in steps of a few rows.
fn bounds(dir: &Path) -> Bounds {
    Bounds {
        spans: Spans {
            dir: dir.into(),
            keep_slots: 0,
            file_bytes: 2_000,
        },
        pack_events: 5,
        unpacked_events: 3,
        recent_blocks: 2,
        batch: 3,
        feed_hours: 168,
        feed_events: 3,
        dead_letters: 2,
        alarms: 2,
        alarm_days: 90,
    }
}

/// Upkeep until there is nothing to do; `fail_after` stops it before that statement. Returns how many statements are left of it.
async fn keep_up(
    url: &str,
    bounds: &Bounds,
    fail_after: Option<usize>,
) -> Result<Option<usize>, IndexerError> {
    let mut session = Session::open(url, "upkeep").await?;
    let rows = session
        .query("SELECT epoch FROM pipeline.lease", &[])
        .await?;
    let epoch: i64 = rows[0].get(0);
    session.fail_after = fail_after;
    while step(&mut session, epoch, bounds).await?
        || archive_step(&mut session, epoch, bounds).await?
    {}
    Ok(session.fail_after)
}

/// All that the archive says, in order.
async fn archived(url: &str, dir: &Path) -> Vec<(i64, Input)> {
    let mut reader = Reader::open(url, "test", Some(dir)).await.unwrap();
    let mut all: Vec<(i64, Input)> = Vec::new();
    loop {
        let next = all.last().map_or(1, |(id, _)| id + 1);
        let more = reader.inputs(next).await.unwrap();
        if more.is_empty() {
            return all;
        }
        all.extend(more);
    }
}

/// Four epochs: a base, jobs and vaults, blocks without content, some with calls, a fork, skipped slots, all but the newest finalized.
fn four_epochs(chain: &mut Chain) {
    let mut parent = (0, 0);
    for epoch in 0..4 {
        for place in 1..=8 {
            let slot = epoch * EPOCH + place * 2;
            let life = Life {
                requested: 2,
                accepted: slot,
                ..Life::default()
            };
            let writes = match place {
                1 => vec![write(1, vault(slot, slot)), write(2, job(slot, life))],
                5 => vec![closed(3), write(4, vec![9; 3000])],
                _ => Vec::new(),
            };
            if place == 3 {
                chain.bank(slot, 9, parent, &[write(1, vault(slot + 1, 7))]);
            }
            let calls: &[Vec<u8>] = if place < 7 {
                &[vec![58], vec![place as u8; 40]]
            } else {
                &[]
            };
            match place {
                5..=7 => chain.called((slot, 0), parent, &writes, calls),
                _ => chain.bank(slot, 0, parent, &writes),
            }
            parent = (slot, 0);
            chain.confirm(slot, 0);
            if slot < 3 * EPOCH + 14 {
                chain.root(slot, 0);
            }
        }
    }
    chain.sync();
}

async fn made(name: &str, spool: &Path) -> (Database, Chain) {
    let db = Database::new(name).await;
    let base = [write(1, vault(1, 1)), write(3, vault(1, 3))];
    let mut chain = Chain::start(spool, 1, 0, &base);
    four_epochs(&mut chain);
    drain(&db.url, spool, 7, None).await.unwrap();
    untell(&db).await;
    (db, chain)
}

/// The feed does not tell of anything any more.
async fn untell(db: &Database) {
    db.client
        .batch_execute("DELETE FROM feed.entry; DELETE FROM feed.bank_topic")
        .await
        .unwrap();
}

const PARTITIONS: &str = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'archive.account'::regclass ORDER BY 1";

#[tokio::test]
async fn a_rebuild_from_files_packs_and_rows_equals_the_live_tables() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_equal", spool.path()).await;
    let before = archived(&db.url, files.path()).await;
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(
        db.texts(PARTITIONS).await,
        ["(archive.account_3)", "(archive.account_4)"]
    );
    let counts = "SELECT (SELECT count(*) > 2 FROM archive.file), (SELECT count(*) > 0 FROM archive.pack),
                         (SELECT count(*) > 0 FROM archive.event), (SELECT count(*) > 10 FROM projection_1.empty_slot)";
    assert_eq!(db.texts(counts).await, ["(t,t,t,t)"]);
    assert_eq!(archived(&db.url, files.path()).await, before);
    let report = rebuild_from(&db.url, files.path(), Swap::Always)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
    assert_eq!(report.events, before.len() as u64);
    // The rebuilt tables are rolled up too, and a writer goes on from them.
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
    drain(&db.url, spool.path(), 7, None).await.unwrap();
    let refused = rebuild(&db.url, Swap::Never).await.unwrap_err();
    assert!(
        refused.to_string().contains("say where they lie"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_crash_between_any_two_statements_of_the_upkeep_loses_nothing_and_reads_nothing_twice() {
    let spool = tempfile::tempdir().unwrap();
    let (db, _chain) = made("retention_crash", spool.path()).await;
    let files = tempfile::tempdir().unwrap();
    let before = archived(&db.url, files.path()).await;
    let bounds = bounds(files.path());
    let mut stops = 0;
    // Each try gets a little further than the one before, and is stopped in the middle of what it does.
    for patience in 0.. {
        let ended = keep_up(&db.url, &bounds, Some(patience)).await;
        // What a crash may leave of a file.
        let half = files.path().join("events-000000000000001.part");
        std::fs::write(half, b"half").unwrap();
        assert_eq!(
            archived(&db.url, files.path()).await,
            before,
            "patience {patience}"
        );
        match ended {
            Ok(_) => break,
            Err(IndexerError::Injected) => stops += 1,
            Err(e) => panic!("{e}"),
        }
    }
    assert!(stops > 20, "{stops}");
    assert_eq!(db.texts(PARTITIONS).await.len(), 2);
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
    assert_eq!(
        db.texts("SELECT count(*) FROM pipeline.alarm WHERE kind = 'archive'")
            .await,
        ["(0)"]
    );
}

#[tokio::test]
async fn a_file_that_is_damaged_or_missing_is_named_and_nothing_is_swapped() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_damaged", spool.path()).await;
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    let listed = archive_files(&db.url, files.path(), true).await.unwrap();
    assert!(listed.len() > 2 && listed.iter().all(|f| f.state == FileState::Good));
    let (second, path) = (&listed[1], &listed[1].path);
    let good = std::fs::read(path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(path, &bad).unwrap();
    let error = rebuild_from(&db.url, files.path(), Swap::Always)
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&path.display().to_string()), "{said}");
    assert!(
        said.contains("damaged") && said.contains(&second.sha256),
        "{said}"
    );
    std::fs::remove_file(path).unwrap();
    let error = rebuild_from(&db.url, files.path(), Swap::Always)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is missing"), "{error}");
    let listed = archive_files(&db.url, files.path(), false).await.unwrap();
    assert_eq!(listed[1].state, FileState::Missing);
    assert_eq!(
        db.texts("SELECT projection FROM pipeline.lease").await,
        ["(projection_1)"]
    );
    std::fs::write(path, good).unwrap();
    let report = rebuild_from(&db.url, files.path(), Swap::IfEqual)
        .await
        .unwrap();
    assert!(report.swapped);
}

#[tokio::test]
async fn files_that_can_not_be_written_are_an_alarm_and_everything_stays() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_unwritable", spool.path()).await;
    let place = files.path().join("archive");
    std::fs::write(&place, b"a file, no directory").unwrap();
    let error = keep_up(&db.url, &bounds(&place), None).await.unwrap_err();
    assert!(error.to_string().contains("archive_dir"), "{error}");
    let open = "SELECT kind, clears_itself FROM analytics.alarms WHERE cleared_at IS NULL";
    assert_eq!(db.texts(open).await, ["(archive,t)"]);
    assert_eq!(db.texts(PARTITIONS).await.len(), 5);
    std::fs::remove_file(&place).unwrap();
    keep_up(&db.url, &bounds(&place), None).await.unwrap();
    assert_eq!(db.texts(open).await, [""; 0]);
    assert_eq!(db.texts(PARTITIONS).await.len(), 2);
}

#[tokio::test]
async fn a_partition_goes_while_the_archive_is_read_and_written() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, mut chain) = made("retention_readers", spool.path()).await;
    // A dump reads the archive, for as long as it likes.
    let manner = mythic_postgres::Manner::named("dump");
    let (dump, _guard) = mythic_postgres::connect(&db.url, &manner).await.unwrap();
    dump.batch_execute(
        "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM archive.account",
    )
    .await
    .unwrap();
    let (url, kept) = (db.url.clone(), bounds(files.path()));
    let upkeep = tokio::spawn(async move { keep_up(&url, &kept, None).await });
    let deadline = Instant::now() + Duration::from_secs(60);
    while db
        .texts("SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
        .await
        != ["(1)"]
    {
        assert!(Instant::now() < deadline && !upkeep.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // While the detachment waits for the dump, the writer writes, and makes the partition of an epoch that it meets.
    let (slot, parent) = (3 * EPOCH + 16, 6 * EPOCH + 1);
    let began = Instant::now();
    chain.bank(parent, 0, (slot, 0), &[write(1, vault(99, 99))]);
    chain.sync();
    drain(&db.url, spool.path(), 7, None).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    // The dump sees what it saw.
    let rows = dump
        .query("SELECT count(*) FROM archive.account", &[])
        .await
        .unwrap();
    assert!(rows[0].get::<_, i64>(0) > 12);
    dump.batch_execute("COMMIT").await.unwrap();
    // It ends with the lease that the writer took.
    let ended = upkeep.await.unwrap();
    assert!(
        matches!(ended, Err(IndexerError::LeaseLost { .. })),
        "{ended:?}"
    );
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(
        db.texts(PARTITIONS).await,
        [
            "(archive.account_3)",
            "(archive.account_4)",
            "(archive.account_6)",
            "(archive.account_7)"
        ]
    );
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
}

#[tokio::test]
async fn a_block_that_comes_while_its_partition_goes_keeps_it() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_late_writer", spool.path()).await;
    // The writer is in the middle of a batch with a block of the first epoch.
    let manner = mythic_postgres::Manner::named("writer");
    let (batch, _guard) = mythic_postgres::connect(&db.url, &manner).await.unwrap();
    batch
        .batch_execute(
            "BEGIN;
             INSERT INTO archive.account SELECT (jsonb_populate_record(a, jsonb_build_object('slot', 9, 'bank', (SELECT max(id) + 1 FROM archive.event)))).*
               FROM archive.account a WHERE slot = 2 LIMIT 1;
             INSERT INTO archive.event SELECT (jsonb_populate_record(e, jsonb_build_object('slot', 9, 'id', (SELECT max(id) + 1 FROM archive.event)))).*
               FROM archive.event e WHERE kind = 3 AND slot = 2",
        )
        .await
        .unwrap();
    let (url, kept) = (db.url.clone(), bounds(files.path()));
    let upkeep = tokio::spawn(async move { keep_up(&url, &kept, None).await });
    // The partition was looked at, and its detachment waits for the batch.
    let deadline = Instant::now() + Duration::from_secs(60);
    while db
        .texts("SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
        .await
        != ["(1)"]
    {
        assert!(Instant::now() < deadline && !upkeep.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    batch.batch_execute("COMMIT").await.unwrap();
    upkeep.await.unwrap().unwrap();
    let partitions = db.texts(PARTITIONS).await;
    assert!(partitions.contains(&"(archive.account_0)".to_owned()));
    assert!(!partitions.contains(&"(archive.account_1)".to_owned()));
    let late = "SELECT count(*) FROM archive.account WHERE slot = 9";
    assert_eq!(db.texts(late).await, ["(1)"]);
    // One that was left between comes back as well.
    let half = "ALTER TABLE archive.account DETACH PARTITION archive.account_0";
    db.client.batch_execute(half).await.unwrap();
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(db.texts(late).await, ["(1)"]);
}

#[tokio::test]
async fn what_the_feed_still_tells_of_stays_where_it_reads_it() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_feed", spool.path()).await;
    // Two events of a block in the third epoch: of an update, and of the whole block.
    let bank = "INSERT INTO feed.entry (seq, topic, op, slot, bank, archive_slot, ordinal, first_seq, last_seq, count)
                SELECT e.seq, 'jobs', e.op, b.slot, b.bank, b.slot + e.ordinal, e.ordinal, e.first, e.first, e.first
                  FROM (VALUES (1, 'add', 0, NULL::int), (2, 'finalize', NULL, 1)) e(seq, op, ordinal, first),
                       projection_1.slot b WHERE b.slot = 864002 AND b.status = 3";
    db.client.batch_execute(bank).await.unwrap();
    let feed = "SELECT * FROM feed.event ORDER BY seq";
    let before = db.texts(feed).await;
    assert_eq!(before.len(), 2);
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(db.texts(feed).await, before);
    let filed =
        "SELECT count(*) > 0 FROM archive.file WHERE first_slot <= 864002 AND last_slot >= 864002";
    assert_eq!(db.texts(filed).await, ["(t)"]);
    assert_eq!(
        db.texts(PARTITIONS).await,
        [
            "(archive.account_2)",
            "(archive.account_3)",
            "(archive.account_4)"
        ]
    );
    // In files they are all the same.
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
    untell(&db).await;
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(
        db.texts(PARTITIONS).await,
        ["(archive.account_3)", "(archive.account_4)"]
    );
}

#[tokio::test]
async fn transactions_go_into_files_with_their_events_and_calls_that_come_late_find_a_block_that_was_rolled_up()
 {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, chain) = made("retention_calls", spool.path()).await;
    let calls =
        "SELECT slot, name, data FROM analytics.instruction_calls ORDER BY slot, name, data";
    let before = db.texts(calls).await;
    assert_eq!(before.len(), 16);
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(db.texts(calls).await, before);
    let kept = "SELECT count(*) > 0, min(event) > (SELECT max(last_event) FROM archive.file) FROM archive.transactions";
    assert_eq!(db.texts(kept).await, ["(t,t)"]);
    // Slot 14 was told to have no calls. A validator that starts again tells another one.
    let state =
        "SELECT (SELECT count(*) FROM projection_1.empty_slot WHERE slot = 14 AND calls = 1),
                        (SELECT count(*) FROM projection_1.slot WHERE slot = 14 AND calls = 2)";
    assert_eq!(db.texts(state).await, ["(1,0)"]);
    let shown = "SELECT slot, blockhash, parent_blockhash, at FROM analytics.banks WHERE slot = 14 ORDER BY bank LIMIT 1";
    let block = db.texts(shown).await;
    drop(chain);
    let mut chain = Chain::start(spool.path(), 2, 3 * EPOCH + 16, &[]);
    chain.called((14, 0), (12, 0), &[], &[vec![58]]);
    chain.sync();
    super::drain_from(&db.url, spool.path(), 7, files.path())
        .await
        .unwrap();
    assert_eq!(db.texts(state).await, ["(0,1)"]);
    assert_eq!(db.texts(shown).await, block);
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
}

#[tokio::test]
async fn calls_that_come_while_their_block_is_rolled_up_find_it_all_the_same() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, chain) = made("retention_calls_race", spool.path()).await;
    drop(chain);
    let mut chain = Chain::start(spool.path(), 2, 3 * EPOCH + 16, &[]);
    chain.called((14, 0), (12, 0), &[], &[vec![58]]);
    chain.sync();
    // The upkeep has taken the block out of its table and not committed yet.
    let mut upkeep = Session::open(&db.url, "upkeep").await.unwrap();
    upkeep.batch("BEGIN").await.unwrap();
    let all = Bounds {
        batch: 1_000,
        ..bounds(files.path())
    };
    roll_up(&mut upkeep, "projection_1", &all).await.unwrap();
    let reads = super::drain_from(&db.url, spool.path(), 7, files.path());
    let commits = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                        AND application_name = 'test' AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(60);
        while db.texts(waits).await != ["(1)"] {
            assert!(Instant::now() < deadline, "the writer waits for nobody");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        upkeep.batch("COMMIT").await.unwrap();
    };
    let (read, ()) = tokio::join!(reads, commits);
    read.unwrap();
    let state = "SELECT (SELECT count(*) FROM projection_1.empty_slot WHERE slot = 14),
                        (SELECT count(*) FROM projection_1.slot WHERE slot = 14 AND calls = 2)";
    assert_eq!(db.texts(state).await, ["(0,1)"]);
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
}

/// Everything an analyst reads of blocks and days.
async fn shown(db: &Database) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for sql in [
        "SELECT * FROM analytics.slots_processed ORDER BY slot, blockhash",
        "SELECT * FROM analytics.slots_confirmed ORDER BY slot, blockhash",
        "SELECT * FROM analytics.slots_finalized ORDER BY slot, blockhash",
        "SELECT * FROM analytics.banks ORDER BY bank",
        "SELECT * FROM dune.blocks ORDER BY block_slot",
        "SELECT * FROM dune.job_events ORDER BY block_slot, job, event",
        "SELECT * FROM analytics.network_daily_finalized ORDER BY day",
        "SELECT * FROM analytics.network",
        "SELECT * FROM analytics.instruction_calls_finalized ORDER BY slot, transaction_index",
        "SELECT * FROM analytics.slot_calls_processed ORDER BY slot, complete",
        "SELECT * FROM analytics.jobs ORDER BY id",
        "SELECT * FROM analytics.vault_balances ORDER BY slot, vault",
        "SELECT n, analytics.slot_at(to_timestamp(1800000000 + n * 432000)) FROM generate_series(-1, 4) n ORDER BY 1",
        "SELECT gaps_open, inexact_through, processed_slot, finalized_slot FROM analytics.pipeline_status",
    ] {
        all.push(db.texts(sql).await);
    }
    all
}

#[tokio::test]
async fn blocks_without_content_are_rolled_up_and_every_view_says_what_it_said() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_empty", spool.path()).await;
    let before = shown(&db).await;
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    let left = "SELECT count(*) FROM projection_1.slot WHERE status = 3 AND accounts = 0 AND COALESCE(calls, 1) = 1";
    assert_eq!(db.texts(left).await, ["(1)"], "of the newest three");
    assert_eq!(shown(&db).await, before);
    // A reader of the views needs no right to the tables.
    db.client
        .batch_execute("CREATE ROLE reader_of_slots; GRANT USAGE ON SCHEMA analytics, dune TO reader_of_slots;
             GRANT SELECT ON ALL TABLES IN SCHEMA analytics, dune TO reader_of_slots; SET ROLE reader_of_slots")
        .await
        .unwrap();
    assert_eq!(
        db.texts("SELECT * FROM analytics.banks ORDER BY bank")
            .await,
        before[3]
    );
    assert_eq!(
        db.texts("SELECT * FROM dune.blocks ORDER BY block_slot")
            .await,
        before[4]
    );
    db.client
        .batch_execute("RESET ROLE; DROP OWNED BY reader_of_slots; DROP ROLE reader_of_slots")
        .await
        .unwrap();
    // A list of blocks reads its first page alone, and a look-up by slot an index, in both tables.
    db.client
        .batch_execute("SET enable_seqscan = off; SET enable_sort = off")
        .await
        .unwrap();
    for sql in [
        "SELECT slot, at FROM analytics.slots_finalized ORDER BY slot DESC LIMIT 20",
        "SELECT slot, at FROM analytics.slots_finalized WHERE slot = 12",
        "SELECT * FROM dune.blocks WHERE block_date = '2027-01-15'",
    ] {
        let plan = db
            .client
            .query(&format!("EXPLAIN {sql}"), &[])
            .await
            .unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(
            !plan.contains("Seq Scan") && plan.contains("empty_slot"),
            "{sql}\n{plan}"
        );
    }
}

#[tokio::test]
async fn a_late_block_of_an_epoch_that_is_gone_is_archived_and_closed_by_a_base_in_a_file() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = Database::new("retention_late").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(1, vault(1, 1))]);
    chain.root(1, 0);
    // Blocks 2 and 3 are not seen. A validator that starts at 5 shows that account 2 does not exist any more.
    chain.bank(4, 0, (3, 0), &[]);
    chain.root(4, 0);
    chain.sync();
    drop(chain);
    let base = [write(1, vault(1, 1))];
    let mut chain = Chain::start(spool.path(), 2, 5, &base);
    chain.bank(6, 0, (5, 0), &[]);
    chain.root(6, 0);
    for epoch in 1..4 {
        let parent = if epoch == 1 {
            (6, 0)
        } else {
            ((epoch - 1) * EPOCH + 1, 0)
        };
        chain.bank(
            epoch * EPOCH + 1,
            0,
            parent,
            &[write(7, vault(epoch, epoch))],
        );
        chain.root(epoch * EPOCH + 1, 0);
    }
    chain.sync();
    drain(&db.url, spool.path(), 3, None).await.unwrap();
    untell(&db).await;
    let mut bounds = bounds(files.path());
    (bounds.pack_events, bounds.unpacked_events) = (2, 1);
    keep_up(&db.url, &bounds, None).await.unwrap();
    assert!(
        !db.texts(PARTITIONS)
            .await
            .contains(&"(archive.account_0)".to_owned())
    );
    // Now they come: 2 wrote an account that the base lacks.
    chain.bank(3, 0, (2, 0), &[]);
    chain.bank(
        2,
        0,
        (1, 0),
        &[write(2, vault(1, 2)), write(1, vault(1, 1))],
    );
    chain.sync();
    super::drain_from(&db.url, spool.path(), 3, files.path())
        .await
        .unwrap();
    assert!(
        db.texts(PARTITIONS)
            .await
            .contains(&"(archive.account_0)".to_owned())
    );
    assert_eq!(
        db.texts("SELECT encode(pubkey, 'hex') = repeat('02', 32), slot FROM projection_1.closure")
            .await,
        ["(t,5)"]
    );
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
    keep_up(&db.url, &bounds, None).await.unwrap();
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
}

#[tokio::test]
async fn what_only_operators_read_has_an_end() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_letters", spool.path()).await;
    let more = "INSERT INTO pipeline.dead_letter (bank, slot, ordinal, pubkey, reason)
                SELECT 1, 1, n, '', CASE WHEN n = 1 THEN 'refused by the database: x' ELSE 'unknown' END FROM generate_series(1, 9) n;
                INSERT INTO pipeline.alarm (kind, detail, cleared_at, last_slot) SELECT 'gap', n::text,
                    CASE WHEN n = 1 THEN now() - interval '91 days' WHEN n < 8 THEN now() END, 1 FROM generate_series(1, 9) n;
                INSERT INTO pipeline.heal_request (expires_at, state, changed_at) SELECT now(), s, now() - d * interval '1 day'
                    FROM unnest('{done,failed,waiting}'::text[]) s, unnest('{89,91}'::int[]) d";
    db.client.batch_execute(more).await.unwrap();
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    let kept = "SELECT bank, ordinal, reason FROM pipeline.dead_letter ORDER BY id";
    assert_eq!(
        db.texts(kept).await,
        [
            r#"(1,1,"refused by the database: x")"#,
            "(1,8,unknown)",
            "(1,9,unknown)"
        ]
    );
    let alarms = "SELECT detail FROM pipeline.alarm WHERE kind = 'gap' ORDER BY id";
    assert_eq!(db.texts(alarms).await, ["(6)", "(7)", "(8)", "(9)"]);
    let requests = "SELECT state, changed_at < now() - interval '90 days' FROM pipeline.heal_request ORDER BY 1, 2";
    assert_eq!(
        db.texts(requests).await,
        ["(done,f)", "(failed,f)", "(waiting,f)", "(waiting,t)"]
    );
}

/// Makes every parcel of the archive rows of one update each, as they were before there were parcels. Returns how many.
async fn unpack(db: &Database) -> usize {
    let parcels = format!("SELECT a.slot, a.bank, {ARCHIVED} FROM archive.account a");
    let parcels = db.client.query(&parcels, &[]).await.unwrap();
    let sql = "DELETE FROM archive.account";
    db.client.batch_execute(sql).await.unwrap();
    let mut rows = 0;
    for parcel in &parcels {
        let (slot, bank): (i64, i64) = (parcel.get("slot"), parcel.get("bank"));
        let first: i32 = parcel.get("first");
        for (ordinal, update) in (first..).zip(crate::state::accounts(parcel).unwrap()) {
            let (version, written) = (update.write_version as i64, update.slot as i64);
            db.client
                .execute(
                    "INSERT INTO archive.account (slot, bank, ordinal, write_version, account_slot, pubkey, owner, lamports, signature, data)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                    &[
                        &slot,
                        &bank,
                        &ordinal,
                        &version,
                        &written,
                        &&update.pubkey[..],
                        &&update.owner[..],
                        &&update.lamports.to_le_bytes()[..],
                        &update.signature.as_ref().map(|s| &s[..]),
                        &&update.data[..],
                    ],
                )
                .await
                .unwrap();
            rows += 1;
        }
    }
    rows
}

#[tokio::test]
async fn rows_of_an_older_database_are_read_like_parcels() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = Database::new("retention_rows").await;
    let base = [write(1, vault(1, 1)), write(3, vault(1, 3))];
    let mut chain = Chain::start(spool.path(), 1, 0, &base);
    four_epochs(&mut chain);
    drain(&db.url, spool.path(), 7, None).await.unwrap();
    let events = "SELECT * FROM feed.event ORDER BY seq";
    let (archive, feed, told) = (
        archived(&db.url, files.path()).await,
        db.texts(events).await,
        super::told(&db, "true").await,
    );
    assert!(unpack(&db).await > 10);
    assert_eq!(archived(&db.url, files.path()).await, archive);
    assert_eq!(db.texts(events).await, feed);
    assert_eq!(super::told(&db, "true").await, told);
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        [""; 0]
    );
    // What comes now is in parcels beside them, and all of it goes into files.
    chain.bank(
        3 * EPOCH + 18,
        0,
        (3 * EPOCH + 16, 0),
        &[write(9, vault(9, 9))],
    );
    chain.sync();
    drain(&db.url, spool.path(), 7, None).await.unwrap();
    let archive = archived(&db.url, files.path()).await;
    untell(&db).await;
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert_eq!(archived(&db.url, files.path()).await, archive);
    let rebuilt = rebuild_from(&db.url, files.path(), Swap::Never).await;
    assert_eq!(rebuilt.unwrap().different, [""; 0]);
}

#[tokio::test]
async fn the_bytes_of_a_dead_letter_are_had_again_from_the_database_and_from_a_file() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _chain) = made("retention_bytes", spool.path()).await;
    let letter = "SELECT bank, ordinal FROM pipeline.dead_letter ORDER BY id LIMIT 1";
    let row = db.client.query_one(letter, &[]).await.unwrap();
    let (bank, ordinal): (i64, i32) = (row.get(0), row.get(1));
    let get = || archived_update(&db.url, files.path(), bank, ordinal as u32);
    let before = get().await.unwrap().unwrap();
    assert_eq!((&before.data[..], before.pubkey), (&[9; 3000][..], [4; 32]));
    keep_up(&db.url, &bounds(files.path()), None).await.unwrap();
    assert!(
        !db.texts(PARTITIONS)
            .await
            .contains(&"(archive.account_0)".to_owned())
    );
    assert_eq!(get().await.unwrap().unwrap(), before);
    assert_eq!(
        archived_update(&db.url, files.path(), bank, 99)
            .await
            .unwrap(),
        None
    );
}

/// The table of docs/operator-guide.md that says what bounds each table: its names.
fn documented() -> std::collections::BTreeSet<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operator-guide.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let (_, section) = guide
        .split_once("## What is kept, and for how long")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert!(
            cells.len() == 4 && cells.iter().all(|cell| cell.len() > 2 || *cell == "–"),
            "{row}"
        );
        let names = cells[0].trim_start_matches("| ").split(", ");
        names
            .map(|name| name.trim_matches('`').to_owned())
            .collect::<Vec<_>>()
    })
    .collect()
}

#[tokio::test]
async fn every_table_of_every_schema_has_a_row_in_the_guide_that_says_what_bounds_it() {
    let db = Database::new("retention_guide").await;
    for owner in ["settler", "gateway"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../sql")
            .join(owner);
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|f| f.unwrap().path())
            .collect();
        files.sort();
        for file in files {
            let sql = std::fs::read_to_string(&file).unwrap();
            db.client.batch_execute(&sql).await.unwrap();
        }
        let list = format!("CREATE TABLE {owner}.migration ()");
        db.client.batch_execute(&list).await.unwrap();
    }
    // Partitions are of their table, and hot rows and overlays of their entity.
    let tables = db
        .client
        .query(
            "SELECT DISTINCT CASE WHEN n.nspname <> 'projection_1' THEN n.nspname || '.' || c.relname
                                  ELSE 'projection.' || regexp_replace(c.relname, '^.*_(hot|overlay)$', 'NAME_\\1') END
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema)'",
            &[],
        )
        .await
        .unwrap();
    let there: std::collections::BTreeSet<String> = tables.iter().map(|row| row.get(0)).collect();
    assert!(there.len() > 40);
    let documented = documented();
    let missing: Vec<_> = there.difference(&documented).collect();
    assert!(
        missing.is_empty(),
        "docs/operator-guide.md does not say what bounds {missing:?}"
    );
    let gone: Vec<_> = documented.difference(&there).collect();
    assert!(
        gone.is_empty(),
        "docs/operator-guide.md tells of tables that are not there: {gone:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_indexer_keeps_its_database_small_and_goes_on_writing() {
    let (spool, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, mut chain) = made("retention_running", spool.path()).await;
    // More than stays, of events and of blocks.
    let mut parent = (3 * EPOCH + 16, 0);
    for slot in 3 * EPOCH + 17..3 * EPOCH + 17 + 13_000 {
        chain.bank(slot, 0, parent, &[]);
        chain.confirm(slot, 0);
        chain.root(slot, 0);
        parent = (slot, 0);
    }
    chain.sync();
    let config = crate::IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.path().into(),
        reader: "test".into(),
        metrics_addr: None,
        archive_dir: files.path().into(),
        archive_keep_slots: 0,
        ..Default::default()
    };
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(crate::run(config, stop.clone()));
    let kept = "SELECT (SELECT count(*) < 40000 FROM archive.event), (SELECT count(*) FROM archive.file) > 0,
                       (SELECT count(*) FROM projection_1.empty_slot) > 4000, (SELECT max(finalized_slot) FROM projection_1.head)";
    let wanted = format!("(t,t,t,{})", parent.0);
    let deadline = Instant::now() + Duration::from_secs(120);
    while db.texts(kept).await != [wanted.as_str()] || db.texts(PARTITIONS).await.len() > 2 {
        assert!(
            Instant::now() < deadline && !task.is_finished(),
            "{:?}",
            db.texts(kept).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    task.await.unwrap().unwrap();
    let report = rebuild_from(&db.url, files.path(), Swap::Never)
        .await
        .unwrap();
    assert_eq!(report.different, [""; 0]);
}
