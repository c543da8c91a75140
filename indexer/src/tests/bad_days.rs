//! What holds the indexer up has one name, wherever it is said.

use std::time::{Duration, Instant};

use mythic_stream::proto::LossReason;
use tokio_util::sync::CancellationToken;

use super::chain::Chain;
use super::postgres::Database;
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
