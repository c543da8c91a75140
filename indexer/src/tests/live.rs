//! The service as a process would run it: killed, restarted, with a database that goes away.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bad_days::{free_addr, shows};
use super::chain::*;
use super::drain;
use super::postgres::{Database, Server};
use crate::{IndexerConfig, IndexerError, Swap, hash_tables, rebuild, run};

fn config(db: &Database, spool: &std::path::Path) -> IndexerConfig {
    IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.to_owned(),
        reader: "test".into(),
        idle_linger_ms: 20,
        ..IndexerConfig::default()
    }
}

fn spawn(config: &IndexerConfig) -> (JoinHandle<Result<(), IndexerError>>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(run(config.clone(), stop.clone())), stop)
}

/// Waits until the root is at `slot`.
async fn rooted(db: &mut Database, slot: u64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = db
            .client
            .query_one("SELECT finalized_slot FROM analytics.pipeline_status", &[])
            .await;
        match found {
            Ok(row) if row.get::<_, Option<i64>>(0) == Some(slot as i64) => return,
            Err(_) => db.reconnect().await,
            Ok(_) => {}
        }
        assert!(Instant::now() < deadline, "not rooted to {slot}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A validator that makes `slots` slots with jobs, forks and closures, in real time, on a thread.
pub(super) fn produce(
    dir: PathBuf,
    slots: u64,
    seed: u64,
    pause: Duration,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut random = StdRng::seed_from_u64(seed);
        let mut chain = Chain::start(&dir, 1, 0, &[]);
        let mut chain_of: Vec<(u64, u8)> = vec![(0, 0)];
        for slot in 1..=slots {
            let tip = chain_of[chain_of.len() - 1];
            let writes: Vec<Write> = (0..random.random_range(0..6))
                .map(|_| {
                    let key = random.random_range(1..12u8);
                    match random.random_range(0..5) {
                        0 => closed(key),
                        1 => write(key, vault(slot, random.random_range(0..1000))),
                        _ => {
                            let accepted = if slot % 2 == 0 { slot } else { 0 };
                            write(
                                key,
                                job(
                                    slot,
                                    Life {
                                        requested: slot,
                                        accepted,
                                        ..Life::default()
                                    },
                                ),
                            )
                        }
                    }
                })
                .collect();
            if random.random_bool(0.2) && chain_of.len() > 2 {
                // A bank that nobody builds on.
                let parent = chain_of[chain_of.len() - 2];
                chain.bank(slot, 9, parent, &writes);
            } else {
                chain.bank(slot, 0, tip, &writes);
                chain_of.push((slot, 0));
            }
            if chain_of.len() > 4 {
                let (confirmed, rooted) =
                    (chain_of[chain_of.len() - 2], chain_of[chain_of.len() - 4]);
                chain.confirm(confirmed.0, confirmed.1);
                chain.root(rooted.0, rooted.1);
            }
            chain.sync();
            std::thread::sleep(pause);
        }
        let last = chain_of[chain_of.len() - 1];
        chain.bank(slots + 1, 0, last, &[]);
        chain.root(slots + 1, 0);
        chain.sync();
    })
}

/// The tables and the feed of an undisturbed run over the same spool.
pub(super) async fn undisturbed(
    server: Arc<Server>,
    name: &str,
    spool: &std::path::Path,
) -> Vec<String> {
    let db = Database::on(server, name).await;
    drain(&db.url, spool, 50, None).await.unwrap();
    content(&db).await
}

pub(super) async fn content(db: &Database) -> Vec<String> {
    let schema = db.texts("SELECT projection FROM pipeline.lease").await[0]
        .trim_matches(['(', ')'])
        .to_owned();
    let tables = hash_tables(&db.client, &schema).await.unwrap();
    let mut out: Vec<String> = tables
        .into_iter()
        .map(|(name, hash)| format!("{name} {hash:?}"))
        .collect();
    for sql in [
        "SELECT seq, topic, op, entity, slot, blockhash, commitment, payload FROM feed.event ORDER BY seq",
        "SELECT * FROM archive.account ORDER BY bank, ordinal",
    ] {
        out.extend(db.texts(sql).await);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_resumed_at_any_moment_it_counts_everything_once() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let spool = tempfile::tempdir().unwrap();
    let mut db = Database::new("killed").await;
    let config = config(&db, spool.path());
    let producer = produce(spool.path().to_owned(), 150, seed, Duration::from_millis(8));
    while !producer.is_finished() {
        let (task, _stop) = spawn(&config);
        tokio::time::sleep(Duration::from_millis(random.random_range(20..250))).await;
        task.abort();
        assert!(
            task.await.is_err_and(|e| e.is_cancelled()),
            "it ran until it was killed"
        );
    }
    let (task, stop) = spawn(&config);
    rooted(&mut db, 151).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let seqs = db
        .texts("SELECT count(*) = max(seq), count(*) > 100 FROM feed.event")
        .await;
    assert_eq!(seqs, ["(t,t)"], "no number is missing");
    let expected = undisturbed(super::postgres::shared(), "killed_expected", spool.path()).await;
    assert_eq!(content(&db).await, expected, "seed {seed}");
}

/// A port that leads to the socket which is named last.
async fn relay(to: PathBuf) -> (u16, watch::Sender<PathBuf>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, place) = watch::channel(to);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let place = place.borrow().clone();
            tokio::spawn(async move {
                if let Ok(mut far) = UnixStream::connect(place).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    (port, sender)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_restarts_is_waited_for_and_one_that_moves_is_followed() {
    let spool = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start());
    let mut db = Database::on(server.clone(), "restarted").await;
    let (port, place) = relay(server.socket()).await;
    let health = free_addr();
    let config = IndexerConfig {
        database_url: format!(
            "host=127.0.0.1 port={port} user=mythic dbname=restarted sslmode=disable"
        ),
        metrics_addr: Some(health),
        ..config(&db, spool.path())
    };
    let (task, stop) = spawn(&config);
    let producer = produce(spool.path().to_owned(), 80, 7, Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(250)).await;
    server.restart();
    tokio::time::sleep(Duration::from_millis(250)).await;
    server.stop();
    shows(health, "database_away").await;
    server.start_elsewhere();
    shows(health, "database_away").await;
    place.send(server.socket()).unwrap();
    shows(health, "working").await;
    db.url = server.url("restarted");
    rooted(&mut db, 81).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    producer.join().unwrap();
    let expected = undisturbed(server, "restarted_expected", spool.path()).await;
    assert_eq!(content(&db).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_swaps_under_a_running_indexer() {
    let spool = tempfile::tempdir().unwrap();
    let mut db = Database::new("swapped").await;
    let (task, stop) = spawn(&config(&db, spool.path()));
    let producer = produce(spool.path().to_owned(), 100, 3, Duration::from_millis(8));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!((report.different, report.swapped), (Vec::new(), true));
    rooted(&mut db, 101).await;
    producer.join().unwrap();
    stop.cancel();
    task.await.unwrap().unwrap();
    let expected = undisturbed(super::postgres::shared(), "swapped_expected", spool.path()).await;
    assert_eq!(content(&db).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_indexer_goes_on_while_a_rebuild_compares_and_no_second_rebuild_begins() {
    let spool = tempfile::tempdir().unwrap();
    let mut db = Database::new("compared").await;
    let (task, stop) = spawn(&config(&db, spool.path()));
    produce(spool.path().to_owned(), 60, 3, Duration::ZERO)
        .join()
        .unwrap();
    rooted(&mut db, 61).await;
    // The comparison waits for this table, to which nothing is written.
    let manner = mythic_postgres::Manner::named("other");
    let (other, _guard) = mythic_postgres::connect(&db.url, &manner).await.unwrap();
    let held = "BEGIN; LOCK TABLE projection_1.instruction_role IN ACCESS EXCLUSIVE MODE";
    other.batch_execute(held).await.unwrap();
    let url = db.url.clone();
    let rebuilding = tokio::spawn(async move { rebuild(&url, Swap::IfEqual).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name = 'mythic rebuild' AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(60);
    while db.texts(waits).await != ["(1)"] {
        assert!(Instant::now() < deadline && !rebuilding.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = rebuild(&db.url, Swap::Never).await.unwrap_err();
    assert!(second.to_string().contains("rebuild"), "{second}");
    let mut chain = Chain::start(spool.path(), 2, 61, &[]);
    chain.bank(62, 0, (61, 0), &[write(3, vault(62, 1))]);
    chain.root(62, 0);
    chain.sync();
    rooted(&mut db, 62).await;
    other.batch_execute("COMMIT").await.unwrap();
    let report = rebuilding.await.unwrap().unwrap();
    assert_eq!((report.different, report.swapped), (Vec::new(), true));
    rooted(&mut db, 62).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let expected = undisturbed(super::postgres::shared(), "compared_expected", spool.path()).await;
    assert_eq!(content(&db).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_the_largest_number_of_each_batch() {
    use futures::StreamExt;
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("notified").await;
    let (client, mut connection) = tokio_postgres::connect(&db.url, tokio_postgres::NoTls)
        .await
        .unwrap();
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = futures::stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let tokio_postgres::AsyncMessage::Notification(n) = message {
                let _ = sender.send((n.payload().to_owned(), Instant::now()));
            }
        }
    });
    client.batch_execute("LISTEN mythic_feed").await.unwrap();
    let (task, stop) = spawn(&config(&db, spool.path()));
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(
            3,
            job(
                1,
                Life {
                    requested: 1,
                    ..Life::default()
                },
            ),
        )],
    );
    chain.sync();
    let (first, _) = tokio::time::timeout(Duration::from_secs(60), heard.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first, "1");
    let mut worst = Duration::ZERO;
    for slot in 2..30 {
        let sealed = Instant::now();
        chain.bank(
            slot,
            0,
            (slot - 1, 0),
            &[write(
                3,
                job(
                    slot,
                    Life {
                        requested: 1,
                        accepted: slot,
                        ..Life::default()
                    },
                ),
            )],
        );
        chain.sync();
        let (_, at) = tokio::time::timeout(Duration::from_secs(60), heard.recv())
            .await
            .unwrap()
            .unwrap();
        worst = worst.max(at.duration_since(sealed));
    }
    eprintln!("slowest of 28 seals to notification: {worst:?}");
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_chain_is_refused() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("other_chain").await;
    db.client
        .execute(
            "INSERT INTO pipeline.chain (genesis_hash) VALUES ($1)",
            &[&&[1u8; 32][..]],
        )
        .await
        .unwrap();
    drop(Chain::start(spool.path(), 1, 0, &[]));
    let (task, _stop) = spawn(&config(&db, spool.path()));
    let refused = tokio::time::timeout(Duration::from_secs(60), task)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(refused, IndexerError::OtherChain { .. }),
        "{refused}"
    );
    assert!(refused.to_string().contains("--reset"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_was_replaced_is_read_from_its_beginning() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("replaced_spool").await,
    );
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    drop(chain);
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let fresh = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(fresh.path(), 2, 1, &[write(2, vault(1, 100))]);
    chain.bank(2, 0, (1, 0), &[write(2, vault(2, 70))]);
    chain.root(2, 0);
    chain.sync();
    let mut db = db;
    let (task, stop) = spawn(&config(&db, fresh.path()));
    rooted(&mut db, 2).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(
        db.texts("SELECT balance, exact FROM analytics.vaults_finalized")
            .await,
        ["(70,t)"]
    );
    assert_eq!(
        db.texts("SELECT gaps_open FROM analytics.pipeline_status")
            .await,
        ["(0)"]
    );
}
