//! The gateway's configuration: every key with a default, secrets only as paths of files.

mod check;

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Configuration of the gateway process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewayConfig {
    /// Address that is listened on.
    pub listen: SocketAddr,
    /// Base URL under which validators and clients reach this gateway; written into open jobs, at most 96 bytes.
    pub public_url: String,
    /// PostgreSQL: URL or `key=value` list. The role reads `analytics` and `feed` and owns `gateway`.
    pub database_url: String,
    /// JSON-RPC of the chain.
    pub rpc_url: String,
    /// WebSocket of the chain.
    pub ws_url: String,
    /// Key file of the account that pays fees and fronts the rent of jobs; also the canceller of jobs.
    pub keypair_path: PathBuf,
    /// File of the 32-byte key (64 hex digits) that encrypts delegate keys; made at first start.
    pub master_key_file: PathBuf,
    /// Models by the name that clients use. Several may share a name: alone it means the first, `name@` and the identity's first
    /// 8 hex digits mean each. So a model's successor takes its name over, and jobs of the old one stay known.
    pub models: Vec<ModelConfig>,
    /// Development network: validators may be dialled on loopback and private addresses.
    pub dev: bool,
    /// The account that pays on a development network for requests without an `mk-` key; needs `dev`, and `listen` and `public_url` on
    /// this machine: with it, no other machine and no page of another site is answered.
    pub dev_account: Option<DevAccount>,
    /// Origins that browsers may call from; `*` is all. With `dev_account` pages of this machine alone may.
    pub cors_origins: Vec<String>,
    /// Addresses and networks (CIDR) of reverse proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Slots from a request to its deadline, at most the chain's `max_job_slots`.
    pub deadline_slots: u32,
    /// Slots for which a job's nonce lives, at most the chain's `max_nonce_life`.
    pub nonce_slots: u64,
    /// Validators that are never given a job, by authority, base58.
    pub deny_validators: Vec<String>,
    /// Whether requests are refused whose answers too few validators could judge.
    pub require_judges: bool,
    /// Wallets whose requests are refused, base58.
    pub deny_wallets: Vec<String>,
    /// API keys that are refused, by id.
    pub deny_keys: Vec<String>,
    /// Bounds of what one client may use.
    pub limits: Limits,
    /// What the operator lays out for others.
    pub outlay: Outlay,
    /// How long is waited for what.
    pub timing: Timing,
    /// Bounds of connections, headers, bodies and readers.
    pub http: mythic_http::Limits,
    /// Where traces go, and how much is traced.
    pub traces: mythic_trace::TraceConfig,
}

/// A model that this gateway prices, hashes and decodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Name that clients use.
    pub name: String,
    /// Identity on chain, 64 hex digits.
    pub identity: String,
    /// GGUF file; only tokenizer and template are read.
    pub gguf: PathBuf,
}

/// Who pays on a development network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevAccount {
    /// Base58 address of the wallet whose vault pays.
    pub owner: String,
    /// Key file of the delegate that has a spend grant from `owner`; equal to the owner's own key file if it signs itself.
    pub delegate_keypair_path: PathBuf,
    /// The key that pages of this machine must send (a request without an `Origin` needs none). Without one no page is served.
    #[serde(default)]
    pub key: Option<String>,
}

/// Bounds of what clients may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest request body from clients, bytes.
    pub body_bytes: usize,
    /// Requests per minute and API key that make jobs.
    pub requests_per_minute: u32,
    /// Requests under way per API key.
    pub concurrent_per_key: u32,
    /// Requests under way in all.
    pub concurrent: u32,
    /// Requests per minute and address that need no key and cost work: estimates, keys.
    pub anonymous_per_minute: u32,
    /// API keys made per hour and address.
    pub keys_per_hour: u32,
    /// Transfers that an address may tell of per hour; each may cost two calls to the chain.
    pub credits_per_hour: u32,
    /// Subscribers of the feed in all.
    pub subscribers: u32,
    /// Requests that wait for a validator in all.
    pub queue: u32,
    /// Requests that wait for a validator of one key.
    pub queue_per_key: u32,
    /// Of these, places that only validators' signed requests get.
    pub subscribers_for_validators: u32,
    /// Subscribers of the feed per address, validators apart.
    pub subscribers_per_address: u32,
}

/// What the operator lays out for those that pay by API key: the fees of their transactions, and rent that comes back. What is beyond
/// is taken of a wallet's prepaid credit. Who pays by their own transaction costs the operator nothing and is not bounded here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outlay {
    /// Jobs of one wallet in `rent_seconds`: each locks about 0.0064 SOL of rent until it is closed.
    pub jobs_per_owner: u32,
    /// How long a job's rent is locked, seconds: from its request to the closing after its deadline.
    pub rent_seconds: u64,
    /// Lamports of fees in a day (UTC) for one wallet.
    pub fees_per_owner_per_day: u64,
    /// Lamports of fees in a day (UTC) for all.
    pub fees_per_day: u64,
    /// Below this balance, lamports, no new work is taken: what is under way must be cancelled and closed.
    pub reserve_lamports: u64,
}

impl Default for Outlay {
    fn default() -> Self {
        Self {
            jobs_per_owner: 300,
            rent_seconds: 1_500,
            fees_per_owner_per_day: 20_000_000,
            fees_per_day: 1_000_000_000,
            reserve_lamports: 100_000_000,
        }
    }
}

impl Outlay {
    /// For a development network, where lamports cost nothing.
    pub fn generous() -> Self {
        Self {
            jobs_per_owner: u32::MAX,
            fees_per_owner_per_day: 1 << 40,
            fees_per_day: 1 << 40,
            reserve_lamports: 10_000_000,
            ..Self::default()
        }
    }
}

/// How long is waited for what, seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// Until response headers are sent although no validator has begun to answer.
    pub admission_seconds: u64,
    /// Until a validator takes a job; then the next one is asked.
    pub accept_seconds: u64,
    /// From acceptance to the first token; then the next one is asked.
    pub first_token_seconds: u64,
    /// Between two tokens; then the answer breaks off.
    pub next_token_seconds: u64,
    /// Until the chain shows what a validator says: that it has the job, that its result is there.
    pub confirm_seconds: u64,
    /// How long a request waits for a validator with a free place.
    pub queue_seconds: u64,
    /// How long a job runs on after its client was lost, where the client may come back: it sent an idempotency key, or is an SDK
    /// that says it sends again by itself.
    pub rejoin_seconds: u64,
    /// A gateway that gave no sign of life for so long is dead: another one on the same database takes its requests over.
    pub instance_seconds: u64,
    /// How long an answer can be fetched or replayed.
    pub answer_hours: u64,
    /// From the order to stop, when `/readyz` begins to refuse, to the end of listening: the time in which balancers notice.
    pub unready_seconds: u64,
    /// From then on, how long requests under way may take to end; what is left is told `gateway_stopping` and closed.
    pub drain_seconds: u64,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4002)),
            public_url: "http://127.0.0.1:4002".into(),
            database_url: "host=/run/mythic user=mythic dbname=mythic".into(),
            rpc_url: "http://127.0.0.1:8899".into(),
            ws_url: "ws://127.0.0.1:8900".into(),
            keypair_path: "gateway.json".into(),
            master_key_file: "master.key".into(),
            models: Vec::new(),
            dev: false,
            dev_account: None,
            cors_origins: vec!["*".into()],
            trusted_proxies: Vec::new(),
            deadline_slots: 1_200,
            nonce_slots: 600,
            deny_validators: Vec::new(),
            require_judges: false,
            deny_wallets: Vec::new(),
            deny_keys: Vec::new(),
            limits: Limits::default(),
            outlay: Outlay::default(),
            timing: Timing::default(),
            http: mythic_http::Limits::default(),
            traces: mythic_trace::TraceConfig::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 << 20,
            requests_per_minute: 600,
            concurrent_per_key: 32,
            concurrent: 256,
            anonymous_per_minute: 300,
            keys_per_hour: 60,
            credits_per_hour: 60,
            subscribers: 1024,
            queue: 256,
            queue_per_key: 64,
            subscribers_for_validators: 256,
            subscribers_per_address: 256,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            admission_seconds: 10,
            accept_seconds: 20,
            first_token_seconds: 60,
            next_token_seconds: 30,
            confirm_seconds: 10,
            queue_seconds: 30,
            rejoin_seconds: 5,
            instance_seconds: 10,
            answer_hours: 24,
            unready_seconds: 0,
            drain_seconds: 10,
        }
    }
}

impl GatewayConfig {
    /// The proxies that are believed; [`Self::validate`] has looked at them.
    pub fn trusted_networks(&self) -> Vec<ipnet::IpNet> {
        self.trusted_proxies
            .iter()
            .filter_map(|text| crate::http::address::parse_network(text))
            .collect()
    }
}
