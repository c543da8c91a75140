//! What is kept beside the tables of accounts (texts of keys, prices, balances, what forks undid): complete, right, and the same
//! after a rebuild.

use super::world::{MODELS, PRICE_CHANGES, VAULT, World, key};
use super::{BATCH, accounts, write};
use crate::tests::postgres::Database;
use crate::{Swap, rebuild};

fn base58(key: [u8; 32]) -> String {
    bs58::encode(key).into_string()
}

#[tokio::test]
async fn history_is_what_happened_and_the_same_after_a_rebuild() {
    let db = Database::new("analyst_history").await;
    let mut world = World::new(1_500, 7);
    write(&db, &mut world, BATCH, true).await;

    assert_eq!(
        db.texts("SELECT count(*) FROM analytics.reorged_jobs")
            .await,
        [format!("({})", world.undone)]
    );
    assert!(world.undone > 0, "no fork lost a job");
    let prices = format!(
        "({},{PRICE_CHANGES},100,{})",
        MODELS,
        100 + 10 * PRICE_CHANGES
    );
    assert_eq!(
        db.texts(
            "SELECT count(DISTINCT model), count(*) FILTER (WHERE price_in_change_lamports = 10) / count(DISTINCT model),
                    min(price_in_lamports), max(price_in_lamports) FROM analytics.model_prices"
        )
        .await,
        [prices]
    );
    // A vault's balance after each block of one owner, from what its jobs cost.
    let owner = world.jobs[0].owner;
    let mut ends: Vec<(u64, u64)> = world
        .ended()
        .filter(|job| job.owner == owner)
        .map(|job| (job.ended, job.fee))
        .collect();
    ends.sort_unstable();
    let spent: u64 = ends.iter().map(|(_, fee)| fee).sum();
    assert_eq!(
        db.texts(&format!(
            "SELECT balance_lamports, spent_lamports, (SELECT sum(balance_change_lamports) FROM analytics.vault_balances WHERE vault = v.vault)
               FROM analytics.vault_balances v WHERE vault = '{}' ORDER BY slot DESC LIMIT 1",
            base58(key(VAULT, owner))
        ))
        .await,
        [format!("({},{spent},{})", accounts::DEPOSIT - spent, accounts::DEPOSIT - spent)]
    );
    let moved = ends
        .iter()
        .filter(|(_, fee)| *fee > 0)
        .map(|(slot, _)| slot)
        .collect::<std::collections::BTreeSet<_>>();
    assert_eq!(
        db.texts(&format!(
            "SELECT count(*) FROM analytics.vault_balances WHERE vault = '{}' AND balance_change_lamports < 0",
            base58(key(VAULT, owner))
        ))
        .await,
        [format!("({})", moved.len())]
    );
    let report = rebuild(&db.url, Swap::IfEqual).await.unwrap();
    assert_eq!((report.different, report.swapped), (Vec::new(), true));
}

#[tokio::test]
async fn every_key_that_a_view_shows_has_its_text() {
    let db = Database::new("analyst_texts").await;
    let spool = tempfile::tempdir().unwrap();
    crate::tests::steps::everything(spool.path());
    crate::tests::drain(&db.url, spool.path(), 7, None)
        .await
        .unwrap();
    // Pairs of a text and its bytes, as views have them.
    let pairs = db
        .client
        .query(
            "SELECT t.attrelid::regclass::text, t.attname::text, k.attname::text FROM pg_class v
               JOIN pg_attribute k ON k.attrelid = v.oid AND k.attname ~ '_key$'
               JOIN pg_attribute t ON t.attrelid = v.oid AND t.attname = regexp_replace(k.attname, '_key$', '')
              WHERE v.relkind = 'v' AND v.relnamespace = 'analytics'::regnamespace",
            &[],
        )
        .await
        .unwrap();
    assert!(pairs.len() > 100, "{} pairs", pairs.len());
    let mut shown = 0;
    for pair in &pairs {
        let (view, text, bytes): (String, String, String) = (pair.get(0), pair.get(1), pair.get(2));
        let rows = db
            .client
            .query(&format!("SELECT {text}, {bytes} FROM {view} WHERE {text} IS NOT NULL OR {bytes} IS NOT NULL"), &[])
            .await
            .unwrap();
        for row in &rows {
            let key: Vec<u8> = row.get(1);
            assert_eq!(
                row.get::<_, Option<String>>(0),
                Some(bs58::encode(key).into_string()),
                "{view}.{text}"
            );
            shown += 1;
        }
    }
    assert!(shown > 20, "{shown} keys");
}

#[tokio::test]
async fn base58_is_that_of_the_library() {
    let db = Database::new("analyst_base58").await;
    let mut keys: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        vec![0, 0, 1],
        vec![255; 64],
        vec![0; 32],
        vec![1; 33],
    ];
    keys.extend((0..300u64).map(|n| key(9, n)[..(n as usize % 33)].to_vec()));
    for key in keys {
        let row = db
            .client
            .query_one("SELECT analytics.base58($1)", &[&key])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), bs58::encode(&key).into_string());
    }
}
