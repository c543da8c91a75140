//! `make bench-gateway`: requests a second, latency, and CPU time a request of the gateway and its database, for the routes that
//! clients use most; alone and with sixteen clients at once, on the default network of `mythic dev`. At last sixty chats, thirty at a
//! time, all of which must be answered.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use mythic_e2e::{Network, stat};
use serde_json::{Value, json};

/// Time for each route and number of clients.
const TIME: Duration = Duration::from_secs(8);
const CLIENTS: usize = 16;
/// Chats of the last figure, and how many of them run at once.
const CHATS: usize = 60;
const AT_ONCE: usize = 30;

/// User and system time so far of the gateway and of all processes of the database, seconds.
fn cpu(network: &Network) -> (f64, f64) {
    let gateway = network.state()["processes"]["gateway"]["pid"].as_i64();
    let data = network.data_dir().display().to_string();
    let (mut own, mut database) = (0.0, 0.0);
    let mut clusters = HashSet::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i64>() else {
            continue;
        };
        let Some((seconds, parent, name)) = stat(pid) else {
            continue;
        };
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if Some(pid) == gateway {
            own = seconds;
        } else if name == "postgres" && line.contains(&data) {
            clusters.insert(pid);
            database += seconds;
        } else if clusters.contains(&parent) {
            database += seconds;
        }
    }
    (own, database)
}

/// One request; false if it was refused.
async fn once(
    network: &Network,
    method: reqwest::Method,
    path: &str,
    body: Option<&Value>,
) -> Result<bool> {
    let (status, _, answer) = network.call(method, path, body).await?;
    ensure!(
        matches!(status, 200 | 429 | 503),
        "{path}: {status} {answer}"
    );
    Ok(status == 200)
}

async fn measure(
    network: &Network,
    name: &str,
    path: &str,
    body: Option<Value>,
    clients: usize,
) -> Result<()> {
    let method = if body.is_some() {
        reqwest::Method::POST
    } else {
        reqwest::Method::GET
    };
    let (gateway, database) = cpu(network);
    let began = Instant::now();
    let runs = (0..clients).map(|client| {
        let (method, body) = (method.clone(), body.clone());
        async move {
            let (mut times, mut refused) = (Vec::new(), 0u32);
            while began.elapsed() < TIME {
                // A chat that was asked before is a new job all the same, but not the same words.
                let body = body.clone().map(|mut body| {
                    if body.get("messages").is_some() {
                        body["messages"][0]["content"] =
                            format!("{client} {}: why?", times.len()).into();
                    }
                    body
                });
                let asked = Instant::now();
                match once(network, method.clone(), path, body.as_ref()).await? {
                    true => times.push(asked.elapsed().as_secs_f64() * 1_000.0),
                    false => refused += 1,
                }
            }
            anyhow::Ok((times, refused))
        }
    });
    let (mut times, mut refused) = (Vec::new(), 0);
    for run in futures::future::join_all(runs).await {
        let (run, not) = run?;
        times.extend(run);
        refused += not;
    }
    let seconds = began.elapsed().as_secs_f64();
    let (gateway_after, database_after) = cpu(network);
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .or(times.last())
            .copied()
    };
    let each = 1_000.0 / times.len().max(1) as f64;
    println!(
        "{name:<26} {clients:>2} clients  {:>7.1}/s  p50 {:>7.1} ms  p99 {:>7.1} ms  refused {refused:>3}  CPU ms: gateway {:>5.2}, database {:>5.2}",
        times.len() as f64 / seconds,
        at(0.5).context("no answer")?,
        at(0.99).context("no answer")?,
        (gateway_after - gateway) * each,
        (database_after - database) * each,
    );
    Ok(())
}

/// Sixty chats of so many tokens, thirty at a time.
async fn chats(network: &Network, model: &str, tokens: u32) -> Result<()> {
    let began = Instant::now();
    let asked = futures::stream::iter(0..CHATS).map(|number| async move {
        let chat = json!({
            "model": model,
            "max_tokens": tokens,
            "messages": [{"role": "user", "content": format!("{tokens} {number}: why is the sea salt?")}],
        });
        let asked = Instant::now();
        let (status, _, answer) = network
            .call(reqwest::Method::POST, "/v1/chat/completions", Some(&chat))
            .await?;
        anyhow::Ok((status, answer, asked.elapsed().as_secs_f64() * 1_000.0))
    });
    let all: Vec<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    let (mut times, mut refused) = (Vec::new(), Vec::new());
    for one in all {
        match one? {
            (200, _, time) => times.push(time),
            (status, answer, _) => refused.push(format!("{status} {answer}")),
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{CHATS} chats of {tokens} tokens, {AT_ONCE} at a time: {} answered, {} refused, {:.1}/s, p50 {:.0} ms, longest {:.0} ms",
        times.len(),
        refused.len(),
        times.len() as f64 / began.elapsed().as_secs_f64(),
        times.get(times.len() / 2).copied().unwrap_or(f64::NAN),
        times.last().copied().unwrap_or(f64::NAN),
    );
    ensure!(refused.is_empty(), "not answered: {refused:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: make bench-gateway"]
async fn gateway() -> Result<()> {
    let network = Network::start(&[]).await?;
    let model = network.model().await?;
    let chat =
        json!({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "why?"}]});
    let estimate =
        json!({"model": model, "messages": [{"role": "user", "content": "Why is the sky blue?"}]});
    for clients in [1, CLIENTS] {
        measure(&network, "GET /v1/models", "/v1/models", None, clients).await?;
        measure(
            &network,
            "POST /v1/estimate",
            "/v1/estimate",
            Some(estimate.clone()),
            clients,
        )
        .await?;
        measure(
            &network,
            "chat of one token",
            "/v1/chat/completions",
            Some(chat.clone()),
            clients,
        )
        .await?;
        measure(
            &network,
            "GET /v1/jobs?limit=20",
            "/v1/jobs?limit=20",
            None,
            clients,
        )
        .await?;
        measure(&network, "GET /v1/network", "/v1/network", None, clients).await?;
    }
    for tokens in [1, 64] {
        chats(&network, &model, tokens).await?;
    }
    Ok(())
}
