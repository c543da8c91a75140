//! `mythic doctor`: what would keep Mythic from working here, and how to fix it.

mod binary;
mod bot;
mod disk;
mod finding;
mod flags;
mod plugin;
mod provider;
mod release;

use crate::{context::Connection, dev::state::DevState, proxy, units::sol};
use anyhow::Result;
use clap::{Args, Subcommand};
use finding::{Finding, Verdict};
use mythic_client::{Bids, Commitment};
use mythic_engine::device::cuda;
use mythic_interface::params::Params;
use mythic_model::catalogue as model;
use mythic_node::verify::purse;
use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

/// Room that a build, a model and a month of a development network take.
const WANTED_BYTES: u64 = 10 << 30;
/// Of `mythic dev`: gateway, chain, its WebSocket, database, the provider, and the nodes.
const DEFAULT_PORTS: [u16; 10] = [4002, 8899, 8900, 5442, 8070, 8080, 8081, 8082, 8083, 8084];

/// The doctor.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Doctor {
    #[command(subcommand)]
    command: Option<DoctorCommand>,
    /// Print JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum DoctorCommand {
    Plugin(plugin::Plugin),
    Provider(provider::ProviderCheck),
    Bot(bot::BotCheck),
}

/// Runs `mythic doctor`.
pub async fn run(doctor: Doctor, connection: &Connection) -> Result<()> {
    match doctor.command {
        Some(DoctorCommand::Plugin(plugin)) => plugin::run(plugin).await,
        Some(DoctorCommand::Provider(provider)) => provider::run(provider).await,
        Some(DoctorCommand::Bot(bot)) => bot::run(bot).await,
        None => network(doctor.json, connection).await,
    }
}

/// What keeps a network from working here. Fails if a check that `mythic dev` depends on fails.
async fn network(json: bool, connection: &Connection) -> Result<()> {
    let mut findings = vec![
        processor(),
        gpus(),
        postgres(),
        model_file(),
        disk(&connection.data_dir()),
        library(),
    ];
    findings.extend(proxies());
    // A network here, or whatever the flags and the environment point at.
    if connection.is_named() || DevState::read(&connection.data_dir()).is_ok() {
        findings.push(chain(connection).await);
        findings.push(gateway(connection).await);
        findings.extend(wallet(connection).await);
    } else {
        findings.push(ports());
    }
    finding::tell(&findings, json)
}

/// What the engine computes on.
fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let detail = format!("{cores} cores, {}", std::env::consts::ARCH);
    Finding::new("processor", Verdict::of(cores > 0), detail)
}

/// The GPUs that `device = "cuda"` would compute on; nothing is wrong without one.
fn gpus() -> Finding {
    const WHAT: &str = "GPU";
    let found = match cuda::find() {
        Ok(found) => found,
        Err(error) => {
            let detail = format!("{error}; answers are computed on the processor");
            return Finding::new(WHAT, Verdict::Note, detail);
        }
    };
    let told = found.iter().map(|gpu| {
        let (major, minor) = gpu.capability;
        let old = match gpu.capability < cuda::LEAST {
            true => ", too old for the kernels",
            false => "",
        };
        let memory = gpu.memory_bytes >> 20;
        format!("{} ({major}.{minor}, {memory} MiB{old})", gpu.name)
    });
    let told = told.collect::<Vec<_>>().join(", ");
    match found.iter().any(|gpu| gpu.capability >= cuda::LEAST) {
        true => Finding::good(WHAT, format!("{told}; device = \"cuda\" computes on it")),
        false => Finding::new(WHAT, Verdict::Note, told),
    }
}

fn postgres() -> Finding {
    let (good, detail) = match mythic_postgres::cluster::find_binaries() {
        Ok(found) => (
            true,
            format!("{} in {}", found.version, found.dir.display()),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding::new("PostgreSQL", Verdict::of(good), detail)
}

fn model_file() -> Finding {
    let path = model::cache_dir().map(|dir| dir.join(model::CATALOGUE[0].file));
    let (verdict, detail) = match path {
        Ok(path) if path.is_file() => (Verdict::Good, path.display().to_string()),
        Ok(path) => (
            Verdict::Note,
            format!(
                "not at {} yet; `mythic dev` and `mythic model pull` fetch it",
                path.display()
            ),
        ),
        Err(error) => (Verdict::Bad, error.to_string()),
    };
    Finding::new("model", verdict, detail)
}

fn disk(data_dir: &Path) -> Finding {
    let existing = data_dir
        .ancestors()
        .find(|dir| dir.exists())
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let (good, detail) = match nix::sys::statvfs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.blocks_available() * stat.fragment_size();
            (
                free >= WANTED_BYTES,
                format!("{} GiB free, {} wanted", free >> 30, WANTED_BYTES >> 30),
            )
        }
        Err(error) => (false, format!("{}: {error}", existing.display())),
    };
    Finding::new("disk", Verdict::of(good), detail)
}

fn library() -> Finding {
    let library =
        std::env::current_exe().map(|exe| exe.with_file_name("libmythic_geyser_plugin.so"));
    let (good, detail) = match library {
        Ok(path) if path.is_file() => (true, path.display().to_string()),
        Ok(path) => (
            false,
            format!("not at {}; `make build` builds it", path.display()),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding::new("plugin", Verdict::of(good), detail)
}

/// What a proxy variable does and does not change here.
fn proxies() -> Option<Finding> {
    let name = proxy::variable()?;
    Some(match proxy::others_go_direct() {
        true => Finding::new("proxy", Verdict::Good, format!("{name} excepts loopback")),
        false => Finding::new(
            "proxy",
            Verdict::Note,
            format!(
                "{name} is set; mythic dials loopback directly, for curl and the SDKs say NO_PROXY=localhost,127.0.0.1"
            ),
        ),
    })
}

fn ports() -> Finding {
    let taken: Vec<String> = DEFAULT_PORTS
        .into_iter()
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_err())
        .map(|port| port.to_string())
        .collect();
    let detail = match taken.as_slice() {
        [] => format!(
            "{} are free",
            DEFAULT_PORTS.map(|port| port.to_string()).join(", ")
        ),
        taken => format!(
            "in use: {}; the port flags in `mythic dev --help` choose others",
            taken.join(", ")
        ),
    };
    Finding::new("ports", Verdict::of(taken.is_empty()), detail)
}

async fn chain(connection: &Connection) -> Finding {
    let (good, detail) = match connection.chain().slot(Commitment::Processed).await {
        Ok(slot) => (
            true,
            format!("slot {slot} at {}", connection.chain_urls().0),
        ),
        Err(error) => (false, error.to_string()),
    };
    Finding::new("chain", Verdict::of(good), detail)
}

/// What a validator's operator should have on this network; the chain's own finding says if it does not answer.
async fn wallet(connection: &Connection) -> Option<Finding> {
    let (chain, least) = (connection.chain(), Params::mainnet().rules.min_stake.get());
    let reckoned = purse::recommended(&chain, &Bids::default(), least).await;
    let (lamports, largest) = reckoned.ok()?;
    let detail = format!(
        "an operator needs {} to claim against the largest stake here, {}",
        sol(lamports),
        sol(largest)
    );
    Some(Finding::new("wallet", Verdict::Note, detail))
}

/// The gateway's health, and which of its components is at fault.
async fn gateway(connection: &Connection) -> Finding {
    let answer = match connection.gateway() {
        Ok(gateway) => gateway
            .get("/health")
            .await
            .map(|health| (gateway.base().to_owned(), health)),
        Err(error) => Err(error),
    };
    let (base, health) = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::new("gateway", Verdict::Bad, error.to_string()),
    };
    let faults: Vec<String> = health["components"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, part)| part["state"] != "ok")
        .map(|(name, part)| format!("{name}: {}", part["state"].as_str().unwrap_or("unknown")))
        .collect();
    let lag = &health["index_lag_slots"];
    let mut detail = format!(
        "{} at {base}, index {} slots behind",
        crate::units::cell(&health["status"]),
        crate::units::cell(lag)
    );
    if !faults.is_empty() {
        detail.push_str(&format!("; {}", faults.join(", ")));
    }
    if health["reconciliation"]["ok"] == false {
        detail.push_str("; the books do not balance, see reconciliation in /health");
    }
    Finding::new("gateway", Verdict::of(health["status"] == "ok"), detail)
}
