//! Clients of every manner, as a public gateway meets them: patient, streaming, leaving at any moment, repeating, slow.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

/// Reasons that are kept of requests that broke off.
const REASONS: usize = 20;

/// What the clients met. Every request ends in exactly one of these.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered whole, with tokens of a validator.
    pub answered: AtomicU64,
    /// A page or a list was shown, or a job taken that nobody waits for.
    pub looked: AtomicU64,
    /// The client left on purpose.
    pub left: AtomicU64,
    /// Refused with 429 or 503 and a Retry-After.
    pub refused: AtomicU64,
    /// Broke off or was not reachable, as it may while processes are killed.
    pub broken: AtomicU64,
    /// Why, of the first ones.
    pub reasons: Mutex<Vec<String>>,
    /// Anything that no fault explains: another status, a 503 without Retry-After, a stream without an end or an error.
    pub wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn broke(&self, why: String) {
        Self::count(&self.broken);
        if let Ok(mut reasons) = self.reasons.lock()
            && reasons.len() < REASONS
        {
            reasons.push(why);
        }
    }

    fn wrong(&self, what: String) {
        if let Ok(mut wrong) = self.wrong.lock() {
            wrong.push(what);
        }
    }

    /// What no fault explains.
    pub fn wrongs(&self) -> Vec<String> {
        self.wrong
            .lock()
            .map_or_else(|broken| broken.into_inner().clone(), |wrong| wrong.clone())
    }
}

/// A gateway as a client knows it.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Base URL without `/v1`.
    pub url: String,
    /// API key.
    pub key: String,
    /// Model.
    pub model: String,
}

/// One client; it asks until `end`, choosing its manner for each request by `seed`.
pub async fn client(gateway: Gateway, seed: u64, end: Instant, tally: &Tally) {
    let mut random = StdRng::seed_from_u64(seed);
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(120))
        .build()
        .unwrap_or_default();
    let mut number = 0u64;
    while Instant::now() < end {
        number += 1;
        let manner = random.random_range(0..10);
        let body = json!({
            "model": gateway.model,
            "messages": [{"role": "user", "content": format!("Client {seed} asks number {number}: what is the sea?")}],
            "max_completion_tokens": random.random_range(1..24),
            "stream": (3..8).contains(&manner),
        });
        let patience = Duration::from_millis(random.random_range(5..1_500));
        let request = http
            .post(format!("{}/v1/chat/completions", gateway.url))
            .bearer_auth(&gateway.key)
            .json(&body);
        match manner {
            // Whole answers, half of them repeated under their key.
            0..=1 => {
                let key = format!("soak-{seed}-{number}-idempotency");
                let request = request.header("idempotency-key", &key);
                let again = request.try_clone();
                answer(request, tally).await;
                if let Some(again) = again.filter(|_| manner == 1) {
                    answer(again, tally).await;
                }
            }
            // Leaves before the answer, or early in it.
            2..=4 => {
                let _ = tokio::time::timeout(patience, answer(request, &Tally::default())).await;
                Tally::count(&tally.left);
            }
            // Streams to the end.
            5..=6 => stream(request, Duration::ZERO, tally).await,
            // Reads slowly.
            7 => stream(request, Duration::from_millis(100), tally).await,
            // A job that nobody waits for.
            8 => {
                let request = http
                    .post(format!("{}/v1/inference?wait=false", gateway.url))
                    .bearer_auth(&gateway.key)
                    .json(&json!({"model": gateway.model, "prompt": format!("{seed} {number} once upon a time"), "max_tokens": 4}));
                look(request, tally).await;
            }
            // Looks at what there is.
            _ => {
                for path in ["/v1/models", "/v1/jobs?limit=20", "/v1/network", "/health"] {
                    let request = http.get(format!("{}{path}", gateway.url));
                    look(request, tally).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
    }
}

/// The body of what is sent back, if all of it came with success.
async fn whole(request: reqwest::RequestBuilder, tally: &Tally) -> Option<Vec<u8>> {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            tally.broke(format!("{error:?}"));
            return None;
        }
    };
    if !response.status().is_success() {
        refusal(response, tally).await;
        return None;
    }
    match response.bytes().await {
        Ok(body) => Some(body.to_vec()),
        Err(error) => {
            tally.broke(format!("{error:?}"));
            None
        }
    }
}

async fn look(request: reqwest::RequestBuilder, tally: &Tally) {
    if whole(request, tally).await.is_some() {
        Tally::count(&tally.looked);
    }
}

/// An answer, of one token at least.
async fn answer(request: reqwest::RequestBuilder, tally: &Tally) {
    let Some(body) = whole(request, tally).await else {
        return;
    };
    let tokens = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|answer| answer["usage"]["completion_tokens"].as_u64());
    match tokens {
        Some(1..) => Tally::count(&tally.answered),
        _ => tally.wrong(format!(
            "an answer without tokens: {}",
            String::from_utf8_lossy(&body)
        )),
    }
}

/// What an answer without success is.
async fn refusal(response: reqwest::Response, tally: &Tally) {
    let later = response.headers().contains_key("retry-after");
    match (response.status().as_u16(), later) {
        (429 | 503, true) => Tally::count(&tally.refused),
        // The validator or the gateway died in the middle of it; the error says so.
        (status @ (409 | 500 | 502 | 504), _) => {
            let body = response.text().await.unwrap_or_default();
            tally.broke(format!("{status}: {body}"));
        }
        (status, later) => {
            let path = response.url().path().to_owned();
            let body = response.text().await.unwrap_or_default();
            tally.wrong(format!("{path}: {status}, Retry-After {later}: {body}"));
        }
    }
}

async fn stream(request: reqwest::RequestBuilder, pause: Duration, tally: &Tally) {
    let response = match request.send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return refusal(response, tally).await,
        Err(error) => return tally.broke(format!("{error:?}")),
    };
    let mut chunks = response.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Err(error) => return tally.broke(format!("{error:?} after {text}")),
        }
        tokio::time::sleep(pause).await;
    }
    let events: Vec<Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str(data).ok())
        .collect();
    let failed = events.iter().any(|event| event["error"].is_object());
    // Even an answer that is the model's end alone says why it ended.
    let finished = events
        .iter()
        .any(|event| event["choices"][0]["finish_reason"].is_string());
    match (text.contains("data: [DONE]"), failed) {
        (true, false) if finished => Tally::count(&tally.answered),
        (_, true) => tally.broke(text),
        _ => tally.wrong(format!("a stream without an end: {text}")),
    }
}
