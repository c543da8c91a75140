//! What each input does to the tables, and that no crash between two statements changes the outcome.

use super::chain::*;
use super::drain;
use super::postgres::Database;
use crate::{IndexerError, Swap, hash_tables, rebuild};
use mythic_postgres::PostgresError;
use serde_json::json;

fn life(requested: u64, accepted: u64, submitted: u64, ended: u64) -> Life {
    Life {
        requested,
        accepted,
        submitted,
        ended,
    }
}

/// A run in which everything happens: a job to its end, a fork that is abandoned, a slot replayed with other
/// content, a dead slot, a lost bank, hostile content, a closed account, calls told and not told, and a restart with a base.
pub fn everything(dir: &std::path::Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            write(1, validator(1, 5_000, "none")),
            write(2, vault(1, 10_000)),
        ],
    );
    chain.bank(
        2,
        0,
        (1, 0),
        &[
            write(3, job(1, life(2, 0, 0, 0))),
            write(2, vault(2, 8_750)),
        ],
    );
    chain.confirm(1, 0);
    let accepted = [write(3, job(2, life(2, 3, 0, 0)))];
    chain.called((3, 0), (2, 0), &accepted, &[vec![58]]);
    // Beside 3 a fork that wins.
    chain.bank(
        4,
        1,
        (2, 0),
        &[
            write(3, job(2, life(2, 4, 0, 0))),
            write(1, validator(2, 5_000, "none")),
        ],
    );
    chain.confirm(4, 1);
    chain.bank(5, 1, (4, 1), &[]);
    // 6 is replayed with other content.
    chain.bank(
        6,
        1,
        (5, 1),
        &[write(3, job(3, life(2, 4, 6, 0))), write(4, vault(1, 1))],
    );
    chain.bank(
        6,
        2,
        (5, 1),
        &[write(3, job(3, life(2, 4, 6, 0))), write(5, vault(1, 2))],
    );
    chain.root(2, 0);
    chain.dead(7);
    let mut hostile = vault(9, u64::MAX);
    hostile[20] = 0;
    chain.bank(8, 2, (6, 2), &[write(2, hostile), write(5, vault(2, 3))]);
    chain.called(
        (9, 2),
        (8, 2),
        &[closed(5), write(3, job(4, life(2, 4, 6, 9)))],
        &[vec![62], vec![0, 1]],
    );
    chain.root(4, 1);
    chain.root(6, 2);
    // 10 loses an update.
    let generation = chain.create(10);
    chain.update(10, generation, 2, &write(6, vault(1, 77)), false);
    chain.seal(10, 2, (9, 2), generation, 2);
    // Whether 11 had calls is not told.
    chain.streams = true;
    chain.bank(11, 2, (10, 2), &[write(2, vault(10, 9_400))]);
    chain.streams = false;
    chain.root(11, 2);
    drop(chain);
    // The producer restarts at 11 with its accounts, and abandons nothing.
    let base = [
        write(1, validator(3, 6_000, "none")),
        write(2, vault(10, 9_400)),
        write(3, job(4, life(2, 4, 6, 9))),
        write(6, vault(1, 77)),
    ];
    let mut chain = Chain::start(dir, 2, 11, &base);
    chain.bank(12, 2, (11, 2), &[write(3, job(4, life(2, 4, 6, 9)))]);
    chain.bank(13, 2, (12, 2), &[closed(3)]);
    chain.confirm(13, 2);
    chain.root(12, 2);
    chain.sync();
}

/// Everything that must not depend on when the writer was interrupted.
pub(super) async fn outcome(db: &Database) -> Vec<String> {
    let mut out: Vec<String> = hash_tables(&db.client, "projection_1")
        .await
        .unwrap()
        .into_iter()
        .map(|(t, h)| format!("{t} {h:?}"))
        .collect();
    for sql in [
        "SELECT seq, topic, op, entity, slot, blockhash, commitment, payload FROM feed.event ORDER BY seq",
        "SELECT * FROM feed.bank_topic ORDER BY bank, topic",
        "SELECT next FROM feed.counter",
        "SELECT * FROM archive.event ORDER BY id",
        "SELECT * FROM archive.account ORDER BY bank, ordinal",
        "SELECT bank, slot, ordinal, pubkey, reason FROM pipeline.dead_letter ORDER BY bank, ordinal",
        "SELECT resume_segment, resume_offset, applied_segment, applied_offset FROM pipeline.position",
        "SELECT kind, slot, last_slot, count, banks, detail, cleared_reason FROM pipeline.alarm ORDER BY id",
    ] {
        out.extend(db.texts(sql).await);
    }
    out
}

#[tokio::test]
async fn a_crash_between_any_two_statements_changes_nothing() {
    let spool = tempfile::tempdir().unwrap();
    everything(spool.path());
    let whole = Database::new("crash_whole").await;
    let plenty = 1_000_000;
    let left = drain(&whole.url, spool.path(), 3, Some(plenty))
        .await
        .unwrap()
        .unwrap();
    let statements = plenty - left;
    let expected = outcome(&whole).await;
    assert!(statements > 100, "{statements}");
    // Every 9th statement, from another start each time this constant changes; the last ones too.
    let stops = (4..statements)
        .step_by(statements / 24)
        .chain(statements - 2..statements);
    for stop in stops {
        let db = Database::new(&format!("crash_{stop}")).await;
        let stopped = drain(&db.url, spool.path(), 3, Some(stop)).await;
        assert!(
            matches!(stopped, Err(IndexerError::Injected)),
            "{stop}: {stopped:?}"
        );
        drain(&db.url, spool.path(), 3, None).await.unwrap();
        assert_eq!(
            outcome(&db).await,
            expected,
            "stopped before statement {stop}"
        );
    }
}

#[tokio::test]
async fn how_inputs_are_batched_changes_nothing() {
    let spool = tempfile::tempdir().unwrap();
    everything(spool.path());
    let mut outcomes = Vec::new();
    for chunk in [1, 4, 1_000] {
        let db = Database::new(&format!("chunk_{chunk}")).await;
        drain(&db.url, spool.path(), chunk, None).await.unwrap();
        outcomes.push(outcome(&db).await);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0], outcomes[2]);
}

#[tokio::test]
async fn a_rebuild_reproduces_the_tables_and_takes_their_place() {
    let spool = tempfile::tempdir().unwrap();
    everything(spool.path());
    let db = Database::new("rebuild").await;
    drain(&db.url, spool.path(), 5, None).await.unwrap();
    let before = db.texts("SELECT * FROM analytics.jobs_processed").await;
    let live = hash_tables(&db.client, "projection_1").await.unwrap();
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
    assert!(report.swapped && report.events > 25 && report.rows > 10);
    assert_eq!(hash_tables(&db.client, "projection_2").await.unwrap(), live);
    assert_eq!(
        db.texts("SELECT * FROM analytics.jobs_processed").await,
        before
    );
    assert_eq!(
        db.texts("SELECT projection FROM pipeline.lease").await,
        ["(projection_2)"]
    );
    // A live table that was tampered with shows, and so do the sums that followed it.
    db.client
        .batch_execute("UPDATE projection_2.job SET fee_lamports = 1")
        .await
        .unwrap();
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!(
        (report.different, report.swapped),
        (
            ["daily_sum", "job", "tally"].map(str::to_owned).to_vec(),
            false
        )
    );
    assert!(rebuild(&db.url, Swap::Always).await.unwrap().swapped);
    assert_eq!(
        db.texts("SELECT * FROM analytics.jobs_processed").await,
        before
    );
}

#[tokio::test]
async fn each_view_shows_the_job_at_its_commitment() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("commitments").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(3, job(1, life(1, 0, 0, 0)))]);
    chain.bank(2, 0, (1, 0), &[write(3, job(2, life(1, 2, 0, 0)))]);
    chain.bank(3, 0, (2, 0), &[write(3, job(3, life(1, 2, 3, 0)))]);
    chain.confirm(2, 0);
    chain.root(1, 0);
    chain.sync();
    drain(&db.url, spool.path(), 2, None).await.unwrap();
    let state = |view: &str| {
        let sql = format!("SELECT status, commitment FROM analytics.jobs{view}");
        let db = &db;
        async move { db.texts(&sql).await }
    };
    assert_eq!(state("_processed").await, ["(submitted,processed)"]);
    assert_eq!(state("").await, ["(submitted,processed)"]);
    assert_eq!(state("_confirmed").await, ["(accepted,confirmed)"]);
    assert_eq!(state("_finalized").await, ["(open,finalized)"]);
    let transitions = db
        .texts(
            "SELECT t->>'status', t->>'slot', t->>'commitment', t->>'at', t->>'signature'
             FROM analytics.jobs_processed j, jsonb_array_elements(j.transitions) t",
        )
        .await;
    let line = |status, slot: u64, commitment| {
        let second = slot;
        let signature = bs58::encode(signature(slot, 0, 3)).into_string();
        format!("({status},{slot},{commitment},2027-01-15T08:00:{second:02}+00:00,{signature})")
    };
    assert_eq!(
        transitions,
        [
            line("open", 1, "finalized"),
            line("accepted", 2, "confirmed"),
            line("submitted", 3, "processed")
        ]
    );
    assert_eq!(
        db.texts("SELECT id, output_tokens, fee_lamports, window_end_slot, exact FROM analytics.jobs_processed").await,
        [format!("({},7,,103,t)", bs58::encode([3; 32]).into_string())]
    );
    assert_eq!(
        db.texts("SELECT processed_slot, confirmed_slot, finalized_slot, gaps_open FROM analytics.pipeline_status").await,
        ["(3,2,1,0)"]
    );
}

#[tokio::test]
async fn the_feed_says_each_change_once_and_each_commitment_per_bank() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("feed").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            write(3, job(1, life(1, 0, 0, 0))),
            write(4, job(1, life(1, 0, 0, 0))),
        ],
    );
    chain.bank(2, 0, (1, 0), &[write(3, job(2, life(1, 2, 2, 0)))]);
    chain.bank(2, 1, (1, 0), &[write(4, job(2, life(1, 2, 0, 0)))]);
    chain.root(1, 0);
    chain.root(2, 1);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let three = bs58::encode([3; 32]).into_string();
    let four = bs58::encode([4; 32]).into_string();
    assert_eq!(
        db.texts("SELECT seq, topic, op, entity, slot, commitment FROM feed.event ORDER BY seq")
            .await,
        [
            format!("(1,jobs,add,{three},1,processed)"),
            format!("(2,jobs,add,{four},1,processed)"),
            format!("(3,results,add,{three},2,processed)"),
            format!("(4,jobs,add,{three},2,processed)"),
            format!("(5,jobs,add,{four},2,processed)"),
            "(6,jobs,confirm,,1,confirmed)".into(),
            "(7,jobs,finalize,,1,finalized)".into(),
            "(8,jobs,confirm,,2,confirmed)".into(),
            "(9,jobs,finalize,,2,finalized)".into(),
            "(10,jobs,retract,,2,orphaned)".into(),
            "(11,results,retract,,2,orphaned)".into(),
        ]
    );
    assert_eq!(
        db.texts("SELECT payload FROM feed.event WHERE seq = 7")
            .await,
        [r#"("{""count"": 2, ""last_seq"": 2, ""first_seq"": 1}")"#]
    );
    assert_eq!(
        db.texts("SELECT blockhash FROM feed.event WHERE seq IN (9, 10) ORDER BY seq")
            .await,
        [1, 0].map(|fork| format!("({})", bs58::encode(hash(2, fork)).into_string()))
    );
}

#[tokio::test]
async fn a_fork_shows_only_its_own_rows_and_orphans_disappear() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("forks").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(2, vault(1, 100)), write(3, job(1, life(1, 0, 0, 0)))],
    );
    chain.bank(
        2,
        0,
        (1, 0),
        &[write(2, vault(2, 200)), write(4, vault(1, 7))],
    );
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let vaults = "SELECT balance FROM analytics.vaults_processed ORDER BY balance";
    assert_eq!(db.texts(vaults).await, ["(7)", "(200)"]);
    // Another fork takes over: 200 and 7 were never there, the older row shows again.
    chain.bank(3, 1, (1, 0), &[write(3, job(2, life(1, 3, 0, 0)))]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(vaults).await, ["(100)"]);
    assert_eq!(
        db.texts("SELECT status FROM analytics.jobs_processed")
            .await,
        ["(accepted)"]
    );
    // And loses again.
    chain.bank(4, 0, (2, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(vaults).await, ["(7)", "(200)"]);
    assert_eq!(
        db.texts("SELECT status FROM analytics.jobs_processed")
            .await,
        ["(open)"]
    );
    chain.root(4, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized ORDER BY balance")
            .await,
        ["(7)", "(200)"]
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM projection_1.job_hot").await,
        ["(0)"]
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM projection_1.vault_overlay")
            .await,
        ["(0)"]
    );
    assert_eq!(
        db.texts("SELECT slot, status FROM analytics.banks ORDER BY slot")
            .await,
        [
            "(1,finalized)",
            "(2,finalized)",
            "(3,orphaned)",
            "(4,finalized)"
        ]
    );
}

#[tokio::test]
async fn a_replayed_slot_counts_with_its_second_content() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("replayed").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 0, (1, 0), &[write(2, vault(2, 200))]);
    chain.bank(2, 1, (1, 0), &[write(2, vault(2, 300))]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_processed")
            .await,
        ["(300)"]
    );
    chain.root(2, 1);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized")
            .await,
        ["(300)"]
    );
}

#[tokio::test]
async fn hostile_content_is_a_dead_letter_and_quarantines_only_its_account() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("hostile").await;
    let mut nul = validator(2, 5, "x");
    let place = nul.windows(2).position(|w| w == [1, b'x']).unwrap();
    nul[place + 1] = 0;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(1, validator(1, 5, "x")), write(2, vault(1, 100))],
    );
    let strange = [
        write(1, nul),
        write(2, vault(2, u64::MAX)),
        write(7, vec![200; 40]),
        write(8, vec![]),
        write(9, vault(1, 9)),
    ];
    chain.bank(2, 0, (1, 0), &strange);
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT ordinal, reason FROM pipeline.dead_letter ORDER BY ordinal")
            .await,
        [
            "(0,\"gpu_name is not printable text\")",
            "(1,\"balance = 18446744073709551615 is above the largest bigint\")",
            "(2,\"account type 200 is unknown\")",
            "(3,\"account is empty\")",
        ]
    );
    assert_eq!(
        db.texts("SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance")
            .await,
        ["(9,t)", "(100,f)"],
        "the last good row, marked"
    );
    assert_eq!(
        db.texts("SELECT sum(updates) FROM archive.account").await,
        ["(7)"],
        "the bytes are kept"
    );
    chain.bank(3, 0, (2, 0), &[write(2, vault(3, 50))]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT balance, exact FROM analytics.vaults ORDER BY balance")
            .await,
        ["(9,t)", "(50,t)"]
    );
    assert_eq!(
        db.texts("SELECT quarantined, dead_letters FROM analytics.pipeline_status")
            .await,
        ["(3,4)"]
    );
}

#[tokio::test]
async fn an_update_that_only_the_database_refuses_is_found_by_halves() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("refused").await;
    db.client
        .batch_execute("ALTER TABLE projection_1.vault_hot ADD CHECK (balance <> 13)")
        .await
        .unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let writes: Vec<Write> = (20..60)
        .map(|key| write(key, vault(1, if key == 41 { 13 } else { key.into() })))
        .collect();
    chain.bank(1, 0, (0, 0), &[write(1, vault(1, 1))]);
    chain.bank(2, 0, (1, 0), &writes);
    chain.bank(3, 0, (2, 0), &[write(1, vault(2, 2))]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 100, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.vaults_finalized")
            .await,
        ["(40)"]
    );
    let letters = db
        .texts("SELECT ordinal, reason FROM pipeline.dead_letter")
        .await;
    assert!(
        letters.len() == 1 && letters[0].starts_with("(21,\"refused by the database: "),
        "{letters:?}"
    );
    // A rebuild knows it too, although its tables would take it.
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_gap_marks_what_it_may_have_touched_until_a_base_heals_it() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("gaps").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let first = [
        write(2, vault(1, 100)),
        write(3, vault(1, 100)),
        write(4, vault(1, 100)),
    ];
    chain.bank(1, 0, (0, 0), &first);
    chain.root(1, 0);
    // 2 is lost altogether, 3 builds on it.
    chain.bank(3, 0, (2, 0), &[write(4, vault(5, 500))]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let vaults = "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance";
    assert_eq!(
        db.texts("SELECT slot, last_slot, gap FROM analytics.slots_finalized ORDER BY slot")
            .await,
        ["(1,1,f)", "(2,2,t)", "(3,3,f)"]
    );
    assert_eq!(db.texts(vaults).await, ["(100,f)", "(100,f)", "(500,t)"]);
    drop(chain);
    // 2 had changed one vault and closed another.
    let base = [write(2, vault(2, 150)), write(4, vault(5, 500))];
    let mut chain = Chain::start(spool.path(), 2, 3, &base);
    chain.bank(4, 0, (3, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(vaults).await, ["(150,f)", "(500,t)"]);
    assert_eq!(
        db.texts("SELECT gaps_open, inexact_through FROM analytics.pipeline_status")
            .await,
        ["(0,)"]
    );
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_base_closes_what_it_lacks_and_keeps_what_is_newer() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("bases").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            write(2, vault(1, 100)),
            write(3, vault(1, 200)),
            write(1, validator(1, 5, "x")),
        ],
    );
    // Not whole: its content is unknown.
    let generation = chain.create(2);
    chain.seal(2, 0, (1, 0), generation, 1);
    chain.bank(3, 0, (2, 0), &[write(4, vault(1, 300))]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    let vaults = "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance";
    assert_eq!(
        db.texts(vaults).await,
        ["(100,f)", "(200,f)", "(300,t)"],
        "all before the broken bank is in doubt"
    );
    drop(chain);
    let base = [
        write(2, vault(1, 100)),
        write(4, vault(1, 300)),
        write(1, validator(2, 9, "x")),
    ];
    let mut chain = Chain::start(spool.path(), 2, 3, &base);
    chain.bank(4, 0, (3, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(vaults).await,
        ["(100,t)", "(300,t)"],
        "3 was closed in the broken bank"
    );
    assert_eq!(
        db.texts("SELECT stake, stake_change, slot FROM analytics.validator_stake_finalized ORDER BY slot").await,
        ["(5,5,1)", "(9,4,3)"]
    );
    let told = super::told(&db, "e.op = 'finalize'").await;
    let told: Vec<_> = told.iter().map(|t| (&t["object"], &t["stake"])).collect();
    assert_eq!(told, [(&json!("validator"), &json!(9))]);
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn closed_accounts_leave_the_lists_but_jobs_stay() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("closed").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(2, vault(1, 100)), write(3, job(1, life(1, 1, 1, 1)))],
    );
    chain.bank(2, 0, (1, 0), &[closed(2), closed(3)]);
    chain.root(2, 0);
    // Opened again.
    chain.bank(3, 0, (2, 0), &[write(2, vault(1, 5))]);
    chain.sync();
    drain(&db.url, spool.path(), 100, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized")
            .await,
        Vec::<String>::new()
    );
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_processed")
            .await,
        ["(5)"]
    );
    assert_eq!(
        db.texts("SELECT status, fee_lamports, closed_slot FROM analytics.jobs_finalized")
            .await,
        ["(settled,600,2)"]
    );
    assert_eq!(
        db.texts("SELECT kind, lamports FROM analytics.burns_finalized")
            .await,
        ["(fee,240)"]
    );
    assert_eq!(
        db.texts("SELECT day, jobs_requested, jobs_settled, fee_lamports, burned_lamports FROM analytics.network_daily_finalized").await,
        ["(2027-01-15,1,1,600,240)"]
    );
}

#[tokio::test]
async fn a_writer_that_was_replaced_writes_nothing() {
    use crate::{
        db::Session,
        holder::Input,
        lease,
        plan::Reached,
        writer::{Mode, Step, Writer},
    };
    let db = Database::new("fence").await;
    let ttl = std::time::Duration::from_secs(0);
    let open =
        |session: Session, epoch| Writer::open(session, "projection_1", Mode::Live { epoch });
    let mut first = Session::open(&db.url, "first").await.unwrap();
    let mut rival = lease::Rival::default();
    let lease = lease::acquire(&mut first, ttl, &mut rival).await.unwrap();
    let mut old = open(first, lease.epoch).await.unwrap();
    // Its holder stays silent: the next one cuts it off.
    let mut second = Session::open(&db.url, "second").await.unwrap();
    let newer = loop {
        match lease::acquire(&mut second, ttl, &mut rival).await {
            Ok(lease) => break lease,
            Err(IndexerError::LeaseHeld { .. }) => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await
            }
            Err(e) => panic!("{e}"),
        }
    };
    assert_eq!(newer.epoch, lease.epoch + 1);
    // Even on another connection the old epoch is worth nothing.
    old.session = Session::open(&db.url, "first again").await.unwrap();
    let at = mythic_stream::spool::Position {
        run: [1; 16],
        segment: 1,
        offset: 1,
        seq: 1,
    };
    let step = Step {
        producer: "test".into(),
        input: Input::RunEnd { run: [1; 16] },
        reached: Some(Reached {
            resume: at,
            applied: at,
        }),
        places: None,
    };
    assert!(matches!(
        old.apply(vec![step.clone()]).await,
        Err(IndexerError::LeaseLost { .. })
    ));
    assert_eq!(
        db.texts("SELECT count(*) FROM archive.event").await,
        ["(0)"]
    );
    let mut new = open(second, newer.epoch).await.unwrap();
    new.apply(vec![step]).await.unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM archive.event").await,
        ["(1)"]
    );
}

#[tokio::test]
async fn analysts_may_read_views_and_nothing_else() {
    let db = Database::new("readers").await;
    db.client
        .batch_execute(
            "SET ROLE mythic_reader; SET search_path = public; SELECT * FROM analytics.jobs",
        )
        .await
        .unwrap();
    assert!(
        db.client
            .batch_execute("SELECT * FROM projection_1.job")
            .await
            .is_err(),
        "tables are not for analysts"
    );
    assert!(
        db.client
            .batch_execute("DELETE FROM feed.event")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_bank_is_the_same_whoever_seals_it_again() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("again").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    drop(chain);
    let mut chain = Chain::start(spool.path(), 2, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 0, (1, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.banks").await,
        ["(2)"]
    );
    assert_eq!(
        db.texts("SELECT sum(updates) FROM archive.account").await,
        ["(1)"]
    );
    assert_eq!(
        rebuild(&db.url, Swap::Never).await.unwrap().different,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn databases_of_a_fresh_server_are_made_at_the_same_time() {
    let server = std::sync::Arc::new(super::postgres::Server::start());
    let make = |name: &'static str| {
        let server = server.clone();
        tokio::spawn(async move { Database::fresh(server, name).await })
    };
    for made in ["one", "two", "three", "four"].map(make) {
        let db = made.await.unwrap();
        assert_eq!(
            db.texts("SELECT count(*) FROM pg_roles WHERE rolname = 'mythic_reader'")
                .await,
            ["(1)"]
        );
    }
}

#[tokio::test]
async fn migrations_run_once_changed_views_again_and_changed_tables_never() {
    let db = Database::fresh(super::postgres::shared(), "migrations").await;
    let count = db.texts("SELECT count(*) FROM pipeline.migration").await;
    crate::migrate(&db.url).await.unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM pipeline.migration").await,
        count
    );
    let forget =
        |name: &str| format!("UPDATE pipeline.migration SET sha256 = '' WHERE name = '{name}'");
    db.client
        .batch_execute(&forget("0240_views.sql"))
        .await
        .unwrap();
    db.client
        .batch_execute("DROP VIEW analytics.banks")
        .await
        .unwrap();
    // Comments are made on views, so their file runs again too.
    db.client
        .batch_execute(&forget("0250_comments.sql"))
        .await
        .unwrap();
    crate::migrate(&db.url).await.unwrap();
    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.banks").await,
        ["(0)"]
    );
    db.client
        .batch_execute(&forget("0020_feed.sql"))
        .await
        .unwrap();
    assert!(matches!(
        crate::migrate(&db.url).await,
        Err(IndexerError::Database(
            PostgresError::MigrationChanged { .. }
        ))
    ));
    db.client
        .batch_execute(
            "DELETE FROM pipeline.migration WHERE name = '0020_feed.sql';
             INSERT INTO pipeline.migration (name, sha256) VALUES ('0499_future.sql', '')",
        )
        .await
        .unwrap();
    assert!(matches!(
        crate::migrate(&db.url).await,
        Err(IndexerError::Database(
            PostgresError::MigrationUnknown { .. }
        ))
    ));
}
