//! The processes of a development network, one [`Service`] each: its name, what it listens on, its configuration, and when
//! it is ready. Whoever adds a process adds it here.

use super::{
    Dev, crook,
    layout::Layout,
    market::{self, Market},
    ports::Port,
};
use crate::exit::{self, Exit};
use anyhow::{Context, Result, ensure};
use mythic_api::{DevAccount, GatewayConfig, ModelConfig as GatewayModel};
use mythic_client::keys::DevKeys;
use mythic_devnet::{DevnetConfig, ProgramConfig};
use mythic_indexer::{IndexerConfig, SourceKind};
use mythic_interface::state::{Model, ModelSpec};
use mythic_kafka::{Settings, Topic};
use mythic_node::{JobsFrom, ModelConfig as NodeModel, NodeConfig};
use mythic_provider::ProviderConfig;
use mythic_settler::SettlerConfig;
use mythic_verifier::{Policy, VerifierConfig};
use solana_keypair::Keypair;
use solana_signer::Signer;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Stake of each validator: room for 200 jobs at once.
const STAKE_LAMPORTS: u64 = 10_000_000_000;
/// Stake of the provider: behind each of its units, and some beside it.
const PROVIDER_STAKE_LAMPORTS: u64 = 5_000_000_000;
/// Units that the provider offers.
const PROVIDER_UNITS: u16 = 2;
/// What a claim may cost, of its reward: less than an operator is given, more than the tenth claim against such a stake.
const MAX_FALSE_BPS: u32 = 30_000;
/// Memory for keys and values of each validator's model, in bytes: a whole context of the default model, and
/// some beside it. Several validators share this machine.
const KV_BYTES: u64 = 256 << 20;
/// Pace of a manual network until it is ready: a network that starts needs slots, the tests' own time begins at Ready.
const STARTING_SLOT_MS: u64 = 200;

/// The programs that a new chain deploys: name of the file, address, bytes.
pub const PROGRAMS: [(&str, [u8; 32], &[u8]); 2] = [
    (
        "mythic_ai_precompiles",
        mythic_interface::AI_PRECOMPILES_ID,
        include_bytes!("../../../programs/elf/mythic_ai_precompiles.so"),
    ),
    (
        "mythic_compute_market",
        mythic_interface::COMPUTE_MARKET_ID,
        include_bytes!("../../../programs/elf/mythic_compute_market.so"),
    ),
];

/// How long another program may take to make a genesis.
const GENESIS_PATIENCE: Duration = Duration::from_secs(900);
/// How long the brokers may take to answer for a topic.
const KAFKA_WAIT: Duration = Duration::from_secs(20);

/// Makes a configuration in TOML.
pub type WriteConfig = Box<dyn Fn(&Site) -> Result<String> + Send + Sync>;

/// One process.
pub struct Service {
    /// Name in `dev.json`, of its log and of its configuration.
    pub name: String,
    /// What people are told while it starts; those that follow each other under one name start together.
    pub step: String,
    /// `mythic COMMAND --config FILE`; it may be two words.
    pub command: &'static str,
    /// What it listens on.
    pub ports: Vec<Port>,
    /// Its configuration in TOML.
    pub config: WriteConfig,
    /// When the next may start.
    pub ready: Ready,
}

/// What is waited for after a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Nothing: the others wait for it where they must.
    Started,
    /// The chain answers.
    Chain,
    /// Keys are funded, program, model and vault are on chain.
    Accounts,
    /// The gateway answers, and this many validators have announced themselves to it.
    Announced(u64),
    /// The provider answers.
    Leasing,
}

/// All that configurations are made of.
pub struct Site {
    /// The data directory.
    pub layout: Layout,
    /// The `mythic` executable.
    pub binary: PathBuf,
    /// Runs the chain; the `mythic` executable if nothing else was asked for.
    pub chain_program: PathBuf,
    /// All keys.
    pub keys: DevKeys,
    /// Spends for the DEV account at the gateway.
    pub delegate: Keypair,
    pub delegate_path: PathBuf,
    /// Key that web pages need at the gateway.
    pub api_key: String,
    /// Where everything listens.
    pub addresses: Addresses,
    /// The database with all rights; known once it runs.
    pub database_url: String,
    /// The model file that all serve.
    pub gguf: PathBuf,
    /// What is on chain of it.
    pub spec: ModelSpec,
    /// Its name there.
    pub model_name: String,
    /// Models that this one replaces; known once the chain was read.
    pub former: Vec<Model>,
    /// The plugin's configuration; known once the chain's genesis is.
    pub plugin_config: Option<PathBuf>,
    /// The brokers that everything goes through, if asked for; known once the chain's genesis is.
    pub kafka: Option<Settings>,
    /// Milliseconds of a slot, 0 = manual.
    pub slot_ms: u64,
}

impl Site {
    /// The model's identity: the admin registers it.
    pub fn identity(&self) -> [u8; 32] {
        self.spec.identity(self.keys.admin.pubkey().as_array())
    }
}

/// Loopback addresses.
pub struct Addresses {
    pub gateway: SocketAddr,
    /// The chain's JSON-RPC.
    pub rpc: SocketAddr,
    /// The chain's WebSocket.
    pub ws: SocketAddr,
    /// The read-only database.
    pub database: SocketAddr,
    /// The validators' nodes, in order.
    pub nodes: Vec<SocketAddr>,
    pub provider: SocketAddr,
}

impl Addresses {
    /// The gateway's base URL.
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway)
    }

    /// The chain's JSON-RPC URL.
    pub fn rpc_url(&self) -> String {
        format!("http://{}", self.rpc)
    }

    /// The chain's WebSocket URL.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.ws)
    }

    /// The provider's URL.
    pub fn provider_url(&self) -> String {
        format!("http://{}", self.provider)
    }
}

/// Name of a validator's process; validators count from 1.
pub fn node_name(number: usize) -> String {
    format!("node-{number}")
}

/// Every process in starting order.
pub fn all(dev: &Dev) -> Vec<Service> {
    let count = dev.validators;
    let accounts = "Preparing accounts on chain";
    let rest = format!("Starting settler, gateway, {count} validators and a provider");
    let port = |what: &str, flag, wanted| Port {
        what: what.to_owned(),
        flag,
        wanted,
    };
    let service = |name: &str, step: &str, config: fn(&Site) -> Result<String>| Service {
        name: name.to_owned(),
        step: step.to_owned(),
        command: "",
        ports: Vec::new(),
        config: Box::new(config),
        ready: Ready::Started,
    };
    let mut all = vec![
        Service {
            command: "chain",
            ports: vec![
                port("chain RPC", "--rpc-port", dev.rpc_port),
                port("chain WebSocket", "--ws-port", dev.ws_port),
            ],
            ready: Ready::Chain,
            ..service("chain", "Starting the chain", |site| {
                chain(site, site.slot_ms == 0)
            })
        },
        // Before there are accounts, so that it sees the very first ones live.
        Service {
            command: "indexer",
            ready: Ready::Accounts,
            ..service("indexer", accounts, indexer)
        },
        Service {
            command: "settler",
            ..service("settler", &rest, settler)
        },
        Service {
            command: "gateway",
            ports: vec![port("gateway", "--gateway-port", dev.gateway_port)],
            ready: Ready::Announced(count.into()),
            ..service("gateway", &rest, gateway)
        },
    ];
    for index in 0..count {
        let wanted = match dev.node_port {
            0 => 0,
            first => first.saturating_add(index.into()),
        };
        let index = usize::from(index);
        let what = format!("validator {}", index + 1);
        all.push(Service {
            name: node_name(index + 1),
            step: rest.clone(),
            command: "node",
            ports: vec![port(&what, "--node-port", wanted)],
            config: Box::new(move |site| node(site, index)),
            ready: Ready::Started,
        });
    }
    all.push(Service {
        command: "provider run",
        ports: vec![port("provider", "--provider-port", dev.provider_port)],
        ready: Ready::Leasing,
        ..service("provider", &rest, |site| {
            // Whatever it was told the last time.
            crook::tell(&site.layout.at("provider"), None)?;
            Ok(toml::to_string(&provider(site))?)
        })
    });
    all
}

/// The hash of the chain's genesis, which is made if there is none. Another program than ours is asked for it.
pub async fn genesis_hash(site: &Site) -> Result<String> {
    if site.chain_program == site.binary {
        let chain = genesis(site);
        let made = tokio::task::spawn_blocking(move || mythic_devnet::genesis_hash(&chain));
        return Ok(made.await??.to_string());
    }
    ensure!(
        site.slot_ms > 0,
        "--chain-program: slots of a validator can't be manual; give --slot-ms"
    );
    let program = site.chain_program.display();
    let config = site.layout.write_config("chain", &chain(site, false)?)?;
    let made = tokio::process::Command::new(&site.chain_program)
        .args(["genesis", "--config"])
        .arg(config)
        .kill_on_drop(true)
        .output();
    let made = tokio::time::timeout(GENESIS_PATIENCE, made)
        .await
        .with_context(|| format!("{program} genesis: no answer in time"))?
        .with_context(|| format!("starting {program}"))?;
    let said = String::from_utf8_lossy(&made.stdout);
    ensure!(
        made.status.success(),
        "{program} genesis: {}\n{}",
        made.status,
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(said.trim().to_owned())
}

/// The chain without its plugin, whose configuration names the genesis that follows from this.
fn genesis(site: &Site) -> DevnetConfig {
    DevnetConfig {
        data_dir: site.layout.at("chain"),
        rpc_addr: site.addresses.rpc,
        ws_addr: site.addresses.ws,
        slot_ms: site.slot_ms,
        programs: PROGRAMS
            .iter()
            .map(|(name, id, _)| ProgramConfig {
                id: bs58::encode(id).into_string(),
                path: site.layout.program(name),
                upgrade_authority: Some(site.keys.admin.pubkey().to_string()),
            })
            .collect(),
        ..DevnetConfig::default()
    }
}

/// The brokers of a network, checked before anything starts. Its topics are its own: another chain's records are no use to it.
pub fn kafka(brokers: &str, genesis_hash: &str) -> Result<Settings> {
    let network: String = genesis_hash.chars().take(8).collect();
    let settings = Settings {
        brokers: brokers.to_owned(),
        topic_prefix: format!("mythic-dev-{network}"),
        replication: 1,
        ..Settings::default()
    };
    settings
        .validate()
        .map_err(|refused| Exit::error(exit::FAILURE, format!("--kafka: {refused}")))?;
    for topic in [Topic::Updates, Topic::Feed] {
        mythic_kafka::check(&settings, topic, KAFKA_WAIT)
            .map_err(|refused| Exit::error(exit::FAILURE, format!("--kafka: {refused}")))?;
    }
    Ok(settings)
}

/// The chain; `starting` gives a manual one a pace.
pub fn chain(site: &Site, starting: bool) -> Result<String> {
    let mut config = genesis(site);
    config.geyser_plugin_config = site.plugin_config.clone();
    if starting {
        config.slot_ms = STARTING_SLOT_MS;
    }
    Ok(toml::to_string(&config)?)
}

fn indexer(site: &Site) -> Result<String> {
    Ok(toml::to_string(&IndexerConfig {
        database_url: site.database_url.clone(),
        spool_dir: site.layout.at("spool"),
        archive_dir: site.layout.at("archive"),
        source: match site.kafka {
            Some(_) => SourceKind::Kafka,
            None => SourceKind::Spool,
        },
        kafka: site.kafka.clone(),
        ..IndexerConfig::default()
    })?)
}

fn settler(site: &Site) -> Result<String> {
    Ok(toml::to_string(&SettlerConfig {
        database_url: site.database_url.clone(),
        rpc_url: site.addresses.rpc_url(),
        ws_url: site.addresses.ws_url(),
        keypair_path: site.keys.path("settler"),
        ..SettlerConfig::default()
    })?)
}

fn gateway(site: &Site) -> Result<String> {
    let former = site.former.iter().map(|model| model.identity);
    // The first is what the bare name means; the jobs of the others are still shown and settled.
    let identities = std::iter::once(site.identity()).chain(former);
    Ok(toml::to_string(&GatewayConfig {
        outlay: mythic_api::Outlay::generous(),
        listen: site.addresses.gateway,
        public_url: site.addresses.gateway_url(),
        database_url: site.database_url.clone(),
        rpc_url: site.addresses.rpc_url(),
        ws_url: site.addresses.ws_url(),
        keypair_path: site.keys.path("gateway"),
        master_key_file: site.layout.at("gateway").join("master.key"),
        models: identities
            .map(|identity| GatewayModel {
                name: site.model_name.clone(),
                identity: hex::encode(identity),
                gguf: site.gguf.clone(),
            })
            .collect(),
        dev: true,
        dev_account: Some(DevAccount {
            owner: site.keys.dev.pubkey().to_string(),
            delegate_keypair_path: site.delegate_path.clone(),
            key: Some(site.api_key.clone()),
        }),
        ..GatewayConfig::default()
    })?)
}

fn node(site: &Site, index: usize) -> Result<String> {
    let listen = *site
        .addresses
        .nodes
        .get(index)
        .ok_or_else(|| anyhow::anyhow!("validator {} has no address", index + 1))?;
    Ok(toml::to_string(&NodeConfig {
        data_dir: site.layout.at("nodes").join((index + 1).to_string()),
        authority_keypair: Some(site.keys.path(&format!("validator-{index}"))),
        operator_keypair: site.keys.path(&format!("operator-{index}")),
        rpc_url: site.addresses.rpc_url(),
        ws_url: site.addresses.ws_url(),
        gateways: vec![site.addresses.gateway_url()],
        listen,
        models: vec![NodeModel {
            path: site.gguf.clone(),
            identity: Some(hex::encode(site.identity())),
        }],
        jobs: match site.kafka {
            Some(_) => JobsFrom::Kafka,
            None => JobsFrom::Gateways,
        },
        kafka: site.kafka.clone(),
        stake_lamports: STAKE_LAMPORTS,
        kv_bytes: KV_BYTES,
        allow_loopback: true,
        // Its jobs are tiny, and its lamports are free.
        min_job_lamports: Some(0),
        // A development network has few jobs, and whoever tries a cheat wants to see it caught, in a crowded case too.
        verifier: VerifierConfig {
            policy: Policy::All,
            max_false_bps: MAX_FALSE_BPS,
            ..VerifierConfig::default()
        },
        ..NodeConfig::default()
    })?)
}

/// The one provider; the chain is made to say of it what this says.
pub fn provider(site: &Site) -> ProviderConfig {
    let (authority, _) = &site.keys.provider;
    ProviderConfig {
        data_dir: site.layout.at("provider"),
        authority: authority.pubkey().to_string(),
        operator_keypair: site.keys.path("provider-operator"),
        rpc_url: site.addresses.rpc_url(),
        ws_url: site.addresses.ws_url(),
        listen: site.addresses.provider,
        models: vec![site.gguf.clone()],
        class: market::CLASS.into(),
        units: PROVIDER_UNITS,
        price_lamports: Market::at_pace(site.slot_ms).price(),
        stake_lamports: PROVIDER_STAKE_LAMPORTS,
        kv_bytes: KV_BYTES,
        allow_loopback: true,
        ..ProviderConfig::default()
    }
}
