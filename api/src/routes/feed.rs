//! The feed: one reader of the database fans out to all subscribers. A subscriber sees every event after its cursor once
//! and in order, or an explicit gap.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use solana_pubkey::Pubkey;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    config::Limits,
    error::{ApiError, ApiResult},
    intake::plan::Catalogue,
    store::{
        Pool,
        feed::{self as store, FeedEvent},
    },
};

/// Topics that exist.
pub const TOPICS: [&str; 7] = [
    "jobs",
    "results",
    "disputes",
    "validators",
    "settlements",
    "leases",
    "network",
];
/// Events that a slow subscriber may be behind before it reads from the database again.
const CHANNEL: usize = 4096;
/// Without a notification, the database is asked this often: a lost one must not stop the feed.
const POLL: Duration = Duration::from_secs(30);

/// What a subscriber asks for, as in the query string.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedQuery {
    /// Comma-separated topics; none = all.
    pub topics: Option<String>,
    /// Everything after this number.
    pub after: Option<i64>,
    /// Only this account.
    pub entity: Option<String>,
    /// Only this job and its disputes.
    pub job: Option<String>,
    /// Only what this validator is part of.
    pub validator: Option<String>,
    /// Only what this wallet pays.
    pub owner: Option<String>,
    /// Only this model.
    pub model: Option<String>,
}

/// A checked subscription.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    topics: Vec<String>,
    fields: Vec<(&'static str, String)>,
    entity: Option<String>,
}

impl Filter {
    /// Checks topics and filters.
    pub fn new(query: &FeedQuery, catalogue: &Catalogue) -> ApiResult<Self> {
        let topics: Vec<String> = query
            .topics
            .as_deref()
            .unwrap_or("")
            .split(',')
            .map(str::trim)
            .filter(|topic| !topic.is_empty())
            .map(str::to_owned)
            .collect();
        if let Some(wrong) = topics
            .iter()
            .find(|topic| !TOPICS.contains(&topic.as_str()))
        {
            return Err(ApiError::invalid(
                "topics",
                format!("no topic {wrong:?}; there are {}", TOPICS.join(", ")),
            ));
        }
        if query.after.is_some_and(|after| after < 0) {
            return Err(ApiError::invalid(
                "after",
                "after must be the seq of an event, or 0 for all",
            ));
        }
        // The feed names models by their address; clients may name them as in requests.
        let model = query
            .model
            .as_ref()
            .map(|name| match name.parse::<Pubkey>() {
                Ok(_) => Ok(name.clone()),
                Err(_) => catalogue.find(name).map(|model| model.address.to_string()),
            });
        let fields = [
            ("job", query.job.clone()),
            ("validator", query.validator.clone()),
            ("owner", query.owner.clone()),
            ("model", model.transpose()?),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect();
        Ok(Self {
            topics,
            fields,
            entity: query.entity.clone(),
        })
    }

    fn topic(&self, event: &FeedEvent) -> bool {
        self.topics.is_empty() || self.topics.contains(&event.topic)
    }

    fn narrow(&self) -> bool {
        self.entity.is_some() || !self.fields.is_empty()
    }

    fn wants(&self, entity: &str, payload: &Value) -> bool {
        self.entity.as_deref().is_none_or(|wanted| wanted == entity)
            && self.fields.iter().all(|(name, wanted)| {
                let says = |name: &str| payload.get(name).and_then(Value::as_str) == Some(wanted);
                match *name {
                    "job" => entity == wanted || says("job"),
                    // Of a dispute both sides and the jurors are part.
                    "validator" => {
                        let jurors = payload.get("jurors").and_then(Value::as_array);
                        ["validator", "submitter", "challenger"]
                            .into_iter()
                            .any(says)
                            || jurors.is_some_and(|all| all.iter().any(|one| one == wanted))
                    }
                    name => says(name),
                }
            })
    }

    /// What this subscriber is shown of an event.
    async fn show(&self, pool: &Pool, event: &FeedEvent) -> ApiResult<Vec<Value>> {
        if !self.topic(event) {
            return Ok(Vec::new());
        }
        if !self.narrow() {
            return Ok(vec![event.shown(None)]);
        }
        match &event.entity {
            Some(entity) => Ok(if self.wants(entity, &event.payload) {
                vec![event.shown(None)]
            } else {
                Vec::new()
            }),
            // A row that speaks for a whole bank says it of each entity that this subscriber follows.
            None => {
                let members = event
                    .members
                    .get_or_try_init(|| store::members(pool, event))
                    .await?;
                let mut shown: Vec<&str> = members
                    .iter()
                    .filter(|(entity, payload)| self.wants(entity, payload))
                    .map(|(entity, _)| entity.as_str())
                    .collect();
                shown.dedup();
                Ok(shown
                    .into_iter()
                    .map(|entity| event.shown(Some(entity)))
                    .collect())
            }
        }
    }
}

/// Fans the feed out.
pub struct Hub {
    events: broadcast::Sender<Arc<FeedEvent>>,
    newest: AtomicI64,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            events: broadcast::channel(CHANNEL).0,
            newest: AtomicI64::new(0),
        }
    }
}

impl Hub {
    /// Newest number heard of; 0 before the first.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Subscribers now.
    pub fn subscribers(&self) -> usize {
        self.events.receiver_count()
    }

    /// Live events, for parts of the gateway that only want to know that something changed.
    pub fn listen(&self) -> broadcast::Receiver<Arc<FeedEvent>> {
        self.events.subscribe()
    }

    /// Listens until told to stop; a lost connection is made again.
    pub async fn run(&self, app: &App, stop: CancellationToken) {
        let mut pause = Duration::from_millis(200);
        let mut read_to: Option<i64> = None;
        while !stop.is_cancelled() {
            let started = std::time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.serve(app, &mut read_to) => {
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "feed connection lost; connecting again");
                    }
                }
            }
            app.feed_connected.store(false, Ordering::Relaxed);
            if started.elapsed() > Duration::from_secs(30) {
                pause = Duration::from_millis(200);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    async fn serve(&self, app: &App, read_to: &mut Option<i64>) -> anyhow::Result<()> {
        let manner = mythic_postgres::Manner::named("mythic gateway feed");
        let url = &app.config.database_url;
        let mut listener = mythic_postgres::listen(url, &manner, "mythic_feed").await?;
        app.feed_connected.store(true, Ordering::Relaxed);
        loop {
            let (newest, _) = store::bounds(&app.pool).await?;
            let mut last = read_to.unwrap_or(newest);
            while last < newest {
                // Nobody listens: subscribers that come read the database from their own cursor.
                if self.events.receiver_count() == 0 {
                    last = newest;
                    break;
                }
                let rows = store::events(&app.pool, last, newest).await?;
                let Some(end) = rows.last().map(|event| event.seq) else {
                    last = newest;
                    break;
                };
                for event in rows {
                    let _ = self.events.send(Arc::new(event));
                }
                last = end;
                *read_to = Some(last);
            }
            *read_to = Some(last);
            // Only now: what is newer than this comes over the channel, and nobody reads it from the database.
            self.newest.store(last, Ordering::Relaxed);
            match tokio::time::timeout(POLL, listener.woken()).await {
                Ok(Some(())) | Err(_) => {}
                Ok(None) => anyhow::bail!("the database closed the feed connection"),
            }
        }
    }
}

/// Most places of one validator's operator: a node follows a few topics.
const PER_OPERATOR: u32 = 8;

/// Who takes a place at the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Follower {
    /// A validator's operator, by its signature.
    Operator([u8; 32]),
    /// Anybody else, by address.
    Address(IpAddr),
}

#[derive(Debug, Default)]
struct Taken {
    by_reader: HashMap<Follower, u32>,
    strangers: u32,
    all: u32,
}

/// The places of the feed. Some are kept for validators, so that strangers can't keep them from hearing of jobs.
#[derive(Debug, Clone)]
pub struct Places {
    taken: Arc<Mutex<Taken>>,
    all: u32,
    strangers: u32,
    per_address: u32,
}

/// A reader's place; given back on drop.
#[derive(Debug)]
pub struct Place {
    reader: Follower,
    taken: Arc<Mutex<Taken>>,
}

impl Places {
    /// As many as the limits say.
    pub fn new(limits: &Limits) -> Self {
        Self {
            taken: Arc::default(),
            all: limits.subscribers,
            strangers: limits
                .subscribers
                .saturating_sub(limits.subscribers_for_validators),
            per_address: limits.subscribers_per_address,
        }
    }

    /// A place, or 429.
    pub fn take(&self, reader: Follower) -> ApiResult<Place> {
        let refuse = |message: &str| {
            Err(ApiError::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_subscribers",
                message,
            )
            .retry_after(10))
        };
        let mut taken = self.taken.lock();
        let own = taken.by_reader.get(&reader).copied().unwrap_or(0);
        match reader {
            Follower::Operator(_) if own >= PER_OPERATOR => {
                return refuse("this operator follows the feed often enough");
            }
            Follower::Address(_) if own >= self.per_address => {
                return refuse("your address has as many places at the feed as it may");
            }
            Follower::Address(_) if taken.strangers >= self.strangers => {
                return refuse("the feed has no free place");
            }
            _ if taken.all >= self.all => return refuse("the feed has no free place"),
            _ => {}
        }
        *taken.by_reader.entry(reader).or_default() += 1;
        taken.all += 1;
        if matches!(reader, Follower::Address(_)) {
            taken.strangers += 1;
        }
        Ok(Place {
            reader,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.all = taken.all.saturating_sub(1);
        if matches!(self.reader, Follower::Address(_)) {
            taken.strangers = taken.strangers.saturating_sub(1);
        }
        if let Some(own) = taken.by_reader.get_mut(&self.reader) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_reader.remove(&self.reader);
            }
        }
    }
}

/// What a subscriber receives.
#[derive(Debug, Clone)]
pub enum Item {
    /// An event, with its number.
    Event(i64, Value),
    /// Events `from..=to` are gone.
    Gap(i64, i64),
    /// The database is away; the subscription ends and the client comes again with its cursor.
    End,
}

/// A subscription: history first, then live.
pub struct Subscription {
    app: Arc<App>,
    filter: Filter,
    live: broadcast::Receiver<Arc<FeedEvent>>,
    last: i64,
    heard: i64,
    ready: std::collections::VecDeque<Item>,
    ended: bool,
    _place: Place,
}

impl Subscription {
    /// Begins after `after`, or now. 410 when what follows `after` is no longer kept, or when the feed never came that far: then it was
    /// begun anew, and its numbers mean other events.
    pub async fn begin(
        app: Arc<App>,
        filter: Filter,
        after: Option<i64>,
        reader: Follower,
    ) -> ApiResult<Self> {
        let place = app.edge.feed.take(reader)?;
        let live = app.hub.listen();
        let (newest, oldest) = store::bounds(&app.pool).await?;
        let last = after.unwrap_or(newest);
        if last > newest {
            return Err(ApiError::new(
                StatusCode::GONE,
                "feed_expired",
                format!("the feed's newest event is {newest}, so {last} is of an earlier feed; read the present state from /v1/jobs, then follow with after={newest}"),
            )
            .param("after"));
        }
        if last.saturating_add(1) < oldest {
            return Err(ApiError::new(
                StatusCode::GONE,
                "feed_expired",
                format!("events up to {} are no longer kept; read the present state from /v1/jobs, then follow with after={newest}", oldest - 1),
            )
            .param("after"));
        }
        Ok(Self {
            app,
            filter,
            live,
            last,
            heard: 0,
            ready: Default::default(),
            ended: false,
            _place: place,
        })
    }

    /// The gateway that it is of.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The next thing to show; `None` after the end.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.advance().await {
                tracing::debug!(%error, "feed subscriber");
                self.ended = true;
                return Some(Item::End);
            }
        }
    }

    async fn advance(&mut self) -> ApiResult<()> {
        if self.last < self.app.hub.newest().max(self.heard) {
            let (newest, oldest) = store::bounds(&self.app.pool).await?;
            if self.last + 1 < oldest {
                self.ready.push_back(Item::Gap(self.last + 1, oldest - 1));
                self.last = oldest - 1;
                return Ok(());
            }
            let rows = store::events(&self.app.pool, self.last, newest).await?;
            if !rows.is_empty() {
                for event in rows {
                    self.take(&event).await?;
                }
                return Ok(());
            }
        }
        match self.live.recv().await {
            Ok(event) if event.seq <= self.last => Ok(()),
            Ok(event) if event.seq == self.last + 1 => self.take(&event).await,
            // Behind: the next turn reads the database.
            Ok(event) => {
                self.heard = event.seq;
                Ok(())
            }
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
            Err(broadcast::error::RecvError::Closed) => {
                self.ended = true;
                Ok(())
            }
        }
    }

    async fn take(&mut self, event: &FeedEvent) -> ApiResult<()> {
        if event.seq > self.last + 1 {
            self.ready
                .push_back(Item::Gap(self.last + 1, event.seq - 1));
        }
        self.last = event.seq;
        for value in self.filter.show(&self.app.pool, event).await? {
            self.ready.push_back(Item::Event(event.seq, value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::sync::OnceCell;

    fn event(entity: Option<&str>, payload: Value) -> FeedEvent {
        FeedEvent {
            seq: 5,
            topic: "jobs".into(),
            op: "add".into(),
            entity: entity.map(str::to_owned),
            slot: 1,
            blockhash: "b".into(),
            commitment: "processed".into(),
            payload,
            at: "t".into(),
            members: OnceCell::new(),
        }
    }

    #[test]
    fn places_are_bounded_per_address_and_some_are_kept_for_validators() {
        let places = Places::new(&Limits {
            subscribers: 4,
            subscribers_for_validators: 1,
            subscribers_per_address: 2,
            ..Limits::default()
        });
        let stranger = |n: u8| Follower::Address(IpAddr::from([192, 0, 2, n]));
        let first = places.take(stranger(1)).unwrap();
        let _second = places.take(stranger(1)).unwrap();
        assert_eq!(places.take(stranger(1)).unwrap_err().status, 429);
        let _third = places.take(stranger(2)).unwrap();
        assert_eq!(
            places.take(stranger(3)).unwrap_err().code,
            "too_many_subscribers"
        );
        let operator = places.take(Follower::Operator([1; 32])).unwrap();
        assert!(places.take(Follower::Operator([2; 32])).is_err());
        drop(first);
        let _again = places.take(stranger(3)).unwrap();
        drop(operator);
        assert!(places.take(Follower::Operator([2; 32])).is_ok());
    }

    #[tokio::test]
    async fn an_unknown_topic_is_refused() {
        let query = FeedQuery {
            topics: Some("jobs,nope".into()),
            ..FeedQuery::default()
        };
        assert_eq!(
            Filter::new(
                &query,
                &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere())
            )
            .unwrap_err()
            .param
            .as_deref(),
            Some("topics")
        );
    }

    #[tokio::test]
    async fn filters_match_entity_and_payload() {
        let query = FeedQuery {
            topics: Some("jobs, results".into()),
            owner: Some("O".into()),
            ..FeedQuery::default()
        };
        let filter = Filter::new(
            &query,
            &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
        )
        .unwrap();
        assert!(filter.topic(&event(None, Value::Null)));
        assert!(filter.wants("J", &json!({"owner": "O"})));
        assert!(!filter.wants("J", &json!({"owner": "P"})));
        let one = Filter::new(
            &FeedQuery {
                entity: Some("J".into()),
                ..FeedQuery::default()
            },
            &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
        )
        .unwrap();
        assert!(one.wants("J", &Value::Null) && !one.wants("K", &Value::Null));
    }

    #[tokio::test]
    async fn a_dispute_concerns_its_job_both_sides_and_the_jurors() {
        let dispute =
            json!({"job": "J", "submitter": "S", "challenger": "C", "jurors": ["A", "B"]});
        let filter = |job: Option<&str>, validator: Option<&str>| {
            let query = FeedQuery {
                job: job.map(str::to_owned),
                validator: validator.map(str::to_owned),
                ..FeedQuery::default()
            };
            Filter::new(
                &query,
                &Catalogue::new(Vec::new(), crate::chain::Chain::nowhere()),
            )
            .unwrap()
        };
        assert!(filter(Some("J"), None).wants("D", &dispute));
        assert!(filter(Some("J"), None).wants("J", &json!({"owner": "O"})));
        assert!(!filter(Some("K"), None).wants("D", &dispute));
        for validator in ["S", "C", "B"] {
            assert!(filter(Some("J"), Some(validator)).wants("D", &dispute));
        }
        assert!(!filter(None, Some("X")).wants("D", &dispute));
    }

    #[test]
    fn a_bank_row_names_the_entity_it_is_shown_for() {
        assert_eq!(event(None, Value::Null).shown(Some("J"))["entity"], "J");
        assert_eq!(event(Some("K"), Value::Null).shown(None)["entity"], "K");
    }
}
