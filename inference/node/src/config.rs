//! Configuration of a node.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use mythic_client::{Bids, base_fee};
use mythic_engine::{Choice, EngineConfig};
use mythic_verifier::VerifierConfig;
use mythic_wire::Origin;

use crate::{bounds::Bounds, serve::submit::BATCH};

/// Configuration of `mythic node`. Every key has a default but the keypairs, gateways and models, which have no sensible one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Directory of journal, evidence and lock.
    pub data_dir: PathBuf,
    /// Key file of the validator's owner, which has stake and earnings: the authority, or who took over from it. Needed to
    /// register and to change settings; a node whose validator is registered runs without it if `validator` names the authority.
    pub authority_keypair: Option<PathBuf>,
    /// Base58 authority, for a node that does not hold its key: where it holds none, or that of another owner.
    pub validator: Option<String>,
    /// Key file of the operator: signs accepts and results, pays their fees.
    pub operator_keypair: PathBuf,
    /// Chain RPC.
    pub rpc_url: String,
    /// Chain WebSocket.
    pub ws_url: String,
    /// Gateways to announce to and to take open jobs from.
    pub gateways: Vec<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Public URL of this node, registered on chain; by default `http://` and `listen`.
    pub endpoint: Option<String>,
    /// Model files to serve.
    pub models: Vec<ModelConfig>,
    /// Stake to register with, in lamports. An existing validator's stake is not changed.
    pub stake_lamports: u64,
    /// Jobs that generate at once; they share each pass over the weights.
    pub max_concurrent: usize,
    /// Jobs that may wait for a place; more are refused with 503.
    pub max_queue: usize,
    /// Co-signed jobs that the chain has not shown yet; of these, at most half for one requester and three quarters from one
    /// address.
    pub max_unseen: usize,
    /// Least validator's share of a job's highest fee, in lamports; by default what the node's own transactions for the job cost
    /// where six results share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_job_lamports: Option<u64>,
    /// While other jobs run, how long a result waits for others to share its transaction, in milliseconds.
    pub submit_linger_ms: u64,
    /// File with a bearer token for /stats and /metrics; without it they answer this machine alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_token_file: Option<PathBuf>,
    /// What computes answers: `cpu`, `cuda` (the first GPU), `cuda:0,1` (these GPUs together) or `auto` (the first GPU if it can).
    pub device: Choice,
    /// Threads of the engine; 0 = all cores.
    pub threads: usize,
    /// Take jobs at all. Without it the node only verifies: it announces itself to no gateway and declines what is asked.
    pub accept_jobs: bool,
    /// Memory for keys and values of each model, in bytes: of running jobs, and of prompts that are
    /// kept in case they come again.
    pub kv_bytes: u64,
    /// Memory of each model for the residual rows of answers, in bytes, so that others can audit them layer by layer; 0 = none are kept.
    pub residual_bytes: u64,
    /// For how long an answer's residual rows are kept, in seconds.
    pub residual_seconds: u32,
    /// Take open jobs.
    pub consume_open_jobs: bool,
    /// Where open jobs are heard of: from the feeds of `gateways`, or from the feed in `kafka`, which the workers of one validator
    /// share.
    pub jobs: JobsFrom,
    /// The brokers that `jobs = "kafka"` reads from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<mythic_kafka::Settings>,
    /// Allow loopback and private addresses for endpoint, gateways and prompt sources. Development networks only.
    pub allow_loopback: bool,
    /// Least price per 1,000 input tokens to accept, in lamports; 0 = the model's own.
    pub min_price_in: u32,
    /// Least price per 1,000 output tokens to accept, in lamports; 0 = the model's own.
    pub min_price_out: u32,
    /// Least slots that must be left until a job's deadline.
    pub min_deadline_slots: u64,
    /// Withdraw earnings to the owner once they exceed this many lamports; 0 = never. Needs `authority_keypair`.
    pub withdraw_above_lamports: u64,
    /// Claim our own fees when nobody has, this many slots after the window; 0 = never.
    pub claim_after_slots: u64,
    /// How long a stop waits for running jobs, in seconds. What is left is in the journal.
    pub drain_seconds: u64,
    /// How long evidence is kept after a job's outcome is known, in seconds.
    pub evidence_seconds: u64,
    /// GPU's name as registered on chain; empty = none, runs on CPU.
    pub gpu_name: String,
    /// Its memory as registered on chain, in MiB.
    pub vram_mib: u32,
    /// Rules and thresholds that it works under.
    pub bounds: Bounds,
    /// What is bid to have in time what has a deadline.
    pub bids: Bids,
    /// Checks of others' answers, and juries.
    pub verifier: VerifierConfig,
    /// Bounds of the listener.
    pub http: mythic_http::Limits,
    /// Where traces go, and how much is traced.
    pub traces: mythic_trace::TraceConfig,
}

/// Where open jobs are heard of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobsFrom {
    #[default]
    Gateways,
    Kafka,
}

/// A model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// GGUF file.
    pub path: PathBuf,
    /// Hex identity of the model on chain, or its first digits (at least 8). By default the model whose hashes are the file's.
    #[serde(default)]
    pub identity: Option<String>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("mythic-node"),
            authority_keypair: None,
            validator: None,
            operator_keypair: PathBuf::from("operator.json"),
            rpc_url: "http://127.0.0.1:8899".into(),
            ws_url: "ws://127.0.0.1:8900".into(),
            gateways: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            endpoint: None,
            models: Vec::new(),
            stake_lamports: 1_000_000_000,
            max_concurrent: 4,
            max_queue: 8,
            max_unseen: 8,
            min_job_lamports: None,
            submit_linger_ms: 200,
            status_token_file: None,
            http: mythic_http::Limits::default(),
            traces: mythic_trace::TraceConfig::default(),
            device: Choice::default(),
            threads: 0,
            accept_jobs: true,
            kv_bytes: EngineConfig::default().kv_bytes,
            residual_bytes: EngineConfig::default().residual_bytes,
            residual_seconds: EngineConfig::default().residual_seconds,
            consume_open_jobs: true,
            jobs: JobsFrom::Gateways,
            kafka: None,
            allow_loopback: false,
            min_price_in: 0,
            min_price_out: 0,
            min_deadline_slots: 50,
            withdraw_above_lamports: 100_000_000,
            claim_after_slots: 300,
            drain_seconds: 30,
            evidence_seconds: 3_600,
            gpu_name: String::new(),
            vram_mib: 0,
            bounds: Bounds::default(),
            bids: Bids::default(),
            verifier: VerifierConfig::default(),
        }
    }
}

impl NodeConfig {
    /// Checks every value; the message names key, value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let exists = |key: &str, path: &Path| match path.is_file() {
            true => Ok(()),
            false => Err(format!("{key} = {path:?}: no such file")),
        };
        if self.authority_keypair.is_none() && self.validator.is_none() {
            return Err("authority_keypair or validator must be set: `mythic node init` writes a config with keys".into());
        }
        if let Some(path) = &self.authority_keypair {
            exists("authority_keypair", path)?;
        }
        if let Some(text) = &self.validator {
            text.parse::<solana_pubkey::Pubkey>()
                .map_err(|_| format!("validator = {text:?}: expected a base58 public key"))?;
        }
        exists("operator_keypair", &self.operator_keypair)?;
        if self.models.is_empty() {
            return Err(
                "models is empty: name at least one GGUF file, `[[models]] path = \"…\"`".into(),
            );
        }
        if self.models.len() > 8 {
            return Err(format!(
                "models has {} entries; a validator serves at most 8",
                self.models.len()
            ));
        }
        for (i, model) in self.models.iter().enumerate() {
            exists(&format!("models[{i}].path"), &model.path)?;
            if let Some(id) = &model.identity
                && (!(8..=64).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_hexdigit()))
            {
                return Err(format!(
                    "models[{i}].identity = {id:?}: expected 8 to 64 hex digits"
                ));
            }
        }
        for (key, url, schemes) in [
            ("rpc_url", &self.rpc_url, ["http", "https"]),
            ("ws_url", &self.ws_url, ["ws", "wss"]),
        ] {
            let scheme = reqwest::Url::parse(url)
                .map(|u| u.scheme().to_string())
                .unwrap_or_default();
            if !schemes.contains(&scheme.as_str()) {
                return Err(format!(
                    "{key} = {url:?}: expected a URL of scheme {} or {}",
                    schemes[0], schemes[1]
                ));
            }
        }
        for (i, url) in self.gateways.iter().enumerate() {
            Origin::parse(url).map_err(|error| format!("gateways[{i}]: {error}"))?;
        }
        let endpoint = self.origin()?.to_string();
        if endpoint.len() > mythic_interface::state::ENDPOINT_LEN {
            return Err(format!(
                "endpoint = {endpoint:?}: at most {} bytes fit on chain",
                mythic_interface::state::ENDPOINT_LEN
            ));
        }
        let range =
            |key: &str, value: u64, least: u64, most: u64| match (least..=most).contains(&value) {
                true => Ok(()),
                false => Err(format!("{key} = {value}: allowed are {least} to {most}")),
            };
        match (&self.kafka, self.jobs) {
            (Some(kafka), _) => kafka.validate()?,
            (None, JobsFrom::Kafka) => {
                return Err("jobs = \"kafka\" needs a section [kafka] with the brokers".into());
            }
            (None, JobsFrom::Gateways) => {}
        }
        range("max_concurrent", self.max_concurrent as u64, 1, 256)?;
        range("max_queue", self.max_queue as u64, 0, 4_096)?;
        range("max_unseen", self.max_unseen as u64, 1, 4_096)?;
        range("submit_linger_ms", self.submit_linger_ms, 0, 5_000)?;
        range("threads", self.threads as u64, 0, 1_024)?;
        range("kv_bytes", self.kv_bytes, 1 << 20, 1 << 44)?;
        range("residual_bytes", self.residual_bytes, 0, 1 << 44)?;
        range(
            "residual_seconds",
            u64::from(self.residual_seconds),
            1,
            86_400,
        )?;
        range("drain_seconds", self.drain_seconds, 0, 3_600)?;
        range("stake_lamports", self.stake_lamports, 1, i64::MAX as u64)?;
        range("min_deadline_slots", self.min_deadline_slots, 1, 10_000)?;
        range("evidence_seconds", self.evidence_seconds, 0, 365 * 86_400)?;
        if let Some(path) = &self.status_token_file {
            exists("status_token_file", path)?;
        }
        self.http
            .validate()
            .map_err(|error| format!("http.{error}"))?;
        self.traces.validate()?;
        self.bids.validate()?;
        self.verifier.validate()
    }

    /// Where the node is reached.
    pub fn origin(&self) -> Result<Origin, String> {
        let url = match &self.endpoint {
            Some(url) => url.clone(),
            None => format!("http://{}", self.listen),
        };
        Origin::parse(&url).map_err(|error| format!("endpoint: {error}"))
    }

    /// Least validator's share of a job's highest fee, in lamports. An open job costs an accept beside its result.
    pub fn min_job_lamports(&self, open: bool) -> u64 {
        let result = base_fee(1) / BATCH as u64;
        let accept = if open { base_fee(1) } else { 0 };
        self.min_job_lamports.unwrap_or(result + accept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(dir: &Path) -> NodeConfig {
        let file = |name: &str| {
            let path = dir.join(name);
            std::fs::write(&path, "x").unwrap();
            path
        };
        NodeConfig {
            authority_keypair: Some(file("a")),
            operator_keypair: file("o"),
            models: vec![ModelConfig {
                path: file("m"),
                identity: None,
            }],
            gateways: vec!["http://127.0.0.1:4002".into()],
            ..NodeConfig::default()
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let good = valid(dir.path());
        assert_eq!(good.validate(), Ok(()));
        type Change = fn(&mut NodeConfig);
        let cases: [(Change, &str); 9] = [
            (|c| c.jobs = JobsFrom::Kafka, "needs a section [kafka]"),
            (|c| c.max_concurrent = 0, "max_concurrent = 0"),
            (|c| c.kv_bytes = 1, "kv_bytes = 1"),
            (|c| c.models.clear(), "models is empty"),
            (|c| c.gateways = vec!["ftp://x".into()], "gateways[0]"),
            (|c| c.rpc_url = "nowhere".into(), "rpc_url"),
            (
                |c| c.operator_keypair = "missing".into(),
                "operator_keypair",
            ),
            (
                |c| c.endpoint = Some(format!("http://{}", "a".repeat(400))),
                "bytes fit on chain",
            ),
            (|c| c.authority_keypair = None, "mythic node init"),
        ];
        for (change, expected) in cases {
            let mut config = good.clone();
            change(&mut config);
            let error = config.validate().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(serde_json::from_str::<NodeConfig>(r#"{"listne": "x"}"#).is_err());
    }
}
