//! What `mythic node init` and `mythic verify init` share: a directory with two keys and a configuration, for its owner
//! alone, and what to fund before it is started.

use crate::{
    context::Connection,
    exit::{self, Exit},
    model::fetch_with_progress,
    note, say, terminal,
    units::sol,
};
use anyhow::{Context, Result};
use mythic_client::{Bids, keys};
use mythic_node::{ModelConfig, NodeConfig, verify::purse};
use serde_json::json;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use std::{
    io::Write,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Lamports for rent and fees of a registration, beside the stake.
const REGISTRATION: u64 = 10_000_000;

/// What is asked of an `init`.
pub struct Init {
    /// Directory for everything.
    pub dir: PathBuf,
    /// Name of the configuration's file in it.
    pub file: &'static str,
    /// GGUF file; the default model without one.
    pub model: Option<PathBuf>,
    /// Lamports to register with.
    pub stake: u64,
    /// Lamports that the operator needs, and what for.
    pub operator: (u64, String),
    /// Command that runs on the configuration.
    pub command: &'static str,
    /// Whether a script reads the outcome: one JSON object, and the words on stderr.
    pub json: bool,
}

/// A configuration with all that both kinds share.
pub struct Made {
    /// To complete and to write.
    pub config: NodeConfig,
    init: Init,
    authority: Pubkey,
    operator: Pubkey,
}

/// What an operator should have where nobody says what the network is: against a validator of 1 SOL, under the default parameters.
const OPERATOR: u64 = 700_000_000;

/// Lamports that an operator of such a stake should have, and what for: reckoned from the network's largest stake.
pub async fn operator(connection: &Connection, stake: u64) -> (u64, String) {
    match purse::recommended(&connection.chain(), &Bids::default(), stake).await {
        Ok((lamports, largest)) => (
            lamports,
            format!(
                "for fees, and for bond and rent of claims against stakes up to {}, the largest there is",
                sol(largest)
            ),
        ),
        Err(error) => (
            OPERATOR,
            format!(
                "for fees, and for bond and rent of claims against stakes of 1 SOL; ask `mythic doctor` for more, the chain says nothing now ({error})"
            ),
        ),
    }
}

/// Makes directory and keys. Refuses where a configuration is already.
pub async fn make(init: Init, connection: &Connection) -> Result<Made> {
    let file = init.dir.join(init.file);
    if file.exists() {
        return Err(Exit::error(
            exit::FAILURE,
            format!(
                "{} exists; edit it, or choose another directory",
                file.display()
            ),
        ));
    }
    let model = match &init.model {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("--model {}", path.display()))?,
        None => fetch_with_progress().await?,
    };
    crate::model::check(&model)?;
    private_dir(&init.dir)?;
    let dir = init.dir.canonicalize()?;
    let (authority_path, operator_path) = (dir.join("authority.json"), dir.join("operator.json"));
    let authority = keys::load_or_create(&authority_path)?.pubkey();
    let operator = keys::load_or_create(&operator_path)?.pubkey();
    let (rpc_url, ws_url) = connection.chain_urls();
    let config = NodeConfig {
        data_dir: dir.join("data"),
        authority_keypair: Some(authority_path),
        operator_keypair: operator_path,
        rpc_url,
        ws_url,
        gateways: vec![connection.gateway()?.base().to_owned()],
        models: vec![ModelConfig {
            path: model,
            identity: None,
        }],
        stake_lamports: init.stake,
        ..NodeConfig::default()
    };
    Ok(Made {
        config,
        init,
        authority,
        operator,
    })
}

impl Made {
    /// Writes the configuration and says what to do next; `loopback` is why it may dial loopback, if it may, `advice` what else
    /// to know.
    pub fn write(self, loopback: Option<&str>, advice: &str) -> Result<()> {
        let (config, init) = (self.config, self.init);
        config
            .validate()
            .map_err(|message| Exit::error(exit::USAGE, message))?;
        let file = init.dir.join(init.file);
        write_private(&file, toml::to_string(&config)?.as_bytes())?;
        let mut lines = vec![format!("Wrote {}", file.display())];
        if let Some(why) = loopback {
            lines.push(format!(
                "{why}, so it may dial loopback too: for development networks only."
            ));
        }
        let start = format!("{} --config {}", init.command, file.display());
        let (lamports, purpose) = init.operator;
        lines.extend([
            format!("Fund, then start `{start}`:"),
            format!(
                "  authority  {}   {} stake, and {} for rent and fees",
                self.authority,
                sol(init.stake),
                sol(REGISTRATION)
            ),
            format!(
                "  operator   {}   {} {purpose}",
                self.operator,
                sol(lamports)
            ),
            advice.to_owned(),
        ]);
        if !init.json {
            say!("{}", lines.join("\n"));
            return Ok(());
        }
        note!("{}", lines.join("\n"));
        terminal::json(&json!({
            "config": file,
            "start": start,
            "dials_loopback": loopback.is_some(),
            "authority": {
                "address": self.authority.to_string(),
                "keypair": config.authority_keypair,
                "lamports": init.stake.saturating_add(REGISTRATION),
            },
            "operator": {
                "address": self.operator.to_string(),
                "keypair": config.operator_keypair,
                "lamports": lamports,
            },
        }))
    }
}

/// Makes a directory that only its owner can enter, with those above it; one that exists keeps its mode.
pub fn private_dir(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        std::fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("making {}", dir.display()))
}

/// Writes a file that only its owner can read, whatever its mode was.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.write_all(bytes)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Whether a URL's host is this machine.
pub fn is_loopback(url: &str) -> bool {
    let host = reqwest::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn loopback_is_told_from_the_world() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1/",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in ["https://node.example.org", "http://10.0.0.1", "127.0.0.1"] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn what_is_private_is_for_its_owner_alone() {
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        private_dir(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let file = inner.join("node.toml");
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&file, b"new").unwrap();
        assert_eq!(
            (mode(&file), std::fs::read(&file).unwrap()),
            (0o600, b"new".to_vec())
        );
    }
}
