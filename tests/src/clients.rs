//! Official clients, installed into this build's directory and kept there.

use crate::{Network, target};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Makes what is kept between runs, unless its mark `ready` is there and it still works: a system that was upgraded or a
/// cache that moved leaves an environment whose interpreter is gone.
fn kept(
    ready: &Path,
    works: impl FnOnce() -> bool,
    make: impl FnOnce() -> Result<()>,
) -> Result<()> {
    if ready.is_file() && works() {
        return Ok(());
    }
    make()?;
    Ok(std::fs::write(ready, "")?)
}

/// The official Python client, and what the independent verifier needs, in a virtual environment of this build; the interpreter's path.
pub fn python() -> Result<PathBuf> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let venv = target().join("e2e/venv");
        let python = venv.join("bin/python");
        let works =
            || run(Command::new(&python).args(["-c", "import llguidance, numpy, openai"])).is_ok();
        let make = || -> Result<()> {
            let _ = std::fs::remove_dir_all(&venv);
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            run(Command::new(&python)
                .args(["-m", "pip", "install", "-q", "-r"])
                .arg(sources().join("requirements.txt")))?;
            Ok(())
        };
        kept(&venv.join("ready"), works, make)
            .map(|()| python)
            .map_err(|error| format!("{error:#}"))
    });
    made.clone().map_err(anyhow::Error::msg)
}

/// What a script is told of a network: where it is, who pays, which model.
async fn told(network: &Network) -> Result<Vec<String>> {
    Ok(vec![
        network.url("/v1"),
        network.text("api_key"),
        network.model().await?,
    ])
}

/// What a command says, as JSON.
async fn said(mut command: Command) -> Result<Value> {
    let out = tokio::task::spawn_blocking(move || run(&mut command)).await??;
    Ok(serde_json::from_slice(&out)?)
}

/// Streams a chat with the official Python client.
pub async fn chat_python(network: &Network, prompt: &str, max_tokens: u32) -> Result<Value> {
    let mut command = Command::new(python()?);
    command
        .arg(sources().join("chat.py"))
        .args(told(network).await?)
        .args([prompt, &max_tokens.to_string()]);
    said(command).await
}

/// Functions, JSON, texts and responses with the official Python client.
pub async fn shapes_python(network: &Network) -> Result<Value> {
    let mut command = Command::new(python()?);
    command
        .arg(sources().join("shapes.py"))
        .args(told(network).await?);
    said(command).await
}

/// A directory `name` of this build with the npm packages that `from`/package.json pins, and `files` of `from`.
pub fn npm(name: &str, from: &Path, files: &[&str]) -> Result<PathBuf> {
    let dir = target().join("e2e").join(name);
    let (wanted, here) = (from.join("package.json"), dir.join("package.json"));
    let wanted = std::fs::read(wanted)?;
    let works = || std::fs::read(&here).is_ok_and(|pinned| pinned == wanted);
    let make = || -> Result<()> {
        std::fs::create_dir_all(&dir)?;
        std::fs::write(&here, &wanted)?;
        run(Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--no-package-lock"])
            .current_dir(&dir))?;
        Ok(())
    };
    kept(&dir.join("ready"), works, make)?;
    for file in files {
        std::fs::copy(from.join(file), dir.join(file))?;
    }
    Ok(dir)
}

/// The workspace of our own clients, with the packages that its lockfile names and the programs' clients made of their IDLs.
pub fn workspace() -> Result<PathBuf> {
    static WORKSPACE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = WORKSPACE.get_or_init(|| install().map_err(|error| format!("{error:#}")));
    made.clone().map_err(anyhow::Error::msg)
}

fn install() -> Result<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients");
    let wanted = std::fs::read(dir.join("package-lock.json"))?;
    let here = dir.join("node_modules/.mythic-lock");
    let npm = |args: &[&str]| run(Command::new("npm").args(args).current_dir(&dir));
    let works = || std::fs::read(&here).is_ok_and(|lock| lock == wanted);
    let make = || -> Result<()> {
        npm(&["ci", "--no-audit", "--no-fund"])?;
        Ok(std::fs::write(&here, &wanted)?)
    };
    kept(&dir.join("node_modules/.mythic-ready"), works, make)?;
    npm(&["run", "prepare:tests"])?;
    Ok(dir)
}

/// Streams a chat with the official Node.js client.
pub async fn chat_node(network: &Network, prompt: &str, max_tokens: u32) -> Result<Value> {
    let mut command = Command::new("node");
    command
        .arg("chat.mjs")
        .args(told(network).await?)
        .args([prompt, &max_tokens.to_string()])
        .current_dir(npm("node", &sources(), &["chat.mjs"])?);
    said(command).await
}

/// Functions, JSON and responses with the official Node.js client.
pub async fn shapes_node(network: &Network) -> Result<Value> {
    let mut command = Command::new("node");
    command
        .arg("shapes.mjs")
        .args(told(network).await?)
        .current_dir(npm("node", &sources(), &["shapes.mjs"])?);
    said(command).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn what_is_kept_is_made_anew_when_it_does_not_run() {
        let dir = tempfile::tempdir().unwrap();
        let (ready, interpreter) = (dir.path().join("ready"), dir.path().join("python"));
        let made = Cell::new(0);
        let works = || run(&mut Command::new(&interpreter)).is_ok();
        let make = || {
            made.set(made.get() + 1);
            let _ = std::fs::remove_file(&interpreter);
            Ok(std::os::unix::fs::symlink("/bin/true", &interpreter)?)
        };
        for _ in 0..2 {
            kept(&ready, works, make).unwrap();
            assert_eq!(made.get(), 1);
        }
        std::fs::remove_file(&interpreter).unwrap();
        std::os::unix::fs::symlink("/nowhere/python3.9", &interpreter).unwrap();
        kept(&ready, works, make).unwrap();
        assert_eq!(made.get(), 2);
        assert!(works());
    }
}
