//! A lease of a container on real processes, as its tenant types it.

use super::machine::{image, is_able, until};
use anyhow::{Context, Result, ensure};
use mythic_client::keys;
use mythic_e2e::Network;
use mythic_interface::market::state::{Lease, LeaseStatus};
use serde_json::Value;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const SLOT_MS: u64 = 50;
/// Longest from an acceptance to the start, with the image at hand.
const STARTS: Duration = Duration::from_secs(10);
/// Longest from a close to where nothing is left: the grace, and then ten seconds.
const ENDS: Duration = Duration::from_secs(15);

/// A network whose provider leases out containers of this layout's images.
async fn network(layout: &Path, run: &Path) -> Result<Network> {
    let (images, run) = (
        format!("[{:?}]", layout.display().to_string()),
        run.display().to_string(),
    );
    let slot_ms = SLOT_MS.to_string();
    Network::start_with(
        &["--validators", "1", "--slot-ms", &slot_ms],
        &[
            ("MYTHIC_PROVIDER__CONTAINERS__RUNTIME", "runc"),
            ("MYTHIC_PROVIDER__CONTAINERS__IMAGES", &images),
            ("MYTHIC_PROVIDER__CONTAINERS__RUN_DIR", &run),
            ("MYTHIC_PROVIDER__CONTAINERS__ENCRYPT", "false"),
            ("MYTHIC_PROVIDER__CONTAINERS__LISTEN", "127.0.0.1"),
            ("MYTHIC_PROVIDER__CONTAINERS__FIRST_PORT", "23500"),
            ("MYTHIC_PROVIDER__CONTAINERS__POOL", "10.244.0.0"),
        ],
    )
    .await
}

/// Who leases, and how it types.
struct Tenant<'a> {
    network: &'a Network,
    file: String,
}

impl<'a> Tenant<'a> {
    /// A funded one.
    async fn new(network: &'a Network, file: PathBuf) -> Result<Self> {
        let wallet = Keypair::new();
        keys::write_keypair(&file, &wallet)?;
        let chain = network.chain();
        chain.airdrop(&wallet.pubkey(), 2_000_000_000).await?;
        let file = file.display().to_string();
        Ok(Self { network, file })
    }

    /// A request as it is typed, with what is typed behind it.
    fn request<'b>(&'b self, image: &'b str, more: &[&'b str]) -> Vec<&'b str> {
        let mut words = vec![
            "lease",
            "request",
            "--image",
            image,
            "--yes",
            "--json",
            "--seconds",
            "600",
            "--memory-mib",
            "64",
            "--pids",
            "32",
            "--disk-mib",
            "64",
            "--keypair",
            &self.file,
        ];
        words.extend_from_slice(more);
        words
    }

    fn ssh_words<'b>(&'b self, lease: &'b str, script: &'b str) -> [&'b str; 7] {
        ["lease", "ssh", lease, "--keypair", &self.file, "--", script]
    }

    fn ssh(&self, lease: &str, script: &str) -> Result<String> {
        self.network.mythic(&self.ssh_words(lease, script))
    }
}

/// What a provider can't give is declined in words, and the request taken back.
fn declined(tenant: &Tenant<'_>, digest: &str) -> Result<()> {
    let absent = format!("sha256:{}", "0".repeat(64));
    let words = tenant.request(&absent, &[]);
    let network = tenant.network;
    network.mythic_fails(&words, 1, &["is not here", "refunded"])?;
    let words = tenant.request(digest, &["--cpu-milli", "900000"]);
    network.mythic_fails(&words, 1, &["cpu_milli 900000", "refunded"])
}

/// Its tenant enters it, reads it, and finds the bounds that it asked for.
fn used(tenant: &Tenant<'_>, lease: &str) -> Result<()> {
    let network = tenant.network;
    ensure!(tenant.ssh(lease, "id -u")? == "0\n");
    network.mythic_fails(&tenant.ssh_words(lease, "exit 9"), 9, &[])?;
    let words = ["lease", "logs", lease, "--keypair", &tenant.file];
    let logs = network.mythic(&words)?;
    ensure!(logs == "up secret\n", "{logs}");
    let words = [
        "lease",
        "probe",
        lease,
        "--memory",
        "--json",
        "--keypair",
        &tenant.file,
    ];
    let probed: Value = serde_json::from_str(&network.mythic(&words)?)?;
    ensure!(
        probed["entered"] == true && probed["memory"] == "67108864" && probed["pids"] == "32",
        "{probed}"
    );
    let filled = probed["memory_filled"].as_str().unwrap_or_default();
    ensure!(filled.parse::<u64>()? > 16 << 20, "{probed}");
    Ok(())
}

/// Without the key that is kept of the lease its tenant's wallet comes in, and nobody else's.
async fn by_wallet(tenant: &Tenant<'_>, lease: &str, scratch: &Path) -> Result<()> {
    let stranger = Tenant::new(tenant.network, scratch.join("stranger.json")).await?;
    let kept = tenant
        .network
        .data_dir()
        .join(format!("leases/{lease}.json"));
    let moved = scratch.join("kept.json");
    fs::copy(&kept, &moved)?;
    fs::remove_file(&kept)?;
    let words = stranger.ssh_words(lease, "id");
    tenant
        .network
        .mythic_fails(&words, 1, &["none of the keys"])?;
    ensure!(tenant.ssh(lease, "id -u")? == "0\n");
    fs::copy(&moved, &kept)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_container_lives_from_its_request_to_its_end() -> Result<()> {
    if !is_able()? {
        return Ok(());
    }
    let scratch = tempfile::tempdir()?;
    let layout = scratch.path().join("layout");
    let digest = image(&layout)?;
    let prefix = "mythic-test-";
    let run = tempfile::Builder::new().prefix(prefix).tempdir_in("/run")?;
    fs::set_permissions(run.path(), fs::Permissions::from_mode(0o711))?;
    let network = network(&layout, run.path()).await?;
    let chain = network.chain();
    let tenant = Tenant::new(&network, scratch.path().join("tenant.json")).await?;
    declined(&tenant, &digest)?;

    let script = "echo up $TOKEN; exec sleep 100000";
    let command = [
        "--publish",
        "8080",
        "--env",
        "TOKEN=secret",
        "--",
        "/bin/sh",
        "-c",
        script,
    ];
    let said = network.mythic(&tenant.request(&digest, &command))?;
    let leased: Value = serde_json::from_str(&said)?;
    let address = leased["lease"].as_str().context(said)?.to_owned();
    let lease: Pubkey = address.parse()?;
    let (_, state) = chain.account::<Lease>(&lease).await?.context("no lease")?;
    ensure!(state.status() == Some(LeaseStatus::Active), "{state:?}");
    let slots = state.started_slot.get() - state.accepted_slot.get();
    let took = Duration::from_millis(slots * SLOT_MS);
    ensure!(took <= STARTS, "it started {took:?} after its acceptance");
    used(&tenant, &address)?;
    by_wallet(&tenant, &address, scratch.path()).await?;

    // The container outlives its provider, which finds it again.
    tenant.ssh(&address, "echo here >/tmp/mark")?;
    network.crash("provider").await?;
    until("it is entered again", async || {
        let said = tenant.ssh(&address, "cat /tmp/mark");
        Ok(said.is_ok_and(|said| said == "here\n"))
    })
    .await?;

    // A proof is made beside it, and it goes on.
    until("a proof", async || {
        let read = chain.account::<Lease>(&lease).await?;
        let (_, state) = read.context("no lease")?;
        Ok(state.ring.iter().any(|entry| entry.proof != [0; 32]))
    })
    .await?;
    until("it goes on", async || {
        Ok(tenant.ssh(&address, "cat /tmp/mark").is_ok())
    })
    .await?;

    let close = [
        "lease",
        "close",
        &address,
        "--yes",
        "--keypair",
        &tenant.file,
    ];
    network.mythic(&close)?;
    let started = Instant::now();
    let root = run.path().join("runc").join(&address);
    let disks = network.data_dir().join("provider/containers/leases");
    let disk = disks.join(&address);
    until("nothing is left of it", async || {
        Ok(!root.exists() && !disk.exists())
    })
    .await?;
    let took = started.elapsed();
    ensure!(took <= ENDS, "it was gone {took:?} after its close");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    ensure!(!mounts.contains(&address), "{mounts}");
    Ok(())
}
