//! Configuration of the development chain: one struct, every key with a default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use mythic_http::Limits;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

/// Deepest unrooted chain that is held: a finalized blockhash must stay well within its 150 blocks of life.
pub const MAX_ROOTED_LAG: u64 = 128;

/// Configuration of `mythic chain`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DevnetConfig {
    /// Directory of the chain's state; made if it is missing. One process at a time holds it.
    pub data_dir: PathBuf,
    /// JSON-RPC over HTTP, also `GET /health` and `GET /metrics`.
    pub rpc_addr: SocketAddr,
    /// JSON-RPC over WebSocket (subscriptions). Clients expect the HTTP port + 1.
    pub ws_addr: SocketAddr,
    /// Milliseconds between slots; 0 = only `mythic_advanceSlots` moves the chain.
    pub slot_ms: u64,
    /// A block is confirmed when this many blocks stand on it.
    pub confirmed_lag: u64,
    /// A block is rooted (finalized) when this many blocks stand on it; at most [`MAX_ROOTED_LAG`].
    pub rooted_lag: u64,
    /// Programs deployed at genesis (upgradeable loader). A chain that exists keeps what it has.
    pub programs: Vec<ProgramConfig>,
    /// Accounts funded at genesis.
    pub genesis_accounts: Vec<GenesisAccount>,
    /// Lamports of the faucet behind `requestAirdrop`, at genesis.
    pub faucet_lamports: u64,
    /// URL of another development chain's JSON-RPC, on this machine: this one follows it and makes no blocks itself.
    pub follow: Option<String>,
    /// File with the secret that a chain shares with those that follow it. Without one nobody follows it.
    pub follow_secret_file: Option<PathBuf>,
    /// JSON5 file of a Geyser plugin, as Agave's `--geyser-plugin-config` takes it.
    pub geyser_plugin_config: Option<PathBuf>,
    /// The plugin is told what a validator tells, also where this chain would tell more, less, or in order.
    pub geyser_as_validator: bool,
    /// Bounds of both ports, each for itself.
    pub limits: Limits,
}

/// One program deployed at genesis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgramConfig {
    /// Program id, base58.
    pub id: String,
    /// The ELF file (`.so`).
    pub path: PathBuf,
    /// Key written as upgrade authority into the ProgramData account, base58; none = immutable.
    #[serde(default)]
    pub upgrade_authority: Option<String>,
}

/// One account funded at genesis, owned by the system program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Address, base58.
    pub pubkey: String,
    /// Balance in lamports.
    pub lamports: u64,
}

impl Default for DevnetConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from(".mythic/chain"),
            rpc_addr: SocketAddr::from(([127, 0, 0, 1], 8899)),
            ws_addr: SocketAddr::from(([127, 0, 0, 1], 8900)),
            slot_ms: 400,
            confirmed_lag: 1,
            rooted_lag: 32,
            programs: Vec::new(),
            genesis_accounts: Vec::new(),
            faucet_lamports: 1_000_000_000_000_000,
            follow: None,
            follow_secret_file: None,
            geyser_plugin_config: None,
            geyser_as_validator: false,
            limits: Limits {
                connections: 1_024,
                // All callers are on this machine.
                connections_per_address: 1_024,
                discard_bytes: 1 << 20,
                drain_seconds: 3,
                ..Limits::default()
            },
        }
    }
}

impl DevnetConfig {
    /// Checks every value; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        if self.data_dir.as_os_str().is_empty() {
            return Err("data_dir = \"\": name a directory".into());
        }
        if self.slot_ms > 60_000 {
            return Err(format!(
                "slot_ms = {}: allowed are 0 (manual) to 60000",
                self.slot_ms
            ));
        }
        if self.rooted_lag == 0 || self.rooted_lag > MAX_ROOTED_LAG {
            return Err(format!(
                "rooted_lag = {}: allowed are 1 to {MAX_ROOTED_LAG}",
                self.rooted_lag
            ));
        }
        if self.confirmed_lag > self.rooted_lag {
            return Err(format!(
                "confirmed_lag = {}: allowed are 0 to rooted_lag ({})",
                self.confirmed_lag, self.rooted_lag
            ));
        }
        if self.faucet_lamports > i64::MAX as u64 {
            return Err(format!(
                "faucet_lamports = {}: allowed are 0 to {}",
                self.faucet_lamports,
                i64::MAX
            ));
        }
        self.limits
            .validate()
            .map_err(|error| format!("limits.{error}"))?;
        if let Some(url) = &self.follow {
            // A chain answers this machine alone; what is farther away is reached through a tunnel.
            if !is_on_this_machine(url) {
                return Err(format!(
                    "follow = {url:?}: allowed is http:// on 127.0.0.1, localhost or [::1], with a port"
                ));
            }
            if self.follow_secret_file.is_none() {
                return Err(
                    "follow needs follow_secret_file, the same secret as the leader's".into(),
                );
            }
        }
        for (i, program) in self.programs.iter().enumerate() {
            pubkey(&format!("programs[{i}].id"), &program.id)?;
            if let Some(authority) = &program.upgrade_authority {
                pubkey(&format!("programs[{i}].upgrade_authority"), authority)?;
            }
        }
        for (i, account) in self.genesis_accounts.iter().enumerate() {
            pubkey(&format!("genesis_accounts[{i}].pubkey"), &account.pubkey)?;
            if account.lamports > i64::MAX as u64 {
                return Err(format!(
                    "genesis_accounts[{i}].lamports = {}: allowed are 0 to {}",
                    account.lamports,
                    i64::MAX
                ));
            }
        }
        Ok(())
    }
}

fn is_on_this_machine(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| {
        let host = url.host_str();
        url.scheme() == "http"
            && host.is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host))
            && url.port().is_some()
            && url.path() == "/"
            && url.query().is_none()
            && url.username().is_empty()
    })
}

/// Parses a base58 public key of the configuration.
pub(crate) fn pubkey(key: &str, value: &str) -> Result<Pubkey, String> {
    Pubkey::from_str(value)
        .map_err(|_| format!("{key} = {value:?}: a base58 public key of 32 bytes is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_unknown_keys_are_refused() {
        assert_eq!(DevnetConfig::default().validate(), Ok(()));
        assert!(serde_json::from_str::<DevnetConfig>(r#"{"slots":1}"#).is_err());
        let parsed: DevnetConfig = serde_json::from_str(r#"{"slot_ms":0}"#).unwrap();
        assert_eq!(parsed.slot_ms, 0);
    }

    #[test]
    fn only_a_chain_of_this_machine_is_followed_and_only_with_a_secret() {
        let follows = |url: &str| DevnetConfig {
            follow: Some(url.into()),
            follow_secret_file: Some("secret".into()),
            ..DevnetConfig::default()
        };
        for url in [
            "http://127.0.0.1:8899",
            "http://localhost:8899/",
            "http://[::1]:8899",
        ] {
            assert_eq!(follows(url).validate(), Ok(()), "{url}");
        }
        for url in [
            "http://chain.example:8899",
            "https://127.0.0.1:8899",
            "http://127.0.0.1@evil.example:8899",
            "http://127.0.0.1",
            "127.0.0.1:8899",
        ] {
            let refused = follows(url).validate().unwrap_err();
            assert!(refused.contains("follow = "), "{refused}");
        }
        let config = DevnetConfig {
            follow_secret_file: None,
            ..follows("http://127.0.0.1:8899")
        };
        assert!(
            config
                .validate()
                .unwrap_err()
                .contains("follow_secret_file")
        );
    }

    #[test]
    fn errors_name_key_value_and_what_is_allowed() {
        let config = DevnetConfig {
            rooted_lag: 1000,
            ..DevnetConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err(),
            "rooted_lag = 1000: allowed are 1 to 128"
        );
    }
}
