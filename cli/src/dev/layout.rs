//! The data directory of a development network: where everything in it is, and that one network at a time uses it.

use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A data directory.
pub struct Layout {
    /// Absolute.
    pub root: PathBuf,
}

impl Layout {
    /// A path inside.
    pub fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The log of a process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.root.join("logs").join(format!("{process}.log"))
    }

    /// The configuration file of a process.
    pub fn config(&self, process: &str) -> PathBuf {
        self.root.join("config").join(format!("{process}.toml"))
    }

    /// Writes the configuration of a process, readable by its owner only.
    pub fn write_config(&self, process: &str, config: &impl Serialize) -> Result<PathBuf> {
        use std::{io::Write, os::unix::fs::OpenOptionsExt};
        let path = self.config(process);
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(toml::to_string(config)?.as_bytes())
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// Makes the data directory, after forgetting what was there if `reset`, and locks it.
pub fn open(data_dir: &Path, reset: bool) -> Result<(Layout, Flock<std::fs::File>)> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("making the data directory {}", data_dir.display()))?;
    let root = data_dir.canonicalize()?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .open(root.join("lock"))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        Exit::error(
            exit::FAILURE,
            format!(
                "another `mythic dev` runs in {}; stop it, or choose another --data-dir",
                root.display()
            ),
        )
    })?;
    if reset {
        for name in [
            "chain", "spool", "postgres", "nodes", "keys", "config", "logs", "gateway", "dev.json",
        ] {
            let path = root.join(name);
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match gone {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {}", path.display()));
                }
                _ => {}
            }
        }
    }
    let layout = Layout { root };
    for name in ["config", "logs", "spool", "nodes", "gateway"] {
        std::fs::create_dir_all(layout.at(name))?;
    }
    Ok((layout, lock))
}

/// Writes the configuration of the Geyser plugin, which was built beside this executable.
pub fn write_plugin_config(layout: &Layout, binary: &Path, genesis_hash: &str) -> Result<PathBuf> {
    let library = binary.with_file_name("libmythic_geyser_plugin.so");
    if !library.is_file() {
        return Err(Exit::error(
            exit::NOT_FOUND,
            format!(
                "no Geyser plugin at {}: `cargo build --workspace` builds it beside this executable",
                library.display()
            ),
        ));
    }
    let path = layout.at("config").join("geyser-plugin.json5");
    let config = json!({
        "libpath": library,
        "name": "mythic",
        "genesis_hash": genesis_hash,
        "spool_dir": layout.at("spool"),
        "owners": [bs58::encode(mythic_interface::AI_PRECOMPILES_ID).into_string()],
    });
    std::fs::write(&path, serde_json::to_vec_pretty(&config)?)?;
    Ok(path)
}
