//! Other engines to compare with, from the package registries, and the models that all are given.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use super::python;

/// Its C interface is what `ik_c.py` knows.
const IK: &str = "ik-llama-cpp-python==0.1.5";
/// Its llama.cpp has the structs that `llama_c.py` knows.
const NODE: &str = "@node-llama-cpp/linux-x64@3.22.0";

/// Quantisations of the model of 1B's shape.
const SHAPED: [&str; 3] = ["Q4_K_M", "Q4_0", "Q8_0"];

/// Another engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    Xllamacpp,
    NodeLlamaCpp,
    IkLlamaCpp,
}

impl Other {
    pub fn name(self) -> &'static str {
        match self {
            Self::Xllamacpp => "xllamacpp",
            Self::NodeLlamaCpp => "node-llama-cpp",
            Self::IkLlamaCpp => "ik_llama.cpp",
        }
    }

    /// Whether it has a server that batches continuously.
    pub fn serves(self) -> bool {
        self == Self::Xllamacpp
    }
}

/// What is installed of them.
pub struct Others {
    python: PathBuf,
    /// Engines, with the directory that one is told of.
    found: Vec<(Other, Option<PathBuf>)>,
}

/// Beside the build's files.
fn home() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Others {
    /// Installs what is missing. Who can't be had is named and left out; there must be one.
    pub fn install() -> anyhow::Result<Self> {
        let python = python::with_llama_cpp()
            .map_err(anyhow::Error::msg)
            .context("llama.cpp cannot be installed, so there is nothing to compare with")?;
        let mut found = vec![(Other::Xllamacpp, None)];
        match node_llama_cpp() {
            Ok(package) => found.push((Other::NodeLlamaCpp, Some(package))),
            Err(error) => println!("node-llama-cpp is left out: {error:#}"),
        }
        match ik_llama_cpp(&python) {
            Ok(()) => found.push((Other::IkLlamaCpp, None)),
            Err(error) => println!("ik_llama.cpp is left out: {error:#}"),
        }
        Ok(Self { python, found })
    }

    pub fn found(&self) -> impl Iterator<Item = Other> {
        self.found.iter().map(|(other, _)| *other)
    }

    /// The command that runs one as a side of the benchmark.
    pub fn command(&self, other: Other, model: &Path, threads: usize) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/engine/other.py");
        let mut command = Command::new(&self.python);
        command
            .arg(script)
            .arg(model)
            .arg(threads.to_string())
            .arg(other.name())
            // Threads that spin where they wait would count as work.
            .env("OMP_WAIT_POLICY", "passive");
        let package = self.found.iter().find(|(found, _)| *found == other);
        if let Some((_, Some(package))) = package {
            command.env("NODE_LLAMA_CPP", package);
        }
        command
    }

    /// Files of the model of 1B's shape, with their quantisation's names; made if need be from the tokenizer of another file.
    pub fn shaped(&self, tokenizer_from: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/engine/shaped.py");
        let mut files = Vec::new();
        for quantisation in SHAPED {
            let path = home().join(format!("shaped-1b-{quantisation}.gguf"));
            if !path.exists() {
                println!("making {}", path.display());
                let mut command = Command::new(&self.python);
                command.arg(&script).arg(tokenizer_from).arg(&path);
                run(command.arg(quantisation))?;
            }
            files.push((quantisation, path));
        }
        Ok(files)
    }
}

/// npm's package, unpacked; nothing of it is run but its libraries.
fn node_llama_cpp() -> anyhow::Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "its package is for Linux on x86-64"
    );
    let home = home().join("node-llama-cpp");
    let package = home.join("package");
    if !package.join("package.json").exists() {
        std::fs::create_dir_all(&home)?;
        let mut pack = Command::new("npm");
        run(pack.args(["pack", "--silent", NODE]).current_dir(&home))?;
        let archive = std::fs::read_dir(&home)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|end| end == "tgz"))
            .context("npm left no archive")?;
        run(Command::new("tar")
            .arg("xzf")
            .arg(&archive)
            .current_dir(&home))?;
        std::fs::remove_file(archive)?;
    }
    Ok(package)
}

fn ik_llama_cpp(python: &Path) -> anyhow::Result<()> {
    let import = ["-c", "import ik_llama_cpp"];
    if run(Command::new(python).args(import)).is_err() {
        let install = ["-m", "pip", "install", "-q", "--only-binary", ":all:", IK];
        run(Command::new(python).args(install))?;
        run(Command::new(python).args(import))?;
    }
    Ok(())
}
