//! Streams of events from a gateway or a node, and how they are followed past a restart of the gateway.

use crate::gateway::{Gateway, root};
use anyhow::{Result, anyhow};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use mythic_support::Backoff;
use mythic_wire::sse::{SseEvent, SseParser};
use reqwest::{Method, Response};
use std::{
    pin::Pin,
    time::{Duration, Instant},
};

/// Most bytes of one event of a stream.
const EVENT_BYTES: usize = 8 << 20;
/// Longest pause between two looks: commitments rise and countdowns move without an event of their own.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long a gateway that restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pauses between two tries to follow again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// The events of a `text/event-stream` answer. After an error there is nothing more to read.
pub fn events(response: Response) -> impl Stream<Item = Result<SseEvent>> + Unpin {
    let bytes = response.bytes_stream();
    parsed(bytes.map_err(|error| anyhow!("the stream broke off: {}", root(&error))))
}

fn parsed(
    bytes: impl Stream<Item = Result<impl AsRef<[u8]>>>,
) -> impl Stream<Item = Result<SseEvent>> + Unpin {
    let mut parser = SseParser::new(EVENT_BYTES);
    let batches = bytes.map(move |chunk| {
        let events = parser.push(chunk?.as_ref());
        events.map_err(|why| anyhow!("the stream broke off: {why}"))
    });
    let events = batches.map_ok(|events| stream::iter(events.into_iter().map(Ok)));
    Box::pin(events.try_flatten())
}

/// The gateway's feed of what is followed.
pub struct Feed(Pin<Box<dyn Stream<Item = Result<SseEvent>>>>);

impl Feed {
    /// Subscribes.
    pub async fn open(gateway: &Gateway, path: &str) -> Result<Self> {
        let response = gateway.send(gateway.request(Method::GET, path)).await?;
        Ok(Self(Box::pin(events(response))))
    }

    /// Waits for the next event, or until it is time to look without one; `false` if the feed ended.
    pub async fn news(&mut self) -> bool {
        !matches!(
            tokio::time::timeout(LOOK_EVERY, self.0.next()).await,
            Ok(None | Some(Err(_)))
        )
    }
}

/// How long what worked once is tried again. What never worked fails at once.
pub struct Patience {
    last_good: Option<Instant>,
    backoff: Backoff,
}

impl Patience {
    /// Before the first look.
    pub fn new() -> Self {
        Self {
            last_good: None,
            backoff: Backoff::new(PAUSES.0, PAUSES.1),
        }
    }

    /// Whether nothing worked yet.
    pub fn is_new(&self) -> bool {
        self.last_good.is_none()
    }

    /// A look worked.
    pub fn good(&mut self) {
        self.last_good = Some(Instant::now());
        self.backoff.reset();
    }

    /// Waits before the next try, or gives the error back that is not waited out.
    pub async fn again(&mut self, ended: Result<()>) -> Result<()> {
        if let Err(error) = ended {
            if self.last_good.is_none_or(|at| at.elapsed() >= PATIENCE) {
                return Err(error);
            }
            tracing::debug!("{error:#}; trying again");
        }
        tokio::time::sleep(self.backoff.pause()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: Vec<Result<Vec<u8>>>) -> impl Stream<Item = Result<SseEvent>> + Unpin {
        parsed(stream::iter(chunks))
    }

    #[tokio::test]
    async fn events_come_whole_however_they_were_cut_and_a_break_is_told() {
        let text = b": connected\n\nevent: jobs\ndata: {\"a\":\ndata: 1}\n\ndata: half";
        let mut chunks: Vec<_> = text.chunks(7).map(|chunk| Ok(chunk.to_vec())).collect();
        chunks.push(Err(anyhow!("the stream broke off: reset")));
        let mut stream = of(chunks);
        let event = stream.next().await.unwrap().unwrap();
        assert_eq!(event.name.as_deref(), Some("jobs"));
        assert_eq!(event.data, "{\"a\":\n1}");
        let error = stream.next().await.unwrap().unwrap_err().to_string();
        assert_eq!(error, "the stream broke off: reset");
    }

    #[tokio::test]
    async fn an_endless_event_breaks_the_stream_off() {
        let chunk = || Ok(vec![b'a'; 1 << 20]);
        let mut stream = of((0..9).map(|_| chunk()).collect());
        let error = stream.next().await.unwrap().unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
    }

    #[tokio::test]
    async fn what_never_worked_fails_at_once_and_what_did_is_tried_again() {
        let mut patience = Patience::new();
        assert!(patience.is_new());
        assert!(patience.again(Err(anyhow!("refused"))).await.is_err());
        patience.good();
        assert!(!patience.is_new());
        assert!(patience.again(Err(anyhow!("refused"))).await.is_ok());
        assert!(patience.again(Ok(())).await.is_ok());
    }
}
