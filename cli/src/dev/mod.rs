//! `mythic dev`: the whole network on one machine.

mod bootstrap;
mod ports;
pub mod state;
mod supervisor;

use crate::{
    exit::{self, Exit},
    gateway::Gateway,
    model::fetch_with_progress,
    progress::Step,
    units::sol,
};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use mythic_api::{DevAccount, GatewayConfig, ModelConfig as GatewayModel};
use mythic_client::{ChainClient, keys, keys::DevKeys};
use mythic_devnet::{DevnetConfig, ProgramConfig};
use mythic_indexer::{
    IndexerConfig,
    cluster::{Cluster, ClusterConfig},
    settler::SettlerConfig,
};
use mythic_inference::node::{ModelConfig as NodeModel, NodeConfig};
use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde_json::{Value, json};
use solana_signer::Signer;
use state::{DevState, KeyInfo, ProcessInfo, ValidatorInfo};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use supervisor::{Process, States, Supervisor};
use tokio_util::sync::CancellationToken;

/// Name of the model on chain and at the gateway.
const MODEL_NAME: &str = "smollm2-135m-instruct";
/// Any key means the DEV account on a development network; this one is printed.
const API_KEY: &str = "mythic-dev";
/// Stake of each validator: room for 200 jobs at once.
const STAKE_LAMPORTS: u64 = 10_000_000_000;
/// Pace of a manual network until it is ready.
const STARTING_SLOT_MS: u64 = 200;
const STEP_PATIENCE: Duration = Duration::from_secs(90);

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

struct Layout {
    root: PathBuf,
}

impl Layout {
    fn at(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn log(&self, process: &str) -> PathBuf {
        self.root.join("logs").join(format!("{process}.log"))
    }

    fn config(&self, process: &str) -> PathBuf {
        self.root.join("config").join(format!("{process}.toml"))
    }

    fn write_config(&self, process: &str, config: &impl Serialize) -> Result<PathBuf> {
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

/// Runs `mythic dev`.
pub async fn run(dev: Dev, data_dir: &Path) -> Result<()> {
    if let Some(DevCommand::Warp { slots }) = dev.command {
        return warp(data_dir, slots).await;
    }
    let stop = crate::shutdown();
    let (layout, _lock) = open(data_dir, dev.reset)?;
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

async fn warp(data_dir: &Path, slots: u64) -> Result<()> {
    let state = DevState::read(data_dir)?;
    println!(
        "{}",
        rpc(&state.rpc_url, "mythic_advanceSlots", json!([slots])).await?
    );
    Ok(())
}

/// Calls a method of the development chain.
async fn rpc(url: &str, method: &str, params: Value) -> Result<Value> {
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let unreachable = |error: reqwest::Error| {
        Exit::error(
            exit::UNREACHABLE,
            format!("no chain at {url}: {error}; start one with `make dev`"),
        )
    };
    let response = reqwest::Client::new().post(url).json(&request).send().await;
    let answer: Value = response.map_err(unreachable)?.json().await?;
    match answer["error"]["message"].as_str() {
        Some(message) => bail!("{method}: {message}"),
        None => Ok(answer["result"].clone()),
    }
}

/// Makes the data directory, after forgetting what was there if `reset`, and locks it.
fn open(data_dir: &Path, reset: bool) -> Result<(Layout, Flock<std::fs::File>)> {
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
    chain.geyser_plugin_config = Some(write_plugin_config(layout, &binary, &genesis.to_string())?);
    launch("chain", "chain", layout.write_config("chain", &chain)?)?;
    let client = ChainClient::new(rpc_url.clone(), ws_url.clone());
    wait("the chain", layout, "chain", stop, async || {
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
        model_name: MODEL_NAME,
    };
    bootstrap::run(&plan).await?;
    step.done();

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
        models: vec![GatewayModel {
            name: MODEL_NAME.into(),
            identity: hex::encode(spec.identity()),
            gguf: gguf.clone(),
        }],
        dev: true,
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
                identity: None,
            }],
            stake_lamports: STAKE_LAMPORTS,
            allow_loopback: true,
            ..NodeConfig::default()
        };
        launch(&name, "node", layout.write_config(&name, &node)?)?;
    }
    let http = Gateway::new(&gateway_url, Some(API_KEY.into()))?;
    wait(
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
    let job = first_job(&http, layout, stop).await?;
    step.done();

    if dev.slot_ms == 0 {
        chain.slot_ms = 0;
        layout.write_config("chain", &chain)?;
        rpc(&rpc_url, "mythic_setSlotMs", json!([0])).await?;
    }

    let ready = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|time| time.as_secs())
        .unwrap_or_default();
    if let Ok(mut state) = shared.lock() {
        state.ready_at = Some(ready);
        state.own_job = Some(job);
        state.write()?;
        announce(&state, dev.slot_ms);
    }
    Ok(Running {
        supervisor,
        cluster,
    })
}

/// The program that a new chain deploys.
const AI_PRECOMPILES_ELF: &[u8] = include_bytes!("../../../programs/elf/mythic_ai_precompiles.so");

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

fn write_plugin_config(layout: &Layout, binary: &Path, genesis_hash: &str) -> Result<PathBuf> {
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

async fn wait(
    what: &str,
    layout: &Layout,
    process: &str,
    stop: &CancellationToken,
    mut ready: impl AsyncFnMut() -> bool,
) -> Result<()> {
    let deadline = Instant::now() + STEP_PATIENCE;
    while !ready().await {
        if stop.is_cancelled() {
            bail!("stopped");
        }
        if Instant::now() > deadline {
            let log = layout.log(process);
            let tail = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = tail.lines().rev().take(8).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            return Err(Exit::error(
                exit::UNREACHABLE,
                format!(
                    "{what} did not come up within {} s. The end of {}:\n{}",
                    STEP_PATIENCE.as_secs(),
                    log.display(),
                    tail.join("\n")
                ),
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Buys one short answer as a user would and waits until the API shows it fingerprinted from the index.
async fn first_job(gateway: &Gateway, layout: &Layout, stop: &CancellationToken) -> Result<String> {
    let body = json!({
        "model": MODEL_NAME,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_completion_tokens": 8,
        "temperature": 0,
    });
    let deadline = Instant::now() + STEP_PATIENCE;
    let answer = loop {
        match gateway.post("/v1/chat/completions", &body).await {
            Ok(answer) => break answer,
            // A restarted network may still know validators by the endpoints of its last run.
            Err(error)
                if error
                    .downcast_ref::<Exit>()
                    .is_some_and(|error| error.code == exit::UNREACHABLE)
                    && Instant::now() < deadline
                    && !stop.is_cancelled() =>
            {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Err(error) => return Err(error).context("the network's first job"),
        }
    };
    let job = answer["mythic"]["job"]
        .as_str()
        .context("the gateway's answer names no job")?
        .to_owned();
    wait(
        &format!("job {job} in the index"),
        layout,
        "indexer",
        stop,
        async || {
            gateway
                .get(&format!("/v1/jobs/{job}"))
                .await
                .is_ok_and(|job| {
                    job["fingerprint"].is_string()
                        && matches!(job["status"].as_str(), Some("submitted" | "settled"))
                })
        },
    )
    .await?;
    Ok(job)
}

fn announce(state: &DevState, slot_ms: u64) {
    let url = &state.gateway_url;
    println!("\nMythic development network");
    println!("  gateway    {url}/v1        (OpenAI base URL; {url}/ shows the network)");
    println!(
        "  API key    {}        (any key pays from the DEV account's vault)",
        state.api_key
    );
    println!("  model      {MODEL_NAME}");
    println!("  chain      {}   {}", state.rpc_url, state.ws_url);
    println!("  database   {}   (read-only)", state.database_url);
    println!("  binary     {}", state.binary.display());
    println!(
        "  data       {}   (logs/, dev.json)",
        state.data_dir.display()
    );
    for name in ["dev", "admin"] {
        if let Some(key) = state.keys.get(name) {
            println!(
                "  key        {name:<6} {}   {}",
                key.pubkey,
                key.path.display()
            );
        }
    }
    println!(
        "             funded; development only. {} in the DEV vault at least.",
        sol(100 * crate::units::LAMPORTS_PER_SOL)
    );
    if let Some(job) = &state.own_job {
        println!("  first job  {job}   (the network's own; settles 100 slots after its result)");
    }
    if slot_ms == 0 {
        println!("  slots      manual: `mythic dev warp N` advances the chain");
    }
    println!(
        "\n  curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {}' -H 'Content-Type: application/json' \\\n    -d '{{\"model\":\"{MODEL_NAME}\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'\n",
        state.api_key
    );
}
