//! What is in the tables does not depend on the way that the records came.

use super::super::drain;
use super::super::postgres::Database;
use super::super::steps::everything;
use super::*;
use crate::{Swap, hash_tables, rebuild};

/// All that the records say, without places and times.
async fn content(db: &Database) -> Vec<String> {
    let tables = hash_tables(&db.client, "projection_1").await.unwrap();
    let mut out: Vec<String> = tables
        .into_iter()
        .map(|(t, h)| format!("{t} {h:?}"))
        .collect();
    for sql in [
        "SELECT seq, topic, op, entity, slot, blockhash, commitment, payload FROM feed.event ORDER BY seq",
        "SELECT * FROM archive.event ORDER BY id",
        "SELECT * FROM archive.account ORDER BY bank, ordinal",
        "SELECT bank, slot, ordinal, pubkey, reason FROM pipeline.dead_letter ORDER BY bank, ordinal",
        "SELECT kind, slot, last_slot, count, detail, cleared_at IS NULL FROM pipeline.alarm ORDER BY id",
    ] {
        out.extend(db.texts(sql).await);
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_the_same_through_kafka_as_through_a_spool() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    everything(&spool);
    let straight = Database::new("kafka_straight").await;
    drain(&straight.url, &spool, 50, None).await.unwrap();
    let kafka = settings(broker, "same", 3);
    let mut passer = Passer::new(&kafka, &spool, None);
    assert!(passer.pass().1);
    let mut db = Database::new("kafka_same").await;
    let (task, stop) = spawn(&config(&db, dir.path(), &kafka));
    let reached = "SELECT applied_run, applied_seq FROM pipeline.position ORDER BY producer";
    let wanted = straight.texts(reached).await;
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    until(&mut db, reached, &wanted).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(content(&db).await, content(&straight).await);
    let report = rebuild(&db.url, Swap::Never).await.unwrap();
    assert_eq!(report.different, Vec::<String>::new());
    // The first run is over, and everything is written: a restart reads what is new.
    let past = "SELECT count(*), min(segment) FROM pipeline.kafka_past";
    assert_eq!(db.texts(past).await, ["(1,1)"]);
    let places = "SELECT count(*), min(next_offset) > 0 FROM pipeline.kafka_position";
    assert_eq!(db.texts(places).await, ["(3,t)"]);
}
