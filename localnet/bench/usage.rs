//! What the process uses, as the kernel says.

use anyhow::{Context, Result};
use std::fs;

/// Clock ticks of a second in `/proc`; 100 on every Linux that Agave runs on.
const TICKS: f64 = 100.0;

/// A line of `/proc/self/status` in MiB, for example `VmRSS`.
pub fn memory(name: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("no {name}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}

/// Seconds of processor time that the threads of a name have had.
pub fn thread_seconds(name: &str) -> Result<f64> {
    let mut seconds = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
            continue;
        };
        let (head, tail) = stat.rsplit_once(')').context("stat")?;
        if head.rsplit_once('(').map(|(_, comm)| comm) == Some(name) {
            let fields: Vec<&str> = tail.split_whitespace().collect();
            let ticks = |place: usize| {
                fields
                    .get(place)
                    .and_then(|field| field.parse::<f64>().ok())
            };
            // utime and stime, fields 14 and 15 of the line.
            seconds += (ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS;
        }
    }
    Ok(seconds)
}
