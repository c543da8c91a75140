//! What goes wrong meanwhile: processes killed and stopped, disks full, validators told to cheat. And what processes use.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use mythic_e2e::{DATABASE, Network, deck::Deck, ran};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Longest stop of a process, and how long a disk stays full.
const STOPPED: Duration = Duration::from_secs(8);
/// Size of the disks that are filled.
const DISK: &str = "64m";
/// Number of the validator that is told to cheat.
pub const CHEAT: usize = 5;

/// Small disks of the network that a round may fill; unmounted when dropped.
pub struct Disks(Vec<PathBuf>);

impl Disks {
    /// Mounts them, where the user may.
    pub fn mount(data: &Path) -> Self {
        let mut mounted = Vec::new();
        for name in ["spool", "nodes/2"] {
            let path = data.join(name);
            let options = format!("size={DISK},mode=700");
            let made = std::fs::create_dir_all(&path).is_ok()
                && Command::new("mount")
                    .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
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
    async fn fill(&self, which: usize, time: Duration) -> String {
        let Some(disk) = self.0.get(which % self.0.len().max(1)) else {
            return "no disk to fill".into();
        };
        let filler = disk.join("filler");
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k", "status=none"])
            .arg(format!("of={}", filler.display()))
            .stderr(std::process::Stdio::null())
            .status();
        tokio::time::sleep(time).await;
        let _ = std::fs::remove_file(filler);
        format!("{} was full", disk.display())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for path in &self.0 {
            let _ = Command::new("umount").arg("-l").arg(path).status();
        }
    }
}

/// Stops a process for a while.
async fn pause(network: &Network, process: &str, time: Duration) -> Result<()> {
    let pid = network.pid(process);
    let pid = pid.with_context(|| format!("{process} does not run"))?;
    let pid = Pid::from_raw(pid);
    kill(pid, Signal::SIGSTOP)?;
    tokio::time::sleep(time).await;
    // It may have been given up and started anew meanwhile.
    let _ = kill(pid, Signal::SIGCONT);
    Ok(())
}

/// Tells one validator to cheat, or to be honest again.
fn cheat(network: &Network, how: &str) -> Result<String> {
    let number = CHEAT.to_string();
    let mut told = network.command(&["dev", "cheat", "--validator", &number, "--how", how]);
    let said = tokio::task::block_in_place(|| ran(&mut told))?;
    let line = said.stdout.lines().next().unwrap_or(said.stderr.trim());
    Ok(line.to_owned())
}

/// One fault after the other until `end`.
pub async fn run(network: &Network, disks: &Disks, seed: u64, end: Instant) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut names = network.processes();
    names.push(DATABASE.to_owned());
    let (mut to_kill, mut to_stop) = (Deck::new(names.clone()), Deck::new(names));
    let mut round = 0;
    while Instant::now() < end {
        let began = Instant::now();
        let what = match round % 6 {
            0 | 2 => {
                let process = to_kill.next(&mut random)?;
                let crashed = network.crash(&process).await;
                crashed.with_context(|| format!("killing {process}"))?;
                format!("{process} killed")
            }
            1 | 4 => {
                let process = to_stop.next(&mut random)?;
                let time = STOPPED.mul_f64(random.random_range(0.2..1.0));
                let stopped = pause(network, &process, time).await;
                stopped.with_context(|| format!("stopping {process}"))?;
                format!("{process} stopped for {:.1} s", time.as_secs_f64())
            }
            3 => disks.fill(round / 6, STOPPED).await,
            _ => {
                let how = ["one-token", "withhold", "wrong-ids", "honest"][round / 6 % 4];
                cheat(network, how)?
            }
        };
        println!("{round}: {what}, {:.1} s", began.elapsed().as_secs_f64());
        round += 1;
        let pause = Duration::from_secs(random.random_range(3..12));
        tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
    cheat(network, "honest")?;
    Ok(())
}

/// What a process uses.
#[derive(Debug)]
pub struct Usage {
    name: String,
    /// Resident.
    kilobytes: u64,
    /// Open file descriptors.
    open: usize,
}

/// What all processes use now; those that are just being started are left out.
pub fn usages(network: &Network) -> Vec<Usage> {
    let usage = |name: String| {
        let pid = network.pid(&name)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(Usage {
            kilobytes: resident.trim().trim_end_matches(" kB").parse().ok()?,
            open: std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            name,
        })
    };
    network.processes().into_iter().filter_map(usage).collect()
}

/// What uses much more now than it did, if anything does.
pub fn grown(before: &[Usage], after: &[Usage]) -> Option<String> {
    let pairs = after.iter().map(|now| {
        let first = before.iter().find(|first| first.name == now.name);
        (first, now)
    });
    let grown: Vec<_> = pairs
        .filter(|(first, now)| {
            first.is_none_or(|first| {
                now.kilobytes > first.kilobytes + first.kilobytes / 2 + 65_536
                    || now.open > first.open + 32
            })
        })
        .collect();
    (!grown.is_empty()).then(|| format!("{grown:?}"))
}
