//! The data directory of a development network: where everything in it is, and that one network at a time uses it.

use super::state;
use crate::{
    commands::init::{private_dir, write_private},
    exit::{self, Exit},
};
use anyhow::{Context, Result};
use mythic_kafka::Settings;
use nix::fcntl::{Flock, FlockArg};
use serde_json::json;
use std::{
    fs::Permissions,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Held by the process that runs the network, and names it.
const LOCK: &str = "lock";
/// Begins the key of the DEV account; keys of users begin otherwise.
const KEY_PREFIX: &str = "dev-";
/// Times and pause of the wait for the lock: a command that asks who runs holds it for a moment.
const TRIES: (u32, Duration) = (10, Duration::from_millis(50));

/// A data directory.
#[derive(Clone, Debug)]
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

    /// A program that a new chain deploys, by its name.
    pub fn program(&self, name: &str) -> PathBuf {
        self.at("chain").join(format!("{name}.so"))
    }

    /// Lays out the programs that a new chain deploys, by their names. A chain keeps those that it was made with, and its accounts with
    /// them: data of others are refused, because nothing here could read them.
    pub fn deploys(&self, programs: &[(&str, &[u8])]) -> Result<()> {
        let mut deployed = Vec::new();
        for (name, _) in programs {
            let path = self.program(name);
            match std::fs::read(&path) {
                Ok(elf) => deployed.push(Some(elf)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => deployed.push(None),
                Err(error) => {
                    return Err(error).with_context(|| format!("reading {}", path.display()));
                }
            }
        }
        if deployed.iter().all(Option::is_none) {
            for (name, elf) in programs {
                std::fs::write(self.program(name), elf)?;
            }
            return Ok(());
        }
        let mut pairs = programs.iter().zip(&deployed);
        match pairs.all(|((_, elf), deployed)| deployed.as_deref() == Some(*elf)) {
            true => Ok(()),
            false => Err(Exit::error(
                exit::FAILURE,
                format!(
                    "the network in {root} runs another version of the on-chain programs than this build: type `mythic dev --reset --data-dir \
                     {root}` (`make dev ARGS=\"--reset\"`) to begin anew, which deletes its jobs and keys, or choose another --data-dir",
                    root = self.root.display()
                ),
            )),
        }
    }

    /// Writes the configuration of a process, readable by its owner only.
    pub fn write_config(&self, process: &str, toml: &str) -> Result<PathBuf> {
        let path = self.config(process);
        write_private(&path, toml.as_bytes())?;
        Ok(path)
    }

    /// The key of the DEV account at the gateway: made once, at random, and kept.
    pub fn api_key(&self) -> Result<String> {
        let path = self.at("keys").join("api-key");
        if let Ok(kept) = std::fs::read_to_string(&path) {
            let kept = kept.trim();
            if kept
                .strip_prefix(KEY_PREFIX)
                .is_some_and(|random| random.len() == 32)
            {
                return Ok(kept.to_owned());
            }
        }
        let made = format!("{KEY_PREFIX}{}", hex::encode(rand::random::<[u8; 16]>()));
        write_private(&path, made.as_bytes())?;
        Ok(made)
    }
}

/// Locks the directory of a network that runs, without waiting: `None` while another process has it.
fn lock(root: &Path) -> Result<Option<Flock<std::fs::File>>> {
    let path = root.join(LOCK);
    let file = std::fs::OpenOptions::new()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// The process of the network that runs in a data directory, if one does.
pub fn runs(data_dir: &Path) -> Result<Option<u32>> {
    if !data_dir.join(LOCK).is_file() || lock(data_dir)?.is_some() {
        return Ok(None);
    }
    // Written once the lock was had, which may have been just now.
    let pid = std::fs::read_to_string(data_dir.join(LOCK))?;
    let pid = pid.trim().parse().with_context(|| {
        format!(
            "{} names no process yet; try again",
            data_dir.join(LOCK).display()
        )
    })?;
    Ok(Some(pid))
}

/// Makes the data directory, after forgetting what was there if `reset`, and locks it.
pub fn open(data_dir: &Path, reset: bool) -> Result<(Layout, Flock<std::fs::File>)> {
    if !data_dir.is_dir() {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("making the data directory {}", data_dir.display()))?;
        // The database's unprivileged user passes through it; what is secret lies below, behind doors of its own.
        std::fs::set_permissions(data_dir, Permissions::from_mode(0o711))?;
    }
    let root = data_dir.canonicalize()?;
    let mut held = lock(&root)?;
    for _ in 1..TRIES.0 {
        if held.is_some() {
            break;
        }
        std::thread::sleep(TRIES.1);
        held = lock(&root)?;
    }
    let Some(mut lock) = held else {
        return Err(Exit::error(
            exit::FAILURE,
            format!(
                "another `mythic dev` runs in {}; stop it (`mythic dev stop`), or choose another --data-dir",
                root.display()
            ),
        ));
    };
    lock.set_len(0)?;
    lock.write_all(std::process::id().to_string().as_bytes())?;
    // What a network that was killed says of itself is true no more.
    remove(&root.join(state::FILE))?;
    if reset {
        for name in [
            "chain", "spool", "postgres", "nodes", "provider", "leases", "keys", "config", "logs",
            "gateway",
        ] {
            remove(&root.join(name))?;
        }
    }
    let layout = Layout { root };
    for name in [
        "chain", "config", "gateway", "keys", "logs", "nodes", "spool",
    ] {
        let dir = layout.at(name);
        private_dir(&dir)?;
        // One that an earlier build made may be open to all.
        std::fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
    }
    Ok((layout, lock))
}

/// Removes a file, or a directory with all in it, if it is there.
fn remove(path: &Path) -> Result<()> {
    let gone = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the configuration of the Geyser plugin, which was built beside this executable.
pub fn write_plugin_config(
    layout: &Layout,
    binary: &Path,
    genesis_hash: &str,
    kafka: Option<&Settings>,
) -> Result<PathBuf> {
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
    let mut config = json!({
        "libpath": library,
        "name": "mythic",
        "genesis_hash": genesis_hash,
        "spool_dir": layout.at("spool"),
        "owners": mythic_interface::PROGRAMS.map(|program| bs58::encode(program).into_string()),
    });
    if let Some(kafka) = kafka {
        config["kafka"] = serde_json::to_value(kafka)?;
    }
    write_private(&path, &serde_json::to_vec_pretty(&config)?)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn one_network_at_a_time_runs_and_is_found_by_its_process() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        assert_eq!(runs(&root).unwrap(), None);
        let (layout, lock) = open(&root, false).unwrap();
        assert_eq!(runs(&root).unwrap(), Some(std::process::id()));
        let second = open(&root, false).map(drop).unwrap_err().to_string();
        assert!(
            second.contains("another `mythic dev`") && second.contains("mythic dev stop"),
            "{second}"
        );
        drop(lock);
        assert_eq!(runs(&root).unwrap(), None);
        let (told, data) = (layout.at(state::FILE), layout.at("keys").join("dev.json"));
        for file in [&told, &data] {
            std::fs::write(file, "{}").unwrap();
        }
        let (_, lock) = open(&root, false).unwrap();
        assert!(!told.exists() && data.exists());
        drop(lock);
        open(&root, true).unwrap();
        assert!(!data.exists());
        assert_eq!(mode(&layout.root), 0o711);
        for name in ["keys", "nodes", "logs", "config", "chain"] {
            assert_eq!(mode(&layout.at(name)), 0o700, "{name}");
        }
    }

    #[test]
    fn data_of_another_program_are_refused_with_what_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, lock) = open(dir.path(), false).unwrap();
        let old: [(&str, &[u8]); 1] = [("a", b"old")];
        let new: [(&str, &[u8]); 1] = [("a", b"new")];
        layout.deploys(&old).unwrap();
        layout.deploys(&old).unwrap();
        // Another version of one, and one that was not there when the chain was made.
        for others in [new.to_vec(), vec![old[0], ("b", b"more")]] {
            let refused = layout.deploys(&others).unwrap_err().to_string();
            assert!(refused.contains("mythic dev --reset"), "{refused}");
        }
        assert_eq!(std::fs::read(layout.program("a")).unwrap(), b"old");
        assert!(!layout.program("b").exists());
        drop(lock);
        let (layout, _lock) = open(dir.path(), true).unwrap();
        layout.deploys(&new).unwrap();
    }

    #[test]
    fn the_key_is_random_kept_and_for_its_owner_alone() {
        let made = || {
            let dir = tempfile::tempdir().unwrap();
            let (layout, lock) = open(dir.path(), false).unwrap();
            (dir, layout, lock)
        };
        let (_dir, layout, _lock) = made();
        let key = layout.api_key().unwrap();
        assert!(key.len() == 36 && key.starts_with("dev-"), "{key}");
        assert_eq!(layout.api_key().unwrap(), key);
        assert_eq!(mode(&layout.at("keys").join("api-key")), 0o600);
        let (_dir, other, _lock) = made();
        assert_ne!(other.api_key().unwrap(), key);
    }
}
