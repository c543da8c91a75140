//! How long the questions of the query book take; `make bench-analyst`. One JSON line a question, the second run of each.
//! The server runs with the settings of the indexer's benchmark, without JIT.

use std::sync::Arc;
use std::time::Instant;

use super::book::{as_analyst, questions};
use super::world::World;
use super::{BATCH, write};
use crate::tests::postgres::{Database, Server};

#[tokio::test]
#[ignore = "a benchmark: a million jobs take twenty minutes to write"]
async fn analyst_times() {
    let jobs = std::env::var("MYTHIC_BENCH_JOBS").map_or(1_000_000, |n| {
        n.parse().expect("MYTHIC_BENCH_JOBS is a number")
    });
    let db = Database::on(Arc::new(Server::start()), "analyst").await;
    let started = Instant::now();
    let mut world = World::new(jobs, 1);
    db.client
        .batch_execute("SET statement_timeout = 0")
        .await
        .unwrap();
    write(&db, &mut world, BATCH, false).await;
    db.client.batch_execute("VACUUM").await.unwrap();
    eprintln!(
        "{jobs} jobs written in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    as_analyst(&db).await;
    for (name, sql) in questions() {
        let mut took = 0.0;
        for _ in 0..2 {
            let started = Instant::now();
            db.client
                .query(&sql, &[])
                .await
                .unwrap_or_else(|e| panic!("{name}: {e:?}"));
            took = started.elapsed().as_secs_f64() * 1_000.0;
        }
        println!(
            "{}",
            serde_json::json!({"figure": format!("analyst_{name}"), "ours": took.round(), "jobs": jobs, "unit": "ms"})
        );
    }
}
