//! A whole network through a real broker: the plugin forwards, the indexer and the validators read there, the broker dies.

use anyhow::{Context, Result, ensure};
use mythic_broker::Broker;
use mythic_e2e::{Network, PATIENCE};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Buys an answer; returns its job.
async fn ask(network: &Network, prompt: &str) -> Result<String> {
    let body = json!({
        "model": network.model().await?,
        "messages": [{"role": "user", "content": prompt}],
        "max_completion_tokens": 8,
    });
    let answer = network.post("/v1/chat/completions", &body).await?;
    Ok(answer["mythic"]["job"]
        .as_str()
        .with_context(|| format!("no job in {answer}"))?
        .to_owned())
}

/// Alarms that are open.
async fn open_alarms(network: &Network) -> Result<i64> {
    let rows = network
        .sql("SELECT count(*) AS n FROM analytics.alarms WHERE cleared_at IS NULL")
        .await?;
    rows.first()
        .and_then(|row| row["n"].as_i64())
        .context("no count")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_through_kafka_settles_its_jobs_also_when_the_broker_dies() -> Result<()> {
    let Some(mut broker) = Broker::start()? else {
        return Ok(());
    };
    let address = broker.plain();
    // Ready means that a job was paid, answered and indexed, all of it through the broker.
    let args = ["--validators", "2", "--slot-ms", "50", "--kafka", &address];
    let network = Network::start(&args).await?;
    let shown = network
        .sql("SELECT count(*) AS n FROM analytics.jobs_processed")
        .await?;
    ensure!(shown[0]["n"].as_i64() > Some(0), "{shown:?}");

    broker.kill();
    // The gateway and the validators need no broker for an answer.
    let job = ask(&network, "Why is the sky blue?").await?;
    broker.restart()?;
    let settled: Value = network.finalized(&job).await?;
    ensure!(settled["status"] == "settled", "{settled}");
    let another = ask(&network, "And the grass green?").await?;
    network.finalized(&another).await?;

    let started = Instant::now();
    while open_alarms(&network).await? > 0 {
        ensure!(started.elapsed() < PATIENCE, "an alarm stays open");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let inexact = network
        .sql("SELECT id FROM analytics.jobs WHERE NOT exact")
        .await?;
    ensure!(inexact.is_empty(), "{inexact:?}");
    Ok(())
}
