//! The gateways' feed: server-sent events that say which job accounts to look at. Nothing in it is believed; the job is then
//! read from the chain.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use mythic_support::Backoff;
use mythic_wire::{
    Origin,
    signed::{self, purpose},
    sse::{SseEvent, SseParser},
};
use reqwest::header::HeaderValue;
use serde::Deserialize;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest event that is taken, in bytes.
const MAX_EVENT: usize = 256 << 10;
/// A feed that says nothing, not even a comment, for this long is dialled anew.
const SILENCE: Duration = Duration::from_secs(60);
/// Shortest and longest pause between tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

#[derive(Deserialize)]
struct FeedRow {
    #[serde(default)]
    op: Option<String>,
    #[serde(default)]
    entity: Option<String>,
    #[serde(default)]
    payload: Option<serde_json::Value>,
}

/// The job that an event says has opened, if it says that.
pub fn opened_job(data: &str) -> Option<Pubkey> {
    let row: FeedRow = serde_json::from_str(data).ok()?;
    if row.op.as_deref().is_some_and(|op| op != "add") {
        return None;
    }
    let payload = row.payload.unwrap_or_default();
    if payload
        .get("status")
        .and_then(|s| s.as_str())
        .is_some_and(|status| status != "open")
    {
        return None;
    }
    row.entity?.parse().ok()
}

/// The job of which an event says that a result came, if it says that.
pub fn result_of(data: &str) -> Option<Pubkey> {
    let row: FeedRow = serde_json::from_str(data).ok()?;
    match row.op.as_deref() {
        None | Some("add") => row.entity?.parse().ok(),
        Some(_) => None,
    }
}

/// Whether a message says that events are missing.
pub fn is_gap(data: &str) -> bool {
    #[derive(Deserialize)]
    struct Row {
        gap: Option<serde_json::Value>,
    }
    serde_json::from_str::<Row>(data).is_ok_and(|row| row.gap.is_some())
}

/// One topic of a gateway's feed, followed.
pub struct Feed<T> {
    /// Whose feed.
    pub gateway: Origin,
    /// Signs: a validator's operator has one of the places that gateways keep for validators.
    pub operator: Arc<Keypair>,
    /// What is followed.
    pub topic: &'static str,
    /// Id of the last event that was taken; events from behind it on are told.
    pub cursor: Option<String>,
    /// What is made of an event.
    pub take: fn(&SseEvent) -> Option<T>,
}

impl<T: Send + 'static> Feed<T> {
    /// Follows until `stop`. Never gives up.
    pub async fn follow(mut self, out: mpsc::Sender<T>, stop: CancellationToken) {
        let client = match mythic_http::client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .read_timeout(SILENCE)
            .build()
        {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "no HTTP client for the feed; jobs are found by the scan only");
                return;
            }
        };
        let (gateway, topic) = (self.gateway.clone(), self.topic);
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        let mut told = false;
        loop {
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.read(&client, &out) => ended,
            };
            match ended {
                Ok(()) => {
                    backoff.reset();
                    told = false;
                }
                Err(Broken::Refused(reason)) if !told => {
                    told = true;
                    tracing::warn!(%gateway, topic, %reason, "the gateway's feed refuses this node; trying again, and jobs are found by the scan meanwhile");
                }
                Err(reason) => {
                    tracing::debug!(%gateway, topic, %reason, "feed interrupted; trying again")
                }
            }
            if !backoff.wait(&stop).await {
                return;
            }
        }
    }

    /// Asks for the feed, signed anew each time: a signed request is taken once.
    async fn ask(&self, client: &reqwest::Client) -> Result<reqwest::Response, Broken> {
        let path = format!("/v1/stream?topics={}", self.topic);
        let signed = signed::Request {
            origin: &self.gateway,
            method: "GET",
            path: &path,
            purpose: purpose::STREAM,
            body: &[],
        };
        let mut request = client
            .get(self.gateway.at(&path))
            .header("accept", "text/event-stream");
        for (name, value) in signed::sign(&signed, &self.operator) {
            request = request.header(name, value);
        }
        // An id that is no header's value is one that the gateway would not know again.
        if let Some(id) = self
            .cursor
            .as_deref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            request = request.header("last-event-id", id);
        }
        tokio::time::timeout(SILENCE, request.send())
            .await
            .map_err(|_| Broken::Off("no answer".into()))?
            .map_err(|error| Broken::Off(error.without_url().to_string()))
    }

    /// Reads until the stream ends (`Ok` if it gave anything).
    async fn read(
        &mut self,
        client: &reqwest::Client,
        out: &mpsc::Sender<T>,
    ) -> Result<(), Broken> {
        let response = self.ask(client).await?;
        let status = response.status();
        if status == reqwest::StatusCode::GONE {
            // Our place in the feed was removed by retention: from now on; the scan finds what was missed.
            self.cursor = None;
            return Err(Broken::Off("our place in the feed is gone".into()));
        }
        if status == reqwest::StatusCode::UNAUTHORIZED {
            return Err(Broken::Refused(
                "status 401: is the clock right, and the gateway listed under its public_url?"
                    .into(),
            ));
        }
        if status.is_client_error() {
            return Err(Broken::Refused(format!("status {status}")));
        }
        if !status.is_success() {
            return Err(Broken::Off(format!("status {status}")));
        }
        let mut parser = SseParser::new(MAX_EVENT);
        let mut stream = response.bytes_stream();
        let mut any = false;
        loop {
            let chunk = match tokio::time::timeout(SILENCE, stream.next()).await {
                Err(_) => return Err(Broken::Off("silent".into())),
                Ok(None) if any => return Ok(()),
                Ok(None) => return Err(Broken::Off("ended at once".into())),
                Ok(Some(Err(error))) => return Err(Broken::Off(error.without_url().to_string())),
                Ok(Some(Ok(chunk))) => chunk,
            };
            let events = parser.push(&chunk).map_err(|r| Broken::Off(r.into()))?;
            for event in events {
                any = true;
                if event.id.is_some() {
                    self.cursor.clone_from(&event.id);
                }
                if let Some(taken) = (self.take)(&event)
                    && out.send(taken).await.is_err()
                {
                    return Ok(());
                }
            }
        }
    }
}

/// Why a feed ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// Something passing.
    #[error("{0}")]
    Off(String),
    /// The gateway does not want this request.
    #[error("{0}")]
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newly_opened_jobs_are_looked_at() {
        let job = Pubkey::new_from_array([9; 32]);
        let row = |op: &str, status: &str| {
            format!(r#"{{"seq":1,"op":"{op}","entity":"{job}","payload":{{"status":"{status}"}}}}"#)
        };
        assert_eq!(opened_job(&row("add", "open")), Some(job));
        assert_eq!(opened_job(&row("add", "settled")), None);
        assert_eq!(opened_job(&row("confirm", "open")), None);
        assert_eq!(result_of(&row("add", "submitted")), Some(job));
        assert_eq!(result_of(&row("confirm", "submitted")), None);
        for text in [
            "",
            "null",
            "{}",
            r#"{"entity":"zzz"}"#,
            r#"{"entity":null,"op":"add"}"#,
        ] {
            assert_eq!(opened_job(text), None, "{text}");
            assert_eq!(result_of(text), None, "{text}");
            assert!(!is_gap(text), "{text}");
        }
        assert!(is_gap(r#"{"gap":{"from":1,"to":4}}"#));
    }
}
