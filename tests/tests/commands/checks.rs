//! Checks of answers, disputes, a verifier.

use crate::tools::{Running, free_address, has, json, owned, stops};
use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, PATIENCE, Ran, ran};
use serde_json::Value;
use solana_pubkey::Pubkey;
use std::path::Path;
use std::time::{Duration, Instant};

fn bought(network: &Network) -> Result<String> {
    let answer = ["ai", "Name a fish.", "--max-tokens", "6", "--json"];
    let answer = json(&network.mythic(&answer)?)?;
    let job = answer["mythic"]["job"].as_str();
    Ok(job.with_context(|| answer.to_string())?.to_owned())
}

/// verify, disputes, dev cheat; a verifier of its own.
pub async fn checks(network: &Network, dir: &Path) -> Result<()> {
    let job = bought(network)?;
    has(
        &network.mythic(&["verify", &job])?,
        &[
            "claimed id:logit",
            "honest: every position",
            "exact profile",
        ],
    )?;
    let quiet = network.mythic(&["verify", &job, "--quiet"])?;
    ensure!(quiet.lines().count() == 2, "{quiet}");
    has(&quiet, &["honest"])?;
    let checked = json(&network.mythic(&["verify", &job, "--json"])?)?;
    ensure!(
        checked["finding"] == "honest" && checked["differing"] == 0,
        "{checked}"
    );
    let positions = checked["positions"].as_array().map(Vec::len);
    ensure!(
        positions == checked["output_tokens"].as_u64().map(|n| n as usize),
        "{checked}"
    );
    // Evidence of another prompt is not this job's.
    let evidence = format!("/v1/jobs/{job}/evidence");
    let evidence = network.http.get(network.url(&evidence)).bearer_auth("dev");
    let mut evidence: Value = evidence.send().await?.error_for_status()?.json().await?;
    let prompt = evidence["prompt_ids"].as_array_mut().context("a prompt")?;
    prompt.reverse();
    let tampered = dir.join("evidence.json");
    std::fs::write(&tampered, evidence.to_string())?;
    let tampered = tampered.display().to_string();
    let check = ["verify", &job, "--evidence", &tampered];
    network.mythic_fails(&check, 7, &["could not be checked"])?;
    network.mythic_fails(&["verify", "nonsense"], 2, &["not a job's address"])?;
    let nobody = Pubkey::new_from_array([9; 32]).to_string();
    network.mythic_fails(&["verify", &nobody], 4, &["no job"])?;
    disputes(network, &nobody)?;
    verifier(network, dir).await
}

fn disputes(network: &Network, nobody: &str) -> Result<()> {
    has(&network.mythic(&["disputes", "list"])?, &["challenged"])?;
    network.mythic_fails(&["disputes", "show", nobody], 4, &["no dispute"])?;
    let unknown = ["disputes", "list", "--status", "lost"];
    network.mythic_fails(&unknown, 2, &["resolved"])?;
    let ninth = ["dev", "cheat", "--validator", "9"];
    network.mythic_fails(&ninth, 4, &["validators 1 to 1"])?;
    let way = ["dev", "cheat", "--validator", "1", "--how", "kindly"];
    network.mythic_fails(&way, 2, &["one-token", "withhold"])?;
    let alone = ["dev", "cheat", "--validator", "1"];
    network.mythic_fails(&alone, 2, &["nobody else", "--validators 3"])
}

/// verify init, and the verifier that it configures.
async fn verifier(network: &Network, dir: &Path) -> Result<()> {
    let home = dir.join("verifier").display().to_string();
    let listen = free_address()?;
    let init = ["verify", "init", &home, "--listen", &listen, "--json"];
    let Ran { stdout, stderr, .. } = ran(&mut network.command(&init))?;
    has(
        &stderr,
        &["verify.toml", "1 SOL stake", "Back up authority.json"],
    )?;
    let made = json(&stdout)?;
    let config = format!("{home}/verify.toml");
    ensure!(made["config"] == config.as_str(), "{made}");
    ensure!(made["authority"]["lamports"] == 1_010_000_000, "{made}");
    ensure!(made["operator"]["address"].is_string(), "{made}");
    network.mythic_fails(&init, 1, &["verify.toml exists"])?;
    owned(Path::new(&home))?;
    for (key, amount) in [("authority", "1.1"), ("operator", "0.2")] {
        let file = format!("{home}/{key}.json");
        network.mythic(&["wallet", "airdrop", amount, "--keypair", &file])?;
    }
    let log = std::fs::File::create(dir.join("verifier.log"))?;
    let mut verifier = network.command(&["verify", "--config", &config]);
    let mut running = Running(verifier.stdout(log.try_clone()?).stderr(log).spawn()?);
    let stats = format!("http://{listen}/stats");
    let started = Instant::now();
    let mut asked = false;
    loop {
        let stats = async { network.http.get(&stats).send().await?.json::<Value>().await };
        if let Ok(stats) = stats.await {
            if stats["verifier"]["totals"]["checked"]["honest"].as_u64() > Some(0) {
                break;
            }
            if !asked {
                bought(network)?;
                asked = true;
            }
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "it checks nothing: {}",
            std::fs::read_to_string(dir.join("verifier.log")).unwrap_or_default()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stops(&mut running).await
}
