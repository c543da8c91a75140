//! A client of the gateway's HTTP API whose errors carry the exit code and what to do.

use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Longest silence of a server: an answer that does not stream comes whole at its end.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(600);

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

/// The innermost cause: what went wrong and not where.
pub fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
