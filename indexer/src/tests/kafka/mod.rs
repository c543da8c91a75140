//! The same index through a real broker: whatever happens to it, to the producers and to the indexers.

// A broker is one test's at a time, for as long as the test takes.
#![allow(clippy::await_holding_lock)]

mod chaos;
mod hostile;
mod passer;
mod relay;
mod same;

use std::time::{Duration, Instant};

use mythic_broker::Broker;
use mythic_kafka::Settings;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::postgres::Database;
use crate::{IndexerConfig, IndexerError, SourceKind, run};
use passer::Passer;

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(120);

fn settings(broker: &Broker, prefix: &str, partitions: u16) -> Settings {
    Settings {
        brokers: broker.plain(),
        topic_prefix: prefix.into(),
        partitions,
        replication: 1,
        ..Settings::default()
    }
}

fn config(db: &Database, dir: &std::path::Path, kafka: &Settings) -> IndexerConfig {
    let config = IndexerConfig {
        database_url: db.url.clone(),
        source: SourceKind::Kafka,
        kafka: Some(kafka.clone()),
        kafka_patience_s: 3,
        spill_dir: Some(dir.join("spill")),
        archive_dir: dir.join("archive"),
        metrics_addr: None,
        idle_linger_ms: 20,
        ..IndexerConfig::default()
    };
    config.validate().unwrap();
    config
}

type Task = JoinHandle<Result<(), IndexerError>>;

fn spawn(config: &IndexerConfig) -> (Task, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(run(config.clone(), stop.clone())), stop)
}

/// Waits until a query says this.
async fn until(db: &mut Database, sql: &str, wanted: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = match db.client.query(sql, &[]).await {
            Ok(_) => db.texts(sql).await,
            Err(_) => {
                db.reconnect().await;
                Vec::new()
            }
        };
        if found == wanted {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{sql}: {found:?}, not {wanted:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn rooted(db: &mut Database, slot: u64) {
    let sql = "SELECT finalized_slot FROM analytics.pipeline_status";
    until(db, sql, &[&format!("({slot})")]).await;
}
