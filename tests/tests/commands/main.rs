//! Every command that a user types, as typed: what it prints, how it fails, what it changed on chain.

mod asks;
mod checks;
mod looks;
mod pages;
mod pays;
mod serves;
mod tools;

use anyhow::Result;
use mythic_e2e::Network;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_what_it_says() -> Result<()> {
    let network = Network::start(&["--validators", "1", "--slot-ms", "50"]).await?;
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    looks::configures(&network, dir).await?;
    looks::looks_around(&network).await?;
    looks::models(&network, dir).await?;
    looks::misses(&network, dir).await?;
    pages::readme_answers(&network).await?;
    let wallet = pays::pays(&network, dir).await?;
    asks::asks(&network, &wallet).await?;
    checks::checks(&network, dir).await?;
    serves::serves(&network, dir).await?;
    pages::pages_fetch_what_exists(&network).await?;
    network.mythic(&["dev", "stop"])?;
    network.mythic_fails(&["dev", "stop"], 4, &["no development network runs"])?;
    Ok(())
}
