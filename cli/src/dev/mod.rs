//! `mythic dev`: the whole network on one machine.

mod ask;
mod bootstrap;
mod cheat;
mod control;
mod layout;
mod ports;
mod ready;
pub mod state;
mod supervisor;

use crate::{exit::Exit, gateway::Gateway, model::fetch_with_progress, progress::Step};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use layout::Layout;
use mythic_api::{DevAccount, GatewayConfig, ModelConfig as GatewayModel, Outlay};
use mythic_client::{ChainClient, keys, keys::DevKeys};
use mythic_devnet::{DevnetConfig, ProgramConfig};
use mythic_indexer::IndexerConfig;
use mythic_interface::state::Model;
use mythic_node::{ModelConfig as NodeModel, NodeConfig};
use mythic_postgres::{Cluster, ClusterConfig};
use mythic_settler::SettlerConfig;
use mythic_verifier::{Policy, VerifierConfig};
use serde_json::json;
use solana_signer::Signer;
use state::{DevState, KeyInfo, ProcessInfo, ValidatorInfo};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Instant, SystemTime, UNIX_EPOCH},
};
use supervisor::{Process, States, Supervisor};
use tokio_util::sync::CancellationToken;

/// Name of the default model on chain and at the gateway.
const DEFAULT_NAME: &str = "smollm2-135m-instruct";
/// Any key means the DEV account on a development network; this one is printed.
const API_KEY: &str = "mythic-dev";
/// Stake of each validator: room for 200 jobs at once.
const STAKE_LAMPORTS: u64 = 10_000_000_000;
/// Pace of a manual network until it is ready.
const STARTING_SLOT_MS: u64 = 200;

/// Run the whole network on this machine: chain, database, indexer, settler, gateway and validators.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Ctrl-C stops it; the next start carries on where it stopped. Logs are in DATA_DIR/logs, \
                  endpoints and keys for scripts in DATA_DIR/dev.json."
)]
pub struct Dev {
    #[command(subcommand)]
    command: Option<DevCommand>,
    /// Forget the network in the data directory and start a new one
    #[arg(long)]
    reset: bool,
    /// Validators to run; they share one mapped copy of the weights
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=32))]
    validators: u8,
    /// Milliseconds a slot takes, or `manual`: then only `mythic dev warp` moves the chain
    #[arg(long, default_value = "400", value_parser = parse_slot_ms)]
    slot_ms: u64,
    /// Port of the gateway; 0 = any free one, as for every port
    #[arg(long, default_value_t = 4002)]
    gateway_port: u16,
    /// Port of the chain's JSON-RPC
    #[arg(long, default_value_t = 8899)]
    rpc_port: u16,
    /// Port of the chain's WebSocket
    #[arg(long, default_value_t = 8900)]
    ws_port: u16,
    /// Port of the first validator's node; the others follow it
    #[arg(long, default_value_t = 8080)]
    node_port: u16,
    /// Loopback port of the database (read-only role) for Grafana, JDBC and notebooks
    #[arg(long, default_value_t = 5442)]
    database_port: u16,
    /// GGUF file to serve instead of the default model
    #[arg(long)]
    model: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum DevCommand {
    /// Advance the running network by that many slots at once
    Warp {
        /// Slots
        slots: u64,
    },
    Cheat(cheat::Cheat),
    Ask(ask::Ask),
}

fn parse_slot_ms(text: &str) -> Result<u64, String> {
    match text {
        "manual" => Ok(0),
        _ => match text.parse() {
            Ok(ms @ 10..=60_000) => Ok(ms),
            _ => Err("10 to 60000, or `manual`".into()),
        },
    }
}

/// Runs `mythic dev`.
pub async fn run(dev: Dev, data_dir: &Path) -> Result<()> {
    match dev.command {
        Some(DevCommand::Warp { slots }) => return control::warp(data_dir, slots).await,
        Some(DevCommand::Cheat(cheat)) => return cheat.run(data_dir).await,
        Some(DevCommand::Ask(ask)) => return ask.run(data_dir).await,
        None => {}
    }
    let stop = crate::shutdown();
    let (layout, _lock) = layout::open(data_dir, dev.reset)?;
    let started = Instant::now();
    let work = start(&dev, &layout, &stop);
    tokio::select! {
        result = work => {
            let running = result?;
            eprintln!("Ready after {:.1} s.", started.elapsed().as_secs_f32());
            stop.cancelled().await;
            running.stop(&layout).await
        }
        // Children die with their handles, the database with its cluster.
        () = stop.cancelled() => Err(Exit::error(130, "stopped before the network was ready")),
    }
}

struct Running {
    supervisor: Supervisor,
    cluster: Cluster,
}

impl Running {
    async fn stop(self, layout: &Layout) -> Result<()> {
        let step = Step::new("Stopping");
        self.supervisor.stop().await;
        self.cluster.stop().await?;
        let _ = std::fs::remove_file(layout.at(state::FILE));
        step.done();
        Ok(())
    }
}

async fn start(dev: &Dev, layout: &Layout, stop: &CancellationToken) -> Result<Running> {
    let binary = std::env::current_exe().context("finding this executable")?;
    let count = usize::from(dev.validators);

    let mut wanted: Vec<(String, String, u16)> = vec![
        ("gateway".into(), "--gateway-port".into(), dev.gateway_port),
        ("chain RPC".into(), "--rpc-port".into(), dev.rpc_port),
        ("chain WebSocket".into(), "--ws-port".into(), dev.ws_port),
        (
            "database".into(),
            "--database-port".into(),
            dev.database_port,
        ),
    ];
    for index in 0..dev.validators {
        let port = if dev.node_port == 0 {
            0
        } else {
            dev.node_port.saturating_add(index.into())
        };
        wanted.push((
            format!("validator {}", index + 1),
            "--node-port".into(),
            port,
        ));
    }
    let ports = ports::reserve(&wanted)?;
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let [gateway_port, rpc_port, ws_port, database_port] = [ports[0], ports[1], ports[2], ports[3]];
    let rpc_url = format!("http://{}", local(rpc_port));
    let ws_url = format!("ws://{}", local(ws_port));
    let gateway_url = format!("http://{}", local(gateway_port));

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
    let keys = DevKeys::load_or_create(layout.at("keys"), count)?;
    let delegate_path = layout.at("keys").join("delegate.json");
    let delegate = keys::load_or_create(&delegate_path)?;

    let step = Step::new("Starting the database");
    let cluster = Cluster::start(ClusterConfig {
        data_dir: layout.at("postgres"),
        port: Some(database_port),
    })
    .await?;
    mythic_indexer::migrate(cluster.url())
        .await
        .context("preparing the database")?;
    step.done();

    let states: States = Arc::default();
    let mut dev_state = DevState {
        gateway_url: gateway_url.clone(),
        api_key: API_KEY.into(),
        rpc_url: rpc_url.clone(),
        ws_url: ws_url.clone(),
        database_url: cluster.readonly_url().to_owned(),
        binary: binary.clone(),
        data_dir: layout.root.clone(),
        model: model_name.clone(),
        programs: BTreeMap::from([(
            "ai_precompiles".into(),
            bs58::encode(mythic_interface::AI_PRECOMPILES_ID).into_string(),
        )]),
        ..DevState::default()
    };
    for (name, key) in [
        ("admin", &keys.admin),
        ("dev", &keys.dev),
        ("gateway", &keys.gateway),
        ("settler", &keys.settler),
        ("foundation", &keys.foundation),
    ] {
        dev_state.keys.insert(
            name.into(),
            KeyInfo {
                pubkey: key.pubkey().to_string(),
                path: keys.path(name),
            },
        );
    }
    dev_state.keys.insert(
        "delegate".into(),
        KeyInfo {
            pubkey: delegate.pubkey().to_string(),
            path: delegate_path.clone(),
        },
    );
    for (index, (authority, operator)) in keys.validators.iter().enumerate() {
        dev_state.validators.push(ValidatorInfo {
            authority: authority.pubkey().to_string(),
            operator: operator.pubkey().to_string(),
            endpoint: format!("http://{}", local(ports[4 + index])),
            process: format!("node-{}", index + 1),
        });
    }
    let shared = Arc::new(Mutex::new(dev_state));
    let on_change = {
        let (shared, states) = (shared.clone(), states.clone());
        Arc::new(move || publish(&shared, &states))
    };
    let mut supervisor = Supervisor::new(states, on_change);
    let mut launch = |name: &str, command: &str, config: PathBuf| -> Result<()> {
        let log = layout.log(name);
        if let Ok(mut state) = shared.lock() {
            state.processes.insert(
                name.into(),
                ProcessInfo {
                    log: log.clone(),
                    config: config.clone(),
                    ..ProcessInfo::default()
                },
            );
        }
        supervisor.start(Process {
            name: name.into(),
            binary: binary.clone(),
            args: vec![
                command.into(),
                "--config".into(),
                config.display().to_string(),
            ],
            log,
        })
    };

    let step = Step::new("Starting the chain");
    let so = layout.at("chain").join("mythic_ai_precompiles.so");
    std::fs::create_dir_all(layout.at("chain"))?;
    std::fs::write(&so, AI_PRECOMPILES_ELF)?;
    let mut chain = DevnetConfig {
        data_dir: layout.at("chain"),
        rpc_addr: local(rpc_port),
        ws_addr: local(ws_port),
        // A network that starts needs slots; the tests' own time begins at Ready.
        slot_ms: if dev.slot_ms == 0 {
            STARTING_SLOT_MS
        } else {
            dev.slot_ms
        },
        programs: vec![ProgramConfig {
            id: bs58::encode(mythic_interface::AI_PRECOMPILES_ID).into_string(),
            path: so,
            upgrade_authority: Some(keys.admin.pubkey().to_string()),
        }],
        ..DevnetConfig::default()
    };
    let genesis = {
        let chain = chain.clone();
        tokio::task::spawn_blocking(move || mythic_devnet::genesis_hash(&chain)).await??
    };
    chain.geyser_plugin_config = Some(layout::write_plugin_config(
        layout,
        &binary,
        &genesis.to_string(),
    )?);
    launch("chain", "chain", layout.write_config("chain", &chain)?)?;
    let client = ChainClient::new(rpc_url.clone(), ws_url.clone());
    ready::wait("the chain", layout, "chain", stop, async || {
        client
            .slot(mythic_client::Commitment::Processed)
            .await
            .is_ok()
    })
    .await?;
    step.done();

    let step = Step::new("Preparing accounts on chain");
    // The indexer first, so that it sees the very first accounts live.
    let indexer = IndexerConfig {
        database_url: cluster.url().to_owned(),
        spool_dir: layout.at("spool"),
        ..IndexerConfig::default()
    };
    launch(
        "indexer",
        "indexer",
        layout.write_config("indexer", &indexer)?,
    )?;
    let plan = bootstrap::Plan {
        chain: &client,
        keys: &keys,
        delegate: &delegate,
        spec,
        model_name: &model_name,
    };
    let former = bootstrap::run(&plan).await?;
    step.done();
    for model in &former {
        eprintln!(
            "  Model {model_name}@{} is retired: this build serves the file as {model_name}@{}",
            short(&model.identity),
            short(&spec.identity())
        );
    }

    let step = Step::new(format!("Starting settler, gateway and {count} validators"));
    let settler = SettlerConfig {
        database_url: cluster.url().to_owned(),
        rpc_url: rpc_url.clone(),
        ws_url: ws_url.clone(),
        keypair_path: keys.path("settler"),
        ..SettlerConfig::default()
    };
    launch(
        "settler",
        "settler",
        layout.write_config("settler", &settler)?,
    )?;
    let gateway = GatewayConfig {
        listen: local(gateway_port),
        public_url: gateway_url.clone(),
        database_url: cluster.url().to_owned(),
        rpc_url: rpc_url.clone(),
        ws_url: ws_url.clone(),
        keypair_path: keys.path("gateway"),
        master_key_file: layout.at("gateway").join("master.key"),
        // The first is what the bare name means; the jobs of the others are still shown and settled.
        models: std::iter::once(spec.identity())
            .chain(former.iter().map(|model: &Model| model.identity))
            .map(|identity| GatewayModel {
                name: model_name.clone(),
                identity: hex::encode(identity),
                gguf: gguf.clone(),
            })
            .collect(),
        dev: true,
        outlay: Outlay::generous(),
        dev_account: Some(DevAccount {
            owner: keys.dev.pubkey().to_string(),
            delegate_keypair_path: delegate_path,
        }),
        ..GatewayConfig::default()
    };
    launch(
        "gateway",
        "gateway",
        layout.write_config("gateway", &gateway)?,
    )?;
    for index in 0..count {
        let name = format!("node-{}", index + 1);
        let node = NodeConfig {
            data_dir: layout.at("nodes").join((index + 1).to_string()),
            authority_keypair: Some(keys.path(&format!("validator-{index}"))),
            operator_keypair: keys.path(&format!("operator-{index}")),
            rpc_url: rpc_url.clone(),
            ws_url: ws_url.clone(),
            gateways: vec![gateway_url.clone()],
            listen: local(ports[4 + index]),
            models: vec![NodeModel {
                path: gguf.clone(),
                identity: Some(hex::encode(spec.identity())),
            }],
            stake_lamports: STAKE_LAMPORTS,
            allow_loopback: true,
            // A development network has few jobs, and whoever tries a cheat wants to see it caught.
            verifier: VerifierConfig {
                policy: Policy::All,
                ..VerifierConfig::default()
            },
            ..NodeConfig::default()
        };
        launch(&name, "node", layout.write_config(&name, &node)?)?;
    }
    let http = Gateway::new(&gateway_url, Some(API_KEY.into()))?;
    ready::wait(
        "the gateway and its validators",
        layout,
        "gateway",
        stop,
        async || {
            http.get("/health").await.is_ok_and(|health| {
                let announced = health["components"]["validators"]["announced"].as_u64();
                announced.is_some_and(|announced| announced >= count as u64)
            })
        },
    )
    .await?;
    step.done();

    let step =
        Step::new("Running the network's own first job: paid, answered, fingerprinted, indexed");
    let job = ready::first_job(&http, &model_name, layout, stop).await?;
    step.done();

    if dev.slot_ms == 0 {
        chain.slot_ms = 0;
        layout.write_config("chain", &chain)?;
        control::rpc(&rpc_url, "mythic_setSlotMs", json!([0])).await?;
    }

    let device = match shared
        .lock()
        .ok()
        .map(|state| state.validators[0].endpoint.clone())
    {
        Some(node) => ready::device(&node).await,
        None => None,
    };
    let ready = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|time| time.as_secs())
        .unwrap_or_default();
    if let Ok(mut state) = shared.lock() {
        state.ready_at = Some(ready);
        state.own_job = Some(job);
        state.write()?;
        ready::announce(&state, device.as_deref(), dev.slot_ms);
    }
    Ok(Running {
        supervisor,
        cluster,
    })
}

/// The program that a new chain deploys.
const AI_PRECOMPILES_ELF: &[u8] = include_bytes!("../../../programs/elf/mythic_ai_precompiles.so");

fn short(identity: &[u8; 32]) -> String {
    hex::encode(&identity[..4])
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
