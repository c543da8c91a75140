//! Messages that are no records, records that are gone, brokers that are away or let nobody in.

use mythic_broker::{PASSWORD, USER, WEAK_USER};
use mythic_kafka::{Topic, Trouble, check};
use mythic_stream::proto::{Envelope, Event};
use prost::Message;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::super::chain::*;
use super::super::postgres::Database;
use super::*;
use crate::kafka::{KafkaSource, Origin, Places};
use crate::source::{Chunk, chunks};
use crate::telemetry::Telemetry;

const VAULTS: &str = "SELECT balance, exact FROM analytics.vaults_finalized ORDER BY balance";
const OPEN: &str =
    "SELECT DISTINCT kind FROM analytics.alarms WHERE cleared_at IS NULL ORDER BY kind";

/// Slots, each with a new balance of one vault.
fn banks(chain: &mut Chain, slots: std::ops::RangeInclusive<u64>) {
    for slot in slots {
        chain.bank(slot, 0, (slot - 1, 0), &[write(2, vault(slot, 100 * slot))]);
    }
    chain.sync();
}

/// The update of slot 3 is rubbish on its way.
fn spoiled(envelope: &Envelope) -> Option<Vec<u8>> {
    match &envelope.event {
        Some(Event::Account(update)) if update.slot == 3 => Some(b"rubbish in its place".to_vec()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_record_is_kept_and_a_record_that_is_gone_is_a_gap() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let kafka = settings(broker, "hostile", 3);
    let mut chain = Chain::start(&spool, 1, 0, &[]);
    let mut passer = Passer::new(&kafka, &spool, None);
    passer.instead = Some(spoiled);
    let mut db = Database::new("kafka_hostile").await;
    let wrong = secure(broker, "hostile", (USER, "wrong"));
    let (task, stop) = spawn(&config(&db, dir.path(), &wrong));
    banks(&mut chain, 1..=2);
    chain.root(1, 0);
    chain.sync();
    assert!(passer.pass().1);
    // It is not let in before the password is the right one, and says which key that is.
    says(&mut db, Some("kafka_login_refused")).await;
    let key = "SELECT error LIKE '%kafka.password_file%' FROM pipeline.heartbeat WHERE process = 'indexer'";
    until(&mut db, key, &["(t)"]).await;
    std::fs::write(wrong.password_file.as_ref().unwrap(), PASSWORD).unwrap();
    rooted(&mut db, 1).await;
    says(&mut db, None).await;
    // Runs that nobody heard of, numbers that can't be, and noise, into one partition.
    for n in 0..1_200u64 {
        let envelope = Envelope {
            run: vec![(n % 200) as u8 + 50; 16].into(),
            seq: if n % 3 == 0 { u64::MAX } else { n * n },
            time_unix_nanos: n,
            event: Some(Event::End(Default::default())),
        };
        passer.send(0, &envelope.encode_to_vec());
        passer.send(0, format!("noise {n}").as_bytes());
    }
    assert!(passer.delivered());
    banks(&mut chain, 3..=6);
    chain.root(5, 0);
    chain.sync();
    assert!(passer.pass().1);
    rooted(&mut db, 5).await;
    // What was written after the loss is right.
    until(&mut db, VAULTS, &["(500,t)"]).await;
    until(&mut db, OPEN, &["(loss)"]).await;
    let incomplete = "SELECT slot FROM analytics.slots_finalized WHERE NOT exact";
    until(&mut db, incomplete, &["(3)"]).await;
    // The newest thousand are kept, that of slot 3 among them.
    let kept = "SELECT count(*) <= 1000, count(*) FILTER (WHERE bytes = 'rubbish in its place') FROM pipeline.kafka_letter";
    until(&mut db, kept, &["(t,1)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}

/// Waits until the indexer says in the database that it waits for what begins with `word`, or that it works.
async fn says(db: &mut Database, word: Option<&str>) {
    let sql = "SELECT split_part(error, ':', 1) FROM pipeline.heartbeat WHERE process = 'indexer' AND working = (error IS NULL)";
    until(db, sql, &[&format!("({})", word.unwrap_or_default())]).await;
}

/// Those of a login at the listener that asks for one.
fn secure(broker: &Broker, prefix: &str, (user, password): (&str, &str)) -> Settings {
    Settings {
        brokers: broker.secure(),
        user: Some(user.into()),
        password_file: Some(broker.password_file(password).unwrap()),
        options: broker.login(),
        ..settings(broker, prefix, 3)
    }
}

/// Starts to read a topic.
fn read(settings: &Settings) -> (KafkaSource, mpsc::Receiver<Chunk>) {
    settings.validate().unwrap();
    let (sender, chunks) = chunks(1);
    let origin = Origin {
        stations: Default::default(),
        places: Places::default(),
        patience: Duration::from_secs(3),
        telemetry: Telemetry::new().unwrap(),
    };
    let source = KafkaSource::spawn(settings, 1 << 20, origin, sender).unwrap();
    (source, chunks)
}

/// Waits until a reader says this, or that it reads; its words.
async fn hears(chunks: &mut mpsc::Receiver<Chunk>, wanted: Option<Trouble>) -> String {
    let heard = async {
        loop {
            let (_, chunk) = chunks.recv().await.expect("it goes on");
            match chunk {
                Ok(_) if wanted.is_none() => return String::new(),
                Err(IndexerError::Kafka(error)) if Some(error.trouble) == wanted => {
                    return error.to_string();
                }
                _ => {}
            }
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard).await;
    heard.unwrap_or_else(|_| panic!("it never says {wanted:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_reader_out_has_its_word_and_a_way_out_and_it_goes_on_once_that_is_mended() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let good = secure(broker, "logins", (USER, PASSWORD));
    let weak = secure(broker, "logins", (WEAK_USER, PASSWORD));
    let expired = Settings {
        brokers: broker.expired(),
        ..good.clone()
    };
    let mut stranger = good.clone();
    stranger.options.remove("ssl.ca.location");
    let missing = Settings {
        create_topics: false,
        ..good.clone()
    };
    // All at once: each takes its time.
    let mut readers = [
        (weak, Trouble::NoRights, "kafka.topic_prefix"),
        (expired, Trouble::CertificateExpired, "certificate"),
        (stranger, Trouble::Tls, "ssl.ca.location"),
        (missing, Trouble::TopicMissing, "kafka.create_topics"),
    ]
    .map(|(settings, trouble, key)| (read(&settings), trouble, key));
    for ((_, chunks), trouble, key) in &mut readers {
        let said = hears(chunks, Some(*trouble)).await;
        assert!(said.contains(*key) && !said.contains(PASSWORD), "{said}");
    }
    let [.., (mut last, ..)] = readers;
    tokio::task::block_in_place(|| check(&good, Topic::Updates, PATIENCE)).unwrap();
    hears(&mut last.1, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_retention_has_removed_is_a_gap_and_a_broker_that_is_away_is_waited_for() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let kafka = settings(broker, "retention", 3);
    let mut chain = Chain::start(&spool, 1, 0, &[]);
    let mut passer = Passer::new(&kafka, &spool, None);
    let mut db = Database::new("kafka_retention").await;
    let config = config(&db, dir.path(), &kafka);
    let (task, stop) = spawn(&config);
    banks(&mut chain, 1..=3);
    chain.root(2, 0);
    chain.sync();
    assert!(passer.pass().1);
    rooted(&mut db, 2).await;
    stop.cancel();
    task.await.unwrap().unwrap();
    // While nobody reads, two slots come and go.
    banks(&mut chain, 4..=5);
    assert!(passer.pass().1);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", broker.plain());
    let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
    let mut gone = TopicPartitionList::new();
    for partition in 0..3 {
        let topic = kafka.topic(Topic::Updates);
        gone.add_partition_offset(&topic, partition, Offset::End)
            .unwrap();
    }
    admin
        .delete_records(&gone, &AdminOptions::new())
        .await
        .unwrap();
    let (task, stop) = spawn(&config);
    banks(&mut chain, 6..=8);
    chain.root(7, 0);
    chain.sync();
    assert!(passer.pass().1);
    rooted(&mut db, 7).await;
    until(&mut db, VAULTS, &["(700,t)"]).await;
    until(&mut db, OPEN, &["(gap)", "(kafka)", "(loss)"]).await;
    says(&mut db, None).await;
    tokio::task::block_in_place(|| broker.kill());
    says(&mut db, Some("kafka_unreachable")).await;
    tokio::task::block_in_place(|| broker.restart().unwrap());
    banks(&mut chain, 9..=10);
    chain.root(9, 0);
    chain.sync();
    assert!(tokio::task::block_in_place(|| passer.pass().1));
    rooted(&mut db, 9).await;
    says(&mut db, None).await;
    until(&mut db, VAULTS, &["(900,t)"]).await;
    stop.cancel();
    task.await.unwrap().unwrap();
}
