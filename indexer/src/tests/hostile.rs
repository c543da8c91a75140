//! Content that anyone can write costs little, and is doubtful where it is, not everywhere.

use super::chain::*;
use super::drain;
use super::postgres::Database;
use crate::{Swap, rebuild};

async fn follow(db: &Database, chain: &mut Chain, dir: &std::path::Path) {
    chain.sync();
    drain(&db.url, dir, 1, None).await.unwrap();
}

async fn rebuilds(db: &Database) {
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
}

fn broken() -> Vec<u8> {
    vault(9, u64::MAX)
}

#[tokio::test]
async fn unreadable_content_is_doubtful_on_its_chain_and_at_its_commitment() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_forks").await,
    );
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[write(2, vault(1, 100))]);
    chain.root(1, 0);
    chain.bank(2, 1, (1, 0), &[write(2, broken())]);
    follow(&db, &mut chain, spool.path()).await;
    let shown = |commitment: &str| {
        let sql = format!("SELECT balance, exact FROM analytics.vaults_{commitment}");
        let db = &db;
        async move { db.texts(&sql).await }
    };
    assert_eq!(shown("processed").await, ["(100,f)"]);
    assert_eq!(shown("confirmed").await, ["(100,t)"]);
    assert_eq!(shown("finalized").await, ["(100,t)"]);
    // Another fork knows nothing of it.
    chain.bank(3, 0, (1, 0), &[]);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(shown("processed").await, ["(100,t)"]);
    // On the chain, read again in a block that is not final yet.
    chain.bank(4, 0, (3, 0), &[write(2, broken())]);
    chain.bank(5, 0, (4, 0), &[write(2, vault(10, 5))]);
    chain.root(4, 0);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(shown("processed").await, ["(5,t)"]);
    assert_eq!(shown("finalized").await, ["(100,f)"]);
    assert_eq!(
        db.texts("SELECT quarantined FROM analytics.pipeline_status")
            .await,
        ["(0)"]
    );
    rebuilds(&db).await;
}

#[tokio::test]
async fn what_a_fork_made_unreadable_is_unchanged_on_the_chain_however_inputs_are_batched() {
    let open = || {
        let life = Life {
            requested: 1,
            ..Life::default()
        };
        write(3, job(1, life))
    };
    for chunk in [1, 1_000] {
        let (spool, db) = (
            tempfile::tempdir().unwrap(),
            Database::new(&format!("hostile_unread_{chunk}")).await,
        );
        let mut chain = Chain::start(spool.path(), 1, 0, &[open()]);
        chain.bank(1, 0, (0, 0), &[]);
        chain.bank(2, 1, (1, 0), &[write(3, vec![250; 300])]);
        chain.bank(3, 0, (1, 0), &[open()]);
        chain.sync();
        drain(&db.url, spool.path(), chunk, None).await.unwrap();
        let written = "SELECT count(*) FROM projection_1.job_hot";
        assert_eq!(db.texts(written).await, ["(0)"], "{chunk}");
        rebuilds(&db).await;
    }
}

#[tokio::test]
async fn an_update_that_changes_nothing_is_archived_and_nothing_more() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_same").await,
    );
    let open = |seq| {
        let life = Life {
            requested: 1,
            ..Life::default()
        };
        write(3, job(seq, life))
    };
    let mut poorer = open(1);
    poorer.lamports -= 1;
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[
            open(1),
            write(2, vault(1, 100)),
            open(1),
            write(9, broken()),
        ],
    );
    chain.root(1, 0);
    chain.bank(
        2,
        0,
        (1, 0),
        &[open(1), write(2, vault(1, 100)), write(9, broken())],
    );
    chain.bank(3, 0, (2, 0), &[open(1), closed(7)]);
    chain.bank(
        4,
        0,
        (3, 0),
        &[
            open(1),
            closed(7),
            write(2, vault(1, 100)),
            write(9, broken()),
        ],
    );
    // A fork is compared with its own line.
    chain.bank(5, 1, (3, 0), &[poorer.clone()]);
    chain.bank(6, 0, (4, 0), &[poorer.clone(), poorer]);
    chain.root(4, 0);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(
        db.texts("SELECT slot, ordinal, write_seq FROM projection_1.job UNION ALL SELECT slot, ordinal, write_seq FROM projection_1.vault ORDER BY 2").await,
        ["(1,0,1)", "(1,1,1)"]
    );
    assert_eq!(
        db.texts("SELECT slot, topic FROM feed.event WHERE op = 'add' ORDER BY seq")
            .await,
        ["(1,jobs)", "(3,network)"]
    );
    // What is only sent away or to it is a row, and told to nobody.
    assert_eq!(
        db.texts("SELECT slot, lamports FROM projection_1.job_overlay ORDER BY 1")
            .await,
        ["(6,999999)"]
    );
    assert_eq!(
        db.texts("SELECT sum(updates) FROM archive.account").await,
        ["(16)"]
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM pipeline.dead_letter").await,
        ["(1)"]
    );
    rebuilds(&db).await;
}

#[tokio::test]
async fn beside_a_gap_nothing_is_taken_for_unchanged() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_gap").await,
    );
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(
        1,
        0,
        (0, 0),
        &[write(2, vault(1, 100)), write(4, vault(1, 4))],
    );
    chain.root(1, 0);
    chain.bank(3, 0, (2, 0), &[write(2, vault(1, 100))]);
    chain.root(3, 0);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(
        db.texts("SELECT balance, slot, exact FROM analytics.vaults_finalized ORDER BY 1")
            .await,
        ["(4,1,f)", "(100,3,t)"]
    );
    rebuilds(&db).await;
}

#[tokio::test]
async fn what_cannot_be_read_after_a_job_was_closed_says_nothing_of_it() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_after").await,
    );
    let life = |requested| Life {
        requested,
        ..Life::default()
    };
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    let jobs = [3, 4].map(|key| write(key, job(1, life(1))));
    chain.bank(1, 0, (0, 0), &jobs);
    chain.bank(2, 0, (1, 0), &[write(4, broken())]);
    // Of the second nobody knows how it ended, and each is followed by others at its address.
    let mut writes = Vec::new();
    for key in [3, 4] {
        writes.extend([closed(key), write(key, job(1, life(3)))]);
    }
    writes.extend([write(3, broken()), closed(4)]);
    chain.bank(3, 0, (2, 0), &writes);
    chain.root(2, 0);
    let shown = |commitment: &str| {
        let sql = format!(
            "SELECT get_byte(id_key, 0), requested_slot, closed_slot, exact FROM analytics.jobs_{commitment} ORDER BY 1, 2"
        );
        let db = &db;
        async move { db.texts(&sql).await }
    };
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(shown("finalized").await, ["(3,1,,t)", "(4,1,,f)"]);
    // Two closings of one slot are one row, and it is not sure of either.
    let all = ["(3,1,3,t)", "(3,3,,f)", "(4,1,3,f)", "(4,3,3,f)"];
    assert_eq!(shown("processed").await, all);
    chain.root(3, 0);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(shown("finalized").await, all);
    rebuilds(&db).await;
}

#[tokio::test]
async fn twenty_thousand_unreadable_accounts_cost_one_row_each() {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_many").await,
    );
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    chain.bank(1, 0, (0, 0), &[]);
    for slot in 2..4 {
        let generation = chain.create(slot);
        for n in 0..20_000u32 {
            let mut pubkey = vec![9; 32];
            pubkey[..4].copy_from_slice(&n.to_le_bytes());
            chain.push(mythic_stream::proto::Event::Account(
                mythic_stream::proto::AccountUpdate {
                    slot,
                    generation,
                    write_version: n.into(),
                    pubkey: pubkey.into(),
                    owner: mythic_interface::AI_PRECOMPILES_ID.to_vec().into(),
                    lamports: 1,
                    data: vec![255].into(),
                    is_startup: false,
                    signature: Default::default(),
                },
            ));
        }
        chain.seal(slot, 0, (slot - 1, 0), generation, 20_000);
    }
    chain.root(3, 0);
    chain.sync();
    let began = std::time::Instant::now();
    drain(&db.url, spool.path(), 1, None).await.unwrap();
    eprintln!(
        "40,000 updates of unreadable accounts: {:?}",
        began.elapsed()
    );
    assert_eq!(
        db.texts("SELECT count(*) FROM pipeline.dead_letter").await,
        ["(20000)"]
    );
    assert_eq!(
        db.texts("SELECT quarantined FROM analytics.pipeline_status")
            .await,
        ["(20000)"]
    );
}

#[tokio::test]
async fn an_account_of_a_base_that_the_database_refuses_is_a_dead_letter_with_its_bytes_and_the_rest_is_used()
 {
    let (spool, db) = (
        tempfile::tempdir().unwrap(),
        Database::new("hostile_base").await,
    );
    db.client
        .batch_execute("ALTER TABLE projection_1.vault_hot ADD CHECK (balance <> 666)")
        .await
        .unwrap();
    let base = [
        write(1, vault(1, 5)),
        write(2, vault(1, 666)),
        write(3, vault(1, 7)),
        write(4, broken()),
    ];
    let mut chain = Chain::start(spool.path(), 1, 0, &base);
    chain.bank(1, 0, (0, 0), &[]);
    chain.root(1, 0);
    follow(&db, &mut chain, spool.path()).await;
    assert_eq!(
        db.texts("SELECT balance FROM analytics.vaults_finalized ORDER BY 1")
            .await,
        ["(5)", "(7)"]
    );
    let letters = "SELECT bank, ordinal, starts_with(reason, 'refused by the database: ') FROM pipeline.dead_letter ORDER BY ordinal";
    assert_eq!(db.texts(letters).await, ["(2,1,t)", "(2,3,f)"]);
    assert_eq!(
        db.texts("SELECT quarantined FROM analytics.pipeline_status")
            .await,
        ["(2)"]
    );
    for (ordinal, content) in [(1, vault(1, 666)), (3, broken())] {
        let kept = crate::archived_update(&db.url, spool.path(), 2, ordinal).await;
        assert_eq!(kept.unwrap().unwrap().data, content);
    }
}
