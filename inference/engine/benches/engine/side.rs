//! One side of the comparison: a child process, and what the system says of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use mythic_engine::Choice;
use serde::Deserialize;

use super::Command;

/// Share of the processors that other programs may use during a sample that counts as quiet.
const QUIET: f64 = 0.1;

/// What a side answers. Which are set depends on the command.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Answer {
    pub seconds: f64,
    /// Processor seconds of all threads meanwhile.
    pub processor: f64,
    pub tokens: usize,
    pub ids: Vec<u32>,
    pub stall: f64,
    pub device: String,
    pub version: String,
}

/// An answer, and whether other programs disturbed it.
pub struct Sample {
    pub answer: Answer,
    pub disturbed: bool,
}

pub struct Side {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    /// How it was started, for people.
    settings: String,
}

impl Side {
    /// This program again, as the engine's side.
    pub fn ours(model: &Path, threads: usize, device: &Choice) -> anyhow::Result<Self> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        let (threads, device) = (threads.to_string(), device.to_string());
        command.args([
            "--side",
            "--threads",
            &threads,
            "--device",
            &device,
            "--model",
        ]);
        command.arg(model);
        Self::start(
            command,
            "default settings but 16 sequences, nothing read ahead".into(),
        )
    }

    /// A process that takes commands and answers them; `settings` say how it was started, for people.
    pub fn start(mut command: std::process::Command, settings: String) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let stdin = child.stdin.take().context("stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout")?);
        Ok(Self {
            child,
            stdin,
            stdout,
            settings,
        })
    }

    pub fn describe(&mut self) -> anyhow::Result<String> {
        let info = self.ask(&Command::Info)?.answer;
        Ok(format!(
            "{}; {}; {}",
            info.version, info.device, self.settings
        ))
    }

    pub fn ask(&mut self, command: &Command) -> anyhow::Result<Sample> {
        let before = (Instant::now(), busy(), self.used());
        writeln!(self.stdin, "{}", serde_json::to_string(command)?)?;
        self.stdin.flush()?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer = serde_json::from_str(&line)
            .with_context(|| format!("a side ended or answered `{line}`"))?;
        let wall = before.0.elapsed().as_secs_f64() * processors();
        let others = (busy() - before.1) - (self.used() - before.2);
        Ok(Sample {
            answer,
            disturbed: others / wall > QUIET,
        })
    }

    fn used(&self) -> f64 {
        processor_seconds(&self.child.id().to_string())
    }

    /// Peak resident and proportional memory of the process, in MB of 10^6 bytes.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let read = |file: &str, key: &str| -> anyhow::Result<f64> {
            let text = fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))?;
            let line = text.lines().find_map(|l| l.strip_prefix(key));
            let number = line.and_then(|l| l.split_whitespace().next());
            Ok(number.with_context(|| key.to_owned())?.parse::<f64>()? * 1_024.0 / 1e6)
        };
        Ok((read("status", "VmHWM:")?, read("smaps_rollup", "Pss:")?))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until other programs leave the processors alone, but not beyond `budget`, from which
/// the time is taken. Whether they do.
pub fn wait_for_quiet(budget: &mut Duration) -> bool {
    let window = Duration::from_millis(150);
    while *budget > window {
        let before = busy();
        std::thread::sleep(window);
        *budget -= window;
        if (busy() - before) / (window.as_secs_f64() * processors()) < QUIET {
            return true;
        }
    }
    false
}

/// Processor seconds of a process's threads; 0 where the system does not say.
pub fn processor_seconds(process: &str) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let nanoseconds = |task: fs::DirEntry| -> Option<f64> {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    let tasks = tasks.into_iter().flatten().flatten();
    tasks.filter_map(nanoseconds).sum::<f64>() / 1e9
}

fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

/// Processor seconds that the whole machine has worked; 0 where the system does not say.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks: Vec<f64> = stat
        .lines()
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter_map(|t| t.parse().ok())
        .collect();
    // Without idle and waiting for disks.
    [0, 1, 2, 5, 6, 7]
        .into_iter()
        .filter_map(|i| ticks.get(i))
        .sum::<f64>()
        / 100.0
}

/// The processor's name.
pub fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|l| l.strip_prefix("model name"));
    name.map_or("unknown", |n| n.trim_start_matches([' ', '\t', ':']))
        .to_owned()
}
