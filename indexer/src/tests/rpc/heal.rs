//! Gaps healed from an RPC.

use std::path::Path;
use std::time::Duration;

use super::follow::{current, spawn, until};
use super::world::*;
use crate::rpc::HealProgress;
use crate::tests::chain::*;
use crate::tests::drain;
use crate::tests::postgres::Database;
use crate::{HealReport, IndexerConfig, IndexerError, Swap, heal, rebuild};

const PATIENCE: Duration = Duration::from_secs(30);
const GAPS: &str = "SELECT gaps_open FROM analytics.pipeline_status";

fn config(db: &Database, spool: &Path) -> IndexerConfig {
    IndexerConfig {
        database_url: db.url.clone(),
        spool_dir: spool.to_owned(),
        reader: "test".into(),
        idle_linger_ms: 20,
        metrics_addr: None,
        ..IndexerConfig::default()
    }
}

fn one(write: Write) -> Vec<Vec<Write>> {
    vec![vec![write]]
}

/// A chain whose plugin loses slots 2 to 4: a vault changes there, one is closed, one is made; finality is at slot 5.
fn torn(spool: &Path) -> World {
    let base = [
        write(1, vault(1, 100)),
        write(2, vault(1, 7)),
        write(3, vault(1, 3)),
    ];
    let mut world = World::with_spool(&base, spool);
    world.block((1, 0), (0, 0), &one(write(1, vault(2, 110))));
    world.finalize((1, 0));
    let plugin = world.pause_spool();
    world.block((2, 0), (1, 0), &one(write(1, vault(3, 120))));
    world.block((3, 0), (2, 0), &one(closed(2)));
    world.block((4, 0), (3, 0), &one(write(4, vault(1, 44))));
    world.resume_spool(plugin);
    world.block((5, 0), (4, 0), &one(write(3, vault(2, 33))));
    world.confirm((5, 0));
    world.finalize((5, 0));
    world
}

const HEALED: [&str; 3] = ["(120,5,f)", "(33,5,t)", "(44,5,f)"];

async fn is_healed(db: &Database) {
    assert_eq!(
        db.texts("SELECT balance, slot, exact FROM analytics.vaults_finalized ORDER BY id_key")
            .await,
        HEALED
    );
    assert_eq!(db.texts(GAPS).await, ["(0)"]);
    assert_eq!(
        db.texts("SELECT slot, last_slot, healed FROM analytics.slots WHERE gap")
            .await,
        ["(2,4,t)"]
    );
    assert_eq!(
        db.texts("SELECT kind, cleared_reason FROM analytics.alarms WHERE kind = 'gap'")
            .await,
        [
            "(gap,\"all rows were compared with the accounts that a producer started from at slot 5\")"
        ]
    );
}

async fn healed(
    config: &IndexerConfig,
    url: &str,
    patience: Duration,
) -> (Result<HealReport, IndexerError>, Vec<HealProgress>) {
    let mut told = Vec::new();
    let report = heal(config, Some(url.into()), patience, |progress| {
        told.push(progress.clone())
    })
    .await;
    (report, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_of_a_lost_spool_is_healed_by_the_indexer_that_runs() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("heal_beside").await;
    let (world, url) = serve(torn(spool.path())).await;
    let config = config(&db, spool.path());
    let (task, stop) = spawn(&config);
    until(&db, GAPS, &["(1)"]).await;
    assert_eq!(
        db.texts("SELECT bool_or(exact) FROM analytics.vaults_finalized WHERE slot < 5")
            .await,
        ["(f)"]
    );
    let epoch = db.texts("SELECT epoch FROM pipeline.lease").await;
    let (report, told) = healed(&config, &url, PATIENCE).await;
    let report = report.unwrap();
    let ended = report.ended.unwrap();
    assert_eq!(
        (ended.state.as_str(), ended.slot),
        ("done", Some(5)),
        "{}",
        ended.detail
    );
    assert_eq!(
        (
            report.found.count,
            report.found.first,
            report.found.last,
            report.left.count
        ),
        (1, 2, 4, 0)
    );
    assert_eq!(told.first().unwrap().state, "waiting");
    is_healed(&db).await;
    assert_eq!(
        db.texts("SELECT epoch FROM pipeline.lease").await,
        epoch,
        "the same indexer holds the lease"
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM pipeline.heal_request WHERE rpc_url IS NOT NULL")
            .await,
        ["(0)"],
        "a URL may hold a key"
    );
    let (again, told) = healed(&config, &url, PATIENCE).await;
    assert_eq!(
        (again.unwrap().ended, told),
        (None, Vec::new()),
        "nothing to heal"
    );
    {
        let mut world = world.lock().unwrap();
        world.block((6, 0), (5, 0), &one(write(1, vault(4, 130))));
        world.confirm((6, 0));
        world.finalize((6, 0));
    }
    until(
        &db,
        "SELECT balance, exact FROM analytics.vaults_finalized WHERE slot = 6",
        &["(130,t)"],
    )
    .await;
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_indexer_runs_the_command_is_one_until_it_is_done() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("heal_alone").await;
    drain(&db.url, spool.path(), 50, None).await.unwrap_or(None);
    let (_world, url) = serve(torn(spool.path())).await;
    let config = config(&db, spool.path());
    let (task, stop) = spawn(&config);
    until(&db, GAPS, &["(1)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let (report, _) = healed(&config, &url, PATIENCE).await;
    let ended = report.unwrap().ended.unwrap();
    assert_eq!(ended.state, "done", "{}", ended.detail);
    is_healed(&db).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_rpc_configured_gaps_are_healed_by_themselves_and_end_as_if_nothing_was_lost() {
    let (spool, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let db = Database::new("heal_itself").await;
    let (_world, url) = serve(torn(spool.path())).await;
    let config = IndexerConfig {
        heal_rpc_url: Some(url),
        ..config(&db, spool.path())
    };
    let (task, stop) = spawn(&config);
    until(
        &db,
        "SELECT healed FROM analytics.slots WHERE gap",
        &["(t)"],
    )
    .await;
    is_healed(&db).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    // The same chain without a loss.
    let mut world = World::with_spool(
        &[
            write(1, vault(1, 100)),
            write(2, vault(1, 7)),
            write(3, vault(1, 3)),
        ],
        whole.path(),
    );
    world.block((1, 0), (0, 0), &one(write(1, vault(2, 110))));
    world.block((2, 0), (1, 0), &one(write(1, vault(3, 120))));
    world.block((3, 0), (2, 0), &one(closed(2)));
    world.block((4, 0), (3, 0), &one(write(4, vault(1, 44))));
    world.block((5, 0), (4, 0), &one(write(3, vault(2, 33))));
    world.finalize((5, 0));
    let other = Database::new("heal_itself_expected").await;
    drain(&other.url, whole.path(), 50, None).await.unwrap();
    // A healed row has the slot it was compared at.
    let slotless = |rows: Vec<String>| -> Vec<String> {
        let cut = |row: &String| {
            let slot = row.find("\"\"slot\"\": ").unwrap();
            let end = row[slot..].find(',').unwrap();
            format!("{}{}", &row[..slot], &row[slot + end..])
        };
        rows.iter().map(cut).collect()
    };
    assert_eq!(
        slotless(current(&db).await),
        slotless(current(&other).await)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_rpc_shows_of_another_chain_is_not_used() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("heal_other").await;
    let (world, url) = serve(torn(spool.path())).await;
    let config = config(&db, spool.path());
    let (task, stop) = spawn(&config);
    until(&db, GAPS, &["(1)"]).await;
    world.lock().unwrap().genesis = [1; 32];
    let (report, _) = healed(&config, &url, PATIENCE).await;
    let ended = report.unwrap().ended.unwrap();
    assert!(
        ended.state == "failed" && ended.detail.contains("another")
            || ended.detail.contains("name an RPC of the same chain"),
        "{ended:?}"
    );
    assert!(!ended.detail.contains("secret"), "{ended:?}");
    {
        let mut world = world.lock().unwrap();
        world.genesis = GENESIS;
        let plugin = world.pause_spool();
        world.block((5, 7), (4, 0), &one(write(1, vault(9, 999))));
        world.finalized = (5, 7);
        world.resume_spool(plugin);
    }
    let (report, _) = healed(&config, &url, PATIENCE).await;
    let ended = report.unwrap().ended.unwrap();
    assert!(
        ended.state == "failed" && ended.detail.contains("finalizes another block"),
        "{ended:?}"
    );
    until(
        &db,
        "SELECT kind FROM analytics.alarms WHERE kind <> 'gap'",
        &["(root_conflict)"],
    )
    .await;
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.vaults_finalized WHERE balance = 999")
            .await,
        ["(0)"]
    );
    assert_eq!(db.texts(GAPS).await, ["(1)"]);
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_in_time_with_what_it_waited_for() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("heal_late").await;
    let (world, url) = serve(torn(spool.path())).await;
    let config = config(&db, spool.path());
    let (task, stop) = spawn(&config);
    until(&db, GAPS, &["(1)"]).await;
    {
        // The RPC is ahead, and finality here does not follow.
        let mut world = world.lock().unwrap();
        let plugin = world.pause_spool();
        world.block((6, 0), (5, 0), &[]);
        world.finalize((6, 0));
        world.resume_spool(plugin);
    }
    let (report, _) = healed(&config, &url, Duration::from_secs(12)).await;
    let ended = report.unwrap().ended.unwrap();
    assert!(
        ended.state == "failed" && ended.detail.contains("its time was over"),
        "{ended:?}"
    );
    assert!(ended.detail.contains("slot 6"), "{ended:?}");
    assert_eq!(db.texts(GAPS).await, ["(1)"]);
    stop.cancel();
    task.await.unwrap().unwrap();
    let nobody = IndexerConfig {
        heal_rpc_url: None,
        ..config
    };
    let refused = heal(&nobody, None, PATIENCE, |_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("--from"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_take_more_memory_than_they_may_are_refused_by_name() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("heal_large").await;
    let mut torn = torn(spool.path());
    // Two megabytes that are a few bytes on their way.
    let plugin = torn.pause_spool();
    torn.block((6, 0), (5, 0), &one(write(9, vec![9; 2 << 20])));
    torn.finalize((6, 0));
    torn.resume_spool(plugin);
    let (world, url) = serve(torn).await;
    let config = IndexerConfig {
        rpc_max_snapshot_bytes: 1 << 20,
        ..config(&db, spool.path())
    };
    let (task, stop) = spawn(&config);
    until(&db, GAPS, &["(1)"]).await;
    let (report, _) = healed(&config, &url, PATIENCE).await;
    let ended = report.unwrap().ended.unwrap();
    assert!(
        ended.state == "failed" && ended.detail.contains("rpc_max_snapshot_bytes = 1048576"),
        "{ended:?}"
    );
    world.lock().unwrap().finalized = (5, 0);
    let (report, _) = healed(&config, &url, PATIENCE).await;
    assert_eq!(report.unwrap().ended.unwrap().state, "done");
    is_healed(&db).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}
