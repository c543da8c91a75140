//! Strangers without a key or money, who hold what they can: connections, half requests, slow bodies, unread streams, large
//! questions, jobs that nobody paid for. All on loopback, bounded in number and time.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Most connections that one round opens.
pub const CONNECTIONS: usize = 200;

/// Holds idle and half-spoken connections to `address` (`host:port`) until `end`, or until the server closes them.
pub async fn hold(address: &str, end: Instant) {
    let held = (0..CONNECTIONS).map(|number| async move {
        let Ok(mut socket) = TcpStream::connect(address).await else {
            return;
        };
        let said: &[u8] = match number % 4 {
            0 => b"",
            1 => b"POST /v1/chat/comple",
            2 => b"GET /v1/stream?topics=jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            _ => b"POST /v1/estimate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
        };
        if socket.write_all(said).await.is_err() {
            return;
        }
        let mut drop_by_drop = tokio::time::interval(Duration::from_secs(1));
        while Instant::now() < end {
            drop_by_drop.tick().await;
            // A body at one byte a second; the others say nothing more and read nothing.
            if number % 4 == 3 && socket.write_all(b" ").await.is_err() {
                return;
            }
        }
    });
    futures::future::join_all(held).await;
}

/// Asks what is expensive to answer, as often as it may until `end`.
pub async fn ask_for_much(url: &str, model: &str, end: Instant) {
    let http = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap_or_default();
    let long = "9".repeat(1_900_000);
    while Instant::now() < end {
        let estimates = (0..8).map(|_| {
            http.post(format!("{url}/v1/estimate"))
                .json(&json!({"model": model, "prompt": long}))
                .send()
        });
        futures::future::join_all(estimates).await;
        for path in [
            "/v1/prompts/0000000000000000000000000000000000000000000000000000000000000000",
            "/v1/jobs?after=zzz",
            "/v1/jobs/11111111111111111111111111111112/evidence",
        ] {
            let _ = http.get(format!("{url}{path}")).send().await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whether a server still answers a plain request to `path` within the time.
pub async fn answers(address: &str, path: &str, within: Duration) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(address).await.ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.ok()?;
        answer.starts_with(b"HTTP/1.1 ").then_some(())
    };
    tokio::time::timeout(within, ask)
        .await
        .is_ok_and(|answered| answered.is_some())
}
