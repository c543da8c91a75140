//! llama.cpp as a foreign engine: a Python that can import `xllamacpp` answers the prompts greedily.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::prompts::Job;

const SCRIPT: &str = include_str!("llama_cpp.py");

#[derive(Serialize)]
struct Work<'a> {
    model: &'a Path,
    threads: usize,
    context: usize,
    jobs: Vec<Ask<'a>>,
}

#[derive(Serialize)]
struct Ask<'a> {
    index: usize,
    prompt_ids: &'a [u32],
    max_tokens: u32,
}

/// An answer of llama.cpp.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ForeignAnswer {
    pub index: usize,
    pub ids: Vec<u32>,
    /// At each position its likeliest tokens with their log-probabilities.
    pub top: Vec<Vec<(u32, f64)>>,
}

/// A Python that imports xllamacpp: the one given, else `python3` or `python` of the path.
pub async fn find_python(given: Option<&Path>) -> Result<PathBuf, String> {
    let candidates = match given {
        Some(path) => vec![path.to_owned()],
        None => vec![PathBuf::from("python3"), PathBuf::from("python")],
    };
    let mut reasons = Vec::new();
    for python in candidates {
        let output = Command::new(&python)
            .args(["-c", "import xllamacpp"])
            .stdin(Stdio::null())
            .output()
            .await;
        match output {
            Ok(output) if output.status.success() => return Ok(python),
            Ok(output) => reasons.push(format!(
                "{}: {}",
                python.display(),
                last_line(&output.stderr)
            )),
            Err(error) => reasons.push(format!("{}: {error}", python.display())),
        }
    }
    Err(format!(
        "no Python here can import xllamacpp ({}); `pip install xllamacpp` in a virtual environment and name its Python",
        reasons.join("; ")
    ))
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().find(|l| !l.trim().is_empty());
    line.unwrap_or("it failed and said nothing")
        .trim()
        .to_owned()
}

/// llama.cpp with a model, in a Python that can import it.
pub struct LlamaCpp<'a> {
    pub python: &'a Path,
    pub model: &'a Path,
    pub threads: usize,
}

/// Lets llama.cpp answer every job; `done` is called with each answer as it comes.
pub async fn answers(
    LlamaCpp {
        python,
        model,
        threads,
    }: LlamaCpp<'_>,
    jobs: &[&Job],
    max_tokens: u32,
    mut done: impl FnMut(ForeignAnswer),
) -> Result<(), String> {
    let longest = jobs.iter().map(|j| j.prompt_ids.len()).max().unwrap_or(0);
    let work = Work {
        model,
        threads,
        context: (longest + max_tokens as usize + 8).next_multiple_of(256),
        jobs: jobs
            .iter()
            .map(|j| Ask {
                index: j.index,
                prompt_ids: &j.prompt_ids,
                max_tokens,
            })
            .collect(),
    };
    let work = serde_json::to_vec(&work).map_err(|e| e.to_string())?;
    let failed = |e: std::io::Error| format!("{}: {e}", python.display());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (Some(mut stdin), Some(stdout), Some(mut stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err("the pipes of the process are missing".into());
    };
    // Read beside the answers, so that a talkative child never blocks.
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        // What cannot be read is not needed.
        let _ = stderr.read_to_end(&mut text).await;
        text
    });
    stdin.write_all(&work).await.map_err(failed)?;
    drop(stdin);
    let mut lines = BufReader::new(stdout).lines();
    let mut given = 0;
    while let Some(line) = lines.next_line().await.map_err(failed)? {
        // llama.cpp may print lines of its own.
        if let Ok(answer) = serde_json::from_str::<ForeignAnswer>(&line) {
            given += 1;
            done(answer);
        }
    }
    let status = child.wait().await.map_err(failed)?;
    if status.success() && given == jobs.len() {
        return Ok(());
    }
    let errors = errors.await.unwrap_or_default();
    Err(format!(
        "llama.cpp gave {given} of {} answers ({status}): {}",
        jobs.len(),
        last_line(&errors)
    ))
}
