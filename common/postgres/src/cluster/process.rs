//! The server process of a data directory: found by its pid file, and stopped.

use std::{fs, io, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{Instant, sleep};

use super::error::{ClusterError, at};

/// How long a server may take to stop.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// The server that runs in `data`, if one does. Its pid file may be stale and its pid another program's.
pub(super) fn running_pid(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = command
        .split(|&byte| byte == 0)
        .any(|word| word == data.as_os_str().as_encoded_bytes());
    ours.then_some(Pid::from_raw(pid))
}

/// Stops the server that runs in `data`, if one does, and removes the pid file of one that is gone.
pub(super) async fn stop_leftover(data: &Path) -> Result<(), ClusterError> {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let Some(pid) = running_pid(data) else { break };
        tracing::warn!(%pid, "stopping a database server that an earlier run left behind");
        let _ = kill(pid, signal);
        let deadline = Instant::now() + STOP_PATIENCE;
        while running_pid(data).is_some() && Instant::now() < deadline {
            sleep(Duration::from_millis(50)).await;
        }
    }
    let stale = data.join("postmaster.pid");
    match fs::remove_file(&stale) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(stale)(e)),
        _ => Ok(()),
    }
}
