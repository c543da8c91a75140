//! The whole pipeline beside floors measured in the same run on the same server; `make bench-indexer`.
//!
//! The way of every update: spool, holder, fork tree, projection, one transaction a batch with archive, hot rows, overlays,
//! final tables, feed and position, while finality is 32 slots behind. The [`floors`]:
//! - `copy`: the same updates, a row each, encoded beforehand, by `COPY` into the archive's table, one transaction a slot;
//! - `copy_of_parcels`: the same, packed beforehand as the indexer packs them;
//! - `merge`: `psql` alone, which copies the same parcels and the same entity rows from files and merges the
//!   latter into the same final tables, one transaction a slot. No fork tree, overlays, feed or position.
//!
//! One JSON line a figure. The server runs with `fsync = off` for all of them. `MYTHIC_BENCH_OUTAGE` makes the outage longer
//! (seconds), `MYTHIC_BENCH_MINUTES` and `MYTHIC_BENCH_REBUILD` (updates) run `sustained` and `rebuilt`, `MYTHIC_BENCH_STATEMENTS=1` prints which statements took the time,
//! `MYTHIC_BENCH_SERVER` has settings of the server, separated by commas; its buffers are those that PostgreSQL comes with.

mod floors;
mod rebuilt;
mod sustained;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::chain::Chain;
use super::postgres::{Database, Server, cpu_seconds};
use crate::{IndexerConfig, IndexerError, Swap, rebuild};
use work::{JOBS, REPEATS, ROWS, SLOTS, VAULTS, Workload};

/// How long the database is away, unless `MYTHIC_BENCH_OUTAGE` says otherwise, seconds.
const OUTAGE: u64 = 15;
/// Updates a second that come meanwhile.
const OUTAGE_RATE: u64 = 5_000;
/// Updates that a rebuild has to be through with in six minutes.
const REBUILD: f64 = 10_000_000.0;

/// What PostgreSQL comes with; the tests' servers have less.
const SERVER: &str = "shared_buffers=128MB";

/// A number that the environment has under a name.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn per_second(started: Instant) -> f64 {
    (SLOTS * ROWS) as f64 / started.elapsed().as_secs_f64()
}

fn print(figure: String, mut values: Json) {
    values["figure"] = figure.into();
    let program = std::env::current_exe().unwrap();
    let released = program
        .components()
        .any(|part| part.as_os_str() == "release");
    values["profile"] = if released { "release" } else { "dev" }.into();
    println!("{values}");
}

fn start(db: &Database, spool: &Path) -> (CancellationToken, JoinHandle<Result<(), IndexerError>>) {
    let config = IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.into(),
        reader: "bench".into(),
        metrics_addr: None,
        ..IndexerConfig::default()
    };
    let stop = CancellationToken::new();
    let task = tokio::spawn(crate::run(config, stop.clone()));
    (stop, task)
}

async fn finalized(db: &Database, slot: u64, task: &JoinHandle<Result<(), IndexerError>>) {
    let started = Instant::now();
    let wanted = format!("({slot})");
    while db
        .texts("SELECT finalized_slot FROM projection_1.head")
        .await
        != [wanted.as_str()]
    {
        assert!(!task.is_finished(), "the indexer ended");
        assert!(
            started.elapsed() < Duration::from_secs(300),
            "the pipeline stands still"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Ours {
    per_second: f64,
    /// Microseconds an update.
    cpu_indexer: f64,
    cpu_postgres: f64,
}

async fn ours(workload: Workload, db: &Database) -> Ours {
    let spool = tempfile::tempdir().unwrap();
    workload.fill(spool.path());
    let own = || cpu_seconds(std::process::id()).0;
    let (own_before, server_before) = (own(), db.server().cpu_seconds());
    let started = Instant::now();
    let (stop, task) = start(db, spool.path());
    finalized(db, SLOTS, &task).await;
    let figure = per_second(started);
    let each = |seconds: f64| (seconds * 1e7 / (SLOTS * ROWS) as f64).round() / 10.0;
    let ours = Ours {
        per_second: figure,
        cpu_indexer: each(own() - own_before),
        cpu_postgres: each(db.server().cpu_seconds() - server_before),
    };
    stop.cancel();
    task.await.unwrap().unwrap();
    ours
}

fn compare(workload: Workload, ours: &Ours, floor: (&str, f64)) {
    let ratio = (ours.per_second / floor.1 * 1000.0).round() / 1000.0;
    print(
        format!("indexer_{}_to_{}", workload.name, floor.0),
        json!({
            "ours": ours.per_second.round(), "floor": floor.1.round(), "ratio": ratio, "unit": "rows/s",
            "cpu_us_indexer": ours.cpu_indexer, "cpu_us_postgres": ours.cpu_postgres,
        }),
    );
}

/// Bytes that an update takes in archive and feed.
async fn bytes(workload: Workload, db: &Database) {
    db.client.batch_execute("VACUUM feed.entry").await.unwrap();
    let sizes = db
        .texts(
            "SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'archive.account'::regclass),
                    pg_total_relation_size('feed.entry')",
        )
        .await;
    let sizes: Vec<u64> = sizes[0]
        .trim_matches(['(', ')'])
        .split(',')
        .map(|size| size.parse().unwrap())
        .collect();
    print(
        format!("indexer_{}_bytes", workload.name),
        json!({"archive": sizes[0] / (SLOTS * ROWS), "feed": sizes[1] / (SLOTS * ROWS), "unit": "bytes an update"}),
    );
}

async fn rebuilt(workload: Workload, db: &Database) {
    let started = Instant::now();
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    let figure = per_second(started);
    assert_eq!(report.different, Vec::<String>::new());
    print(
        format!("indexer_{}_rebuild", workload.name),
        json!({
            "ours": figure.round(), "unit": "updates/s", "measured_updates": SLOTS * ROWS,
            "ten_million_updates_s": (REBUILD / figure).round(),
        }),
    );
}

/// Which statements took the server's time.
async fn statements(workload: Workload, db: &Database) {
    let rows = db
        .client
        .query(
            "SELECT round(total_exec_time)::bigint, calls, rows, left(regexp_replace(query, '\\s+', ' ', 'g'), 110)
               FROM public.pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
              ORDER BY total_exec_time DESC LIMIT 25",
            &[],
        )
        .await
        .unwrap();
    for row in rows {
        let (time, calls, rows, text): (i64, i64, i64, String) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        println!(
            "{} {time:>7} ms {calls:>5} calls {rows:>8} rows {text}",
            workload.name
        );
    }
}

/// Resident memory of this process, MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap() / 1024
}

/// The database is away while updates go on: nothing of them is kept in memory.
async fn outage(server: &Arc<Server>) {
    let seconds = number("MYTHIC_BENCH_OUTAGE").unwrap_or(OUTAGE);
    let mut db = Database::on(server.clone(), "outage").await;
    let spool = tempfile::tempdir().unwrap();
    let dir = spool.path().to_owned();
    let slots = (seconds + 8) * 5 / 2;
    let chain = std::thread::spawn(move || {
        let mut chain = Chain::start(&dir, 1, 0, &[]);
        for slot in 1..=slots {
            JOBS.tell(&mut chain, slot, OUTAGE_RATE * 2 / 5);
            std::thread::sleep(Duration::from_millis(380));
        }
    });
    let (stop, task) = start(&db, spool.path());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = resident();
    server.stop();
    let mut most = 0;
    for _ in 0..seconds * 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(resident());
    }
    server.start_again();
    let back = Instant::now();
    db.reconnect().await;
    tokio::task::spawn_blocking(move || chain.join().unwrap())
        .await
        .unwrap();
    finalized(&db, slots - work::BEHIND, &task).await;
    print(
        "indexer_outage".into(),
        json!({
            "seconds": seconds, "updates_per_second": OUTAGE_RATE, "resident_before": before, "resident_most": most,
            "caught_up_after_s": back.elapsed().as_secs(), "unit": "MiB",
        }),
    );
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn throughput() {
    let told = std::env::var("MYTHIC_BENCH_STATEMENTS").is_ok();
    let settings = std::env::var("MYTHIC_BENCH_SERVER").unwrap_or_default();
    let mut settings: Vec<&str> = settings.split(',').filter(|one| !one.is_empty()).collect();
    settings.insert(0, SERVER);
    if told {
        settings.push("shared_preload_libraries=pg_stat_statements");
    }
    let settings: Vec<&str> = settings.into_iter().flat_map(|one| ["-c", one]).collect();
    let server = Arc::new(Server::start_with(&settings));
    let only = std::env::var("MYTHIC_BENCH_ONLY").unwrap_or_default();
    let wanted = |name: &str| only.is_empty() || only.split(',').any(|one| one == name);
    if let Some(minutes) = number("MYTHIC_BENCH_MINUTES") {
        sustained::sustained(&server, minutes).await;
    }
    if let Some(updates) = number("MYTHIC_BENCH_REBUILD") {
        rebuilt::rebuilt(&server, updates).await;
    }
    if wanted("outage") {
        outage(&server).await;
    }
    for workload in [REPEATS, VAULTS, JOBS] {
        let name = workload.name;
        if !wanted(name) {
            continue;
        }
        let db = Database::on(server.clone(), &format!("{name}_copy")).await;
        let copy = floors::copy(workload, &db, false).await;
        let db = Database::on(server.clone(), &format!("{name}_parcels")).await;
        let parcels = floors::copy(workload, &db, true).await;
        let merge = match workload.entities {
            [] => None,
            _ => {
                let db = Database::on(server.clone(), &format!("{name}_merge")).await;
                Some(floors::merge(workload, &db).await)
            }
        };
        let db = Database::on(server.clone(), &format!("{name}_ours")).await;
        if told {
            let sql = "CREATE EXTENSION pg_stat_statements SCHEMA public";
            db.client.batch_execute(sql).await.unwrap();
        }
        let ours = ours(workload, &db).await;
        compare(workload, &ours, ("copy", copy));
        compare(workload, &ours, ("copy_of_parcels", parcels));
        if told {
            statements(workload, &db).await;
        }
        if let Some(merge) = merge {
            compare(workload, &ours, ("merge", merge));
            bytes(workload, &db).await;
            rebuilt(workload, &db).await;
        }
    }
}
