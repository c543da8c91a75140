//! A lease of a container on real processes, as its tenant types it.

use super::machine::{PATIENCE, image, is_able, until};
use anyhow::{Context, Result, ensure};
use mythic_client::keys;
use mythic_e2e::Network;
use mythic_interface::market::state::{Lease, LeaseStatus};
use serde_json::Value;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{fs, os::unix::fs::PermissionsExt as _, time::Instant};

fn word<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name]
        .as_str()
        .with_context(|| format!("no {name} in {value}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_container_lives_from_its_request_to_its_end() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let layout = scratch.path().join("layout");
    let digest = image(&layout)?;
    let run = tempfile::Builder::new()
        .prefix("mythic-test-")
        .tempdir_in("/run")?;
    fs::set_permissions(run.path(), fs::Permissions::from_mode(0o711))?;
    let (images, run_dir) = (
        format!("[{:?}]", layout.display().to_string()),
        run.path().display().to_string(),
    );
    let network = Network::start_with(
        &["--validators", "1", "--slot-ms", "50"],
        &[
            ("MYTHIC_PROVIDER__CONTAINERS__RUNTIME", "runc"),
            ("MYTHIC_PROVIDER__CONTAINERS__IMAGES", &images),
            ("MYTHIC_PROVIDER__CONTAINERS__RUN_DIR", &run_dir),
            ("MYTHIC_PROVIDER__CONTAINERS__ENCRYPT", "false"),
            ("MYTHIC_PROVIDER__CONTAINERS__LISTEN", "127.0.0.1"),
            ("MYTHIC_PROVIDER__CONTAINERS__FIRST_PORT", "23500"),
            ("MYTHIC_PROVIDER__CONTAINERS__POOL", "10.244.0.0"),
        ],
    )
    .await?;
    let chain = network.chain();
    let (wallet, file) = (Keypair::new(), scratch.path().join("tenant.json"));
    keys::write_keypair(&file, &wallet)?;
    chain.airdrop(&wallet.pubkey(), 2_000_000_000).await?;
    let file = file.display().to_string();

    // An image that is not there, and more than the units give, are declined in words.
    let request = |image: &str, more: &[&str]| {
        let words = [
            "lease",
            "request",
            "--image",
            image,
            "--yes",
            "--json",
            "--seconds",
            "600",
            "--keypair",
            &file,
        ];
        let all = words.iter().chain(more).map(|word| (*word).to_owned());
        all.collect::<Vec<String>>()
    };
    let absent = format!("sha256:{}", "0".repeat(64));
    for (image, more, words) in [
        (absent.as_str(), &["--memory-mib", "64"][..], "is not here"),
        (
            digest.as_str(),
            &["--memory-mib", "4096"][..],
            "memory_mib 4096",
        ),
    ] {
        let words_typed = request(image, more);
        let typed: Vec<&str> = words_typed.iter().map(String::as_str).collect();
        network.mythic_fails(&typed, 1, &[words, "refunded"])?;
    }

    let script = "echo up $TOKEN; exec sleep 100000";
    let typed = request(
        &digest,
        &[
            "--memory-mib",
            "64",
            "--pids",
            "32",
            "--disk-mib",
            "64",
            "--publish",
            "8080",
            "--env",
            "TOKEN=secret",
            "--",
            "/bin/sh",
            "-c",
            script,
        ],
    );
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    let leased: Value = serde_json::from_str(&network.mythic(&typed)?)?;
    let address = word(&leased, "lease")?.to_owned();
    let lease: Pubkey = address.parse()?;
    let (_, state) = chain.account::<Lease>(&lease).await?.context("no lease")?;
    ensure!(state.status() == Some(LeaseStatus::Active), "{state:?}");

    let ssh = |script: &str| {
        let words = ["lease", "ssh", &address, "--keypair", &file, "--", script];
        network.mythic(&words)
    };
    ensure!(ssh("id -u")? == "0\n");
    let words = ["lease", "ssh", &address, "--keypair", &file, "--", "exit 9"];
    network.mythic_fails(&words, 9, &[])?;
    let logs = network.mythic(&["lease", "logs", &address, "--keypair", &file])?;
    ensure!(logs == "up secret\n", "{logs}");
    let words = ["lease", "probe", &address, "--json", "--keypair", &file];
    let probed: Value = serde_json::from_str(&network.mythic(&words)?)?;
    ensure!(
        probed["entered"] == true && probed["memory"] == "67108864",
        "{probed}"
    );
    // Nobody else's wallet comes in, even with another key beside it.
    let (other, stranger) = (Keypair::new(), scratch.path().join("stranger.json"));
    keys::write_keypair(&stranger, &other)?;
    let kept = network.data_dir().join(format!("leases/{address}.json"));
    let moved = scratch.path().join("kept.json");
    fs::rename(&kept, &moved)?;
    let stranger = stranger.display().to_string();
    let words = ["lease", "ssh", &address, "--keypair", &stranger, "--", "id"];
    network.mythic_fails(&words, 1, &["none of the keys"])?;
    // The tenant's own does, without what is kept of the lease.
    ensure!(ssh("id -u")? == "0\n");
    fs::rename(&moved, &kept)?;

    // The container outlives its provider, which finds it again.
    ssh("echo here >/tmp/mark")?;
    network.crash("provider").await?;
    until("it is entered again", async || {
        Ok(ssh("cat /tmp/mark").is_ok_and(|said| said == "here\n"))
    })
    .await?;

    // A proof is made beside it, and it goes on.
    until("a proof", async || {
        let read = chain.account::<Lease>(&lease).await?;
        let (_, state) = read.context("no lease")?;
        Ok(state.ring.iter().any(|entry| entry.proof != [0; 32]))
    })
    .await?;
    until("it goes on", async || Ok(ssh("cat /tmp/mark").is_ok())).await?;

    let closed = ["lease", "close", &address, "--yes", "--keypair", &file];
    network.mythic(&closed)?;
    let started = Instant::now();
    let root = run.path().join("runc").join(&address);
    let disk = network
        .data_dir()
        .join("provider/containers/leases")
        .join(&address);
    until("nothing is left of it", async || {
        Ok(!root.exists() && !disk.exists())
    })
    .await?;
    ensure!(started.elapsed() < PATIENCE);
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(&address), "{mounts}");
    Ok(())
}
