//! `make soak`: a network under load and faults at once, for ten minutes (`MYTHIC_SOAK_SECONDS`): clients of every manner, strangers,
//! kill -9 and SIGSTOP of each process, a full disk, validators that cheat. At the end every job is terminal, the vault spent what
//! the jobs cost, nothing is left running and no place is taken, and memory and file descriptors are as at the start.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mythic_e2e::{
    Network, PATIENCE,
    load::{self, Gateway, Tally},
    ran, strangers,
};
use mythic_interface::state::Vault;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::Value;
use solana_pubkey::Pubkey;

const CLIENTS: u64 = 8;
/// Longest stop of a process.
const STOPPED: Duration = Duration::from_secs(8);
/// Jobs end at the latest at their deadline.
const ENDS: Duration = Duration::from_secs(420);
/// Size of the disks that are filled.
const DISK: &str = "64m";

/// Small disks of the network that a round may fill; unmounted when dropped.
struct Disks(Vec<PathBuf>);

impl Disks {
    /// Mounts them, where the user may.
    fn mount(data: &Path) -> Self {
        let mut mounted = Vec::new();
        for name in ["spool", "nodes/2"] {
            let path = data.join(name);
            let made = std::fs::create_dir_all(&path).is_ok()
                && Command::new("mount")
                    .args([
                        "-t",
                        "tmpfs",
                        "-o",
                        &format!("size={DISK},mode=700"),
                        "tmpfs",
                    ])
                    .arg(&path)
                    .status()
                    .is_ok_and(|status| status.success());
            match made {
                true => mounted.push(path),
                false => println!("disk full: not run for {name}, mounting a tmpfs needs root"),
            }
        }
        Self(mounted)
    }

    /// Fills a disk, and empties it again after `time`.
    async fn fill(&self, which: usize, time: Duration) {
        let Some(disk) = self.0.get(which % self.0.len().max(1)) else {
            return;
        };
        let filler = disk.join("filler");
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", filler.display()))
            .stderr(std::process::Stdio::null())
            .status();
        tokio::time::sleep(time).await;
        let _ = std::fs::remove_file(filler);
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

/// Resident kilobytes and open file descriptors of a process.
fn usage(pid: i64) -> Option<(u64, usize)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .ok()?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((resident, open))
}

fn pid(network: &Network, process: &str) -> Option<i64> {
    network.state()["processes"][process]["pid"].as_i64()
}

fn processes(network: &Network) -> Vec<String> {
    network.state()["processes"]
        .as_object()
        .map(|processes| processes.keys().cloned().collect())
        .unwrap_or_default()
}

fn usages(network: &Network) -> Vec<(String, u64, usize)> {
    processes(network)
        .into_iter()
        .filter_map(|name| {
            let (kilobytes, open) = usage(pid(network, &name)?)?;
            Some((name, kilobytes, open))
        })
        .collect()
}

/// One fault after the other until `end`.
async fn faults(network: &Network, disks: &Disks, seed: u64, end: Instant) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let names = processes(network);
    let mut round = 0;
    while Instant::now() < end {
        let process = names.choose(&mut random).context("no processes")?;
        let began = Instant::now();
        let what = match round % 5 {
            0 | 1 => {
                network
                    .crash(process)
                    .await
                    .with_context(|| format!("killing {process}"))?;
                "killed"
            }
            2 => {
                if let Some(pid) = pid(network, process).and_then(|pid| i32::try_from(pid).ok()) {
                    kill(Pid::from_raw(pid), Signal::SIGSTOP)?;
                    tokio::time::sleep(STOPPED.mul_f64(random.random_range(0.2..1.0))).await;
                    // It may have been given up and started anew meanwhile.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
                }
                "stopped and continued"
            }
            3 => {
                disks.fill(round / 5, STOPPED).await;
                "(a disk was full)"
            }
            _ => {
                let ran = tokio::task::block_in_place(|| {
                    ran(&mut network.command(&[
                        "dev",
                        "cheat",
                        "--validator",
                        "5",
                        "--how",
                        "one-token",
                    ]))
                })?;
                println!(
                    "  cheat: {}",
                    ran.stdout.lines().next().unwrap_or(ran.stderr.trim())
                );
                "told to cheat"
            }
        };
        println!(
            "round {round}: {process} {what} after {:.1} s",
            began.elapsed().as_secs_f64()
        );
        round += 1;
        let pause = Duration::from_secs(random.random_range(3..12));
        tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
    Ok(())
}

/// A connection that sees the gateway's own tables, which the analysts' role can't.
async fn own_tables(network: &Network) -> Result<tokio_postgres::Client> {
    let config: toml::Table =
        std::fs::read_to_string(network.data_dir().join("config/gateway.toml"))?.parse()?;
    let url = config
        .get("database_url")
        .and_then(toml::Value::as_str)
        .context("gateway.toml: database_url")?;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn count(tables: &tokio_postgres::Client, query: &str) -> Result<i64> {
    Ok(tables.query_one(query, &[]).await?.get(0))
}

/// Waits until a condition holds.
async fn until<F, R>(what: &str, patience: Duration, mut holds: F) -> Result<()>
where
    F: FnMut() -> R,
    R: Future<Output = Result<Option<String>>>,
{
    let started = Instant::now();
    loop {
        let left = match holds().await {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => left,
            Err(error) => error.to_string(),
        };
        ensure!(started.elapsed() < patience, "{what}: {left}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn everything_ended(network: &Network) -> Result<()> {
    let tables = own_tables(network).await?;
    until("jobs that do not end", ENDS, || async {
        let open = network
            .sql("SELECT id, status FROM analytics.jobs WHERE status NOT IN ('settled', 'refunded', 'slashed')")
            .await?;
        Ok((!open.is_empty()).then(|| format!("{open:?}")))
    })
    .await?;
    until("rows left running", PATIENCE, || async {
        let running = count(
            &tables,
            "SELECT count(*) FROM gateway.request WHERE state = 'running'",
        )
        .await?;
        Ok((running > 0).then(|| format!("{running} requests")))
    })
    .await?;
    until("attempts that do not end", ENDS, || async {
        let open = count(
            &tables,
            "SELECT count(*) FROM gateway.attempt WHERE state NOT IN ('done', 'closed')",
        )
        .await?;
        Ok((open > 0).then(|| format!("{open} attempts")))
    })
    .await?;
    let owner: Pubkey = network.state()["keys"]["dev"]["pubkey"]
        .as_str()
        .context("dev key")?
        .parse()?;
    until("money", PATIENCE, || async {
        let (_, vault) = network
            .chain()
            .account::<Vault>(&mythic_client::pda::vault(owner))
            .await?
            .context("no vault")?;
        let rows = network
            .sql("SELECT coalesce(sum(fee_lamports), 0)::bigint AS fees FROM analytics.jobs_finalized")
            .await?;
        let (spent, fees) = (vault.spent.get(), rows[0]["fees"].as_u64().unwrap_or(0));
        Ok((spent != fees || vault.open_jobs.get() > 0)
            .then(|| format!("spent {spent}, fees {fees}, open jobs {}", vault.open_jobs.get())))
    })
    .await?;
    for validator in network.state()["validators"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let endpoint = validator["endpoint"]
            .as_str()
            .context("endpoint")?
            .to_owned();
        until("places that are taken", PATIENCE, || async {
            let stats: Value = network
                .http
                .get(format!("{endpoint}/stats"))
                .send()
                .await?
                .json()
                .await?;
            let running = stats["running"]
                .as_u64()
                .or(stats["jobs"]["running"].as_u64());
            Ok((running != Some(0)).then(|| stats.to_string()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "ten minutes: make soak"]
async fn load_and_faults_leave_nothing_behind() -> Result<()> {
    let seconds = std::env::var("MYTHIC_SOAK_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(600);
    let seed = std::env::var("MYTHIC_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random::<u64>);
    println!("replay with MYTHIC_TEST_SEED={seed} make soak");
    let mut disks = None;
    let network = Network::start_on(&["--validators", "5", "--slot-ms", "100"], |data| {
        disks = Some(Disks::mount(data));
    })
    .await?;
    let disks = disks.context("disks")?;
    let gateway = Gateway {
        url: network.text("gateway_url"),
        key: network.text("api_key"),
        model: network.model().await?,
    };
    // What a network that has worked uses, before anything bad happens.
    let warm = Tally::default();
    let warmed = Instant::now() + Duration::from_secs(seconds / 10);
    futures::future::join_all(
        (0..CLIENTS).map(|n| load::client(gateway.clone(), seed ^ n, warmed, &warm)),
    )
    .await;
    let before = usages(&network);
    println!("warm: {warm:?}\n{before:#?}");

    let tally = Arc::new(Tally::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    let clients = futures::future::join_all(
        (0..CLIENTS).map(|n| load::client(gateway.clone(), seed.wrapping_add(n), end, &tally)),
    );
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let (_, faulty, (), ()) = tokio::join!(
        clients,
        faults(&network, &disks, seed, end),
        strangers::hold(&address, end),
        strangers::ask_for_much(&gateway.url, &gateway.model, end),
    );
    faulty?;
    println!("met: {tally:?}");
    everything_ended(&network).await?;
    ensure!(
        strangers::answers(&address, "/v1/models", Duration::from_secs(10)).await,
        "the gateway does not answer"
    );
    let after = usages(&network);
    println!("{after:#?}");
    for (name, kilobytes, open) in &after {
        let Some((_, first, first_open)) = before.iter().find(|(other, ..)| other == name) else {
            continue;
        };
        ensure!(
            *kilobytes <= first + first / 2 + 65_536,
            "{name}: {first} kB at the start, {kilobytes} kB at the end"
        );
        ensure!(
            *open <= first_open + 32,
            "{name}: {first_open} descriptors at the start, {open} at the end"
        );
    }
    let wrong = tally.wrong.load(std::sync::atomic::Ordering::Relaxed);
    ensure!(
        wrong == 0,
        "{wrong} answers that no fault explains: {tally:?}"
    );
    ensure!(
        tally.answered.load(std::sync::atomic::Ordering::Relaxed) > 0,
        "nothing was answered: {tally:?}"
    );
    Ok(())
}
