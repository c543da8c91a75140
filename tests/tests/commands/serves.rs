//! A second validator.

use crate::tools::{Running, free_address, has, stops};
use anyhow::{Context, Result, ensure};
use mythic_client::{keys, pda};
use mythic_e2e::{Network, ran};
use mythic_interface::state::Validator;
use serde_json::Value;
use solana_signer::Signer;
use std::path::Path;

const SOL: u64 = 1_000_000_000;

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
