//! As many updates as go, for minutes: with checkpoints, autovacuum and tables that grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::json;

use super::work::{BEHIND, ROWS, VAULTS};
use super::{print, resident, start};
use crate::tests::chain::Chain;
use crate::tests::postgres::{Database, Server};

/// Slots that the spool is ahead of finality at most.
const AHEAD: u64 = BEHIND + 60;
/// The slowest of such spans is told too.
const SPAN: Duration = Duration::from_secs(10);

pub async fn sustained(server: &Arc<Server>, minutes: u64) {
    let db = Database::on(server.clone(), "sustained").await;
    let spool = tempfile::tempdir().unwrap();
    // Finalized slots; the highest number ends the chain.
    let done = Arc::new(AtomicU64::new(0));
    let (dir, seen) = (spool.path().to_owned(), done.clone());
    let chain = std::thread::spawn(move || {
        let mut chain = Chain::start(&dir, 1, 0, &[]);
        for slot in 1.. {
            let ahead = || slot > seen.load(Relaxed).saturating_add(AHEAD);
            while ahead() {
                std::thread::sleep(Duration::from_millis(5));
            }
            if seen.load(Relaxed) == u64::MAX {
                return;
            }
            VAULTS.tell(&mut chain, slot, ROWS);
        }
    });
    let (stop, task) = start(&db, spool.path());
    let finalized = async || {
        let sql = "SELECT finalized_slot FROM projection_1.head";
        let row = db.client.query_one(sql, &[]).await.unwrap();
        let slot: Option<i64> = row.get(0);
        slot.unwrap_or(0) as u64
    };
    // The first blocks are not counted: nothing is final yet.
    while finalized().await < BEHIND {
        assert!(!task.is_finished(), "the indexer ended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let first = finalized().await;
    let began = Instant::now();
    let (mut span, mut slowest, mut most) = ((began, first), f64::MAX, 0);
    while began.elapsed() < Duration::from_secs(60 * minutes) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = finalized().await;
        done.store(now, Relaxed);
        most = most.max(resident());
        if span.0.elapsed() >= SPAN {
            let rate = ((now - span.1) * ROWS) as f64 / span.0.elapsed().as_secs_f64();
            slowest = slowest.min(rate);
            span = (Instant::now(), now);
        }
        assert!(!task.is_finished(), "the indexer ended");
    }
    let (slots, seconds) = (finalized().await - first, began.elapsed().as_secs_f64());
    let size = db
        .texts("SELECT pg_database_size(current_database())")
        .await;
    print(
        "indexer_vaults_sustained".into(),
        json!({
            "ours": ((slots * ROWS) as f64 / seconds).round(), "slowest_10_s": slowest.round(), "unit": "updates/s",
            "seconds": seconds.round(), "updates": slots * ROWS, "resident_most_mib": most, "database_bytes": size[0].trim_matches(['(', ')']),
        }),
    );
    done.store(u64::MAX, Relaxed);
    stop.cancel();
    task.await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || chain.join().unwrap())
        .await
        .unwrap();
}
