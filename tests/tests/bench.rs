//! Time to first token through the gateway beside the same prompt sent to the node itself, in one run: `make bench-ttft`.

use anyhow::{Context, Result, ensure};
use mythic_client::pda;
use mythic_e2e::Network;
use mythic_interface::state::Job;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use std::{
    str::FromStr,
    time::{Duration, Instant},
};

const ROUNDS: usize = 15;

/// Milliseconds until the first content of a streamed chat, and the job, if one is named.
async fn first_token(
    network: &Network,
    base: &str,
    model: &str,
    round: usize,
) -> Result<(f64, Option<String>)> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": format!("Question {round}: why is the sky blue?")}],
        "max_completion_tokens": 8,
        "temperature": 0,
        "stream": true,
    });
    let started = Instant::now();
    let mut response = network
        .http
        .post(format!("{base}/v1/chat/completions"))
        .bearer_auth(network.text("api_key"))
        .json(&body)
        .send()
        .await?;
    ensure!(
        response.status().is_success(),
        "{base}: {}",
        response.text().await?
    );
    let job = response
        .headers()
        .get("x-mythic-job-id")
        .and_then(|job| job.to_str().ok())
        .map(str::to_owned);
    let (mut text, mut first) = (String::new(), None);
    while let Some(chunk) = response.chunk().await? {
        text.push_str(&String::from_utf8_lossy(&chunk));
        let complete = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
        let content = complete
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .any(|data| {
                serde_json::from_str::<Value>(data).is_ok_and(|chunk| {
                    chunk["choices"][0]["delta"]["content"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty())
                })
            });
        if content && first.is_none() {
            first = Some(started.elapsed());
        }
    }
    let first = first.context("no content")?;
    Ok((first.as_secs_f64() * 1_000.0, job))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: make bench-ttft"]
async fn ttft() -> Result<()> {
    let network = Network::start(&["--validators", "1"]).await?;
    let node = network.state()["validators"][0]["endpoint"]
        .as_str()
        .context("node")?
        .to_owned();
    let served: Value = network
        .http
        .get(format!("{node}/v1/models"))
        .send()
        .await?
        .json()
        .await?;
    let node_model = served["data"][0]["id"]
        .as_str()
        .context("the node's model")?
        .to_owned();
    let (model, gateway) = (network.model().await?, network.text("gateway_url"));
    let (mut through, mut direct, mut last) = (Vec::new(), Vec::new(), None);
    for round in 0..ROUNDS {
        direct.push(first_token(&network, &node, &node_model, round).await?.0);
        let (ms, job) = first_token(&network, &gateway, &model, round).await?;
        through.push(ms);
        last = job.or(last);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (through, direct) = (median(&mut through), median(&mut direct));
    println!(
        "time to first token, median of {ROUNDS}: gateway {through:.0} ms, node {direct:.0} ms, ratio {:.2}",
        through / direct
    );
    let job = last.context("no job")?;
    let job = job.trim_start_matches("chatcmpl-").to_owned();
    network.finalized(&job).await?;
    let (_, state) = network
        .chain()
        .account::<Job>(&Pubkey::from_str(&job)?)
        .await?
        .context("job account")?;
    println!(
        "slots from request to settled: {} (window {})",
        state.ended_slot.get() - state.requested_slot.get(),
        state.terms.rules.window_slots.get()
    );
    let stats: Value = network
        .http
        .get(format!("{node}/stats"))
        .send()
        .await?
        .json()
        .await?;
    println!(
        "validator {}: {} prompt and {} output tokens earned {} lamports; stats {}",
        pda::validator(Pubkey::new_from_array(state.validator)),
        state.terms.prompt_tokens.get(),
        state.output_tokens.get(),
        state.validator_amount.get(),
        stats["money"]
    );
    Ok(())
}
