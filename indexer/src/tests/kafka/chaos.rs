//! Everything at once: indexers are killed and fight for the lease, the forwarder dies and repeats, the broker dies and loses what it had
//! acknowledged, the topic gets more partitions. In the end nothing is lost, and nothing is there twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mythic_broker::Flushed;
use mythic_kafka::{Consumer, Start, Topic, check};
use mythic_projection::{StoredEvent, feed_entries};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;

use super::super::live::{content, produce, undisturbed};
use super::super::postgres::{Database, shared as server};
use super::*;

const SLOTS: u64 = 150;

fn admin(broker: &Broker) -> AdminClient<DefaultClientContext> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.plain());
    config.create().unwrap()
}

/// Forwards until told to stop, dying at random: what was sent last is sent again.
fn forward(
    kafka: Settings,
    spool: &Path,
    seed: u64,
    (again, stop): (Arc<AtomicBool>, Arc<AtomicBool>),
) -> std::thread::JoinHandle<()> {
    let spool = spool.to_owned();
    std::thread::spawn(move || {
        let mut random = StdRng::seed_from_u64(seed);
        let mut passer = Passer::new(&kafka, &spool, None);
        let mut before = None;
        loop {
            let stopping = stop.load(Ordering::SeqCst);
            let (first, taken) = passer.pass();
            let from_start = again.swap(false, Ordering::SeqCst) || !taken;
            if from_start {
                // The broker has lost something: all that the spool has is sent once more.
                passer = Passer::new(&kafka, &spool, None);
                continue;
            }
            if stopping {
                return;
            }
            if random.random_bool(0.1) {
                passer = Passer::new(&kafka, &spool, first.or(before));
            }
            before = first.or(before);
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

/// The files of a topic that was just made, once they are there.
async fn made(broker: &Broker, topic: &str) -> Flushed {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match broker.flushed(topic) {
            Ok(files) => return files,
            Err(e) => assert!(Instant::now() < deadline, "{e}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the feed's topic has by now, each event once.
async fn relayed(kafka: &Settings, newest: i64) -> BTreeMap<i64, serde_json::Value> {
    let kafka = kafka.clone();
    let read = move || {
        let starts: Vec<_> = (0..i32::from(kafka.partitions))
            .map(|p| (p, Start::At(0)))
            .collect();
        let consumer = Consumer::assigned(&kafka, Topic::Feed, &starts).unwrap();
        let mut found = BTreeMap::new();
        let deadline = Instant::now() + PATIENCE;
        while found.len() < newest as usize {
            if let Ok(Some(message)) = consumer.poll(Duration::from_millis(100)) {
                let event: serde_json::Value = serde_json::from_slice(&message.value).unwrap();
                let seq = event["seq"].as_i64().expect("no gap is told");
                let entity = event["entity"].as_str().unwrap_or_default();
                assert_eq!(message.key.as_ref(), entity.as_bytes());
                let other = found.insert(seq, event.clone());
                assert!(other.is_none_or(|other| other == event), "{event}");
            }
            assert!(Instant::now() < deadline, "{} of {newest}", found.len());
        }
        found
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_there_twice_whatever_dies() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let given = std::env::var("MYTHIC_TEST_SEED").ok();
    let seed = given.map_or_else(rand::random::<u64>, |seed| seed.parse().unwrap());
    eprintln!("replay with MYTHIC_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let mut db = Database::new("kafka_chaos").await;
    let mut kafka = settings(broker, "chaos", 2);
    // What the broker loses is sent again, however slow this machine is.
    let config = IndexerConfig {
        kafka_patience_s: 480,
        ..config(&db, dir.path(), &kafka)
    };
    // There before anybody passes on: what the broker loses of the feed is all that it has by then.
    let feed = kafka.clone();
    tokio::task::block_in_place(|| check(&feed, Topic::Feed, PATIENCE)).unwrap();
    let nothing = made(broker, &feed.topic(Topic::Feed)).await;
    let producer = produce(spool.clone(), SLOTS, seed, Duration::from_millis(20));
    let (again, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let mut forwarder = forward(kafka.clone(), &spool, seed, (again.clone(), stop.clone()));
    let mut turn = 0;
    while !producer.is_finished() || turn < 6 {
        let (first, _stop) = spawn(&config);
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        let (second, _stop_second) = spawn(&config);
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
        for task in [first, second] {
            task.abort();
            let ended = task.await;
            assert!(
                ended.is_err_and(|e| e.is_cancelled()),
                "it ran until it was killed"
            );
        }
        turn += 1;
        match turn {
            2 => {
                // More partitions: the forwarder learns of them at its next start, and refuses to start where it has not.
                stop.store(true, Ordering::SeqCst);
                tokio::task::block_in_place(|| forwarder.join().unwrap());
                stop.store(false, Ordering::SeqCst);
                let more = NewPartitions::new("chaos.updates", 5);
                let options = AdminOptions::new();
                admin(broker)
                    .create_partitions([&more], &options)
                    .await
                    .unwrap();
                kafka.partitions = 5;
                let flags = (again.clone(), stop.clone());
                forwarder = forward(kafka.clone(), &spool, seed + 1, flags);
            }
            4 => {
                let (task, _stop) = spawn(&config);
                let passed = "SELECT seq > 0 FROM pipeline.relay WHERE topic = 'chaos.feed'";
                until(&mut db, passed, &["(t)"]).await;
                task.abort();
                assert!(task.await.is_err_and(|e| e.is_cancelled()));
                let flushed = broker.flushed("chaos.updates").unwrap();
                tokio::time::sleep(Duration::from_millis(200)).await;
                tokio::task::block_in_place(|| {
                    broker.kill();
                    broker.lose_since(&flushed).unwrap();
                    broker.lose_since(&nothing).unwrap();
                    broker.restart().unwrap();
                });
                again.store(true, Ordering::SeqCst);
            }
            _ => {}
        }
    }
    let (task, end) = spawn(&config);
    producer.join().unwrap();
    rooted(&mut db, SLOTS + 1).await;
    stop.store(true, Ordering::SeqCst);
    tokio::task::block_in_place(|| forwarder.join().unwrap());
    let expected = undisturbed(server(), "kafka_chaos_expected", &spool).await;
    assert_eq!(content(&db).await, expected, "seed {seed}");
    let newest = db
        .client
        .query_one("SELECT next - 1 FROM feed.counter", &[]);
    let newest: i64 = newest.await.unwrap().get(0);
    let relayed = relayed(&feed, newest).await;
    let rows = db.client.query(&feed_entries("true"), &[]).await.unwrap();
    let told: BTreeMap<i64, serde_json::Value> = StoredEvent::all(&rows)
        .map(|event| event.unwrap())
        .map(|event| (event.seq, event.shown(None)))
        .collect();
    assert_eq!(relayed, told, "seed {seed}");
    end.cancel();
    task.await.unwrap().unwrap();
}
