//! How long the questions of the query book take, and others that analysts ask; `make bench-analyst`. One JSON line a question: what
//! `EXPLAIN (ANALYZE, TIMING OFF)` says of its second run. The server runs with the settings of the indexer's benchmark, without JIT.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};

use super::book::{as_analyst, questions};
use super::plans::{explained, rows_in};
use super::world::{START, World};
use super::{BATCH, SCHEMA, write};
use crate::tests::postgres::{Database, Server};

/// Jobs that are written as the indexer writes them; more are copies of them.
const WRITTEN: u64 = 20_000;
/// Ten days.
const SPAN: i64 = 864_000;

/// Questions that the book does not ask, because there is a better way, or that a tool asks.
const OTHERS: [(&str, &str); 10] = [
    (
        "one_job_by_key",
        "SELECT * FROM analytics.jobs WHERE id_key = (SELECT id_key FROM analytics.jobs_finalized ORDER BY requested_slot DESC LIMIT 1)",
    ),
    (
        "newest_finalized",
        "SELECT * FROM analytics.jobs_finalized ORDER BY requested_slot DESC LIMIT 20",
    ),
    (
        "newest_settlements",
        "SELECT * FROM analytics.settlements ORDER BY ended_slot DESC LIMIT 20",
    ),
    (
        "newest_events",
        "SELECT * FROM analytics.job_events ORDER BY slot DESC LIMIT 20",
    ),
    (
        "newest_calls",
        "SELECT * FROM analytics.instruction_calls ORDER BY slot DESC LIMIT 20",
    ),
    (
        "newest_blocks",
        "SELECT * FROM analytics.slots ORDER BY slot DESC LIMIT 20",
    ),
    (
        "first_twenty_thousand",
        "SELECT * FROM analytics.jobs_finalized LIMIT 20000",
    ),
    (
        "hour_by_time",
        "SELECT count(*) FROM analytics.jobs_finalized
          WHERE requested_at >= (SELECT max(at) - interval '1 hour' FROM analytics.slots_finalized)",
    ),
    ("network", "SELECT * FROM analytics.network"),
    (
        "every_job",
        "SELECT status, count(*), sum(fee_lamports) FROM analytics.jobs GROUP BY 1",
    ),
];

/// A network of about so many jobs: a part is written, and copies of it go before it. Returns how many jobs there are.
pub async fn long_network(db: &Database, jobs: u64, written: u64) -> u64 {
    let copies = jobs.div_ceil(written).max(1);
    let mut world = World::new(jobs.min(written), 1);
    db.client
        .batch_execute("SET statement_timeout = 0")
        .await
        .unwrap();
    write(db, &mut world, BATCH, false).await;
    if copies > 1 {
        db.client
            .batch_execute(&format!("SET search_path = {SCHEMA}, public"))
            .await
            .unwrap();
        db.client
            .batch_execute(include_str!("grow.sql"))
            .await
            .unwrap();
        let banks: i64 = db
            .client
            .query_one("SELECT max(bank) + 1 FROM slot", &[])
            .await
            .unwrap()
            .get(0);
        let slots = world.slots;
        db.client
            .batch_execute(&format!(
                "CALL pg_temp.grow({copies}, {slots}, {banks}, {START}, {SPAN}); RESET search_path"
            ))
            .await
            .unwrap();
    }
    db.client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let row = db
        .client
        .query_one(&format!("SELECT count(*) FROM {SCHEMA}.job"), &[])
        .await
        .unwrap();
    row.get::<_, i64>(0) as u64
}

#[tokio::test]
#[ignore = "a benchmark: a million jobs take minutes to make, and 5 GB"]
async fn analyst_times() {
    let jobs = std::env::var("MYTHIC_BENCH_JOBS").map_or(1_000_000, |n| {
        n.parse().expect("MYTHIC_BENCH_JOBS is a number")
    });
    let db = Database::on(Arc::new(Server::start()), "analyst").await;
    let started = Instant::now();
    let jobs = long_network(&db, jobs, WRITTEN).await;
    eprintln!(
        "{jobs} jobs made in {:.0} s: {}",
        started.elapsed().as_secs_f64(),
        db.url
    );
    as_analyst(&db).await;
    let others = OTHERS.map(|(name, sql)| (name.to_owned(), sql.to_owned()));
    for (name, sql) in questions().into_iter().chain(others) {
        let mut plan = Value::Null;
        for _ in 0..2 {
            plan = explained(&db.client, &sql).await;
        }
        println!(
            "{}",
            json!({"figure": format!("analyst_{name}"), "ours": plan["Execution Time"], "planning": plan["Planning Time"],
                   "jobs_read": rows_in(&plan["Plan"], "job"), "jobs": jobs, "unit": "ms"})
        );
    }
}
