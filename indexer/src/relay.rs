//! Passes the feed on to Kafka, beside the writer and on a connection of its own: whoever holds the lease sends each event to the
//! topic `PREFIX.feed`, and stores how far the brokers have acknowledged all. So an event comes at least once; its number tells
//! repeats apart. Brokers that are away hold nothing up but this.
//!
//! Brokers acknowledge before their disks have it, so it also stores how far their logs reached: where one is shorter, or gives an
//! offset again, they lost something, and what came after the point that `held` keeps is sent again.

mod held;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_kafka::{
    BrokerError, Consumer, Outgoing, Producer, Settings, Topic, Trouble, check, partition_of,
};
use mythic_postgres::{Listener, Manner, listen};
use mythic_projection::{StoredEvent, feed_entries};
use mythic_support::{Backoff, Throttle};
use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::CancellationToken;

use crate::db::Session;
use crate::error::IndexerError;
use crate::telemetry::Telemetry;
use held::{Acknowledged, PassedOn, Verdict};

/// Events read and sent at once.
const PAGE: i64 = 500;
/// Without a notification, the database is asked this often.
const POLL: Duration = Duration::from_secs(5);
/// Pause after a failure, doubled up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// The same trouble is logged once in this time.
const WARNINGS: Duration = Duration::from_secs(60);
/// Longest wait of the check at start.
const CHECK: Duration = Duration::from_secs(20);
/// Longest wait for an answer of the brokers.
const QUESTION: Duration = Duration::from_secs(5);
/// How long nothing is acknowledged before it is said.
const QUIET: Duration = Duration::from_secs(5);
/// How long before a producer is given up whose trouble a person mends; what waits in it is sent again.
const STALL: Duration = Duration::from_secs(30);
/// How often a stop is looked at while the brokers are waited for.
const LOOK: Duration = Duration::from_millis(100);

/// The relay; it ends with this.
#[derive(Debug)]
pub(crate) struct Relay {
    task: AbortHandle,
    telemetry: Telemetry,
    stop: CancellationToken,
}

impl Relay {
    /// Passes on while the lease has this epoch.
    pub fn spawn(
        settings: Settings,
        database_url: String,
        epoch: i64,
        telemetry: Telemetry,
    ) -> Self {
        let stop = CancellationToken::new();
        let mut carrier = Carrier {
            topic: settings.topic(Topic::Feed),
            sender: None,
            sure: Vec::new(),
            telemetry: telemetry.clone(),
            epoch,
            stop: stop.clone(),
            settings,
        };
        let task = tokio::spawn(async move {
            let mut backoff = Backoff::new(PAUSE.0, PAUSE.1);
            let warnings = Throttle::new(WARNINGS);
            loop {
                let error = match carrier.carry(&database_url, &mut backoff).await {
                    Ok(()) | Err(IndexerError::LeaseLost { .. }) => return,
                    Err(e) => e,
                };
                carrier.telemetry.relay(Some(&error));
                if let Some(more) = warnings.allow() {
                    let state = error.trouble().as_str();
                    tracing::warn!(state, more, "the feed is not passed on to Kafka: {error}");
                }
                tokio::time::sleep(backoff.pause()).await;
            }
        });
        Self {
            task: task.abort_handle(),
            telemetry,
            stop,
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
        // Whoever passes the feed on now knows what it waits for, and how much.
        self.telemetry.relay(None);
        self.telemetry.relay_lag.set(0);
    }
}

/// A message of the feed's topic.
#[derive(Debug, PartialEq, Eq)]
struct Parcel {
    /// The account; none of what speaks for many, which goes to every partition.
    key: Option<String>,
    seq: i64,
    value: String,
}

struct Carrier {
    settings: Settings,
    topic: String,
    sender: Option<Arc<Producer>>,
    /// After a loss: for each partition, up to where the brokers hold what they were given.
    sure: Vec<i64>,
    telemetry: Telemetry,
    epoch: i64,
    stop: CancellationToken,
}

impl Carrier {
    /// Passes on until something fails.
    async fn carry(
        &mut self,
        database_url: &str,
        backoff: &mut Backoff,
    ) -> Result<(), IndexerError> {
        let mut session = Session::open(database_url, "mythic indexer relay").await?;
        let manner = Manner::named("mythic indexer relay listener");
        let mut listener = listen(database_url, &manner, "mythic_feed").await?;
        let mut held = self.position(&mut session).await?;
        let (newest, oldest) = bounds(&mut session).await?;
        self.telemetry.relay_lag.set(newest - held.newest.seq);
        let ends = self.open().await?;
        if self.find(&mut held, ends, oldest) {
            // Before anything that is sent again makes the logs as long as they were.
            self.store(&mut session, &held).await?;
        }
        loop {
            let (newest, oldest) = bounds(&mut session).await?;
            let at = held.newest.seq;
            self.telemetry.relay_lag.set(newest - at);
            if at >= newest {
                self.telemetry.relay(None);
                woken(&mut listener).await?;
                continue;
            }
            let (parcels, through) = page(&mut session, (at, newest, oldest)).await?;
            let count = parcels.len() as u64;
            let (ends, sent) = self.deliver(parcels, held.newest.ends.clone()).await?;
            if let Err(error) = sent {
                // What waits in it would come again.
                self.sender = None;
                if error.trouble == Trouble::LogLost {
                    self.sure = ends;
                    held.go_back();
                    self.store(&mut session, &held).await?;
                    self.lost(held.newest.seq);
                }
                return Err(error.into());
            }
            held.advance(Acknowledged { seq: through, ends }, Instant::now());
            self.store(&mut session, &held).await?;
            self.telemetry.relayed.inc_by(count);
            self.telemetry.relay(None);
            backoff.reset();
        }
    }

    /// Finds out whether the brokers have what they acknowledged; `true`: it goes back to what they have.
    fn find(&mut self, held: &mut PassedOn, ends: Vec<i64>, oldest: i64) -> bool {
        let sure = std::mem::take(&mut self.sure);
        match held.find(ends, &sure, oldest, Instant::now()) {
            Verdict::All => return false,
            Verdict::LostAfter(seq) => self.lost(seq),
            Verdict::LostMore => {
                tracing::error!(
                    oldest,
                    "the brokers lost more of the feed than what is held for that: all events that are kept are sent again"
                );
                self.lost(oldest - 1);
            }
        }
        true
    }

    fn lost(&self, seq: i64) {
        self.telemetry.relay_resends.inc();
        tracing::warn!(
            topic = self.topic,
            "the brokers don't have any more what they acknowledged: events after {seq} are sent again"
        );
    }

    /// How far the topic is; a new one begins with the oldest event that is kept.
    async fn position(&self, session: &mut Session) -> Result<PassedOn, IndexerError> {
        session
            .execute(
                "INSERT INTO pipeline.relay (topic, seq, held_seq) SELECT $1, oldest - 1, oldest - 1 FROM feed.counter ON CONFLICT DO NOTHING",
                &[&self.topic],
            )
            .await?;
        let rows = session
            .query(
                "SELECT seq, ends, held_seq, held_ends FROM pipeline.relay WHERE topic = $1",
                &[&self.topic],
            )
            .await?;
        let row = rows.first();
        let row = row.ok_or_else(|| IndexerError::Broken("pipeline.relay lost a row".into()))?;
        let read = |seq: usize, ends: usize| Acknowledged {
            seq: row.get(seq),
            ends: row.get(ends),
        };
        let (newest, held) = (read(0, 1), read(2, 3));
        Ok(PassedOn::new(newest, held, Instant::now()))
    }

    async fn store(&self, session: &mut Session, held: &PassedOn) -> Result<(), IndexerError> {
        let (newest, oldest) = (&held.newest, held.oldest());
        let stored = session
            .execute(
                "UPDATE pipeline.relay r SET seq = $2, ends = $3, held_seq = $4, held_ends = $5, updated_at = now()
                   FROM pipeline.lease l
                  WHERE r.topic = $1 AND l.epoch = $6",
                &[
                    &self.topic,
                    &newest.seq,
                    &newest.ends,
                    &oldest.seq,
                    &oldest.ends,
                    &self.epoch,
                ],
            )
            .await?;
        match stored {
            1 => Ok(()),
            _ => Err(IndexerError::LeaseLost { epoch: self.epoch }),
        }
    }

    /// Sends until the brokers have acknowledged everything; how far their partitions reach then, of what is known.
    async fn deliver(
        &self,
        parcels: Vec<Parcel>,
        mut ends: Vec<i64>,
    ) -> Result<(Vec<i64>, Result<(), BrokerError>), IndexerError> {
        let sender = self.sender.clone();
        let sender = sender.ok_or_else(|| IndexerError::Broken("nobody sends".into()))?;
        let (stop, telemetry) = (self.stop.clone(), self.telemetry.clone());
        let partitions = self.settings.partitions;
        let sent = tokio::task::spawn_blocking(move || {
            let said = |error: BrokerError| {
                // This thread may outlive its relay by a moment.
                if !stop.is_cancelled() {
                    telemetry.relay(Some(&error.into()));
                }
            };
            let sent = send(&sender, partitions, (&parcels, &mut ends), &stop, &said);
            (ends, sent)
        });
        joined(sent.await)
    }

    /// Sees to it that there is a producer; up to where the brokers' partitions reach.
    async fn open(&mut self) -> Result<Vec<i64>, IndexerError> {
        let (settings, sender) = (self.settings.clone(), self.sender.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let sender = match sender {
                Some(sender) => sender,
                None => {
                    check(&settings, Topic::Feed, CHECK)?;
                    Arc::new(Producer::open(&settings, Topic::Feed)?)
                }
            };
            let asking = Consumer::assigned(&settings, Topic::Feed, &[])?;
            let ends = (0..i32::from(settings.partitions))
                .map(|partition| asking.range(partition, QUESTION).map(|(_, end)| end))
                .collect::<Result<Vec<i64>, _>>()?;
            Ok::<_, BrokerError>((sender, ends))
        });
        let (sender, ends) = joined(opened.await)??;
        self.sender = Some(sender);
        Ok(ends)
    }
}

fn joined<T>(done: Result<T, JoinError>) -> Result<T, IndexerError> {
    done.map_err(|e| IndexerError::Broken(format!("the relay ended: {e}")))
}

async fn woken(listener: &mut Listener) -> Result<(), IndexerError> {
    match tokio::time::timeout(POLL, listener.woken()).await {
        Ok(Some(())) | Err(_) => Ok(()),
        Ok(None) => Err(mythic_postgres::PostgresError::NoAnswer(POLL).into()),
    }
}

/// Numbers of the newest event, and of the oldest that is kept.
async fn bounds(session: &mut Session) -> Result<(i64, i64), IndexerError> {
    let rows = session
        .query("SELECT next - 1, oldest FROM feed.counter", &[])
        .await?;
    let row = rows.first().map(|row| (row.get(0), row.get(1)));
    row.ok_or_else(|| IndexerError::Broken("feed.counter is empty".into()))
}

/// The next messages after an event, and how far they reach. What is not kept any more, or does not read, is a gap.
async fn page(
    session: &mut Session,
    (at, newest, oldest): (i64, i64, i64),
) -> Result<(Vec<Parcel>, i64), IndexerError> {
    if at + 1 < oldest {
        return Ok((vec![gap(at + 1, oldest - 1)], oldest - 1));
    }
    let sql = feed_entries("e.seq > $1 AND e.seq <= $2 ORDER BY e.seq LIMIT $3");
    let rows = session.query(&sql, &[&at, &newest, &PAGE]).await?;
    let last = rows.last().filter(|_| rows.len() as i64 == PAGE);
    let through = last.map_or(newest, |row| row.get("seq"));
    let read = StoredEvent::all(&rows);
    let events = read.filter_map(|e| e.inspect_err(|e| tracing::warn!("{e}")).ok());
    Ok((parcels(at, events, through), through))
}

fn parcels(mut at: i64, events: impl Iterator<Item = StoredEvent>, through: i64) -> Vec<Parcel> {
    let mut parcels = Vec::new();
    for event in events {
        if event.seq > at + 1 {
            parcels.push(gap(at + 1, event.seq - 1));
        }
        at = event.seq;
        parcels.push(Parcel {
            value: event.shown(None).to_string(),
            seq: event.seq,
            key: event.entity,
        });
    }
    if at < through {
        parcels.push(gap(at + 1, through));
    }
    parcels
}

/// As subscribers of the gateway are told.
fn gap(from: i64, to: i64) -> Parcel {
    Parcel {
        key: None,
        seq: to,
        value: serde_json::json!({"gap": {"from": from, "to": to}}).to_string(),
    }
}

/// A message stands at this offset. If another one did before, the brokers lost that one.
fn acknowledged(ends: &mut [i64], (partition, offset): (i32, i64)) -> Result<(), BrokerError> {
    let end = usize::try_from(partition).ok();
    let Some(end) = end.and_then(|partition| ends.get_mut(partition)) else {
        let detail = format!("partition {partition}");
        return Err(BrokerError::new(Trouble::Partitions, detail));
    };
    if (0..*end).contains(&offset) {
        let detail = format!("offset {offset} of partition {partition} was given again");
        *end = offset;
        return Err(BrokerError::new(Trouble::LogLost, detail));
    }
    // Of a repeat that the brokers recognised they do not tell where the first copy is.
    *end = offset.saturating_add(1).max(*end);
    Ok(())
}

/// Sends parcels and waits for their reports; says what keeps the brokers from giving them.
fn send(
    sender: &Producer,
    partitions: u16,
    (parcels, ends): (&[Parcel], &mut [i64]),
    stop: &CancellationToken,
    said: &dyn Fn(BrokerError),
) -> Result<(), BrokerError> {
    let copies = |parcel: &Parcel| match &parcel.key {
        Some(key) => {
            let one = partition_of(key.as_bytes(), partitions);
            one..one + 1
        }
        None => 0..i32::from(partitions),
    };
    let mut copies = parcels
        .iter()
        .flat_map(|parcel| copies(parcel).map(move |partition| (parcel, partition)))
        .peekable();
    let (mut waiting, mut heard, mut told) = (0usize, Instant::now(), Instant::now());
    // Why it sends no more tells more than that it did not send this.
    let telling = |error: BrokerError| sender.fatal().unwrap_or(error);
    loop {
        while let Some((parcel, partition)) = copies.peek() {
            let taken = sender.send(&Outgoing {
                partition: *partition,
                key: parcel.key.as_deref().map(str::as_bytes),
                value: parcel.value.as_bytes(),
                headers: &[("seq", &parcel.seq.to_be_bytes())],
                tag: 0,
            });
            if !taken.map_err(telling)? {
                break;
            }
            copies.next();
            waiting += 1;
        }
        if waiting == 0 && copies.peek().is_none() {
            return Ok(());
        }
        if stop.is_cancelled() {
            return Err(BrokerError::new(Trouble::Other, "the indexer stops"));
        }
        for report in sender.poll(LOOK) {
            acknowledged(ends, report.result.map_err(telling)?)?;
            (waiting, heard) = (waiting.saturating_sub(1), Instant::now());
            // What was said before it is over.
            let _ = sender.trouble();
        }
        if let Some(error) = sender.fatal() {
            return Err(error);
        }
        if told.elapsed() > QUIET && heard.elapsed() > QUIET {
            told = Instant::now();
            let silent = || BrokerError::new(Trouble::Unreachable, "no broker acknowledges");
            let error = sender.trouble().unwrap_or_else(silent);
            if error.trouble.needs_a_person() && heard.elapsed() > STALL {
                // Begun again, with what was mended.
                return Err(error);
            }
            said(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, entity: Option<&str>) -> StoredEvent {
        StoredEvent {
            seq,
            topic: "jobs".into(),
            op: "add".into(),
            entity: entity.map(str::to_owned),
            slot: 1,
            block: None,
            commitment: "processed".into(),
            payload: serde_json::Value::Null,
            at: "t".into(),
        }
    }

    #[test]
    fn an_offset_that_is_given_again_is_a_loss() {
        let mut ends = [5, 0];
        assert_eq!(acknowledged(&mut ends, (0, 5)), Ok(()));
        assert_eq!(acknowledged(&mut ends, (1, 3)), Ok(()));
        assert_eq!(acknowledged(&mut ends, (1, -1)), Ok(()));
        assert_eq!(ends, [6, 4]);
        let lost = acknowledged(&mut ends, (0, 2)).unwrap_err();
        assert_eq!((lost.trouble, ends), (Trouble::LogLost, [2, 4]));
        let strange = acknowledged(&mut ends, (2, 0)).unwrap_err();
        assert_eq!(strange.trouble, Trouble::Partitions);
    }

    #[test]
    fn what_can_not_be_told_is_a_gap() {
        let events = [event(3, Some("K")), event(6, None)];
        let parcels = parcels(2, events.into_iter(), 8);
        let shown: Vec<_> = parcels.iter().map(|p| (p.seq, p.key.as_deref())).collect();
        assert_eq!(shown, [(3, Some("K")), (5, None), (6, None), (8, None)]);
        assert_eq!(parcels[1].value, r#"{"gap":{"from":4,"to":5}}"#);
        assert!(parcels[0].value.contains(r#""entity":"K""#));
    }
}
