//! The gateways' feed: server-sent events that say which job accounts to look at. Nothing in it is believed; the job is then
//! read from the chain.

use std::time::Duration;

use futures::StreamExt;
use mythic_wire::{
    Origin,
    sse::{SseEvent, SseParser},
};
use serde::Deserialize;
use solana_pubkey::Pubkey;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Longest event that is taken, in bytes.
const MAX_EVENT: usize = 256 << 10;
/// A feed that says nothing, not even a comment, for this long is dialled anew.
const SILENCE: Duration = Duration::from_secs(60);
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

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

/// Follows one topic of a gateway's feed until `stop`, from behind the event with id `cursor`, giving what `take` makes of the
/// events. Never gives up.
pub async fn follow<T: Send + 'static>(
    gateway: Origin,
    topic: &str,
    mut cursor: Option<String>,
    take: fn(&SseEvent) -> Option<T>,
    out: mpsc::Sender<T>,
    stop: CancellationToken,
) {
    let url = gateway.at(&format!("/v1/stream?topics={topic}"));
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
    let mut backoff = BACKOFF_MIN;
    while !stop.is_cancelled() {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = read(&client, &url, &mut cursor, take, &out) => ended,
        };
        match ended {
            Ok(()) => backoff = BACKOFF_MIN,
            Err(reason) => {
                tracing::debug!(%url, %reason, "feed interrupted; trying again");
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff) => {}
        }
    }
}

/// Reads until the stream ends (`Ok` if it gave anything).
async fn read<T>(
    client: &reqwest::Client,
    url: &str,
    cursor: &mut Option<String>,
    take: fn(&SseEvent) -> Option<T>,
    out: &mpsc::Sender<T>,
) -> Result<(), String> {
    let mut request = client.get(url).header("accept", "text/event-stream");
    if let Some(id) = cursor.as_ref() {
        request = request.header("last-event-id", id);
    }
    let response = tokio::time::timeout(SILENCE, request.send())
        .await
        .map_err(|_| "no answer".to_string())?
        .map_err(|e| e.without_url().to_string())?;
    if response.status() == reqwest::StatusCode::GONE {
        // Our place in the feed was removed by retention: from now on; the scan finds what was missed.
        *cursor = None;
        return Err("our place in the feed is gone".into());
    }
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()));
    }
    let mut parser = SseParser::new(MAX_EVENT);
    let mut stream = response.bytes_stream();
    let mut any = false;
    loop {
        let chunk = match tokio::time::timeout(SILENCE, stream.next()).await {
            Err(_) => return Err("silent".into()),
            Ok(None) => {
                return if any {
                    Ok(())
                } else {
                    Err("ended at once".into())
                };
            }
            Ok(Some(Err(error))) => return Err(error.without_url().to_string()),
            Ok(Some(Ok(chunk))) => chunk,
        };
        for event in parser.push(&chunk)? {
            any = true;
            if event.id.is_some() {
                cursor.clone_from(&event.id);
            }
            if let Some(taken) = take(&event)
                && out.send(taken).await.is_err()
            {
                return Ok(());
            }
        }
    }
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
        }
    }
}
