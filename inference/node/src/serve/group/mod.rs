//! The feed's topic of Kafka, read as a member of a group: the workers of one validator share its jobs, and one that dies leaves its part
//! to the others. Nothing in it is believed; the job is then read from the chain.
//!
//! A message counts as done once its job is in the journal or is not ours, and a position is committed when everything before it is
//! done. So a worker that dies repeats messages to another one and loses none; what the chain shows as accepted is not taken again.

mod progress;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mythic_kafka::{BrokerError, Consumer, Message, Settings, Start, Topic, check_to_read};
use mythic_support::Backoff;
use parking_lot::Mutex;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::feed;
use crate::meters::Meters;
use progress::Progress;

/// Longest wait for a message before a stop is looked at.
const WAIT: Duration = Duration::from_millis(100);
/// How often positions are committed.
const COMMIT: Duration = Duration::from_millis(500);
/// Longest wait of the check at start.
const CHECK: Duration = Duration::from_secs(20);
/// How long nothing is refused before it counts as reading where no message comes.
const SURE: Duration = Duration::from_secs(5);
/// Shortest and longest pause between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Messages that may be looked at at the same time; more are not read. A look ends by itself.
const MOST: usize = 256;
/// Largest message that is looked at, in bytes.
const MAX_EVENT: usize = 256 << 10;

/// What is found in the topic.
#[derive(Debug)]
pub enum Found {
    /// A job that may have opened.
    Hint(Pubkey),
    /// A job that has opened; counts as done when it is dropped.
    Job(Pubkey, Turn),
    /// Some events are in the topic no more: the chain knows what they said.
    Gap,
}

/// A message that is not done yet.
#[derive(Debug)]
pub struct Turn {
    at: (i32, i64),
    progress: Arc<Mutex<Progress>>,
    done: bool,
}

impl Turn {
    /// Its job is in the journal, or is not ours.
    pub fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.done {
            self.progress.lock().done(self.at);
        }
    }
}

/// Reads on a thread of its own until `stop`. Never gives up.
pub fn follow(
    settings: Settings,
    validator: &Pubkey,
    out: mpsc::Sender<Found>,
    (meters, stop): (Meters, CancellationToken),
) -> std::io::Result<()> {
    let group = format!("node-{validator}");
    let thread = std::thread::Builder::new().name("jobs".into());
    thread.spawn(move || {
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut told = None;
        while !stop.is_cancelled() && !out.is_closed() {
            let began = Instant::now();
            let Err(error) = read(&settings, &group, &out, (&meters, &stop)) else {
                return;
            };
            meters.kafka(Some(error.trouble));
            if told != Some(error.trouble) {
                told = Some(error.trouble);
                let state = error.trouble.as_str();
                tracing::warn!(state, %error, "jobs can't be read from Kafka; trying again, and they are found by the scan meanwhile");
            }
            if began.elapsed() > PAUSES.1 {
                backoff.reset();
            }
            let until = Instant::now() + backoff.pause();
            while Instant::now() < until && !stop.is_cancelled() {
                std::thread::sleep(WAIT);
            }
        }
    })?;
    Ok(())
}

/// Reads until something fails; `Ok` at a stop.
fn read(
    settings: &Settings,
    group: &str,
    out: &mpsc::Sender<Found>,
    (meters, stop): (&Meters, &CancellationToken),
) -> Result<(), BrokerError> {
    check_to_read(settings, Topic::Feed, CHECK)?;
    let consumer = Consumer::grouped(settings, Topic::Feed, group, Start::Oldest)?;
    let progress = Arc::new(Mutex::new(Progress::default()));
    let (began, mut committed, mut reads) = (Instant::now(), Instant::now(), false);
    // What was sent while nobody read may be gone.
    let _ = out.blocking_send(Found::Gap);
    while !stop.is_cancelled() {
        if committed.elapsed() > COMMIT {
            commit(&consumer, &progress);
            committed = Instant::now();
        }
        if progress.lock().open() >= MOST {
            std::thread::sleep(WAIT);
            continue;
        }
        let message = consumer.poll(WAIT)?;
        // The group is joined behind our back: that it may not be comes as an answer to a poll.
        if !reads && (message.is_some() || began.elapsed() > SURE) {
            meters.kafka(None);
            reads = true;
        }
        let Some(message) = message else {
            continue;
        };
        meters.kafka_messages.inc();
        if !take(message, &progress, out) {
            break;
        }
    }
    commit(&consumer, &progress);
    Ok(())
}

/// Hands a message over. `false`: nobody takes it.
fn take(message: Message, progress: &Arc<Mutex<Progress>>, out: &mpsc::Sender<Found>) -> bool {
    let at = (message.partition, message.offset);
    progress.lock().begin(at);
    let text = std::str::from_utf8(&message.value).ok();
    let text = text.filter(|text| text.len() <= MAX_EVENT);
    let job = text.and_then(feed::opened_job);
    let gap = text.is_some_and(feed::is_gap);
    let turn = Turn {
        at,
        progress: progress.clone(),
        done: false,
    };
    match (job, gap) {
        (Some(job), _) => out.blocking_send(Found::Job(job, turn)).is_ok(),
        (None, true) => {
            turn.done();
            out.blocking_send(Found::Gap).is_ok()
        }
        (None, false) => {
            turn.done();
            true
        }
    }
}

/// Commits what is done. A partition that was given to another member meanwhile may be refused: that one reads from the position
/// before.
fn commit(consumer: &Consumer, progress: &Mutex<Progress>) {
    let due = progress.lock().due();
    for (partition, next) in due {
        match consumer.commit(partition, next) {
            Ok(()) => progress.lock().committed(partition, next),
            Err(error) => tracing::debug!(partition, %error, "a position was not committed"),
        }
    }
}
