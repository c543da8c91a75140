//! Passes the feed on to Kafka, beside the writer and on a connection of its own: whoever holds the lease sends each event to the
//! topic `PREFIX.feed`, and stores how far the brokers have acknowledged all. So an event comes at least once; its number tells
//! repeats apart. Brokers that are away hold nothing up but this.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mythic_kafka::{
    BrokerError, Outgoing, Producer, Settings, Topic, Trouble, check, partition_of,
};
use mythic_postgres::{Listener, Manner, listen};
use mythic_projection::{StoredEvent, feed_entries};
use mythic_support::{Backoff, Throttle};
use tokio::task::{AbortHandle, JoinError};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::db::Session;
use crate::error::IndexerError;
use crate::telemetry::Telemetry;

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
/// How long nothing is acknowledged before it is said.
const QUIET: Duration = Duration::from_secs(5);
/// How often a stop is looked at while the brokers are waited for.
const LOOK: Duration = Duration::from_millis(100);

/// The relay; it ends with this.
#[derive(Debug)]
pub(crate) struct Relay {
    task: AbortHandle,
    _stop: DropGuard,
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
            telemetry,
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
            _stop: stop.drop_guard(),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
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
        let mut at = self.position(&mut session).await?;
        loop {
            let (newest, oldest) = bounds(&mut session).await?;
            self.telemetry.relay_lag.set(newest - at);
            if at >= newest {
                self.telemetry.relay(None);
                woken(&mut listener).await?;
                continue;
            }
            let (parcels, through) = page(&mut session, (at, newest, oldest)).await?;
            let count = parcels.len() as u64;
            self.deliver(parcels).await?;
            self.store(&mut session, through).await?;
            self.telemetry.relayed.inc_by(count);
            self.telemetry.relay(None);
            backoff.reset();
            at = through;
        }
    }

    /// How far the topic is; a new one begins with the oldest event that is kept.
    async fn position(&self, session: &mut Session) -> Result<i64, IndexerError> {
        session
            .execute(
                "INSERT INTO pipeline.relay (topic, seq) SELECT $1, oldest - 1 FROM feed.counter ON CONFLICT DO NOTHING",
                &[&self.topic],
            )
            .await?;
        let rows = session
            .query(
                "SELECT seq FROM pipeline.relay WHERE topic = $1",
                &[&self.topic],
            )
            .await?;
        let row = rows.first().map(|row| row.get(0));
        row.ok_or_else(|| IndexerError::Broken("pipeline.relay lost a row".into()))
    }

    async fn store(&self, session: &mut Session, seq: i64) -> Result<(), IndexerError> {
        let stored = session
            .execute(
                "UPDATE pipeline.relay r SET seq = $2, updated_at = now() FROM pipeline.lease l
                  WHERE r.topic = $1 AND l.epoch = $3",
                &[&self.topic, &seq, &self.epoch],
            )
            .await?;
        match stored {
            1 => Ok(()),
            _ => Err(IndexerError::LeaseLost { epoch: self.epoch }),
        }
    }

    /// Sends until the brokers have acknowledged everything.
    async fn deliver(&mut self, parcels: Vec<Parcel>) -> Result<(), IndexerError> {
        let sender = match self.sender.clone() {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let (stop, telemetry) = (self.stop.clone(), self.telemetry.clone());
        let partitions = self.settings.partitions;
        let sent = tokio::task::spawn_blocking(move || {
            let said = |error: BrokerError| telemetry.relay(Some(&error.into()));
            send(&sender, partitions, &parcels, &stop, &said)
        });
        let sent = joined(sent.await)?;
        if sent.is_err() {
            // What waits in it would come again.
            self.sender = None;
        }
        Ok(sent?)
    }

    async fn open(&mut self) -> Result<Arc<Producer>, IndexerError> {
        let settings = self.settings.clone();
        let opened = tokio::task::spawn_blocking(move || {
            check(&settings, Topic::Feed, CHECK)?;
            Producer::open(&settings, Topic::Feed)
        });
        let sender = Arc::new(joined(opened.await)??);
        self.sender = Some(sender.clone());
        Ok(sender)
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

/// Sends parcels and waits for their reports; says what keeps the brokers from giving them.
fn send(
    sender: &Producer,
    partitions: u16,
    parcels: &[Parcel],
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
    let (mut waiting, mut heard) = (0usize, Instant::now());
    loop {
        while let Some((parcel, partition)) = copies.peek() {
            let taken = sender.send(&Outgoing {
                partition: *partition,
                key: parcel.key.as_deref().map(str::as_bytes),
                value: parcel.value.as_bytes(),
                headers: &[("seq", &parcel.seq.to_be_bytes())],
                tag: 0,
            })?;
            if !taken {
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
            report.result?;
            (waiting, heard) = (waiting.saturating_sub(1), Instant::now());
        }
        if let Some(error) = sender.fatal() {
            return Err(error);
        }
        if heard.elapsed() > QUIET {
            heard = Instant::now();
            let silent = || BrokerError::new(Trouble::Unreachable, "no broker acknowledges");
            said(sender.trouble().unwrap_or_else(silent));
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
    fn what_can_not_be_told_is_a_gap() {
        let events = [event(3, Some("K")), event(6, None)];
        let parcels = parcels(2, events.into_iter(), 8);
        let shown: Vec<_> = parcels.iter().map(|p| (p.seq, p.key.as_deref())).collect();
        assert_eq!(shown, [(3, Some("K")), (5, None), (6, None), (8, None)]);
        assert_eq!(parcels[1].value, r#"{"gap":{"from":4,"to":5}}"#);
        assert!(parcels[0].value.contains(r#""entity":"K""#));
    }
}
