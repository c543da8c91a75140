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

/// What the clients met. Every request ends in exactly one of these.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered whole.
    pub answered: AtomicU64,
    /// The client left on purpose.
    pub left: AtomicU64,
    /// Refused with 429 or 503 and a Retry-After.
    pub refused: AtomicU64,
    /// Broke off or was not reachable, as it may while processes are killed.
    pub broken: AtomicU64,
    /// Anything that no fault explains: another status, a 503 without Retry-After, a stream without an end or an error.
    pub wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
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
                whole(request, tally).await;
                if let Some(again) = again.filter(|_| manner == 1) {
                    whole(again, tally).await;
                }
            }
            // Leaves before the answer, or early in it.
            2..=4 => {
                let _ = tokio::time::timeout(patience, whole(request, &Tally::default())).await;
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
                whole(request, tally).await;
            }
            // Looks at what there is.
            _ => {
                for path in ["/v1/models", "/v1/jobs?limit=20", "/v1/network", "/health"] {
                    let request = http.get(format!("{}{path}", gateway.url));
                    whole(request, tally).await;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
    }
}

async fn whole(request: reqwest::RequestBuilder, tally: &Tally) {
    let response = match request.send().await {
        Ok(response) => response,
        Err(_) => return Tally::count(&tally.broken),
    };
    if !response.status().is_success() {
        return refusal(response, tally).await;
    }
    Tally::count(match response.bytes().await {
        Ok(_) => &tally.answered,
        Err(_) => &tally.broken,
    });
}

/// What an answer without success is.
async fn refusal(response: reqwest::Response, tally: &Tally) {
    let later = response.headers().contains_key("retry-after");
    match (response.status().as_u16(), later) {
        (429 | 503, true) => Tally::count(&tally.refused),
        // The validator or the gateway died in the middle of it; the error says so.
        (409 | 500 | 502 | 504, _) => Tally::count(&tally.broken),
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
        Err(_) => return Tally::count(&tally.broken),
    };
    let mut chunks = response.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(chunk) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Err(_) => return Tally::count(&tally.broken),
        }
        tokio::time::sleep(pause).await;
    }
    let failed = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .any(|event| event["error"].is_object());
    match (text.contains("data: [DONE]"), failed) {
        (true, false) => Tally::count(&tally.answered),
        (_, true) => Tally::count(&tally.broken),
        (false, false) => tally.wrong(format!("a stream without an end: {text}")),
    }
}
