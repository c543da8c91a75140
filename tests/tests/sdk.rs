//! The TypeScript clients: by their own tests, and against a real network.

use anyhow::Result;
use mythic_e2e::{
    Network,
    clients::{run, workspace},
};
use std::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_pass_their_own_tests() -> Result<()> {
    tokio::task::spawn_blocking(|| {
        let clients = workspace()?;
        // What ships is also loaded by the oldest Node.js that is promised.
        for script in ["test:prepared", "test:node20"] {
            run(Command::new("npm")
                .args(["run", script])
                .current_dir(&clients))?;
        }
        Ok(())
    })
    .await?
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_and_the_pages_do_what_they_say_on_a_real_network() -> Result<()> {
    let network = Network::start(&["--validators", "2", "--slot-ms", "100"]).await?;
    network.finalized(&network.text("own_job")).await?;
    let (gateway, rpc) = (network.text("gateway_url"), network.text("rpc_url"));
    tokio::task::spawn_blocking(move || {
        let clients = workspace()?;
        // The SDK, then the pages that are made of it.
        for script in ["test:network", "test:network:pages"] {
            run(Command::new("npm")
                .args(["run", script])
                .env("MYTHIC_GATEWAY_URL", &gateway)
                .env("MYTHIC_RPC_URL", &rpc)
                .current_dir(&clients))?;
        }
        Ok(())
    })
    .await?
}
