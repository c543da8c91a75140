//! Every command that a user types, as typed: what it prints, how it fails, what it changed on chain.

mod index;
mod leases;
mod looks;
mod money;
mod nodes;

use anyhow::{Context, Result, ensure};
use mythic_e2e::Network;
use serde_json::Value;
use std::path::Path;

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "no {word:?} in:\n{text}");
    }
    Ok(())
}

/// Nobody but its owner can read anything in a directory.
fn owned(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = std::fs::metadata(&path) else {
            continue; // Gone in between: a draft that was renamed.
        };
        let mode = meta.permissions().mode() & 0o777;
        ensure!(mode & 0o077 == 0, "{}: {mode:o}", path.display());
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() -> Result<()> {
    let network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    looks::around(&network, dir)?;
    looks::models(&network, dir).await?;
    looks::finds_nothing(&network, dir)?;
    index::whole(&network, dir)?;
    looks::readme_answers(&network)?;
    let wallet = money::pays(&network, dir).await?;
    money::asks(&network, &wallet).await?;
    // A market's epochs pass while validators are asked and checked.
    let market = leases::begins(&network, dir).await?;
    nodes::checks(&network, dir).await?;
    market.ends(&network).await?;
    nodes::serves(&network, dir).await?;
    market.is_settled(&network).await?;
    looks::pages_fetch_what_exists(&network).await?;
    index::exports(&network, dir).await?;
    index::missed(&network).await?;
    network.mythic(&["dev", "stop"])?;
    network.mythic_fails(&["dev", "stop"], 4, &["no development network runs"])?;
    Ok(())
}
