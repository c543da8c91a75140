//! verify, disputes, node: checks of answers, and processes of one's own.

use anyhow::{Context, Result, ensure};
use mythic_client::{keys, pda};
use mythic_e2e::{Network, PATIENCE, Ran, ran};
use mythic_interface::state::Validator;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

use crate::{has, json, owned};

const SOL: u64 = 1_000_000_000;
/// How often an answer is bought until one is checked.
const ASK_EVERY: Duration = Duration::from_secs(15);

/// A process that ends with the test, whatever becomes of it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// verify, verify init, a verifier of its own, disputes, dev cheat.
pub async fn checks(network: &Network, dir: &Path) -> Result<()> {
    let answer = ["ai", "Name a fish.", "--max-tokens", "6", "--json"];
    let bought = || -> Result<String> {
        let answer = json(&network.mythic(&answer)?)?;
        let job = answer["mythic"]["job"].as_str();
        Ok(job.with_context(|| answer.to_string())?.to_owned())
    };
    let job = bought()?;
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

    has(&network.mythic(&["disputes", "list"])?, &["challenged"])?;
    network.mythic_fails(&["disputes", "show", &nobody], 4, &["no case"])?;
    let unknown = ["disputes", "list", "--status", "lost"];
    network.mythic_fails(&unknown, 2, &["resolved"])?;
    let ninth = ["dev", "cheat", "--validator", "9"];
    network.mythic_fails(&ninth, 4, &["validators 1 to 1"])?;
    let way = ["dev", "cheat", "--validator", "1", "--how", "kindly"];
    network.mythic_fails(&way, 2, &["one-token", "withhold"])?;
    let alone = ["dev", "cheat", "--validator", "1"];
    network.mythic_fails(&alone, 2, &["nobody else", "--validators 4"])?;

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
    for (key, amount) in [("authority", "1.1"), ("operator", "0.4")] {
        let file = format!("{home}/{key}.json");
        network.mythic(&["wallet", "airdrop", amount, "--keypair", &file])?;
    }
    let log = std::fs::File::create(dir.join("verifier.log"))?;
    let mut verifier = network.command(&["verify", "--config", &config]);
    let mut running = Running(verifier.stdout(log.try_clone()?).stderr(log).spawn()?);
    let stats = format!("http://{listen}/stats");
    let started = Instant::now();
    let mut asked: Option<Instant> = None;
    loop {
        let stats = async { network.http.get(&stats).send().await?.json::<Value>().await };
        if let Ok(stats) = stats.await {
            if stats["verifier"]["totals"]["checked"]["honest"].as_u64() > Some(0) {
                break;
            }
            // One answer's window may be over before it is looked at.
            if asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
                bought()?;
                asked = Some(Instant::now());
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

/// An address that is free now.
pub fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// Ends by SIGTERM, and well.
pub async fn stops(running: &mut Running) -> Result<()> {
    kill(Pid::from_raw(running.0.id() as i32), Signal::SIGTERM)?;
    let started = Instant::now();
    let status = loop {
        match running.0.try_wait()? {
            Some(status) => break status,
            None => ensure!(started.elapsed() < PATIENCE, "it does not stop"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(status.success(), "{status}");
    Ok(())
}

/// node init, config check, and a second validator that registers, announces itself and is paid for a job.
pub async fn serves(network: &Network, dir: &Path) -> Result<()> {
    let listen = free_address()?;
    let home = dir.join("node").display().to_string();
    let endpoint = format!("http://{listen}");
    let init = [
        "node",
        "init",
        &home,
        "--endpoint",
        &endpoint,
        "--listen",
        &listen,
        "--stake",
        "2",
    ];
    let said = network.mythic(&init)?;
    has(
        &said,
        &["node.toml", "2 SOL stake", "Back up authority.json"],
    )?;
    network.mythic_fails(&init, 1, &["node.toml exists"])?;
    network.mythic_fails(&["node", "init", &home], 2, &["--endpoint"])?;
    let config = format!("{home}/node.toml");
    has(&network.mythic(&["config", "check", &config])?, &["good"])?;

    let node = || network.command(&["node", "--config", &config]);
    let unfunded = ran(&mut node())?;
    ensure!(unfunded.code == 1, "{unfunded:?}");
    has(&unfunded.stderr, &["holds 0 lamports", "Send it"])?;
    for (key, amount) in [("authority", "3"), ("operator", "0.05")] {
        let file = format!("{home}/{key}.json");
        network.mythic(&["wallet", "airdrop", amount, "--keypair", &file])?;
    }
    let log = std::fs::File::create(dir.join("node.log"))?;
    let mut running = Running(node().stdout(log.try_clone()?).stderr(log).spawn()?);
    let authority = keys::load_keypair(Path::new(&format!("{home}/authority.json")))?.pubkey();
    let listed = network
        .until("/v1/validators", |list| {
            list["data"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|v| v["authority"] == authority.to_string() && v["live"].is_object())
        })
        .await
        .with_context(|| std::fs::read_to_string(dir.join("node.log")).unwrap_or_default())?;
    ensure!(
        listed["data"].as_array().map(Vec::len) == Some(3),
        "{listed}"
    );
    let (_, validator) = network
        .chain()
        .account::<Validator>(&pda::validator(authority))
        .await?
        .context("the validator")?;
    ensure!(validator.stake.get() == 2 * SOL && validator.endpoint.as_str() == endpoint);
    let stats: Value = network
        .http
        .get(format!("{endpoint}/stats"))
        .send()
        .await?
        .json()
        .await?;
    ensure!(
        stats["cpu_only"] == true && stats["gpu"].is_null(),
        "{stats}"
    );

    stops(&mut running).await
}
