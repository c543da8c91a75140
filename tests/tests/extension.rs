//! The wallet in a browser: by its own tests, and in Chromium against a real network.

use anyhow::Result;
use mythic_e2e::{
    Network,
    clients::{run, workspace},
};
use std::{path::PathBuf, process::Command, sync::OnceLock};

/// The workspace with the wallet built in it, once for both tests.
fn built() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let build = || -> Result<PathBuf> {
        let clients = workspace()?;
        run(Command::new("npm")
            .args(["run", "build", "--workspace", "extension"])
            .current_dir(&clients))?;
        Ok(clients)
    };
    let made = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    made.clone().map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wallet_passes_its_own_tests() -> Result<()> {
    tokio::task::spawn_blocking(|| {
        let clients = built()?;
        for script in ["test", "test:browser"] {
            run(Command::new("npm")
                .args(["run", script, "--workspace", "extension"])
                .current_dir(&clients))?;
        }
        Ok(())
    })
    .await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_funds_asks_checks_and_revokes_on_a_real_network() -> Result<()> {
    let network = Network::start(&["--validators", "2", "--slot-ms", "100"]).await?;
    network.finalized(&network.text("own_job")).await?;
    let (gateway, rpc) = (network.text("gateway_url"), network.text("rpc_url"));
    tokio::task::spawn_blocking(move || {
        let clients = built()?;
        run(Command::new("npm")
            .args(["run", "test:network", "--workspace", "extension"])
            .env("MYTHIC_GATEWAY_URL", gateway)
            .env("MYTHIC_RPC_URL", rpc)
            .current_dir(clients))?;
        Ok(())
    })
    .await?
}
