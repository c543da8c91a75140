//! An index from nothing but questions.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::world::*;
use crate::entity::Entity;
use crate::tests::chain::*;
use crate::tests::drain;
use crate::tests::postgres::Database;
use crate::{IndexerConfig, IndexerError, SourceKind, Swap, rebuild, run};

pub fn config(db: &Database, url: &str) -> IndexerConfig {
    IndexerConfig {
        database_url: db.url.clone(),
        source: SourceKind::Rpc,
        rpc_url: Some(url.into()),
        rpc_poll_ms: 50,
        idle_linger_ms: 20,
        metrics_addr: None,
        ..IndexerConfig::default()
    }
}

pub fn spawn(config: &IndexerConfig) -> (JoinHandle<Result<(), IndexerError>>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(run(config.clone(), stop.clone())), stop)
}

/// Waits until a query says what it should.
pub async fn until(db: &Database, sql: &str, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = db.texts(sql).await;
        if found == expected {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{sql}: {found:?} is not {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const ROOT: &str = "SELECT finalized_slot FROM analytics.pipeline_status";

/// What exists in the final tables, but for the place of the write in its bank and what is known of its past.
pub async fn current(db: &Database) -> Vec<String> {
    let schema = db.texts("SELECT projection FROM pipeline.lease").await[0]
        .trim_matches(['(', ')'])
        .to_owned();
    let accounts = || Entity::ALL.iter().copied().filter(|e| e.is_account());
    let rows: Vec<String> = accounts()
        .map(|e| format!("SELECT pubkey, slot, ordinal FROM {schema}.{}", e.table()))
        .collect();
    let mut out = Vec::new();
    for entity in accounts() {
        let sql = format!(
            "SELECT '{table}', to_jsonb(t) - '{{bank,ordinal,exact}}'::text[] FROM {schema}.{table} t
             WHERE NOT EXISTS (SELECT FROM {schema}.closure x WHERE x.pubkey = t.pubkey AND (x.slot, x.ordinal) > (t.slot, t.ordinal))
               AND NOT EXISTS (SELECT FROM ({rows}) n WHERE n.pubkey = t.pubkey AND (n.slot, n.ordinal) > (t.slot, t.ordinal))
             ORDER BY pubkey",
            table = entity.table(),
            rows = rows.join(" UNION ALL "),
        );
        out.extend(db.texts(&sql).await);
    }
    out
}

/// One transaction that writes an account.
fn alone(write: Write) -> Vec<Write> {
    vec![write]
}

const CONFIRMED: &str =
    "SELECT balance, slot, exact FROM analytics.vaults_confirmed ORDER BY id_key";

#[tokio::test(flavor = "multi_thread")]
async fn an_index_starts_from_a_snapshot_and_goes_on_with_blocks() {
    let db = Database::new("rpc_starts").await;
    let mut chain = World::new(&[write(1, vault(1, 100)), write(2, vault(1, 7))]);
    chain.block((1, 0), (0, 0), &[]);
    chain.finalize((1, 0));
    chain.confirm((1, 0));
    let (world, url) = serve(chain).await;
    let (task, stop) = spawn(&config(&db, &url));
    until(
        &db,
        "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance",
        &["(7,f)", "(100,f)"],
    )
    .await;
    {
        let mut world = world.lock().unwrap();
        // Slot 2 is skipped; two transactions write one account.
        let twice = [
            alone(write(1, vault(2, 150))),
            alone(write(1, vault(3, 160))),
        ];
        world.block((3, 0), (1, 0), &twice);
        world.block(
            (4, 0),
            (3, 0),
            &[alone(write(2, vault(2, 8))), alone(write(3, vault(1, 1)))],
        );
        world.confirm((4, 0));
    }
    until(&db, CONFIRMED, &["(160,3,f)", "(8,4,t)", "(1,4,t)"]).await;
    assert_eq!(db.texts(ROOT).await, ["(1)"]);
    {
        let mut world = world.lock().unwrap();
        world.block((5, 0), (4, 0), &[alone(closed(3))]);
        world.confirm((5, 0));
        world.finalize((5, 0));
    }
    until(&db, ROOT, &["(5)"]).await;
    assert_eq!(
        db.texts("SELECT balance, slot, exact FROM analytics.vaults_finalized ORDER BY id_key")
            .await,
        ["(160,3,f)", "(8,4,t)"]
    );
    let slots = "SELECT slot, commitment, extract(epoch FROM at)::bigint - 1800000000 FROM analytics.slots ORDER BY slot";
    assert_eq!(
        db.texts(slots).await,
        ["(3,finalized,3)", "(4,finalized,4)", "(5,finalized,5)"]
    );
    stop.cancel();
    task.await.unwrap().unwrap();
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
    assert_eq!(
        db.texts("SELECT kind FROM pipeline.alarm").await,
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_it_is_read_is_read_again_and_said() {
    let db = Database::new("rpc_meanwhile").await;
    let mut chain = World::new(&[write(1, vault(1, 100))]);
    chain.block((1, 0), (0, 0), &[alone(write(1, vault(2, 110)))]);
    chain.confirm((1, 0));
    // When accounts are read, the newest block is one that has changed them again.
    chain.meanwhile = Some(Box::new(|world: &mut World| {
        if world.confirmed == (1, 0) {
            world.block((2, 0), (1, 0), &[alone(write(1, vault(3, 101)))]);
            world.confirm((2, 0));
        }
    }));
    let (world, url) = serve(chain).await;
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, CONFIRMED, &["(101,2,f)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.meanwhile = None;
        world.block((3, 0), (2, 0), &[alone(write(1, vault(9, 105)))]);
        world.confirm((3, 0));
        world.finalize((3, 0));
    }
    until(&db, ROOT, &["(3)"]).await;
    assert_eq!(
        db.texts("SELECT balance, slot, exact FROM analytics.vaults_finalized")
            .await,
        ["(105,3,t)"]
    );
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_fork_that_is_abandoned_is_undone() {
    let db = Database::new("rpc_fork").await;
    let (world, url) = serve(World::new(&[
        write(1, vault(1, 100)),
        write(2, vault(1, 50)),
    ]))
    .await;
    let (task, stop) = spawn(&config(&db, &url));
    {
        let mut world = world.lock().unwrap();
        world.block((1, 0), (0, 0), &[]);
        world.block(
            (2, 1),
            (1, 0),
            &[alone(write(1, vault(2, 999))), alone(closed(2))],
        );
        world.confirm((2, 1));
    }
    until(&db, CONFIRMED, &["(999,2,t)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.block((3, 0), (1, 0), &[alone(write(1, vault(2, 101)))]);
        world.confirm((3, 0));
    }
    until(&db, CONFIRMED, &["(101,3,t)", "(50,0,f)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.block((4, 0), (3, 0), &[alone(closed(2))]);
        world.confirm((4, 0));
        world.finalize((4, 0));
    }
    until(&db, ROOT, &["(4)"]).await;
    assert_eq!(
        db.texts("SELECT balance, slot FROM analytics.vaults_finalized")
            .await,
        ["(101,3)"],
        "what was closed on the other fork was known to live, and its closing here is seen"
    );
    assert_eq!(
        db.texts("SELECT slot, status FROM analytics.banks ORDER BY slot")
            .await,
        [
            "(1,finalized)",
            "(2,orphaned)",
            "(3,finalized)",
            "(4,finalized)"
        ]
    );
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lags_or_is_busy_or_says_nonsense_is_waited_out() {
    let db = Database::new("rpc_faults").await;
    let (world, url) = serve(World::new(&[write(1, vault(1, 100))])).await;
    world.lock().unwrap().faults.extend([
        Fault::Busy(1),
        Fault::Body("<html>".into()),
        Fault::Body(r#"{"jsonrpc":"2.0","id":1,"result":{"slot":-1}}"#.into()),
        Fault::Error(-32005),
    ]);
    let began = Instant::now();
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, ROOT, &["(0)"]).await;
    assert!(
        began.elapsed() >= Duration::from_secs(1),
        "it waits as long as it is told"
    );
    for slot in 1..=20u64 {
        {
            let mut world = world.lock().unwrap();
            world.block(
                (slot, 0),
                (slot - 1, 0),
                &[alone(write(1, vault(slot + 1, slot)))],
            );
            world.confirm((slot, 0));
            world.finalize((slot.saturating_sub(3), 0));
            world.faults.extend([Fault::Behind(3), Fault::Behind(2)]);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        let seen = db
            .texts("SELECT balance FROM analytics.vaults_confirmed")
            .await;
        assert_eq!(seen.len(), 1);
    }
    world.lock().unwrap().finalize((20, 0));
    until(&db, ROOT, &["(20)"]).await;
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized")
            .await,
        ["(20)"]
    );
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.slots WHERE gap")
            .await,
        ["(0)"],
        "nothing was missed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_that_takes_questions_and_answers_none_is_away_until_it_answers() {
    let db = Database::new("rpc_silent").await;
    let (world, url) = serve(World::new(&[write(1, vault(1, 100))])).await;
    let config = IndexerConfig {
        rpc_timeout_ms: 1_000,
        ..config(&db, &url)
    };
    let (task, stop) = spawn(&config);
    until(&db, ROOT, &["(0)"]).await;
    world.lock().unwrap().silent = true;
    let said = "SELECT working, split_part(error, ':', 1), error ~ 'no answer in time' FROM pipeline.heartbeat WHERE process = 'indexer'";
    until(&db, said, &["(f,rpc_away,t)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.silent = false;
        world.block((1, 0), (0, 0), &[alone(write(1, vault(2, 150)))]);
        world.confirm((1, 0));
        world.finalize((1, 0));
    }
    until(&db, ROOT, &["(1)"]).await;
    until(&db, said, &["(t,,)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_that_packs_nothing_is_asked_without_packing() {
    let db = Database::new("rpc_plain").await;
    let mut chain = World::new(&[write(1, vault(1, 100))]);
    chain.plain = true;
    let (world, url) = serve(chain).await;
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, ROOT, &["(0)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.block((1, 0), (0, 0), &[alone(write(1, vault(2, 150)))]);
        world.confirm((1, 0));
        world.finalize((1, 0));
    }
    until(
        &db,
        "SELECT balance FROM analytics.vaults_finalized",
        &["(150)"],
    )
    .await;
    // It is asked in vain once; the accounts of each program are asked for.
    {
        let world = world.lock().unwrap();
        let asked = |method: &str| world.asked.iter().filter(|m| *m == method).count();
        assert_eq!(
            (asked("getProgramAccounts"), asked("getMultipleAccounts")),
            (3, 1)
        );
    }
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_followed_other_programs_starts_from_a_snapshot() {
    let db = Database::new("rpc_upgrade").await;
    let (world, url) = serve(World::new(&[write(1, vault(1, 100))])).await;
    let asked = || {
        let world = world.lock().unwrap();
        let asked = world.asked.iter();
        asked.filter(|m| *m == "getProgramAccounts").count()
    };
    // Both programs, once; then what the tables have is enough, unless their blocks were taken under another filter.
    for (slot, other_filter, expected) in [(1, false, 2), (2, false, 2), (3, true, 4)] {
        if other_filter {
            let sql =
                r"UPDATE archive.event SET filter_hash = '\x00' WHERE filter_hash IS NOT NULL";
            db.client.batch_execute(sql).await.unwrap();
        }
        let (task, stop) = spawn(&config(&db, &url));
        until(&db, ROOT, &[&format!("({})", slot - 1)]).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        while asked() < expected {
            assert!(Instant::now() < deadline, "not asked before slot {slot}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        {
            let mut world = world.lock().unwrap();
            let balance = alone(write(1, vault(slot + 1, 100 + slot)));
            world.block((slot, 0), (slot - 1, 0), &[balance]);
            world.confirm((slot, 0));
            world.finalize((slot, 0));
        }
        until(&db, ROOT, &[&format!("({slot})")]).await;
        until(
            &db,
            "SELECT balance FROM analytics.vaults_finalized",
            &[&format!("({})", 100 + slot)],
        )
        .await;
        // A snapshot newer than the newest rooted block is asked for until there is one.
        let asked = asked();
        let as_expected = asked == expected || other_filter && asked > expected;
        assert!(as_expected, "{asked} questions after slot {slot}");
        stop.cancel();
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_that_finalizes_another_block_than_it_confirmed_is_an_alarm_and_a_snapshot() {
    let db = Database::new("rpc_contradicts").await;
    let (world, url) = serve(World::new(&[write(1, vault(1, 100))])).await;
    let (task, stop) = spawn(&config(&db, &url));
    {
        let mut world = world.lock().unwrap();
        world.block((1, 1), (0, 0), &[alone(write(1, vault(2, 666)))]);
        world.confirm((1, 1));
    }
    until(&db, CONFIRMED, &["(666,1,t)"]).await;
    {
        let mut world = world.lock().unwrap();
        world.block((1, 0), (0, 0), &[alone(write(1, vault(2, 101)))]);
        world.finalize((1, 0));
    }
    until(
        &db,
        "SELECT kind FROM analytics.alarms WHERE cleared_at IS NULL",
        &["(rpc)"],
    )
    .await;
    {
        let mut world = world.lock().unwrap();
        world.block((2, 0), (1, 0), &[]);
        world.confirm((2, 0));
        world.finalize((2, 0));
    }
    until(&db, ROOT, &["(2)"]).await;
    until(
        &db,
        "SELECT balance, exact FROM analytics.vaults_finalized",
        &["(101,f)"],
    )
    .await;
    assert_eq!(
        db.texts(CONFIRMED).await.len(),
        1,
        "nothing is left of the other block"
    );
    until(&db, CONFIRMED, &["(101,2,f)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_rpc_of_another_chain_is_refused() {
    let db = Database::new("rpc_other_chain").await;
    db.client
        .execute(
            "INSERT INTO pipeline.chain (genesis_hash) VALUES ($1)",
            &[&&[1u8; 32][..]],
        )
        .await
        .unwrap();
    let (_world, url) = serve(World::new(&[])).await;
    let (task, _stop) = spawn(&config(&db, &url));
    let refused = tokio::time::timeout(Duration::from_secs(60), task)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(
        matches!(refused, IndexerError::OtherChain { .. }),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_do_not_fit_in_an_answer_are_read_in_parts() {
    let db = Database::new("rpc_parts").await;
    let base: Vec<Write> = (1..=150u8)
        .map(|key| match key % 3 {
            0 => write(key, validator(1, u64::from(key), "gpu")),
            _ => write(key, vault(1, u64::from(key))),
        })
        .collect();
    let mut chain = World::new(&base);
    chain.most = 60;
    // While vaults are read one by one, one of them changes and another one is closed.
    chain.meanwhile = Some(Box::new(|world: &mut World| {
        let (slot, _) = world.finalized;
        if slot < 3 {
            let writes = [
                alone(write(1, vault(slot + 2, 1000 + slot))),
                alone(closed(2 + 3 * slot as u8)),
            ];
            world.block((slot + 1, 0), (slot, 0), &writes);
            world.confirm((slot + 1, 0));
            world.finalize((slot + 1, 0));
        }
    }));
    let (world, url) = serve(chain).await;
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, ROOT, &["(3)"]).await;
    let sums = "SELECT count(*), sum(balance) FROM analytics.vaults_finalized";
    let expected: u64 = (1..=150).filter(|k| k % 3 != 0).sum::<u64>() - 1 + 1002 - 2 - 5 - 8;
    until(&db, sums, &[&format!("(97,{expected})")]).await;
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.validators_finalized")
            .await,
        ["(50)"]
    );
    let asked = world
        .lock()
        .unwrap()
        .asked
        .iter()
        .filter(|m| *m == "getProgramAccounts")
        .count();
    assert!(asked >= 11, "{asked}");
    stop.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_not_kept_any_more_are_a_gap_that_a_snapshot_heals() {
    let db = Database::new("rpc_pruned").await;
    let (world, url) = serve(World::new(&[
        write(1, vault(1, 100)),
        write(2, vault(1, 5)),
    ]))
    .await;
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, ROOT, &["(0)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    {
        let mut world = world.lock().unwrap();
        for slot in 1..=30u64 {
            world.block(
                (slot, 0),
                (slot - 1, 0),
                &[alone(write(1, vault(slot + 1, slot)))],
            );
        }
        world.block((31, 0), (30, 0), &[alone(closed(2))]);
        world.block((32, 0), (31, 0), &[]);
        world.confirm((32, 0));
        world.finalize((32, 0));
        world.first = 25;
    }
    let (task, stop) = spawn(&config(&db, &url));
    until(&db, ROOT, &["(32)"]).await;
    until(
        &db,
        "SELECT balance, exact FROM analytics.vaults_finalized",
        &["(30,f)"],
    )
    .await;
    assert_eq!(
        db.texts("SELECT slot, last_slot, gap, healed FROM analytics.slots WHERE gap")
            .await,
        ["(1,32,t,t)"]
    );
    assert_eq!(
        db.texts("SELECT gaps_open FROM analytics.pipeline_status")
            .await,
        ["(0)"]
    );
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

/// A chain that lives: `slots` slots of jobs, vaults and closings, with forks that are not confirmed.
fn live(world: Shared, slots: u64, seed: u64, faulty: bool) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(seed);
        let mut chain: Vec<At> = vec![(0, 0)];
        for slot in 1..=slots {
            let tip = chain[chain.len() - 1];
            let count = random.random_range(0..6u64);
            let transactions: Vec<Vec<Write>> = (0..count)
                .map(|n| transaction(slot, 10 * slot + n, &mut random))
                .collect();
            {
                let mut world = world.lock().unwrap();
                if random.random_bool(0.2) && chain.len() > 2 {
                    world.block((slot, 9), chain[chain.len() - 2], &transactions);
                } else {
                    world.block((slot, 0), tip, &transactions);
                    chain.push((slot, 0));
                }
                if chain.len() > 6 {
                    world.confirm(chain[chain.len() - 2]);
                    world.finalize(chain[chain.len() - 5]);
                }
                if faulty && random.random_bool(0.3) && world.faults.len() < 3 {
                    world.faults.push_back(match random.random_range(0..4) {
                        0 => Fault::Busy(0),
                        1 => Fault::Body("{}".into()),
                        2 => Fault::Error(-32004),
                        _ => Fault::Behind(random.random_range(1..5)),
                    });
                }
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(5..50))).await;
        }
        let last = chain[chain.len() - 1];
        let mut world = world.lock().unwrap();
        world.faults.clear();
        world.block((slots + 1, 0), last, &[]);
        world.confirm((slots + 1, 0));
        world.finalize((slots + 1, 0));
    })
}

/// `seq`: the accounts' own counter of writes, which rises with each.
fn transaction(slot: u64, seq: u64, random: &mut StdRng) -> Vec<Write> {
    let mut keys: Vec<u8> = (0..random.random_range(1..3))
        .map(|_| random.random_range(1..14))
        .collect();
    keys.dedup();
    let one = |key: u8| match random.random_range(0..6) {
        0 => closed(key),
        1 | 2 => write(key, vault(seq, random.random_range(0..1000))),
        3 => write(key, validator(seq, random.random_range(0..1000), "gpu")),
        _ => {
            let accepted = if slot.is_multiple_of(2) { slot } else { 0 };
            let life = Life {
                requested: slot,
                accepted,
                ..Life::default()
            };
            write(key, job(seq, life))
        }
    };
    keys.into_iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_ends_with_the_tables_of_a_spool() {
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("rpc_killed").await;
    let base = [write(1, vault(1, 100)), write(2, validator(1, 5, "gpu"))];
    let (world, url) = serve(World::with_spool(&base, spool.path())).await;
    let config = config(&db, &url);
    let (task, stop) = spawn(&config);
    until(&db, ROOT, &["(0)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let chain = live(world.clone(), 150, seed, true);
    while !chain.is_finished() {
        let (task, _stop) = spawn(&config);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1000))).await;
        task.abort();
        assert!(
            task.await.is_err_and(|e| e.is_cancelled()),
            "it ran until it was killed"
        );
    }
    chain.await.unwrap();
    let (task, stop) = spawn(&config);
    until(&db, ROOT, &["(151)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    let other = Database::new("rpc_killed_expected").await;
    drain(&other.url, spool.path(), 50, None).await.unwrap();
    assert_eq!(current(&db).await, current(&other).await, "seed {seed}");
    assert_eq!(
        db.texts("SELECT count(*) = max(seq) FROM feed.event").await,
        ["(t)"],
        "no number is missing"
    );
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new(), "seed {seed}");
}
