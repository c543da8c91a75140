//! Several workers of one validator, which share its jobs through a real broker.

// A broker is one test's at a time, for as long as the test takes.
#![allow(clippy::await_holding_lock)]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mythic_broker::{Broker, PASSWORD, WEAK_USER};
use mythic_client::{Commitment, ix};
use mythic_interface::state::{Job, JobStatus};
use mythic_kafka::{Outgoing, Producer, Settings, Topic, check, partition_of};
use mythic_node::{NodeConfig, config::JobsFrom};
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;

use crate::harness::{PATIENCE, Puppet, Running, World, any_port, run_node};

/// Prompts that an engine was started with, one after the other.
type Seen = Arc<Mutex<Vec<u32>>>;

struct Network {
    world: World,
    kafka: Settings,
    feed: Producer,
    seq: i64,
}

impl Network {
    async fn start(broker: &Broker, prefix: &str) -> Self {
        let kafka = Settings {
            brokers: broker.plain(),
            topic_prefix: prefix.into(),
            partitions: 4,
            replication: 1,
            ..Settings::default()
        };
        check(&kafka, Topic::Feed, PATIENCE).unwrap();
        let feed = Producer::open(&kafka, Topic::Feed).unwrap();
        Self {
            world: World::start(60).await,
            kafka,
            feed,
            seq: 0,
        }
    }

    fn config(&self, worker: u8, kafka: &Settings) -> NodeConfig {
        NodeConfig {
            data_dir: self.world.dir.path().join(format!("worker-{worker}")),
            jobs: JobsFrom::Kafka,
            kafka: Some(kafka.clone()),
            ..self.world.config()
        }
    }

    /// A worker whose engine takes `pause` for each token.
    fn worker(&self, number: u8, pause: Duration) -> (Running, Seen) {
        self.worker_that_reads(&self.kafka, number, pause)
    }

    fn worker_that_reads(&self, kafka: &Settings, number: u8, pause: Duration) -> (Running, Seen) {
        let seen = Seen::default();
        let puppet = Puppet {
            pause,
            seen: seen.clone(),
            ..Puppet::default()
        };
        let running = run_node(
            self.config(number, kafka),
            self.world.model,
            Arc::new(puppet),
            any_port(),
        );
        (running, seen)
    }

    /// The login of one who may do nothing.
    fn weak(&self, broker: &Broker) -> Settings {
        Settings {
            brokers: broker.secure(),
            user: Some(WEAK_USER.into()),
            password_file: Some(broker.password_file(PASSWORD).unwrap()),
            options: broker.login(),
            ..self.kafka.clone()
        }
    }

    /// Waits until a worker is a member of the group: it has read a message that everybody gets.
    async fn joined(&mut self, workers: &[&Running]) {
        let started = Instant::now();
        loop {
            self.say_gap();
            let mut all = true;
            for worker in workers {
                all &= !measures(worker, READS_NOTHING).await;
            }
            if all {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "a worker reads nothing");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn send(&mut self, partition: i32, value: &str) {
        self.seq += 1;
        let message = Outgoing {
            partition,
            key: None,
            value: value.as_bytes(),
            headers: &[("seq", &self.seq.to_be_bytes())],
            tag: 0,
        };
        assert!(self.feed.send(&message).unwrap());
        let started = Instant::now();
        while self.feed.waiting() > 0 {
            self.feed.poll(Duration::from_millis(20));
            assert!(started.elapsed() < PATIENCE, "the broker takes nothing");
        }
    }

    /// Tells everybody that events are missing, as the indexer does.
    fn say_gap(&mut self) {
        for partition in 0..4 {
            self.send(partition, &json!({"gap": {"from": 1, "to": 2}}).to_string());
        }
    }

    /// An open job on the chain.
    async fn open(&self, tag: u8) -> Pubkey {
        let world = &self.world;
        let (args, prompt) = world.request(tag, 12).await;
        let hash = hex::encode(args.prompt_hash);
        world
            .gateway
            .told
            .lock()
            .unwrap()
            .prompts
            .insert(hash, prompt);
        let request = ix::request_inference(&world.requester(false), &args);
        world
            .chain
            .send_and_confirm(
                &[request],
                &world.payer.pubkey(),
                &[&world.payer, &world.owner],
                Commitment::Processed,
            )
            .await
            .unwrap();
        world.job(&args)
    }

    /// Tells the group of a job.
    fn tell(&mut self, job: &Pubkey) {
        let entity = job.to_string();
        let event = json!({"seq": self.seq, "topic": "jobs", "op": "add", "entity": entity, "payload": {"status": "open"}});
        let partition = partition_of(entity.as_bytes(), 4);
        self.send(partition, &event.to_string());
    }

    async fn status(&self, job: &Pubkey, wanted: JobStatus) -> Job {
        self.world
            .until(job, Commitment::Finalized, "there", |j| {
                j.status() == Some(wanted)
            })
            .await
    }
}

/// No message of the feed was read.
const READS_NOTHING: &str = "mythic_node_kafka_messages_total 0";

/// Whether a line is among a worker's metrics.
async fn measures(worker: &Running, line: &str) -> bool {
    let metrics = reqwest::get(format!("{}/metrics", worker.url)).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    metrics.lines().any(|measured| measured == line)
}

fn count(seen: &Seen, tag: u8) -> usize {
    let seen = seen.lock().unwrap();
    seen.iter().filter(|one| **one == u32::from(tag)).count()
}

/// Waits until an engine has begun a job.
async fn running(seen: &Seen, tag: u8) {
    let started = Instant::now();
    while count(seen, tag) == 0 {
        assert!(started.elapsed() < PATIENCE, "it does not run");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A worker that is kept out says why in its metrics, which is what the alarm is made from, although it has never read anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_may_not_read_the_feed_says_so_before_it_has_read_anything() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let broker = shared.as_mut().unwrap();
    let network = Network::start(broker, "weak").await;
    let weak = network.weak(broker);
    let (worker, _seen) = network.worker_that_reads(&weak, 1, Duration::from_millis(5));
    let started = Instant::now();
    let word = r#"mythic_node_kafka_trouble{trouble="kafka_no_rights"} 1"#;
    while !measures(&worker, word).await {
        assert!(started.elapsed() < PATIENCE, "it does not say why");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(measures(&worker, "mythic_node_kafka_up 0").await);
    assert!(measures(&worker, READS_NOTHING).await);
}

/// Of each job one worker's acceptance lands, and only that one runs it, although all look the same on the chain and all looked at
/// the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn workers_that_find_the_same_jobs_run_each_once() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let mut network = Network::start(shared.as_mut().unwrap(), "race").await;
    let pause = Duration::from_millis(5);
    let (first, seen_first) = network.worker(1, pause);
    let (second, seen_second) = network.worker(2, pause);
    network.joined(&[&first, &second]).await;
    let mut jobs = Vec::new();
    for tag in 1..=4 {
        jobs.push((tag, network.open(tag).await));
    }
    // Both search the chain now.
    network.say_gap();
    for (tag, job) in &jobs {
        let state = network.status(job, JobStatus::Submitted).await;
        assert_eq!(state.validator, network.world.authority.pubkey().to_bytes());
        let runs = count(&seen_first, *tag) + count(&seen_second, *tag);
        assert_eq!(runs, 1, "job {tag}");
    }
    drop((first, second));
}

/// The group is divided anew while a worker is in the middle of a job: it goes on and is paid, and nobody else runs it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_finished_by_the_worker_that_has_it_when_the_group_is_divided_anew() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let mut network = Network::start(shared.as_mut().unwrap(), "rebalance").await;
    let (first, seen_first) = network.worker(1, Duration::from_millis(500));
    network.joined(&[&first]).await;
    let taken = network.open(1).await;
    network.tell(&taken);
    running(&seen_first, 1).await;
    let (second, seen_second) = network.worker(2, Duration::from_millis(5));
    network.joined(&[&first, &second]).await;
    // Told again to whoever has its partition now, and found by a search of the chain.
    network.tell(&taken);
    network.say_gap();
    let other = network.open(2).await;
    network.tell(&other);
    network.status(&other, JobStatus::Submitted).await;
    let done = network.status(&taken, JobStatus::Submitted).await;
    assert_eq!(done.validator, network.world.authority.pubkey().to_bytes());
    assert_eq!((count(&seen_first, 1), count(&seen_second, 1)), (1, 0));
    assert_eq!(count(&seen_first, 2) + count(&seen_second, 2), 1);
    drop((first, second));
}

/// A worker that dies keeps the job that it has accepted; what it was only told of goes to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_in_the_middle_of_a_job_loses_none_and_none_is_run_by_two() {
    let Some(mut shared) = mythic_broker::shared() else {
        return;
    };
    let mut network = Network::start(shared.as_mut().unwrap(), "failover").await;
    let (slow, seen_slow) = network.worker(1, Duration::from_millis(500));
    network.joined(&[&slow]).await;
    let taken = network.open(1).await;
    network.tell(&taken);
    let accepted = |j: &Job| j.status() == Some(JobStatus::Accepted);
    network
        .world
        .until(&taken, Commitment::Processed, "accepted", accepted)
        .await;
    running(&seen_slow, 1).await;
    let (other, seen_other) = network.worker(2, Duration::from_millis(5));
    network.joined(&[&other]).await;
    // The group is divided anew, and the first one still works.
    let told = network.open(2).await;
    network.tell(&told);
    slow.kill();
    let late = network.open(3).await;
    network.tell(&late);
    network.tell(&taken);
    network.status(&late, JobStatus::Submitted).await;
    assert_eq!(count(&seen_other, 3), 1);
    assert_eq!(count(&seen_other, 1), 0, "it is another worker's");
    // Back with its journal, it does what it has accepted.
    let (back, seen_back) = network.worker(1, Duration::from_millis(5));
    network.status(&taken, JobStatus::Submitted).await;
    assert_eq!((count(&seen_back, 1), count(&seen_other, 1)), (1, 0));
    // Whoever had it: it is done, by one.
    network.status(&told, JobStatus::Submitted).await;
    let by_first = count(&seen_slow, 2) + count(&seen_back, 2);
    assert!(
        (by_first == 0) != (count(&seen_other, 2) == 0),
        "{by_first}"
    );
    drop((back, other));
}
