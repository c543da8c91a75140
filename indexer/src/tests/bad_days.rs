//! What holds the indexer up has one name, wherever it is said.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use mythic_interface::PROGRAMS;
use mythic_stream::proto::{BaseEnd, Event, LossReason};
use mythic_stream::spool::{Reader, ReaderConfig, WriterConfig};
use tokio_util::sync::CancellationToken;

use super::chain::{Chain, vault, write};
use super::drain;
use super::postgres::{self, Database};
use crate::alarms::Kind;
use crate::error::Trouble;
use crate::holder::loss;
use crate::{IndexerConfig, run};

const GUIDE: &str = include_str!("../../../docs/operator-guide.md");

#[test]
fn every_word_of_a_fault_stands_in_the_guide() {
    let first_cells: Vec<&str> = GUIDE
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    let states = Trouble::ALL.map(Trouble::as_str);
    let brokers = mythic_kafka::Trouble::ALL.map(mythic_kafka::Trouble::as_str);
    let losses = LossReason::ALL.map(LossReason::word);
    let words = states.into_iter().chain(brokers).chain(losses);
    let words = words.chain(loss::ALL).chain(Kind::ALL.map(Kind::as_str));
    for word in words {
        let quoted = format!("`{word}`");
        assert!(
            first_cells.iter().any(|cell| cell.contains(&quoted)),
            "no row of a table begins with {quoted}"
        );
    }
}

/// Waits until the indexer says in the database that it waits for what begins with `word`, or that it works.
async fn says(db: &mut Database, word: Option<&str>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let row = db
            .client
            .query_opt(
                "SELECT working, error FROM pipeline.heartbeat WHERE process = 'indexer'",
                &[],
            )
            .await;
        match row {
            Ok(Some(row)) => {
                let error: Option<String> = row.get("error");
                assert_eq!(row.get::<_, bool>("working"), error.is_none());
                let said = error.as_deref().and_then(|e| e.split(':').next());
                if said == word {
                    return;
                }
            }
            Ok(None) => {}
            Err(_) => db.reconnect().await,
        }
        assert!(Instant::now() < deadline, "never said {word:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A port that nobody listens on.
pub(super) fn free_addr() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits until `/health` names this state.
pub(super) async fn shows(addr: SocketAddr, state: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut said = String::new();
    let wanted = format!(r#""state":"{state}""#);
    while !said.contains(&wanted) {
        assert!(Instant::now() < deadline, "never {state}: {said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        if let Ok(answer) = reqwest::get(format!("http://{addr}/health")).await {
            said = answer.text().await.unwrap_or_default();
        }
    }
}

/// Waits until a query says this.
async fn until(db: &Database, sql: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = db.texts(sql).await;
        if found == [wanted] {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const ROOT: &str = "SELECT finalized_slot FROM analytics.pipeline_status";

#[tokio::test]
async fn a_spool_that_is_not_there_is_waited_for_and_said() {
    let place = tempfile::tempdir().unwrap();
    let spool = place.path().join("spool");
    std::fs::write(&spool, "a file where a directory is to be").unwrap();
    let mut db = Database::new("spool_missing").await;
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.clone(),
        reader: "test".into(),
        lease_ttl_s: 5,
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(config, stop.clone()));
    says(&mut db, Some("spool_unreadable")).await;
    std::fs::remove_file(&spool).unwrap();
    let mut chain = Chain::start(&spool, 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.sync();
    says(&mut db, None).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_any_more_is_named_and_waited_for() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("read_only").await;
    let health = free_addr();
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.path().to_owned(),
        reader: "test".into(),
        metrics_addr: Some(health),
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(config, stop.clone()));
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.sync();
    until(&db, ROOT, "(1)").await;
    // As after a failover: who was the primary is a standby.
    let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'mythic%'";
    for sql in [
        "ALTER DATABASE read_only SET default_transaction_read_only = on",
        ended,
    ] {
        db.client.batch_execute(sql).await.unwrap();
    }
    shows(health, "database_read_only").await;
    chain.bank(2, 0, (1, 0), &[]);
    chain.root(2, 0);
    chain.sync();
    let sql = "ALTER DATABASE read_only RESET default_transaction_read_only";
    db.client.batch_execute(sql).await.unwrap();
    until(&db, ROOT, "(2)").await;
    shows(health, "working").await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

/// Slots of which each has a vault of its own balance.
fn banks(chain: &mut Chain, slots: std::ops::RangeInclusive<u64>) {
    let last = *slots.end();
    for slot in slots {
        chain.bank(slot, 0, (slot - 1, 0), &[write(2, vault(slot, slot))]);
    }
    chain.root(last, 0);
    chain.sync();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_dump_that_is_restored_shows_a_gap_where_the_spool_has_moved_on() {
    let spool = tempfile::tempdir().unwrap();
    let mut small = WriterConfig::new(spool.path());
    small.segment_bytes = 4 << 10;
    let mut chain = Chain::within(small, 1, &PROGRAMS);
    chain.push(Event::BaseEnd(BaseEnd::default()));
    let server = postgres::shared();
    let dumped = Database::on(server.clone(), "dumped").await;
    let url = dumped.url.clone();
    banks(&mut chain, 1..=3);
    drain(&url, spool.path(), 50, None).await.unwrap();
    until(&dumped, ROOT, "(3)").await;
    drop(dumped);
    postgres::copy(&server, "dumped", "restored").await;
    banks(&mut chain, 4..=40);
    drain(&url, spool.path(), 50, None).await.unwrap();
    let mut reader = Reader::open(ReaderConfig {
        dir: spool.path().into(),
        name: "test".into(),
        start: None,
    })
    .unwrap();
    let read = reader.poll(usize::MAX).unwrap();
    reader.ack(&read.last().unwrap().next).unwrap();
    chain.spool.reap().unwrap();
    banks(&mut chain, 41..=43);
    let restored = Database::at(server, "restored").await;
    let config = IndexerConfig {
        database_url: restored.url.clone(),
        spool_dir: spool.path().to_owned(),
        reader: "test".into(),
        metrics_addr: None,
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(config, stop.clone()));
    until(&restored, ROOT, "(43)").await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let gap = "SELECT kind, slot <= 4, last_slot > 30, cleared_at IS NULL FROM pipeline.alarm WHERE kind = 'gap'";
    assert_eq!(restored.texts(gap).await, ["(gap,t,t,t)"]);
    let shown = "SELECT balance, exact FROM analytics.vaults_finalized";
    let shown = restored.texts(shown).await;
    assert_eq!(shown, ["(43,t)"], "what was written after the gap is known");
    let open = "SELECT gaps_open > 0 FROM analytics.pipeline_status";
    assert_eq!(restored.texts(open).await, ["(t)"]);
}

#[tokio::test]
async fn a_role_that_may_not_make_schemas_is_told_what_it_needs() {
    let server = postgres::shared();
    let manner = mythic_postgres::Manner::named("test");
    let admin = mythic_postgres::connect(&server.url("postgres"), &manner).await;
    let (admin, _guard) = admin.unwrap();
    for sql in ["CREATE DATABASE rightless", "CREATE ROLE rightless LOGIN"] {
        admin.batch_execute(sql).await.unwrap();
    }
    let config = IndexerConfig {
        database_url: server
            .url("rightless")
            .replace("user=mythic", "user=rightless"),
        metrics_addr: None,
        ..IndexerConfig::default()
    };
    let refused = run(config, CancellationToken::new()).await.unwrap_err();
    assert_eq!(refused.trouble(), Trouble::DatabaseRefuses);
    let refused = refused.to_string();
    for part in [
        "permission denied for database rightless",
        "database_url",
        "schema pipeline",
        "GRANT CREATE ON DATABASE",
    ] {
        assert!(refused.contains(part), "{refused}");
    }
}
