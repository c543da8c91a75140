//! The feed on its way to its topic.

use mythic_kafka::{Consumer, Topic, check};

use super::super::postgres::Database;
use super::*;
use crate::relay::Relay;
use crate::telemetry::Telemetry;

/// How far the partitions of the feed's topic reach.
fn ends(kafka: &Settings) -> Vec<i64> {
    let asking = Consumer::assigned(kafka, Topic::Feed, &[]).unwrap();
    let end = |partition| asking.range(partition, PATIENCE).unwrap().1;
    (0..i32::from(kafka.partitions)).map(end).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_goes_back_to_is_stored_before_anything_is_sent_again() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let kafka = settings(broker, "back", 2);
    tokio::task::block_in_place(|| check(&kafka, Topic::Feed, PATIENCE)).unwrap();
    let mut db = Database::new("kafka_back").await;
    // All events up to the tenth were acknowledged, those after the fifth in five messages a partition; the brokers have none of them.
    let acknowledged = "UPDATE feed.counter SET next = 11, oldest = 11;
        INSERT INTO pipeline.relay (topic, seq, ends, held_seq, held_ends) VALUES ('back.feed', 10, '{5,5}', 5, '{0,0}')";
    db.client.batch_execute(acknowledged).await.unwrap();
    // Nothing can be stored.
    let holds = "BEGIN; SELECT FROM pipeline.relay FOR UPDATE";
    db.client.batch_execute(holds).await.unwrap();
    let relay = Relay::spawn(kafka.clone(), db.url.clone(), 0, Telemetry::new().unwrap());
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    until(&mut db, waits, &["(1)"]).await;
    // Were it killed now, logs that are as long again would look like those that it knew.
    assert_eq!(tokio::task::block_in_place(|| ends(&kafka)), [0, 0]);
    db.client.batch_execute("COMMIT").await.unwrap();
    // They are not kept any more: one message tells every partition so.
    let stored = "SELECT seq, ends FROM pipeline.relay";
    until(&mut db, stored, &[r#"(10,"{1,1}")"#]).await;
    assert_eq!(tokio::task::block_in_place(|| ends(&kafka)), [1, 1]);
    drop(relay);
}
