//! The second machine: a chain that follows the first one's, a gateway and an indexer, each started again when it dies. Their
//! configurations are those of the first machine but for where things are.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use mythic_e2e::{PATIENCE, target};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

/// Pause before a process is started again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a process may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// A process that is kept running.
struct Kept {
    /// 0 while it does not run.
    pid: Arc<AtomicI32>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is kept running there.
pub struct Far {
    dir: tempfile::TempDir,
    kept: BTreeMap<&'static str, Kept>,
}

impl Far {
    /// An empty machine.
    pub fn new() -> Result<Self> {
        Ok(Self {
            dir: tempfile::Builder::new().prefix("mythic-far-").tempdir()?,
            kept: BTreeMap::new(),
        })
    }

    /// A path on it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts `mythic COMMAND` with a configuration, and keeps it running.
    pub fn keep(
        &mut self,
        name: &'static str,
        command: &'static str,
        config: &toml::Table,
    ) -> Result<()> {
        let path = self.at(&format!("{name}.toml"));
        std::fs::write(&path, toml::to_string(config)?)?;
        let (pid, stop) = (Arc::new(AtomicI32::new(0)), watch::channel(false).0);
        let log = self.at(&format!("{name}.log"));
        let start = move || start(command, &path, &log);
        let child = start()?;
        let task = tokio::spawn(keep(start, child, pid.clone(), stop.subscribe()));
        self.kept.insert(name, Kept { pid, stop, task });
        Ok(())
    }

    /// Names of its processes.
    pub fn processes(&self) -> Vec<String> {
        self.kept.keys().map(|name| (*name).to_owned()).collect()
    }

    /// The running process of a name.
    pub fn pid(&self, name: &str) -> Option<i32> {
        let pid = self.kept.get(name)?.pid.load(Ordering::Acquire);
        (pid > 0).then_some(pid)
    }

    /// Kills a process without warning, and waits until it was started again.
    pub async fn crash(&self, name: &str) -> Result<()> {
        let first = self.pid(name);
        let first = first.with_context(|| format!("{name} does not run"))?;
        kill(Pid::from_raw(first), Signal::SIGKILL)?;
        let started = Instant::now();
        while self.pid(name).is_none_or(|now| now == first) {
            ensure!(started.elapsed() < PATIENCE, "{name} was not started again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Stops everything, what was started last first.
    pub async fn stop(&mut self) {
        for name in ["indexer-2", "gateway-2", "chain-2"] {
            if let Some(kept) = self.kept.remove(name) {
                let _ = kept.stop.send(true);
                let _ = kept.task.await;
            }
        }
    }

    /// The ends of its logs.
    pub fn logs(&self) -> String {
        let names = ["chain-2", "gateway-2", "indexer-2"];
        let logs = names.map(|name| {
            let text = std::fs::read_to_string(self.at(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            format!("--- {name}\n{tail}\n")
        });
        logs.concat()
    }
}

fn start(command: &str, config: &Path, log: &Path) -> Result<Child> {
    let log: File = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(target().join("mythic"))
        .args([command, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {command}"))
}

async fn keep(
    start: impl Fn() -> Result<Child>,
    mut child: Child,
    pid: Arc<AtomicI32>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let number = child.id().map_or(0, |id| id as i32);
        pid.store(number, Ordering::Release);
        tokio::select! {
            _ = child.wait() => pid.store(0, Ordering::Release),
            _ = stop.changed() => {
                let _ = kill(Pid::from_raw(number), Signal::SIGTERM);
                if tokio::time::timeout(STOP, child.wait()).await.is_err() {
                    let _ = child.kill().await;
                }
                return;
            }
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.changed() => return,
            }
            match start() {
                Ok(next) => {
                    child = next;
                    break;
                }
                Err(error) => println!("{error:#}"),
            }
        }
    }
}

/// A free port of loopback.
pub fn free() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
