//! What these tests share.

use anyhow::{Context, Result, ensure};
use mythic_e2e::PATIENCE;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// A process that ends with the test, whatever becomes of it.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

pub fn has(text: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(text.contains(word), "no {word:?} in:\n{text}");
    }
    Ok(())
}

/// Nobody but its owner can read anything in a directory.
pub fn owned(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = std::fs::metadata(&path) else {
            continue; // Gone in between: a draft that was renamed.
        };
        let mode = meta.permissions().mode() & 0o777;
        ensure!(mode & 0o077 == 0, "{}: {mode:o}", path.display());
        if meta.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// An address that is free now.
pub fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// Ends by SIGTERM, and well.
pub async fn stops(running: &mut Running) -> Result<()> {
    kill(Pid::from_raw(running.0.id() as i32), Signal::SIGTERM)?;
    let started = Instant::now();
    let status = loop {
        match running.0.try_wait()? {
            Some(status) => break status,
            None => ensure!(started.elapsed() < PATIENCE, "it does not stop"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    ensure!(status.success(), "{status}");
    Ok(())
}
