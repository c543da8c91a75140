//! Configuration of a provider.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use mythic_client::Bids;
use mythic_engine::Choice;
use mythic_interface::market::state::{CLASS_NAME_LEN, PROVIDER_ENDPOINT_LEN, REGION_LEN};
use mythic_support::check;
use mythic_trace::TraceConfig;
use mythic_wire::Origin;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;

use crate::container::config::ContainersConfig;

/// Configuration of `mythic provider run`. Every key has a default but the keys and the models, which have no sensible one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// Directory of promises, published proofs and lock.
    pub data_dir: PathBuf,
    /// Base58 authority: the provider's name, and the cold key of stake and earnings, which this process never needs.
    pub authority: String,
    /// Key file of the operator: accepts, starts, proves, and pays the fees and rents of that.
    pub operator_keypair: PathBuf,
    /// Chain RPC.
    pub rpc_url: String,
    /// Chain WebSocket.
    pub ws_url: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Public URL of this provider, registered on chain; by default `http://` and `listen`.
    pub endpoint: Option<String>,
    /// GGUF files that tenants can lease.
    pub models: Vec<PathBuf>,
    /// Class of capacity, by its name on chain.
    pub class: String,
    /// Units that are offered.
    pub units: u16,
    /// Lamports a second for each unit. Leases keep the price with which they began.
    pub price_lamports: u64,
    /// Where it is; requests may ask for a region. Empty = it does not say.
    pub region: String,
    /// Stake to register with, in lamports.
    pub stake_lamports: u64,
    /// Most answers at once that a unit makes; a lease may ask for less.
    pub max_concurrent: usize,
    /// What computes answers and proofs: `cpu`, `cuda` (the first GPU), `cuda:0,1` (these GPUs; proofs on the first) or `auto`.
    pub device: Choice,
    /// Threads of each unit's engine; 0 = all cores, dealt over the units.
    pub threads: usize,
    /// Memory of each unit for keys and values, in bytes.
    pub kv_bytes: u64,
    /// Leases of one tenant that are in care at most, those that ended and are not settled among them.
    pub max_leases_per_tenant: usize,
    /// How long a lease is still served after the chain says that it ended, in seconds.
    pub grace_seconds: u64,
    /// Withdraw earnings to the authority once they exceed this many lamports; 0 = never.
    pub withdraw_above_lamports: u64,
    /// Allow loopback and private addresses for the endpoint and for sources of specs. Development networks only.
    pub allow_loopback: bool,
    /// Addresses of reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Where to serve `/metrics` and `/health`; without an address in the file, on loopback.
    pub metrics_addr: Option<SocketAddr>,
    /// Containers that tenants can lease.
    pub containers: ContainersConfig,
    /// What is bid to have acceptances, starts, proofs and answers to disputes in time.
    pub bids: Bids,
    /// Bounds of the listener.
    pub http: mythic_http::Limits,
    /// Traces of answers and of what is done about leases.
    pub traces: TraceConfig,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("mythic-provider"),
            authority: String::new(),
            operator_keypair: PathBuf::from("operator.json"),
            rpc_url: "http://127.0.0.1:8899".into(),
            ws_url: "ws://127.0.0.1:8900".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            endpoint: None,
            models: Vec::new(),
            class: "cpu".into(),
            units: 1,
            price_lamports: 10_000,
            region: String::new(),
            stake_lamports: 2_000_000_000,
            max_concurrent: 4,
            device: Choice::default(),
            threads: 0,
            kv_bytes: 1 << 30,
            max_leases_per_tenant: 16,
            grace_seconds: 5,
            withdraw_above_lamports: 100_000_000,
            allow_loopback: false,
            trusted_proxies: Vec::new(),
            metrics_addr: Some(([127, 0, 0, 1], 9473).into()),
            containers: ContainersConfig::default(),
            bids: Bids::default(),
            http: mythic_http::Limits::default(),
            traces: TraceConfig::default(),
        }
    }
}

impl ProviderConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let exists = |key: String, path: &PathBuf| match path.is_file() {
            true => Ok(()),
            false => Err(format!("{key} = {path:?}: no such file")),
        };
        self.authority()?;
        exists("operator_keypair".into(), &self.operator_keypair)?;
        if self.models.is_empty() && !self.containers.is_on() {
            return Err("models is empty: name at least one GGUF file, `models = [\"…\"]`, or lease out containers".into());
        }
        for (index, path) in self.models.iter().enumerate() {
            exists(format!("models[{index}]"), path)?;
        }
        check::url("rpc_url", &self.rpc_url, &["http://", "https://"])?;
        check::url("ws_url", &self.ws_url, &["ws://", "wss://"])?;
        let origin = self.origin()?;
        if origin.is_loopback() && !self.allow_loopback {
            return Err(format!(
                "endpoint = {origin}: nobody else reaches this machine there; name the public URL, or set allow_loopback on a \
                 development network"
            ));
        }
        let fits = |key: &str, text: &str, most: usize| match text.len() <= most {
            true => Ok(()),
            false => Err(format!(
                "{key} = {text:?}: at most {most} bytes fit on chain"
            )),
        };
        fits("endpoint", origin.as_str(), PROVIDER_ENDPOINT_LEN)?;
        fits("class", &self.class, CLASS_NAME_LEN)?;
        fits("region", &self.region, REGION_LEN)?;
        check::in_range("units", self.units.into(), 1, 1_024)?;
        check::in_range("price_lamports", self.price_lamports, 1, i64::MAX as u64)?;
        check::in_range("stake_lamports", self.stake_lamports, 1, i64::MAX as u64)?;
        check::in_range("max_concurrent", self.max_concurrent as u64, 1, 32)?;
        check::in_range("threads", self.threads as u64, 0, 1_024)?;
        check::in_range("kv_bytes", self.kv_bytes, 1 << 20, 1 << 44)?;
        check::in_range("grace_seconds", self.grace_seconds, 0, 600)?;
        let leases = self.max_leases_per_tenant as u64;
        check::in_range("max_leases_per_tenant", leases, 1, 1_024)?;
        for proxy in &self.trusted_proxies {
            if proxy.parse::<IpAddr>().is_err() {
                return Err(format!("trusted_proxies = {proxy:?}: must be an address"));
            }
        }
        self.containers.validate()?;
        self.bids.validate()?;
        self.http
            .validate()
            .map_err(|error| format!("http.{error}"))?;
        self.traces.validate()
    }

    /// The provider's name.
    pub fn authority(&self) -> Result<Pubkey, String> {
        self.authority.parse().map_err(|_| {
            format!(
                "authority = {:?}: expected a base58 public key; `mythic provider init` writes a configuration with keys",
                self.authority
            )
        })
    }

    /// The reverse proxies that are trusted.
    pub fn proxies(&self) -> Vec<IpAddr> {
        let all = self.trusted_proxies.iter();
        all.filter_map(|proxy| proxy.parse().ok()).collect()
    }

    /// Where the provider is reached.
    pub fn origin(&self) -> Result<Origin, String> {
        let url = match &self.endpoint {
            Some(url) => url.clone(),
            None => format!("http://{}", self.listen),
        };
        Origin::parse(&url).map_err(|error| format!("endpoint: {error}"))
    }

    /// Directory of unpacked images and of containers' disks.
    pub fn containers_dir(&self) -> PathBuf {
        let own = || self.data_dir.join("containers");
        self.containers.dir.clone().unwrap_or_else(own)
    }

    /// Host on which tenants reach their containers.
    pub fn containers_host(&self) -> Result<String, String> {
        if let Some(host) = &self.containers.host {
            return Ok(host.clone());
        }
        let origin = self.origin()?;
        let (_, host) = origin.as_str().split_once("://").unwrap_or_default();
        // A port stands behind the last colon, but for one within the brackets of an IPv6 address.
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        Ok(host.trim_matches(['[', ']']).to_owned())
    }

    /// Threads of the engine of a lease of so many units.
    pub fn threads_of(&self, units: u8) -> usize {
        let each = match self.threads {
            0 => {
                let cores = std::thread::available_parallelism().map_or(1, usize::from);
                cores / usize::from(self.units.max(1))
            }
            threads => threads,
        };
        (each * usize::from(units)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        let good = ProviderConfig {
            authority: Pubkey::new_from_array([7; 32]).to_string(),
            operator_keypair: file("o"),
            models: vec![file("m")],
            allow_loopback: true,
            ..ProviderConfig::default()
        };
        assert_eq!(good.validate(), Ok(()));
        type Change = fn(&mut ProviderConfig);
        let cases: [(Change, &str); 12] = [
            (|c| c.authority = "x".into(), "mythic provider init"),
            (|c| c.models.clear(), "models is empty"),
            (|c| c.models = vec!["missing".into()], "models[0]"),
            (|c| c.allow_loopback = false, "allow_loopback"),
            (|c| c.class = "a".repeat(16), "class"),
            (|c| c.units = 0, "units = 0"),
            (|c| c.price_lamports = 0, "price_lamports = 0"),
            (|c| c.rpc_url = "nowhere".into(), "rpc_url"),
            (|c| c.max_leases_per_tenant = 0, "max_leases_per_tenant = 0"),
            (|c| c.trusted_proxies = vec!["lb".into()], "trusted_proxies"),
            (|c| c.bids.loss_bps = 10_001, "bids.loss_bps"),
            (|c| c.traces.sample = 2.0, "traces.sample"),
        ];
        for (change, expected) in cases {
            let mut config = good.clone();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(serde_json::from_str::<ProviderConfig>(r#"{"listne": "x"}"#).is_err());
    }

    #[test]
    fn tenants_reach_their_containers_at_the_endpoint_s_host() {
        let host = |endpoint: &str| {
            let config = ProviderConfig {
                endpoint: Some(endpoint.into()),
                ..ProviderConfig::default()
            };
            config.containers_host().unwrap()
        };
        assert_eq!(host("https://provider.example"), "provider.example");
        assert_eq!(host("https://provider.example:8443"), "provider.example");
        assert_eq!(host("http://127.0.0.1:8090"), "127.0.0.1");
        assert_eq!(host("http://[2001:db8::1]:8090"), "2001:db8::1");
    }

    #[test]
    fn cores_are_dealt_over_units() {
        let config = ProviderConfig {
            threads: 3,
            units: 4,
            ..ProviderConfig::default()
        };
        assert_eq!(config.threads_of(2), 6);
        let all = ProviderConfig::default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(all.threads_of(1), cores);
    }
}
