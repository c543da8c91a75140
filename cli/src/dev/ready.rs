//! From started processes to Ready: waiting for each, the network's own first job, and what is told then.

use super::{layout::Layout, state::DevState};
use crate::{
    exit::{self, Exit},
    gateway::Gateway,
    units::sol,
};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const STEP_PATIENCE: Duration = Duration::from_secs(90);

/// Waits until `ready`; says the end of the log of `process` if that takes too long.
pub async fn wait(
    what: &str,
    layout: &Layout,
    process: &str,
    stop: &CancellationToken,
    mut ready: impl AsyncFnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + STEP_PATIENCE;
    while !ready().await {
        if stop.is_cancelled() {
            bail!("stopped");
        }
        if Instant::now() > deadline {
            let log = layout.log(process);
            let tail = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = tail.lines().rev().take(8).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(Exit::error(
                exit::UNREACHABLE,
                format!(
                    "{what} did not come up within {} s. The end of {}:\n{}",
                    STEP_PATIENCE.as_secs(),
                    log.display(),
                    tail.join("\n")
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Buys one short answer as a user would and waits until the API shows it fingerprinted from the index.
pub async fn first_job(
    gateway: &Gateway,
    model: &str,
    layout: &Layout,
    stop: &CancellationToken,
) -> Result<String> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_completion_tokens": 8,
        "temperature": 0,
    });
    let deadline = Instant::now() + STEP_PATIENCE;
    let answer = loop {
        match gateway.post("/v1/chat/completions", &body).await {
            Ok(answer) => break answer,
            // A restarted network may still know validators by the endpoints of its last run.
            Err(error)
                if error
                    .downcast_ref::<Exit>()
                    .is_some_and(|error| error.code == exit::UNREACHABLE)
                    && Instant::now() < deadline
                    && !stop.is_cancelled() =>
            {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Err(error) => return Err(error).context("the network's first job"),
        }
    };
    let job = answer["mythic"]["job"]
        .as_str()
        .context("the gateway's answer names no job")?
        .to_owned();
    wait(
        &format!("job {job} in the index"),
        layout,
        "indexer",
        stop,
        async || {
            gateway
                .get(&format!("/v1/jobs/{job}"))
                .await
                .is_ok_and(|job| {
                    job["fingerprint"].is_string()
                        && matches!(job["status"].as_str(), Some("submitted" | "settled"))
                })
        },
    )
    .await?;
    Ok(job)
}

/// What a node computes on, in its own words.
pub async fn device(node: &str) -> Option<String> {
    let stats = reqwest::get(format!("{node}/stats")).await.ok()?;
    let stats: serde_json::Value = stats.json().await.ok()?;
    let device = stats["engines"][0]["engine"]["device"].as_str()?;
    Some(match stats["cpu_only"].as_bool() {
        Some(true) => format!("{device}, no GPU"),
        _ => device.to_owned(),
    })
}

fn folder(state: &DevState) -> &Path {
    state.binary.parent().unwrap_or(Path::new("/"))
}

/// Prints all that one needs to use the network.
pub fn announce(state: &DevState, device: Option<&str>, slot_ms: u64) {
    let (url, model) = (&state.gateway_url, &state.model);
    println!("\nMythic development network");
    println!("  gateway    {url}/v1        (OpenAI base URL; {url}/ shows the network)");
    println!(
        "  API key    {}        (any key pays from the DEV account's vault)",
        state.api_key
    );
    println!("  model      {model}");
    println!(
        "  validators {} on {}",
        state.validators.len(),
        device.unwrap_or("an unknown device")
    );
    println!("  chain      {}   {}", state.rpc_url, state.ws_url);
    println!("  database   {}   (read-only)", state.database_url);
    println!(
        "  commands   export PATH=\"{}:$PATH\"",
        folder(state).display()
    );
    println!(
        "  data       {}   (logs/, dev.json)",
        state.data_dir.display()
    );
    for name in ["dev", "admin"] {
        if let Some(key) = state.keys.get(name) {
            println!(
                "  key        {name:<6} {}   {}",
                key.pubkey,
                key.path.display()
            );
        }
    }
    println!(
        "             funded; development only. {} in the DEV vault at least.",
        sol(100 * crate::units::LAMPORTS_PER_SOL)
    );
    if let Some(job) = &state.own_job {
        println!("  first job  {job}   (the network's own; settles 100 slots after its result)");
    }
    if slot_ms == 0 {
        println!("  slots      manual: `mythic dev warp N` advances the chain");
    }
    println!(
        "\n  curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n    -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'\n",
        state.api_key
    );
}
