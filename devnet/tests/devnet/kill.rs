//! The chain's process is killed at any moment, and starts again with everything that was finalized.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mythic_devnet::{DevnetConfig, Servers, run_with};
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::common::{Devnet, config};

const DIR: &str = "MYTHIC_DEVNET_TEST_DIR";

/// The killed process is this test itself in another process, with a directory given.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let dir = Path::new(&dir);
    let config = DevnetConfig {
        slot_ms: 3,
        ..config(&dir.join("chain"))
    };
    let servers = Servers::bind(&config).await.unwrap();
    let url = format!("http://{}", servers.rpc_addr());
    std::fs::write(dir.join("url.new"), url).unwrap();
    std::fs::rename(dir.join("url.new"), dir.join("url")).unwrap();
    run_with(config, None, servers, CancellationToken::new())
        .await
        .unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn call(http: &reqwest::Client, url: &str, method: &str, params: Value) -> Option<Value> {
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer: Value = http
        .post(url)
        .json(&call)
        .send()
        .await
        .ok()?
        .json()
        .await
        .ok()?;
    answer.get("result").cloned()
}

/// Airdrops of one lamport above rent, each to another account, until `done`; returns those that were finalized.
async fn finalized(url: &str, done: Duration) -> Vec<String> {
    let http = reqwest::Client::new();
    let started = Instant::now();
    let (mut open, mut finalized) = (Vec::new(), Vec::new());
    while started.elapsed() < done || finalized.is_empty() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing is finalized"
        );
        let to = Pubkey::new_unique().to_string();
        if let Some(signature) = call(&http, url, "requestAirdrop", json!([to, 1_000_000])).await {
            open.push(signature.as_str().unwrap().to_owned());
        }
        let asked: Vec<String> = open.iter().take(100).cloned().collect();
        let Some(statuses) = call(&http, url, "getSignatureStatuses", json!([asked])).await else {
            continue;
        };
        for (signature, status) in asked.iter().zip(statuses["value"].as_array().unwrap()) {
            if status["confirmationStatus"] == "finalized" {
                finalized.push(signature.clone());
                open.retain(|one| one != signature);
            }
        }
    }
    finalized
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_costs_only_what_was_not_finalized() {
    let dir = tempfile::tempdir().unwrap();
    let mut highest = 0;
    for round in 0..4u64 {
        let _ = std::fs::remove_file(dir.path().join("url"));
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "kill::child", "--nocapture"])
                .env(DIR, dir.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let deadline = Instant::now() + Duration::from_secs(60);
        let url = loop {
            assert!(Instant::now() < deadline, "the chain does not come up");
            match std::fs::read_to_string(dir.path().join("url")) {
                Ok(url) => break url,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let finalized = finalized(&url, Duration::from_millis(100 + 97 * round)).await;
        child.0.kill().unwrap();
        child.0.wait().unwrap();

        let devnet = Devnet::start(config(&dir.path().join("chain")), None).await;
        let recent: Vec<&String> = finalized.iter().rev().take(20).collect();
        let statuses = devnet.call("getSignatureStatuses", json!([recent])).await;
        for (signature, status) in recent.iter().zip(statuses["value"].as_array().unwrap()) {
            assert_eq!(
                status["confirmationStatus"], "finalized",
                "{signature} in round {round}"
            );
        }
        let status = devnet.call("mythic_status", json!([])).await;
        let slot = status["openSlot"].as_u64().unwrap();
        assert!(slot > highest, "slots are never used twice");
        highest = slot;
        devnet.stop().await;
    }
}
