//! A client of the gateway's HTTP API whose errors carry the exit code and the mend.

use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use futures::{Stream, StreamExt, stream};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Longest silence of a server: an answer that does not stream comes whole at its end.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(600);
/// Most bytes of one event of a stream.
const EVENT_BYTES: usize = 8 << 20;

/// Base URL and API key.
pub struct Gateway {
    base: String,
    key: Option<String>,
    http: reqwest::Client,
}

impl Gateway {
    /// A client of the gateway at `base` (with or without `/v1`).
    pub fn new(base: &str, key: Option<String>) -> Result<Self> {
        let base = base
            .trim_end_matches('/')
            .trim_end_matches("/v1")
            .to_owned();
        let http = mythic_http::client::builder()
            .read_timeout(ANSWER_PATIENCE)
            .build()
            .context("setting up HTTP")?;
        Ok(Self { base, key, http })
    }

    /// The base URL, without `/v1`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to `path`, with the API key if there is one.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends; answers other than 2xx become errors with the gateway's own message.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| {
            Exit::error(
                exit::UNREACHABLE,
                format!(
                    "no gateway at {}: {}. Start one with `make dev`, or pass --gateway URL",
                    self.base,
                    root(&error)
                ),
            )
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: Value = response.json().await.unwrap_or(Value::Null);
        let message = body["error"]["message"]
            .as_str()
            .unwrap_or("no message")
            .to_owned();
        let code = match status {
            StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNPROCESSABLE_ENTITY => exit::USAGE,
            StatusCode::NOT_FOUND => exit::NOT_FOUND,
            StatusCode::PAYMENT_REQUIRED => exit::FUNDS,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY => exit::UNREACHABLE,
            _ => exit::FAILURE,
        };
        Err(Exit::error(
            code,
            format!(
                "{message} ({}, {})",
                status.as_u16(),
                body["error"]["code"].as_str().unwrap_or("error")
            ),
        ))
    }

    /// `GET path` as JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let response = self.send(self.request(Method::GET, path)).await?;
        response
            .json()
            .await
            .with_context(|| format!("{path}: the gateway's answer is not JSON"))
    }

    /// `POST path` with a JSON body, answered by JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let response = self
            .send(self.request(Method::POST, path).json(body))
            .await?;
        response
            .json()
            .await
            .with_context(|| format!("{path}: the gateway's answer is not JSON"))
    }

    /// Every element of a list endpoint up to `limit`, page by page, and whether there are more.
    pub async fn list(&self, path: &str, limit: usize) -> Result<(Vec<Value>, bool)> {
        let mut all: Vec<Value> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let size = limit.saturating_sub(all.len()).clamp(1, 100);
            let joint = if path.contains('?') { '&' } else { '?' };
            let mut url = format!("{path}{joint}limit={size}");
            if let Some(after) = &after {
                url.push_str(&format!("&after={after}"));
            }
            let page = self.get(&url).await?;
            let rows = page["data"].as_array().cloned().unwrap_or_default();
            after = rows
                .last()
                .and_then(|row| row["id"].as_str())
                .map(str::to_owned);
            let more = page["has_more"].as_bool().unwrap_or(false) && !rows.is_empty();
            all.extend(rows);
            if !more || all.len() >= limit || after.is_none() {
                let cut = more || all.len() > limit;
                all.truncate(limit);
                return Ok((all, cut));
            }
        }
    }
}

fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// One event of a server-sent event stream.
#[derive(Debug, Default, Clone)]
pub struct ServerEvent {
    /// `event:` field, if any.
    pub event: Option<String>,
    /// `id:` field, if any.
    pub id: Option<String>,
    /// `data:` lines joined by newlines.
    pub data: String,
}

/// The events of a `text/event-stream` answer; comment lines (pings) are skipped.
pub fn events(response: Response) -> impl Stream<Item = Result<ServerEvent>> + Unpin {
    let state = (
        Box::pin(response.bytes_stream()),
        Vec::<u8>::new(),
        ServerEvent::default(),
        false,
    );
    Box::pin(stream::unfold(
        state,
        |(mut bytes, mut buffer, mut event, mut ended)| async move {
            loop {
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    let line = String::from_utf8_lossy(&line);
                    let line = line.trim_end_matches(['\n', '\r']);
                    if line.is_empty() {
                        if event.data.is_empty() && event.event.is_none() {
                            event = ServerEvent::default();
                            continue;
                        }
                        let complete = std::mem::take(&mut event);
                        return Some((Ok(complete), (bytes, buffer, event, ended)));
                    }
                    let (field, value) = line.split_once(':').unwrap_or((line, ""));
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    match field {
                        "data" => {
                            if !event.data.is_empty() {
                                event.data.push('\n');
                            }
                            event.data.push_str(value);
                        }
                        "event" => event.event = Some(value.to_owned()),
                        "id" => event.id = Some(value.to_owned()),
                        _ => {}
                    }
                }
                if ended {
                    return None;
                }
                match bytes.next().await {
                    Some(Ok(chunk))
                        if buffer.len() + event.data.len() + chunk.len() > EVENT_BYTES =>
                    {
                        ended = true;
                        buffer.clear();
                        let error = anyhow::anyhow!(
                            "an event of the stream has more than {EVENT_BYTES} bytes"
                        );
                        return Some((Err(error), (bytes, buffer, event, ended)));
                    }
                    Some(Ok(chunk)) => buffer.extend_from_slice(&chunk),
                    Some(Err(error)) => {
                        ended = true;
                        buffer.clear();
                        let error = anyhow::anyhow!("the stream broke off: {}", root(&error));
                        return Some((Err(error), (bytes, buffer, event, ended)));
                    }
                    None => ended = true,
                }
            }
        },
    ))
}
