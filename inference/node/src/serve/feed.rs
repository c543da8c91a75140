//! The gateways' feed: server-sent events that say which job accounts to look at. Nothing in it is believed; the job is then
//! read from the chain.

use std::time::Duration;

use futures::StreamExt;
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

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// The `id` in force.
    pub id: Option<String>,
    /// The `event` name, if given.
    pub name: Option<String>,
    /// Its data lines, joined by line feeds.
    pub data: String,
}

/// Takes bytes apart into events, however they are cut. Pure.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    event: SseEvent,
    has_data: bool,
    last_id: Option<String>,
}

impl SseParser {
    /// Takes the next bytes; an event longer than 256 KiB ends the stream.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, &'static str> {
        let mut out = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                if self.line.len() + self.event.data.len() > MAX_EVENT {
                    return Err("event is too long");
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            let Ok(line) = std::str::from_utf8(line) else {
                return Err("not UTF-8");
            };
            if line.is_empty() {
                if self.has_data {
                    let mut event = std::mem::take(&mut self.event);
                    event.id = self.last_id.clone();
                    out.push(event);
                }
                self.event = SseEvent::default();
                self.has_data = false;
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "data" => {
                    if self.has_data {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                    self.has_data = true;
                }
                "id" => self.last_id = Some(value.to_string()),
                "event" => self.event.name = Some(value.to_string()),
                _ => {}
            }
        }
        Ok(out)
    }
}

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
    gateway: String,
    topic: &str,
    mut cursor: Option<String>,
    take: fn(&SseEvent) -> Option<T>,
    out: mpsc::Sender<T>,
    stop: CancellationToken,
) {
    let url = format!("{}/v1/stream?topics={topic}", gateway.trim_end_matches('/'));
    let client = match reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
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
    let mut parser = SseParser::default();
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
    fn events_are_the_same_however_the_bytes_are_cut() {
        let text = b": ping\r\n\nid: 7\nevent: jobs\ndata: {\"a\":\ndata: 1}\n\nid: 8\ndata:x\n\nretry: 5\n\n";
        let whole = SseParser::default().push(text).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].data, "{\"a\":\n1}");
        assert_eq!(
            (whole[0].id.as_deref(), whole[1].id.as_deref()),
            (Some("7"), Some("8"))
        );
        for size in 1..text.len() {
            let mut parser = SseParser::default();
            let parts: Vec<_> = text
                .chunks(size)
                .flat_map(|c| parser.push(c).unwrap())
                .collect();
            assert_eq!(parts, whole, "{size}");
        }
    }

    #[test]
    fn an_endless_event_ends_the_stream() {
        assert!(
            SseParser::default()
                .push(&vec![b'a'; MAX_EVENT + 1])
                .is_err()
        );
    }

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
