use super::chain::*;
use super::drain;
use super::postgres::Database;
#[tokio::test]
async fn speed() {
    let spool = tempfile::tempdir().unwrap();
    let mut chain = Chain::start(spool.path(), 1, 0, &[]);
    for slot in 1..=100u64 {
        let generation = chain.create(slot);
        let n = 2000u64;
        for i in 0..n {
            let k = (slot * 7919 + i * 31) % 20000;
            let mut data = if i % 2 == 0 {
                vault(slot, i)
            } else {
                job(
                    slot,
                    Life {
                        requested: 1,
                        accepted: slot,
                        ..Life::default()
                    },
                )
            };
            data[8..16].copy_from_slice(&slot.to_le_bytes());
            chain.update_key(slot, generation, k, data);
        }
        chain.seal(slot, 0, (slot - 1, 0), generation, n);
        if slot > 1 {
            chain.confirm(slot - 1, 0);
        }
        if slot > 32 {
            chain.root(slot - 32, 0);
        }
    }
    chain.sync();
    let db = Database::new("speed").await;
    let t = std::time::Instant::now();
    drain(&db.url, spool.path(), 3, None).await.unwrap();
    let s = t.elapsed().as_secs_f64();
    eprintln!("{} updates in {s:.2}s = {:.0}/s", 200_000, 200_000.0 / s);
    for q in [
        "SELECT id FROM analytics.jobs_processed ORDER BY requested_slot DESC, id_key LIMIT 20",
        "SELECT * FROM analytics.jobs_processed ORDER BY requested_slot DESC, id_key LIMIT 20",
        "SELECT * FROM analytics.jobs_processed WHERE id_key='\\x0001'",
        "SELECT sum(fee_lamports) FROM analytics.jobs_processed",
        "SELECT * FROM analytics.network_daily",
    ] {
        let t = std::time::Instant::now();
        db.texts(q).await;
        eprintln!("{q}: {:?}", t.elapsed());
    }
    db.client.batch_execute("ANALYZE").await.unwrap();
    for q in [
        "SELECT id FROM analytics.jobs_processed ORDER BY requested_slot DESC, id_key LIMIT 20",
        "SELECT * FROM analytics.jobs_processed WHERE id_key='\\x0001'",
        "SELECT count(*) FROM analytics.jobs_processed",
    ] {
        for row in db
            .client
            .query(&format!("EXPLAIN (ANALYZE, SUMMARY) {q}"), &[])
            .await
            .unwrap()
        {
            let l: String = row.get(0);
            eprintln!("{l}");
        }
    }
    let t = std::time::Instant::now();
    let r = crate::rebuild(&db.url, crate::Swap::Never).await.unwrap();
    eprintln!("rebuild {:?} {:?}", t.elapsed(), r);
}
