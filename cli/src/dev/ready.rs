//! From started processes to Ready: waiting for each, the network's own first job, and what is told then.

use super::{layout::Layout, state::DevState};
use crate::{
    exit::{self, Exit},
    gateway::Gateway,
    progress::Live,
    say,
    units::{counted, grouped, sol},
};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const STEP_PATIENCE: Duration = Duration::from_secs(180);
/// Pause between two looks for the live line.
const LIVE_EVERY: Duration = Duration::from_secs(2);

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
    let client = mythic_http::client::builder()
        .timeout(Duration::from_secs(5))
        .build()
        .ok()?;
    let stats = client.get(format!("{node}/stats")).send().await.ok()?;
    let stats: Value = stats.json().await.ok()?;
    let device = stats["engines"][0]["engine"]["device"].as_str()?;
    Some(match stats["cpu_only"].as_bool() {
        Some(true) => format!("{device}, no GPU"),
        _ => device.to_owned(),
    })
}

fn folder(state: &DevState) -> &Path {
    state.binary.parent().unwrap_or(Path::new("/"))
}

/// Prints all that one needs to use the network, and how it is stopped.
pub fn announce(state: &DevState, stop: &str) {
    let (url, model) = (&state.gateway_url, &state.model);
    say!("\nMythic development network");
    say!("  gateway    {url}/v1        (OpenAI base URL; {url}/ shows the network)");
    say!("  API key    {}", state.api_key);
    say!(
        "             (web pages need it; programs here may send any key or none. The DEV account's vault pays)"
    );
    say!("  model      {model}");
    say!(
        "  validators {} on {}",
        state.validators.len(),
        state.device.as_deref().unwrap_or("an unknown device")
    );
    if let Some(provider) = &state.provider {
        say!(
            "  provider   {}   (leases out class cpu; `mythic lease demo` walks through a lease)",
            provider.endpoint
        );
        say!("  market     {url}/market   (providers, requests, leases)");
    }
    say!("  chain      {}   {}", state.rpc_url, state.ws_url);
    say!("  database   {}   (read-only)", state.database_url);
    say!(
        "  commands   export PATH=\"{}:$PATH\"",
        folder(state).display()
    );
    say!(
        "  data       {}   (logs/, dev.json)",
        state.data_dir.display()
    );
    for name in ["dev", "admin"] {
        if let Some(key) = state.keys.get(name) {
            say!(
                "  key        {name:<6} {}   {}",
                key.pubkey,
                key.path.display()
            );
        }
    }
    say!(
        "             funded; development only. {} in the DEV vault at least.",
        sol(100 * crate::units::LAMPORTS_PER_SOL)
    );
    if let Some(job) = &state.own_job {
        say!("  first job  {job}   (the network's own; settles 100 slots after its result)");
    }
    if state.slot_ms == 0 {
        say!("  slots      manual: `mythic dev warp N` advances the chain");
    }
    say!("  stop       {stop}; `mythic dev status` prints this again");
    if let Some(name) = crate::proxy::variable().filter(|_| !crate::proxy::others_go_direct()) {
        say!(
            "  proxy      {name} is set: curl and the SDKs need NO_PROXY=localhost,127.0.0.1 for these addresses"
        );
    }
    say!(
        "\n  curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\\n    -d '{{\"model\":\"{model}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'\n"
    );
}

/// Shows on a terminal how the network stands, until it is stopped.
pub async fn live(gateway: &Gateway, stop: &CancellationToken) {
    let line = Live::new();
    let show = async {
        while line.is_seen() {
            let text = match gateway.get("/v1/network").await {
                Ok(network) => standing(&network),
                Err(_) => "the gateway does not answer".into(),
            };
            line.say(&format!("{text} · Ctrl-C stops it"));
            tokio::time::sleep(LIVE_EVERY).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = show => {}
    }
}

fn standing(network: &Value) -> String {
    let number = |name: &str| network[name].as_u64();
    let shown = |name: &str| number(name).map_or_else(|| "-".into(), grouped);
    let mut text = format!(
        "slot {} · {} · {} settled",
        shown("slot"),
        number("jobs").map_or_else(|| "- jobs".into(), |jobs| counted(jobs, "job")),
        shown("jobs_settled")
    );
    if let Some(open) = number("disputes_open").filter(|open| *open > 0) {
        text.push_str(&format!(" · {} open", counted(open, "case")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_line_says_slot_jobs_and_open_cases() {
        let mut network = json!({"slot": 1234, "jobs": 1, "jobs_settled": 0, "disputes_open": 0});
        assert_eq!(standing(&network), "slot 1,234 · 1 job · 0 settled");
        network["disputes_open"] = 2.into();
        assert!(standing(&network).ends_with("2 cases open"));
        assert_eq!(standing(&Value::Null), "slot - · - jobs · - settled");
    }
}
