//! Starts a network: the database, then every [`Service`] in order, then the network's own first job.

use super::{
    Dev, bootstrap, control,
    layout::{self, Layout},
    logs,
    market::Market,
    ports::{self, Port},
    ready,
    services::{self, Addresses, Ready, Service, Site},
    state::{self, DevState, KeyInfo, ProcessInfo, ProviderInfo, ValidatorInfo},
    supervisor::{Process, States, Supervisor},
};
use crate::{gateway::Gateway, model::fetch_with_progress, note, progress::Step};
use anyhow::{Context, Result};
use mythic_client::{ChainClient, Commitment, keys, keys::DevKeys};
use mythic_postgres::{Cluster, ClusterConfig};
use serde_json::json;
use solana_signer::Signer;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Name of the default model on chain and at the gateway.
const DEFAULT_NAME: &str = "smollm2-135m-instruct";

/// What scripts are told, shared with whoever changes it.
type Shared = Arc<Mutex<DevState>>;

/// A network that is ready.
pub struct Running {
    supervisor: Supervisor,
    cluster: Cluster,
    logs: JoinHandle<()>,
    /// What `dev.json` says.
    pub state: DevState,
}

impl Running {
    /// Stops everything, in the order opposite to its start.
    pub async fn stop(self, layout: &Layout) -> Result<()> {
        let step = Step::new("Stopping");
        self.logs.abort();
        self.supervisor.stop().await;
        self.cluster.stop().await?;
        let _ = std::fs::remove_file(layout.at(state::FILE));
        step.done();
        Ok(())
    }
}

/// Starts all of it and returns once a job was paid, answered and indexed.
pub async fn start(dev: &Dev, layout: &Layout, stop: &CancellationToken) -> Result<Running> {
    let services = services::all(dev);
    layout.deploys(&services::PROGRAMS.map(|(name, _, elf)| (name, elf)))?;
    let mut site = site(dev, layout, &services).await?;

    let step = Step::new("Starting the database");
    let cluster = Cluster::start(ClusterConfig {
        data_dir: layout.at("postgres"),
        port: Some(site.addresses.database.port()),
    })
    .await?;
    mythic_indexer::migrate(cluster.url())
        .await
        .context("preparing the database")?;
    site.database_url = cluster.url().to_owned();
    step.done();

    let genesis = services::genesis_hash(&site).await?;
    if let Some(brokers) = dev.kafka.clone() {
        let step = Step::new("Asking Kafka for the network's topics");
        let genesis = genesis.clone();
        let kafka = tokio::task::spawn_blocking(move || services::kafka(&brokers, &genesis));
        site.kafka = Some(kafka.await??);
        step.done();
    }
    let plugin = layout::write_plugin_config(layout, &site.binary, &genesis, site.kafka.as_ref())?;
    site.plugin_config = Some(plugin);

    let shared: Shared = Arc::new(Mutex::new(dev_state(&site, cluster.readonly_url())));
    let states: States = Arc::default();
    let on_change = {
        let (shared, states) = (shared.clone(), states.clone());
        Arc::new(move || publish(&shared, &states))
    };
    let mut supervisor = Supervisor::new(states, on_change);
    for stage in services.chunk_by(|a, b| a.step == b.step) {
        let step = Step::new(stage.first().map_or("", |service| &service.step));
        for service in stage {
            launch(&mut supervisor, &shared, &site, service)?;
        }
        for service in stage {
            wait(service, &mut site, stop).await?;
        }
        step.done();
    }

    let http = Gateway::new(&site.addresses.gateway_url(), Some(site.api_key.clone()))?;
    let step =
        Step::new("Running the network's own first job: paid, answered, fingerprinted, indexed");
    let job = ready::first_job(&http, &site.model_name, layout, stop).await?;
    step.done();

    if site.slot_ms == 0 {
        layout.write_config("chain", &services::chain(&site, false)?)?;
        control::rpc(&site.addresses.rpc_url(), "mythic_setSlotMs", json!([0])).await?;
    }
    let device = match site.addresses.nodes.first() {
        Some(node) => ready::device(&format!("http://{node}")).await,
        None => None,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let state = {
        let mut state = shared.lock().unwrap_or_else(|broken| broken.into_inner());
        state.ready_at = Some(now.map(|time| time.as_secs()).unwrap_or_default());
        state.own_job = Some(job);
        state.device = device;
        state.write()?;
        state.clone()
    };
    let files = state.processes.values().map(|process| process.log.clone());
    let files = files.chain([layout.at("postgres").join("postgres.log")]);
    Ok(Running {
        supervisor,
        cluster,
        logs: tokio::spawn(logs::keep(files.collect())),
        state,
    })
}

/// All that is known before anything runs: ports, keys, the model.
async fn site(dev: &Dev, layout: &Layout, services: &[Service]) -> Result<Site> {
    let binary = std::env::current_exe().context("finding this executable")?;
    let addresses = addresses(dev, services)?;
    let gguf = match &dev.model {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("--model {}", path.display()))?,
        None => fetch_with_progress().await?,
    };
    let spec = crate::model::spec(&gguf)?;
    let model_name = match &dev.model {
        Some(_) => crate::model::name(&gguf)?,
        None => DEFAULT_NAME.into(),
    };
    let keys = DevKeys::load_or_create(layout.at("keys"), usize::from(dev.validators))?;
    let delegate_path = layout.at("keys").join("delegate.json");
    Ok(Site {
        layout: layout.clone(),
        chain_program: match &dev.chain_program {
            Some(path) => path
                .canonicalize()
                .with_context(|| format!("--chain-program {}", path.display()))?,
            None => binary.clone(),
        },
        binary,
        keys,
        delegate: keys::load_or_create(&delegate_path)?,
        delegate_path,
        api_key: layout.api_key()?,
        addresses,
        database_url: String::new(),
        gguf,
        spec,
        model_name,
        former: Vec::new(),
        plugin_config: None,
        kafka: None,
        slot_ms: dev.slot_ms,
    })
}

/// Finds a port for everything that listens; all that are taken are named at once.
fn addresses(dev: &Dev, services: &[Service]) -> Result<Addresses> {
    let database = Port {
        what: "database".into(),
        flag: "--database-port",
        wanted: dev.database_port,
    };
    let listed = services.iter().flat_map(|service| &service.ports);
    let wanted: Vec<Port> = listed.cloned().chain([database]).collect();
    let found = ports::reserve(&wanted)?;
    let of = |flag: &str| -> Vec<SocketAddr> {
        let pairs = wanted.iter().zip(&found);
        pairs
            .filter(|(port, _)| port.flag == flag)
            .map(|(_, address)| *address)
            .collect()
    };
    let one = |flag: &str| {
        let first = of(flag).first().copied();
        first.with_context(|| format!("nothing listens on {flag}"))
    };
    Ok(Addresses {
        gateway: one("--gateway-port")?,
        rpc: one("--rpc-port")?,
        ws: one("--ws-port")?,
        database: one("--database-port")?,
        nodes: of("--node-port"),
        provider: one("--provider-port")?,
    })
}

/// What `dev.json` says before any process runs.
fn dev_state(site: &Site, database_url: &str) -> DevState {
    let keys = [
        ("admin", &site.keys.admin),
        ("dev", &site.keys.dev),
        ("gateway", &site.keys.gateway),
        ("settler", &site.keys.settler),
        ("foundation", &site.keys.foundation),
        ("delegate", &site.delegate),
    ]
    .map(|(name, key)| {
        let info = KeyInfo {
            pubkey: key.pubkey().to_string(),
            path: site.keys.path(name),
        };
        (name.to_owned(), info)
    });
    let pairs = site.keys.validators.iter().zip(&site.addresses.nodes);
    let validators = pairs
        .enumerate()
        .map(|(index, ((authority, operator), address))| ValidatorInfo {
            authority: authority.pubkey().to_string(),
            operator: operator.pubkey().to_string(),
            endpoint: format!("http://{address}"),
            process: services::node_name(index + 1),
        });
    DevState {
        pid: std::process::id(),
        gateway_url: site.addresses.gateway_url(),
        api_key: site.api_key.clone(),
        rpc_url: site.addresses.rpc_url(),
        ws_url: site.addresses.ws_url(),
        database_url: database_url.to_owned(),
        binary: site.binary.clone(),
        data_dir: site.layout.root.clone(),
        model: site.model_name.clone(),
        slot_ms: site.slot_ms,
        programs: BTreeMap::from(
            [
                ("ai_precompiles", mythic_interface::AI_PRECOMPILES_ID),
                ("compute_market", mythic_interface::COMPUTE_MARKET_ID),
            ]
            .map(|(name, id)| (name.to_owned(), bs58::encode(id).into_string())),
        ),
        provider: Some(ProviderInfo {
            authority: site.keys.provider.0.pubkey().to_string(),
            operator: site.keys.provider.1.pubkey().to_string(),
            endpoint: site.addresses.provider_url(),
            process: "provider".into(),
        }),
        validators: validators.collect(),
        keys: BTreeMap::from(keys),
        ..DevState::default()
    }
}

fn launch(
    supervisor: &mut Supervisor,
    shared: &Shared,
    site: &Site,
    service: &Service,
) -> Result<()> {
    let text = (service.config)(site)?;
    let config = site.layout.write_config(&service.name, &text)?;
    let log = site.layout.log(&service.name);
    if let Ok(mut state) = shared.lock() {
        let info = ProcessInfo {
            log: log.clone(),
            config: config.clone(),
            ..ProcessInfo::default()
        };
        state.processes.insert(service.name.clone(), info);
    }
    supervisor.start(Process {
        name: service.name.clone(),
        binary: match service.ready {
            Ready::Chain => site.chain_program.clone(),
            _ => site.binary.clone(),
        },
        args: service
            .command
            .split(' ')
            .map(str::to_owned)
            .chain(["--config".into(), config.display().to_string()])
            .collect(),
        log,
    })
}

/// Waits until a service is what the next ones need.
async fn wait(service: &Service, site: &mut Site, stop: &CancellationToken) -> Result<()> {
    let layout = &site.layout;
    match service.ready {
        Ready::Started => Ok(()),
        Ready::Chain => {
            let chain = chain(site);
            ready::wait("the chain", layout, &service.name, stop, async || {
                chain.slot(Commitment::Processed).await.is_ok()
            })
            .await
        }
        Ready::Accounts => accounts(site).await,
        Ready::Leasing => {
            let http = Gateway::new(&site.addresses.provider_url(), None)?;
            ready::wait("the provider", layout, &service.name, stop, async || {
                http.get("/health").await.is_ok()
            })
            .await
        }
        Ready::Announced(count) => {
            let http = Gateway::new(&site.addresses.gateway_url(), Some(site.api_key.clone()))?;
            let what = "the gateway and its validators";
            ready::wait(what, layout, &service.name, stop, async || {
                http.get("/health").await.is_ok_and(|health| {
                    let announced = health["components"]["validators"]["announced"].as_u64();
                    announced.is_some_and(|announced| announced >= count)
                })
            })
            .await
        }
    }
}

fn chain(site: &Site) -> ChainClient {
    ChainClient::new(site.addresses.rpc_url(), site.addresses.ws_url())
}

/// Brings the chain's accounts to where inference can be sold.
async fn accounts(site: &mut Site) -> Result<()> {
    let (chain, provider) = (chain(site), services::provider(site));
    let plan = bootstrap::Plan {
        chain: &chain,
        keys: &site.keys,
        delegate: &site.delegate,
        spec: site.spec,
        model_name: &site.model_name,
        market: Market::at_pace(site.slot_ms),
        provider: &provider,
    };
    site.former = bootstrap::run(&plan).await?;
    let short = |identity: &[u8; 32]| hex::encode(identity.get(..4).unwrap_or_default());
    for model in &site.former {
        note!(
            "  Model {name}@{} is retired: this build serves the file as {name}@{}",
            short(&model.identity),
            short(&site.identity()),
            name = site.model_name
        );
    }
    Ok(())
}

fn publish(shared: &Mutex<DevState>, states: &States) {
    let Ok(mut shared) = shared.lock() else {
        return;
    };
    if let Ok(states) = states.lock() {
        for (name, state) in states.iter() {
            if let Some(info) = shared.processes.get_mut(name) {
                info.pid = state.pid;
                info.restarts = state.restarts;
            }
        }
    }
    if let Err(error) = shared.write() {
        tracing::error!("{error:#}");
    }
}
