//! What one subscriber is shown: every event after its cursor once and in order, or an explicit gap.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::Value;
use tokio::sync::broadcast;

use super::{filter::Filter, hub::Hub, places::Place};
use crate::{
    error::{ApiError, ApiResult},
    store::{
        Pool,
        feed::{self as store, FeedEvent},
    },
};

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
    hub: Arc<Hub>,
    pool: Pool,
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
        hub: Arc<Hub>,
        pool: Pool,
        filter: Filter,
        after: Option<i64>,
        place: Place,
    ) -> ApiResult<Self> {
        let live = hub.listen();
        let (newest, oldest) = store::bounds(&pool).await?;
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
            hub,
            pool,
            filter,
            live,
            last,
            heard: 0,
            ready: Default::default(),
            ended: false,
            _place: place,
        })
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
        if self.last < self.hub.newest().max(self.heard) {
            let (newest, oldest) = store::bounds(&self.pool).await?;
            if self.last + 1 < oldest {
                self.ready.push_back(Item::Gap(self.last + 1, oldest - 1));
                self.last = oldest - 1;
                return Ok(());
            }
            if self.last < newest {
                let page = store::events(&self.pool, self.last, newest).await?;
                for event in page.events {
                    self.take(&event).await?;
                }
                if self.last < page.through {
                    let gap = Item::Gap(self.last + 1, page.through);
                    self.ready.push_back(gap);
                    self.last = page.through;
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
        for value in self.filter.show(&self.pool, event).await? {
            self.ready.push_back(Item::Event(event.seq, value));
        }
        Ok(())
    }
}
