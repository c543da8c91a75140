//! Who writes, for how long, and what is cleared away meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chain::*;
use super::postgres::Database;
use crate::db::Session;
use crate::holder::Input;
use crate::lease::{self, Keeper};
use crate::plan::Reached;
use crate::telemetry::Telemetry;
use crate::writer::{Mode, Step, Writer};
use crate::{IndexerConfig, IndexerError, run};

fn step() -> Step {
    let at = mythic_stream::spool::Position {
        run: [1; 16],
        segment: 1,
        offset: 1,
        seq: 1,
    };
    Step {
        producer: "test".into(),
        input: Input::RunEnd { run: [1; 16] },
        reached: Some(Reached {
            resume: at,
            applied: at,
        }),
        places: None,
    }
}

async fn writer(session: Session, epoch: i64) -> Writer {
    let mode = Mode::Live { epoch };
    Writer::open(session, "projection_1", mode).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_longer_than_the_lease_is_not_a_dead_indexer() {
    let db = Database::new("lease_long").await;
    let ttl = Duration::from_secs(5);
    db.client
        .batch_execute(
            "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(11); RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON archive.event EXECUTE FUNCTION public.slow()",
        )
        .await
        .unwrap();
    let mut first = Session::open(&db.url, "first").await.unwrap();
    let mut rival = lease::Rival::default();
    let held = lease::acquire(&mut first, ttl, &mut rival).await.unwrap();
    let keeper = Keeper::spawn(db.url.clone(), held.epoch, ttl, Telemetry::new().unwrap());
    let mut first = writer(first, held.epoch).await;
    let long = tokio::spawn(async move { first.apply(vec![step()]).await.map(|_| first) });
    let mut standby = Session::open(&db.url, "standby").await.unwrap();
    let leap = async |to: &str| {
        let sql = format!("UPDATE pipeline.renewal SET renewed_at = now() {to} interval '2 days'");
        db.client.execute(&sql, &[]).await.unwrap();
    };
    let mut tries = 0;
    while !long.is_finished() {
        match tries {
            // As if the clock of the database had leapt, and back.
            5 => leap("-").await,
            10 => leap("+").await,
            _ => {}
        }
        let refused = lease::acquire(&mut standby, ttl, &mut rival).await;
        assert!(
            matches!(refused, Err(IndexerError::LeaseHeld { .. })),
            "{refused:?}"
        );
        tries += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(tries > 5, "{tries}");
    let first = long.await.unwrap().unwrap();
    assert_eq!(db.texts("SELECT epoch FROM pipeline.lease").await, ["(1)"]);
    // Whoever says nothing any more is replaced, though its connection stands.
    drop(keeper);
    leap("+").await;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match lease::acquire(&mut standby, ttl, &mut rival).await {
            Ok(lease) => break assert_eq!(lease.epoch, 2),
            Err(IndexerError::LeaseHeld { .. }) => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            Err(e) => panic!("{e}"),
        }
        assert!(Instant::now() < deadline);
    }
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stand_by_whose_connection_breaks_again_and_again_takes_over_all_the_same() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("lease_flaky").await;
    // It holds the lease, and says nothing.
    let mut dead = Session::open(&db.url, "dead").await.unwrap();
    let mut rival = lease::Rival::default();
    let ttl = Duration::from_secs(5);
    lease::acquire(&mut dead, ttl, &mut rival).await.unwrap();
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.path().to_owned(),
        reader: "test".into(),
        lease_ttl_s: ttl.as_secs(),
        metrics_addr: None,
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(config, stop.clone()));
    // No connection of the stand-by lasts as long as the lease.
    let broken = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'mythic indexer' AND backend_start < now() - interval '1 second'";
    let deadline = Instant::now() + Duration::from_secs(120);
    while db.texts("SELECT epoch FROM pipeline.lease").await == ["(1)"] {
        assert!(Instant::now() < deadline, "it never takes over");
        db.texts(broken).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.cancel();
    task.await.unwrap().unwrap();
    drop(dead);
}

#[tokio::test(flavor = "multi_thread")]
async fn feed_retention_goes_on_until_nothing_is_old() {
    let db = Database::new("lease_trim").await;
    db.client
        .batch_execute(
            "INSERT INTO feed.entry (seq, topic, op, slot, bank, archive_slot, ordinal, at)
             SELECT n, 'jobs', 'add', 1, 1, 1, n, now() - interval '30 days' FROM generate_series(1, 25000) n;
             UPDATE feed.counter SET next = 25001",
        )
        .await
        .unwrap();
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.sync();
    let (task, stop) = running(&db, spool.path());
    eventually(&db, "SELECT oldest FROM feed.counter", &["(25001)"]).await;
    assert_eq!(db.texts("SELECT count(*) FROM feed.entry").await, ["(0)"]);
    stop.cancel();
    task.await.unwrap().unwrap();
}

type Running = (JoinHandle<Result<(), IndexerError>>, CancellationToken);

/// An indexer that follows this spool into this database.
fn running(db: &Database, spool: &Path) -> Running {
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.into(),
        reader: "test".into(),
        batch_updates: 1,
        metrics_addr: None,
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    (tokio::spawn(run(config, stop.clone())), stop)
}

/// Waits until a query says what is wanted.
async fn eventually(db: &Database, sql: &str, wanted: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = db.texts(sql).await;
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feed_retention_goes_on_while_batches_wait() {
    let db = Database::new("lease_trim_busy").await;
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let banks = 600;
    for slot in 1..=banks {
        chain.bank(slot, 0, (slot - 1, 0), &[write(2, vault(slot, slot))]);
    }
    chain.root(banks, 0);
    chain.sync();
    // Each batch takes its time, and the next one waits by then. None is through before there are old events, and the last one, which
    // roots, not before it was looked.
    db.client
        .batch_execute(
            "SELECT pg_advisory_lock(7);
             CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM pg_sleep(0.05);
                 IF EXISTS (SELECT FROM archive.event WHERE kind = 6) THEN PERFORM pg_advisory_xact_lock_shared(7); END IF;
                 RETURN NULL; END $$;
             CREATE TRIGGER slow AFTER INSERT ON archive.event EXECUTE FUNCTION public.slow();
             INSERT INTO feed.entry (seq, topic, op, slot, bank, archive_slot, ordinal, at)
             SELECT n, 'jobs', 'add', 1, 1, 1, n, now() - interval '30 days' FROM generate_series(1, 150000) n;
             UPDATE feed.counter SET next = 150001",
        )
        .await
        .unwrap();
    let (task, stop) = running(&db, spool.path());
    eventually(&db, "SELECT oldest FROM feed.counter", &["(150001)"]).await;
    assert_eq!(
        db.texts("SELECT count(*) FROM feed.entry WHERE seq <= 150000")
            .await,
        ["(0)"]
    );
    // The writer has had something to do all the time.
    let busy = "SELECT processed_slot > 1, finalized_slot = 0 FROM analytics.pipeline_status";
    eventually(&db, busy, &["(t,t)"]).await;
    db.client
        .batch_execute("SELECT pg_advisory_unlock(7); DROP TRIGGER slow ON archive.event")
        .await
        .unwrap();
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upkeep_that_fails_is_an_alarm_until_it_works_again() {
    let db = Database::new("lease_upkeep").await;
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.sync();
    db.client
        .batch_execute(
            "INSERT INTO feed.entry (seq, topic, op, slot, bank, archive_slot, ordinal, at)
             VALUES (1, 'jobs', 'add', 1, 1, 1, 1, now() - interval '30 days');
             UPDATE feed.counter SET next = 2;
             CREATE FUNCTION public.refuses() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RAISE EXCEPTION 'permission denied' USING ERRCODE = '42501'; END $$;
             CREATE TRIGGER refuses BEFORE DELETE ON feed.entry EXECUTE FUNCTION public.refuses()",
        )
        .await
        .unwrap();
    let (task, stop) = running(&db, spool.path());
    let alarms = "SELECT kind, count, clears_itself, detail, cleared_reason FROM analytics.alarms";
    let raised = r#"upkeep,1,t,"database_refuses: database: permission denied (42501)""#;
    eventually(&db, alarms, &[&format!("({raised},)")]).await;
    db.client
        .batch_execute("DROP TRIGGER refuses ON feed.entry")
        .await
        .unwrap();
    let cleared = format!(r#"({raised},"the upkeep does its work again")"#);
    eventually(&db, alarms, &[&cleared]).await;
    assert_eq!(db.texts("SELECT oldest FROM feed.counter").await, ["(2)"]);
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_feed_says_from_which_slot_on_it_needs_the_archive() {
    let db = Database::new("feed_needs").await;
    assert_eq!(db.texts("SELECT feed.oldest_slot()").await, ["()"]);
    let spool = tempfile::tempdir().unwrap();
    let accepted = |slot| Life {
        requested: 1,
        accepted: slot,
        ..Life::default()
    };
    let base = [write(1, validator(1, 5, "x"))];
    let mut chain = Chain::start(spool.path(), 1, 2, &base);
    chain.bank(3, 0, (2, 0), &[write(3, job(1, accepted(3)))]);
    chain.root(3, 0);
    chain.bank(4, 0, (3, 0), &[write(3, job(2, accepted(4)))]);
    chain.sync();
    super::drain(&db.url, spool.path(), 1, None).await.unwrap();
    let dangling = "SELECT count(*) FROM feed.entry e WHERE ordinal IS NOT NULL AND NOT EXISTS (
        SELECT FROM archive.account a WHERE (a.slot, a.bank) = (e.archive_slot, e.bank)
           AND e.ordinal >= a.ordinal AND e.ordinal < a.ordinal + a.updates)";
    assert_eq!(db.texts(dangling).await, ["(0)"]);
    let told = db
        .texts(
            "SELECT op, slot, archive_slot FROM feed.entry WHERE ordinal IS NOT NULL ORDER BY seq",
        )
        .await;
    assert_eq!(told, ["(add,3,3)", "(finalize,2,2)", "(add,4,4)"]);
    for (gone, oldest) in [
        ("archive_slot = 2", "(3)"),
        ("slot = 3", "(4)"),
        ("true", "()"),
    ] {
        let sql = format!("DELETE FROM feed.entry WHERE {gone}");
        db.client.batch_execute(&sql).await.unwrap();
        assert_eq!(db.texts("SELECT feed.oldest_slot()").await, [oldest]);
    }
}

#[tokio::test]
async fn a_partition_is_made_before_it_is_needed_while_the_archive_is_read() {
    let db = Database::new("lease_partition").await;
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 1))]);
    chain.sync();
    super::drain(&db.url, spool.path(), 1, None).await.unwrap();
    let made = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'archive.account'::regclass ORDER BY 1";
    assert_eq!(
        db.texts(made).await,
        ["(archive.account_0)", "(archive.account_1)"]
    );
    // A dump or a rebuild reads the archive for as long as it likes.
    let (reader, _guard) =
        mythic_postgres::connect(&db.url, &mythic_postgres::Manner::named("reader"))
            .await
            .unwrap();
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM archive.account")
        .await
        .unwrap();
    chain.bank(432_000, 0, (1, 0), &[write(2, vault(2, 2))]);
    chain.sync();
    let drained = super::drain(&db.url, spool.path(), 1, None);
    tokio::time::timeout(Duration::from_secs(60), drained)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        db.texts(made).await,
        [
            "(archive.account_0)",
            "(archive.account_1)",
            "(archive.account_2)"
        ]
    );
}
