//! Alarms: raised with what they are about, cleared by what heals them or by an operator, kept as history.

use mythic_interface::PROGRAMS;
use mythic_stream::proto::{BaseEnd, Event, Loss, LossReason};

use super::chain::*;
use super::drain;
use super::postgres::Database;
use crate::alarms::{Outcome, Which, clear, list};

const OPEN: &str = "SELECT kind, slot, last_slot, count, clears_itself FROM analytics.alarms WHERE cleared_at IS NULL ORDER BY id";
const HISTORY: &str =
    "SELECT kind, cleared_at IS NOT NULL, cleared_reason FROM analytics.alarms ORDER BY id";

fn open_job(slot: u64) -> Write {
    let life = Life {
        requested: slot,
        ..Life::default()
    };
    write(3, job(slot, life))
}

fn lost(slot: u64, count: u64, reason: LossReason) -> Event {
    Event::Loss(Loss {
        first_slot: slot,
        last_slot: slot,
        count,
        reason: reason.into(),
    })
}

/// Slots 2 and 3 are confirmed, and lost to the producer in a crash; it goes on from 1 and confirms 4.
fn crash_above_the_root(dir: &std::path::Path) -> Chain {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.bank(2, 0, (1, 0), &[write(2, vault(2, 60)), open_job(2)]);
    chain.bank(3, 0, (2, 0), &[open_job(3)]);
    chain.confirm(3, 0);
    chain.root(1, 0);
    drop(chain);
    let mut chain = Chain::start(dir, 2, 1, &[write(2, vault(1, 100))]);
    chain.bank(4, 1, (1, 0), &[]);
    chain.bank(5, 1, (4, 1), &[write(4, vault(1, 7))]);
    chain.confirm(4, 1);
    chain.sync();
    chain
}

#[tokio::test]
async fn a_confirmed_fork_clears_itself_once_finality_has_decided() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_fork").await;
    let mut chain = crash_above_the_root(spool.path());
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(confirmed_fork,3,4,1,t)"]);
    let banks = "SELECT s.slot, s.status FROM pipeline.alarm a JOIN projection_1.slot s ON s.bank = ANY(a.banks) ORDER BY 1";
    assert_eq!(db.texts(banks).await, ["(3,2)", "(4,2)"]);
    assert_eq!(
        db.texts("SELECT alarms FROM analytics.pipeline_status")
            .await,
        ["(1)"]
    );
    // Finality is at the abandoned slot's parent still.
    chain.confirm(5, 1);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await.len(), 1);
    chain.root(4, 1);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, Vec::<String>::new());
    assert_eq!(
        db.texts(HISTORY).await,
        [
            r#"(confirmed_fork,t,"slot 4 is finalized: one of the banks is orphaned, and no row rests on it")"#
        ]
    );
    assert_eq!(db.texts(banks).await, ["(3,4)", "(4,3)"]);
    let rests = "SELECT count(*) FROM (SELECT bank FROM projection_1.job UNION ALL SELECT bank FROM projection_1.vault
        UNION ALL SELECT bank FROM projection_1.job_hot UNION ALL SELECT bank FROM projection_1.job_overlay
        UNION ALL SELECT bank FROM projection_1.vault_hot UNION ALL SELECT bank FROM projection_1.vault_overlay) r
        JOIN projection_1.slot s USING (bank) WHERE s.status = 4";
    assert_eq!(db.texts(rests).await, ["(0)"]);
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized")
            .await,
        ["(100)"]
    );
}

#[tokio::test]
async fn a_confirmed_fork_stays_while_a_row_rests_on_a_bank_that_lost() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_rests").await;
    let mut chain = crash_above_the_root(spool.path());
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    // What a broken overlay would look like: a row that nothing takes away.
    let stray = "INSERT INTO projection_1.closure_overlay (chain, bank, slot, ordinal, write_seq, exact, pubkey)
        SELECT 7, banks[1], 3, 0, 0, true, '\\x00' FROM pipeline.alarm";
    db.client.batch_execute(stray).await.unwrap();
    chain.root(4, 1);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(confirmed_fork,3,4,1,t)"]);
}

#[tokio::test]
async fn losses_count_up_in_one_alarm_and_clear_with_the_bank_they_hit() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_loss").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    for (slot, count) in [(2, 3), (3, 1)] {
        let generation = chain.create(slot);
        chain.push(lost(slot, count, LossReason::SpoolFull));
        chain.seal(slot, 0, (slot - 1, 0), generation, count);
    }
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(loss,2,3,4,t)"]);
    assert_eq!(
        db.texts("SELECT detail FROM analytics.alarms").await,
        [r#"("the producer lost records: spool_full")"#],
        "in the guide's word"
    );
    chain.bank(4, 0, (3, 0), &[]);
    chain.root(4, 0);
    drop(chain);
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(OPEN).await,
        ["(loss,2,3,4,t)"],
        "finality passed it, the banks are incomplete"
    );
    // A restart gives all accounts: what was lost is mended.
    let mut chain = Chain::start(spool.path(), 2, 4, &[write(2, vault(1, 5))]);
    chain.bank(5, 0, (4, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(HISTORY).await,
        [
            r#"(loss,t,"all rows were compared with the accounts that a producer started from at slot 4")"#
        ]
    );
}

#[tokio::test]
async fn a_loss_on_a_fork_that_dies_clears_with_it() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_dead_fork").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    let generation = chain.create(2);
    chain.push(lost(2, 1, LossReason::QueueFull));
    chain.seal(2, 9, (1, 0), generation, 1);
    chain.bank(3, 0, (1, 0), &[]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(HISTORY).await,
        [r#"(loss,t,"slot 3 is finalized, and no bank of these slots is missing or incomplete")"#]
    );
}

#[tokio::test]
async fn a_gap_is_an_alarm_until_the_missing_banks_come() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_gap").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    chain.bank(4, 0, (3, 0), &[]);
    chain.root(4, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(gap,2,3,1,t)"]);
    chain.bank(3, 0, (2, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await.len(), 1, "2 is still missing");
    chain.bank(2, 0, (1, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(HISTORY).await,
        [r#"(gap,t,"slot 4 is finalized, and no bank of these slots is missing or incomplete")"#]
    );
}

#[tokio::test]
async fn what_does_not_heal_needs_the_operator() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_operator").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    chain.push(lost(1, 2, LossReason::AfterSeal));
    // Not newer than its parent.
    chain.bank(2, 0, (2, 0), &[]);
    chain.bank(3, 0, (1, 0), &[]);
    chain.root(3, 0);
    // Another bank of the slot that is rooted.
    chain.root(3, 5);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(OPEN).await,
        [
            "(loss,1,1,2,f)",
            "(malformed_bank,2,2,1,f)",
            "(root_conflict,3,3,1,f)"
        ]
    );
    let ids: Vec<i64> = list(&db.url, false)
        .await
        .unwrap()
        .iter()
        .map(|a| a.id)
        .collect();
    let wrong = Which::Ids(vec![ids[0], 999]);
    assert_eq!(
        clear(&db.url, &wrong, "no").await.unwrap(),
        Outcome::NotOpen(vec![999])
    );
    assert_eq!(list(&db.url, false).await.unwrap().len(), 3);
    let one = Which::Ids(vec![ids[1]]);
    assert_eq!(
        clear(&db.url, &one, "looked at").await.unwrap(),
        Outcome::Cleared(vec![ids[1]])
    );
    let history = list(&db.url, true).await.unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history[1].cleared_reason.as_deref(), Some("looked at"));
    assert!(
        history[1]
            .cleared_at
            .as_deref()
            .is_some_and(|t| t.ends_with('Z'))
    );
    assert_eq!(
        clear(&db.url, &Which::All, "all").await.unwrap(),
        Outcome::Cleared(vec![ids[0], ids[2]])
    );
    assert_eq!(
        clear(&db.url, &Which::All, "all").await.unwrap(),
        Outcome::Cleared(Vec::new())
    );
}

/// Losses on forks that die, again and again, a gap that is filled from above, a confirmed fork, a loss that comes late.
fn troubles(dir: &std::path::Path) {
    let mut chain = Chain::start(dir, 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    for slot in [2, 4] {
        let generation = chain.create(slot);
        chain.push(lost(slot, 1, LossReason::QueueFull));
        chain.seal(slot, 9, (slot - 1, 0), generation, 1);
        chain.bank(slot + 1, 0, (slot - 1, 0), &[]);
        chain.root(slot + 1, 0);
        chain.push(lost(slot, 2, LossReason::AfterSeal));
    }
    // 6 to 8 are not seen in time.
    chain.bank(9, 0, (8, 0), &[write(2, vault(2, 60))]);
    chain.root(9, 0);
    for slot in [8, 6, 7] {
        chain.bank(slot, 0, (slot - 1, 0), &[]);
    }
    chain.push(lost(7, 1, LossReason::QueueFull));
    chain.bank(10, 0, (9, 0), &[open_job(10)]);
    chain.confirm(10, 0);
    chain.bank(10, 1, (9, 0), &[]);
    chain.confirm(10, 1);
    chain.incomplete(
        11,
        1,
        (10, 1),
        &[write(2, vault(3, 1)), write(4, vault(1, 1))],
    );
    chain.push(lost(11, 1, LossReason::SpoolFull));
    chain.root(10, 1);
    chain.root(11, 1);
    chain.bank(12, 1, (11, 1), &[]);
    chain.root(12, 1);
    chain.bank(
        11,
        1,
        (10, 1),
        &[write(2, vault(3, 1)), write(4, vault(1, 1))],
    );
    chain.bank(13, 1, (12, 1), &[]);
    chain.root(13, 1);
    chain.sync();
}

#[tokio::test]
async fn the_history_of_alarms_is_the_same_however_inputs_are_batched() {
    let spool = tempfile::tempdir().unwrap();
    troubles(spool.path());
    let all = "SELECT kind, slot, last_slot, count, banks, clears_itself, detail, cleared_reason FROM pipeline.alarm ORDER BY id";
    let mut histories = Vec::new();
    for chunk in [1, 2, 5, 1_000] {
        let db = Database::new(&format!("alarm_chunk_{chunk}")).await;
        drain(&db.url, spool.path(), chunk, None).await.unwrap();
        histories.push((chunk, db.texts(all).await));
    }
    let (_, first) = &histories[0];
    for (chunk, history) in &histories {
        assert_eq!(history, first, "{chunk} inputs a batch");
    }
    let healed = |slot: u64| {
        let why = format!(
            "slot {slot} is finalized, and no bank of these slots is missing or incomplete"
        );
        first.iter().filter(|row| row.contains(&why)).count()
    };
    // Two losses, a gap, the late loss, the one of the block that came whole after all.
    assert_eq!([3, 5, 9, 10, 12].map(healed), [1, 1, 1, 1, 1], "{first:#?}");
}

#[tokio::test]
async fn start_up_accounts_with_holes_are_an_alarm_until_others_are_used() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_base").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    drop(chain);
    let mut chain = Chain::begin(spool.path(), 2, &PROGRAMS);
    chain.update(1, 0, 0, &write(2, vault(1, 100)), true);
    chain.push(Event::BaseEnd(BaseEnd { slot: 1, count: 2 }));
    chain.bank(2, 0, (1, 0), &[]);
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(base,1,1,1,t)"]);
    let shown = list(&db.url, false).await.unwrap();
    assert!(shown[0].detail.ends_with("1 of 2 came"), "{shown:?}");
    drop(chain);
    let mut chain = Chain::start(spool.path(), 3, 2, &[write(2, vault(1, 100))]);
    chain.bank(3, 0, (2, 0), &[]);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(
        db.texts(HISTORY).await,
        [
            r#"(base,t,"all rows were compared with the accounts that a producer started from at slot 2")"#
        ]
    );
}

#[tokio::test]
async fn a_plugin_with_other_owners_is_an_alarm_and_its_blocks_are_incomplete() {
    let spool = tempfile::tempdir().unwrap();
    let db = Database::new("alarm_filter").await;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    drop(chain);
    let mut chain = Chain::begin(spool.path(), 2, &[[5; 32]]);
    chain.bank(2, 0, (1, 0), &[write(2, vault(2, 50))]);
    chain.root(2, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(OPEN).await, ["(filter,0,0,1,f)"]);
    let shown = list(&db.url, false).await.unwrap();
    assert!(shown[0].detail.contains("set owners to"), "{shown:?}");
    let vaults = "SELECT balance, exact FROM analytics.vaults_finalized";
    assert_eq!(db.texts(vaults).await, ["(100,f)"]);
    drop(chain);
    // With the right ones its accounts are a base; that the plugin was wrong is for the operator to clear.
    let mut chain = Chain::start(spool.path(), 3, 2, &[write(2, vault(2, 50))]);
    chain.bank(3, 0, (2, 0), &[]);
    chain.root(3, 0);
    chain.sync();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    assert_eq!(db.texts(vaults).await, ["(50,f)"]);
    assert_eq!(db.texts(OPEN).await, ["(filter,0,0,1,f)"]);
    clear(&db.url, &Which::All, "owners is right")
        .await
        .unwrap();
    assert_eq!(db.texts(HISTORY).await, [r#"(filter,t,"owners is right")"#]);
}
