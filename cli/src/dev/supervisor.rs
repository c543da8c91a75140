//! Keeps the network's processes running: starts them with a log file each, restarts what dies, stops them in order.

use crate::note;
use anyhow::{Context, Result};
use mythic_support::Backoff;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
};

/// Pauses between two starts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(10));
/// A process that lived this long starts again after the first pause.
const HEALTHY_AFTER: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What to run and where its output goes.
#[derive(Clone, Debug)]
pub struct Process {
    /// Name in `dev.json` and in messages.
    pub name: String,
    pub binary: PathBuf,
    pub args: Vec<String>,
    /// Appended to, so that the log of a crash survives the restart.
    pub log: PathBuf,
}

/// A state that `dev.json` and the terminal show.
#[derive(Clone, Debug, Default)]
pub struct ProcessState {
    /// The running process, if it runs.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}

/// States by process name, shared with whoever shows them.
pub type States = Arc<Mutex<BTreeMap<String, ProcessState>>>;

/// Called after every change of a state.
pub type OnChange = Arc<dyn Fn() + Send + Sync>;

/// The supervised processes in starting order.
pub struct Supervisor {
    states: States,
    on_change: OnChange,
    running: Vec<(String, watch::Sender<bool>, JoinHandle<()>)>,
}

impl Supervisor {
    /// An empty supervisor.
    pub fn new(states: States, on_change: OnChange) -> Self {
        Self {
            states,
            on_change,
            running: Vec::new(),
        }
    }

    /// Starts `process` and keeps it running until [`Supervisor::stop`].
    pub fn start(&mut self, process: Process) -> Result<()> {
        let child = spawn(&process)?;
        let (stop, stopped) = watch::channel(false);
        let name = process.name.clone();
        let task = tokio::spawn(keep_running(
            process,
            child,
            stopped,
            self.states.clone(),
            self.on_change.clone(),
        ));
        self.running.push((name, stop, task));
        Ok(())
    }

    /// Stops every process, last started first, each with SIGTERM and after a while SIGKILL.
    pub async fn stop(mut self) {
        while let Some((_, stop, task)) = self.running.pop() {
            let _ = stop.send(true);
            let _ = task.await;
        }
    }
}

fn spawn(process: &Process) -> Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&process.log)
        .with_context(|| format!("opening the log {}", process.log.display()))?;
    let mut command = Command::new(&process.binary);
    command
        .args(&process.args)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    // Its own group: Ctrl-C in the terminal reaches the supervisor alone, which then stops the others in order.
    command.process_group(0);
    let parent = std::process::id();
    // SAFETY: between fork and exec only async-signal-safe calls are made (prctl, getppid, _exit).
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid().as_raw() as u32 != parent {
                return Err(std::io::Error::other("the supervisor is gone"));
            }
            Ok(())
        });
    }
    command
        .spawn()
        .with_context(|| format!("starting {} ({})", process.name, process.binary.display()))
}

async fn keep_running(
    process: Process,
    mut child: Child,
    mut stop: watch::Receiver<bool>,
    states: States,
    on_change: OnChange,
) {
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    loop {
        let started = Instant::now();
        set(&states, &on_change, &process.name, |state| {
            state.pid = child.id()
        });
        tokio::select! {
            () = stopped(&mut stop) => {
                terminate(&mut child).await;
                set(&states, &on_change, &process.name, |state| state.pid = None);
                return;
            }
            status = child.wait() => {
                // Asked to stop, it starts with another configuration: no crash to back off from or to warn of.
                if status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                    backoff.reset();
                    note!("  {} was asked to stop; it starts again with its configuration as it is now", process.name);
                } else {
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::warn!(process = %process.name, %status, log = %process.log.display(), "stopped; starting it again");
                }
                set(&states, &on_change, &process.name, |state| {
                    state.pid = None;
                    state.restarts += 1;
                });
            }
        }
        if started.elapsed() >= HEALTHY_AFTER {
            backoff.reset();
        }
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(backoff.pause()) => {}
            }
            match spawn(&process) {
                Ok(next) => {
                    child = next;
                    break;
                }
                Err(error) => tracing::error!(process = %process.name, "{error:#}"),
            }
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn terminate(child: &mut Child) {
    if let Some(pid) = child.id() {
        let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
        if tokio::time::timeout(STOP_PATIENCE, child.wait())
            .await
            .is_err()
        {
            let _ = child.kill().await;
        }
    }
}

fn set(states: &States, on_change: &OnChange, name: &str, change: impl FnOnce(&mut ProcessState)) {
    if let Ok(mut states) = states.lock() {
        change(states.entry(name.to_owned()).or_default());
    }
    on_change();
}
