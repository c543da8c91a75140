//! Commands that look around: configurations, doctor, network, dev, models.

use crate::tools::{has, json, owned};
use anyhow::{Context, Result, ensure};
use mythic_e2e::{Network, ran, target};
use mythic_interface::state::Model;
use solana_pubkey::Pubkey;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;

/// completions, config.
pub async fn configures(network: &Network, dir: &Path) -> Result<()> {
    has(
        &network.mythic(&["completions", "bash"])?,
        &["_mythic", "estimate"],
    )?;

    let config = network.state()["processes"]["gateway"]["config"]
        .as_str()
        .context("the gateway's config")?
        .to_owned();
    has(&network.mythic(&["config", "check", &config])?, &["good"])?;
    has(
        &network.mythic(&["config", "show", "node"])?,
        &["max_concurrent = 4"],
    )?;
    let bad = dir.join("gateway.toml");
    std::fs::write(&bad, "lisssten = \"127.0.0.1:1\"\n")?;
    let bad = bad.display().to_string();
    network.mythic_fails(&["config", "check", &bad], 6, &["lisssten"])?;
    std::fs::write(&bad, "rpc_url = \"ftp://x\"\n")?;
    network.mythic_fails(
        &["config", "check", &bad],
        6,
        &["rpc_url", "ftp", "https://"],
    )?;
    Ok(())
}

/// doctor, network, dev.
pub async fn looks_around(network: &Network) -> Result<()> {
    has(
        &network.mythic(&["doctor"])?,
        &["PostgreSQL", "model", "chain", "gateway"],
    )?;
    has(
        &network.mythic(&["network"])?,
        &["active validators      1", "burned"],
    )?;
    let shown = json(&network.mythic(&["network", "--json"])?)?;
    ensure!(shown["active_validators"] == 1, "{shown}");
    has(&network.mythic(&["dev", "warp", "3"])?, &["slot "])?;
    let warped = json(&network.mythic(&["dev", "warp", "1", "--json"])?)?;
    ensure!(warped["processedSlot"].is_u64(), "{warped}");
    network.mythic_fails(&["dev", "warp", "0"], 2, &["1..=10000"])?;
    has(
        &network.mythic(&["dev", "status"])?,
        &["API key", "RESTARTS", "node-1", "mythic dev stop"],
    )?;
    let state = json(&network.mythic(&["dev", "status", "--json"])?)?;
    ensure!(state["ready_at"].is_u64(), "{state}");
    let key = state["api_key"].as_str().unwrap_or_default();
    ensure!(key.starts_with("dev-") && key.len() == 36, "{state}");
    private(network)
}

/// The default model is cached, registered and listed; another file is another model.
pub async fn models(network: &Network, dir: &Path) -> Result<()> {
    let file = network.mythic(&["model", "pull"])?;
    let file = Path::new(file.trim());
    ensure!(file.is_file(), "{file:?}");
    let model = network.model().await?;
    has(
        &network.mythic(&["model", "list"])?,
        &["VALIDATORS", &model],
    )?;
    let path = file.display().to_string();
    has(
        &network.mythic(&["model", "register", &path])?,
        &["registered already"],
    )?;
    let other = dir.join("other.gguf");
    let mut bytes = std::fs::read(file)?;
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    std::fs::write(&other, bytes)?;
    let path = other.display().to_string();
    let made = network.mythic(&["model", "register", &path, "--name", "other"])?;
    has(&made, &["identity", "burned", "signature"])?;
    let address = made
        .lines()
        .find_map(|line| line.strip_prefix("model"))
        .context("no address")?;
    let account = network
        .chain()
        .account::<Model>(&Pubkey::from_str(address.trim())?)
        .await?;
    ensure!(account.is_some_and(|(_, model)| model.name.as_str() == "other"));

    let identity = made
        .lines()
        .find_map(|line| line.strip_prefix("identity"))
        .context("no identity")?
        .trim();
    let update = [
        "model",
        "update",
        &identity[..12],
        "--price-out",
        "70000",
        "--retire",
    ];
    has(&network.mythic(&update)?, &["70000", "true"])?;
    network.mythic_fails(&["model", "update", "abc"], 2, &["8 hex digits"])?;
    network.mythic_fails(
        &["model", "update", &model, "--activate"],
        2,
        &["registrant", "--keypair"],
    )
}

/// Servers and jobs that are not there, ports and directories that are taken.
pub async fn misses(network: &Network, dir: &Path) -> Result<()> {
    let nowhere = "http://127.0.0.1:1";
    network.mythic_fails(
        &["network", "--gateway", nowhere],
        3,
        &["--gateway", "make dev"],
    )?;
    network.mythic_fails(&["wallet", "show", "--rpc", nowhere], 3, &[nowhere])?;
    network.mythic_fails(&["jobs", "show", "nonsense"], 2, &["base58"])?;
    network.mythic_fails(
        &["jobs", "show", "11111111111111111111111111111111"],
        4,
        &["no job"],
    )?;

    // A second network on the same ports names them and the flags; in the same directory it names the first one.
    let port = network.text("gateway_url");
    let port = port.rsplit(':').next().unwrap_or_default();
    network.mythic_fails(
        &["dev", "--gateway-port", port],
        1,
        &["another `mythic dev`"],
    )?;
    let second = ran(std::process::Command::new(target().join("mythic"))
        .args(["dev", "--gateway-port", port, "--data-dir"])
        .arg(dir.join("second"))
        .stdin(Stdio::null()))?;
    ensure!(second.code == 1, "{second:?}");
    has(&second.stderr, &[port, "gateway", "--gateway-port"])
}

/// What the data directory holds of keys, prompts and configurations is for its owner alone.
fn private(network: &Network) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| -> Result<u32> {
        let meta = std::fs::metadata(path).with_context(|| path.display().to_string())?;
        Ok(meta.permissions().mode() & 0o777)
    };
    let root = network.data_dir();
    for dir in [
        "chain", "config", "gateway", "keys", "logs", "nodes", "spool",
    ] {
        ensure!(mode(&root.join(dir))? == 0o700, "{dir} is open");
    }
    ensure!(mode(&root.join("dev.json"))? == 0o600, "dev.json is open");
    for dir in ["config", "keys", "logs", "nodes"] {
        owned(&root.join(dir))?;
    }
    Ok(())
}
