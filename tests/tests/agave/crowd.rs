//! A snapshot of 200,000 accounts of the program: a validator with the plugin, an indexer, a database. Nobody else: nodes, settler and
//! gateway would ask the validator for all of them, which takes it longer than they wait.

use crate::usage;
use anyhow::{Context, Result, ensure};
use mythic_e2e::{chain_program, compare::Index, ran, rpc_at, tail, target};
use mythic_interface::PROGRAMS;
use mythic_postgres::{Cluster, ClusterConfig};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use solana_pubkey::Pubkey;
use std::{
    fs::{self, File, Permissions},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const VAULTS: usize = 200_000;
/// An unoptimised validator on a busy machine takes a minute and a half to answer with all of them.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// How long a process may take to end.
const ENDS: Duration = Duration::from_secs(600);

/// A process with a log; it is ended when dropped.
struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    fn start(dir: &Path, name: &'static str, command: &mut Command) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(dir.join(name).with_extension("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        Ok(Self { name, child })
    }

    /// Asks it to end, and waits until it has.
    fn stop(mut self) -> Result<()> {
        let asked = Instant::now();
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        while self.child.try_wait()?.is_none() {
            ensure!(asked.elapsed() < ENDS, "{} does not end", self.name);
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Where everything is.
struct Place {
    dir: PathBuf,
    rpc_url: String,
}

impl Place {
    /// Writes the validator's configuration, makes its ledger, and writes what its genesis is named in.
    fn make(dir: &Path) -> Result<Self> {
        let place = Self {
            dir: dir.to_owned(),
            rpc_url: String::new(),
        };
        let (rpc, ws) = (free()?, free()?);
        place.write(
            "chain.toml",
            &format!(
                "data_dir = {:?}\nrpc_addr = \"{rpc}\"\nws_addr = \"{ws}\"\nslot_ms = 200\nfaucet_lamports = 1000000000000000\ngeyser_plugin_config = {:?}\n",
                place.at("chain"),
                place.at("plugin.json"),
            ),
        )?;
        let mut genesis = place.chain("genesis")?;
        genesis.env("MYTHIC_LOCALNET_VAULTS", VAULTS.to_string());
        let made = tokio::task::block_in_place(|| ran(&mut genesis))?;
        ensure!(made.code == 0, "no genesis: {made:?}");
        let plugin = json!({
            "libpath": target().join("libmythic_geyser_plugin.so"),
            "genesis_hash": made.stdout.trim(),
            "spool_dir": place.at("spool"),
            "owners": PROGRAMS.map(|program| Pubkey::new_from_array(program).to_string()),
        });
        place.write("plugin.json", &plugin.to_string())?;
        Ok(Self {
            rpc_url: format!("http://{rpc}"),
            ..place
        })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.at(name), text)?)
    }

    /// A command of the validator's program.
    fn chain(&self, word: &str) -> Result<Command> {
        let program =
            chain_program().context("MYTHIC_TEST_CHAIN_PROGRAM names no validator: make agave")?;
        let mut command = Command::new(program);
        command.args([word, "--config"]).arg(self.at("chain.toml"));
        Ok(command)
    }

    fn logs(&self) -> String {
        let log = |name: &str| format!("--- {name}\n{}", tail(&self.at(name), 25));
        log("chain.log") + &log("indexer.log")
    }

    /// Starts the validator, and waits until it answers.
    async fn started(&self) -> Result<Process> {
        let began = Instant::now();
        let mut chain = Process::start(&self.dir, "chain", &mut self.chain("chain")?)?;
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()?;
        let finalized = || json!([{"commitment": "finalized"}]);
        while rpc_at(&http, &self.rpc_url, "getSlot", finalized())
            .await
            .is_err()
        {
            let ended = chain.child.try_wait()?;
            ensure!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "the validator does not answer, {ended:?}\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("the RPC answers after {:.0?}", began.elapsed());
        Ok(chain)
    }

    /// Waits until all rows were compared with the accounts of a start after the one told of by event `last`, then that index and RPC
    /// agree and nothing is amiss. Returns the event of this start.
    async fn agrees(&self, index: &Index<'_>, last: u64) -> Result<u64> {
        let began = Instant::now();
        let base = loop {
            let found = index
                .sql(
                    "SELECT max(id) AS newest, (SELECT healed_event FROM projection_1.head) AS used FROM archive.event WHERE kind = 2",
                )
                .await?;
            let bases = &found[0];
            match bases["newest"].as_u64() {
                Some(newest) if newest > last && bases["newest"] == bases["used"] => break newest,
                _ => {}
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "no base after event {last}: {bases}, open: {:?}\n{}",
                index.alarms().await?,
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        println!(
            "the base of event {base} was used after {:.0?}",
            began.elapsed()
        );
        let count = index.agree(&self.rpc_url, PATIENCE).await?;
        ensure!(count >= VAULTS, "{count} accounts");
        let status = index.clear(PATIENCE).await?;
        println!(
            "{count} accounts agree after {:.0?}; {status}",
            began.elapsed()
        );
        Ok(base)
    }
}

/// An address that nothing listens on.
fn free() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs localnet: make agave"]
async fn two_hundred_thousand_accounts_of_a_snapshot_are_a_base_at_each_start() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("mythic-e2e-").tempdir()?;
    // The database's unprivileged user must be able to enter.
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755))?;
    let place = Place::make(dir.path())?;
    let cluster = Cluster::start(ClusterConfig {
        data_dir: place.at("postgres"),
        port: None,
    })
    .await?;
    let indexer = format!(
        "database_url = {:?}\nspool_dir = {:?}\narchive_dir = {:?}\nmetrics_addr = \"127.0.0.1:0\"\n",
        cluster.url(),
        place.at("spool"),
        place.at("archive"),
    );
    place.write("indexer.toml", &indexer)?;
    // It makes the tables; until there is a spool it waits for one.
    let mut command = Command::new(target().join("mythic"));
    command
        .args(["indexer", "--config"])
        .arg(place.at("indexer.toml"));
    let indexer = Process::start(&place.dir, "indexer", &mut command)?;
    let index = Index::new(cluster.url().to_owned(), || place.logs());

    let chain = place.started().await?;
    until_tables(&index).await?;
    let first = place.agrees(&index, 0).await?;
    tokio::task::block_in_place(|| chain.stop())?;
    println!("and again, from its own snapshot");
    let chain = place.started().await?;
    place.agrees(&index, first).await?;
    let resident = usage::resident(i32::try_from(indexer.child.id())?)?;
    let spool = usage::bytes(&usage::files(&place.at("spool"))?) >> 20;
    println!("indexer: {resident} MiB resident; {spool} MiB of spool");
    tokio::task::block_in_place(|| chain.stop().and_then(|()| indexer.stop()))?;
    cluster.stop().await?;
    Ok(())
}

async fn until_tables(index: &Index<'_>) -> Result<()> {
    let began = Instant::now();
    while let Err(error) = index
        .sql("SELECT finalized_slot FROM analytics.pipeline_status")
        .await
    {
        ensure!(began.elapsed() < PATIENCE, "no tables: {error:#}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}
