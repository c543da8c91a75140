//! One reader of the database, who fans the feed out to all subscribers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use mythic_support::Backoff;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::store::{
    Pool,
    feed::{self as store, FeedEvent},
};

/// Events that a slow subscriber may be behind before it reads from the database again.
const CHANNEL: usize = 4096;
/// Without a notification, the database is asked this often: a lost one must not stop the feed.
const POLL: Duration = Duration::from_secs(30);

/// Fans the feed out.
pub struct Hub {
    events: broadcast::Sender<Arc<FeedEvent>>,
    newest: AtomicI64,
    connected: AtomicBool,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            events: broadcast::channel(CHANNEL).0,
            newest: AtomicI64::new(0),
            connected: AtomicBool::new(false),
        }
    }
}

impl Hub {
    /// Newest number heard of; 0 before the first.
    pub fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Whether the database tells what is new.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
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
    pub async fn run(&self, pool: &Pool, database_url: &str, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
        let mut read_to: Option<i64> = None;
        while !stop.is_cancelled() {
            let started = std::time::Instant::now();
            tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.serve(pool, database_url, &mut read_to) => {
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "feed connection lost; connecting again");
                    }
                }
            }
            self.connected.store(false, Ordering::Relaxed);
            if started.elapsed() > Duration::from_secs(30) {
                backoff.reset();
            }
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    async fn serve(
        &self,
        pool: &Pool,
        database_url: &str,
        read_to: &mut Option<i64>,
    ) -> anyhow::Result<()> {
        let manner = mythic_postgres::Manner::named("mythic gateway feed");
        let mut listener = mythic_postgres::listen(database_url, &manner, "mythic_feed").await?;
        self.connected.store(true, Ordering::Relaxed);
        loop {
            let (newest, _) = store::bounds(pool).await?;
            let mut last = read_to.unwrap_or(newest);
            while last < newest {
                // Nobody listens: subscribers that come read the database from their own cursor.
                if self.events.receiver_count() == 0 {
                    last = newest;
                    break;
                }
                let page = store::events(pool, last, newest).await?;
                for event in page.events {
                    let _ = self.events.send(Arc::new(event));
                }
                last = page.through;
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
