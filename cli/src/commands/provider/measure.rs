//! `mythic provider measure`: how long the proof of a class takes here, and how fast the engines of a configured provider answer.

use crate::{
    config,
    context::Connection,
    exit::{self, Exit},
    progress::Step,
    report::Report,
};
use anyhow::{Context, Result};
use clap::Args;
use mythic_client::ChainClient;
use mythic_engine::Choice;
use mythic_interface::market::state::Probe;
use mythic_model::catalogue::file_sha256;
use mythic_provider::{
    ProviderConfig, measure, setup,
    speed::{self, Speed, Speeds},
};
use serde_json::json;
use std::path::PathBuf;

/// Compute the proof of one unit of a class and say how long it takes here, and which share of an epoch. Exit code 6 if it is not made
/// in time. A class of GPUs is measured on one: --device cuda, or the configuration's. With --config also how fast each model answers
/// while all units are at work, which is kept: the provider promises no floor in tokens a second beyond nine tenths of that
#[derive(Args, Debug)]
pub struct Measure {
    /// The class, by its name on chain [default: cpu, or that of the configuration]
    #[arg(long, conflicts_with = "config")]
    class: Option<String>,
    /// Units that are proved one after the other [default: 1, or those of the configuration]
    #[arg(long, conflicts_with = "config")]
    units: Option<u16>,
    /// What computes the proof: cpu, cuda or auto [default: cpu, or that of the configuration]
    #[arg(long, conflicts_with = "config")]
    device: Option<Choice>,
    /// TOML file of the provider, while it does not run: its class, units and models
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Measure {
    /// Runs it.
    pub async fn run(self, connection: &Connection) -> Result<()> {
        let own: Option<ProviderConfig> = match self.config.as_deref() {
            Some(file) => Some(config::load(Some(file))?),
            None => None,
        };
        let (chain, name, units) = match &own {
            Some(config) => (
                ChainClient::new(&config.rpc_url, &config.ws_url),
                config.class.clone(),
                config.units,
            ),
            None => (
                connection.chain(),
                self.class.unwrap_or_else(|| "cpu".into()),
                self.units.unwrap_or(1),
            ),
        };
        let grid = setup::market(&chain).await?.grid;
        let (_, class) = setup::class(&chain, &name).await?;
        let probe = class.probe;
        let step = Step::new("Computing a proof");
        let device = match &own {
            Some(config) => config.device.clone(),
            None => self.device.unwrap_or_default(),
        };
        let measured =
            tokio::task::spawn_blocking(move || measure::measure(&class, &grid, &device)).await?;
        let measured = measured
            .map_err(|error| Exit::error(exit::CANNOT_SAY, format!("{error}; not measured")))?;
        step.done();
        let (share, good) = (measured.share(units), measured.is_in_time(units));
        let seconds = measured.proof.as_secs_f64();
        let allowed = measured.allowed.as_secs_f64();
        let mut report = Report::default();
        report
            .add("class", name.clone())
            .add("side", probe.n.get())
            .add("rounds", probe.rounds.get())
            .say("proof", format!("{seconds:.2} s a unit"), seconds)
            .say(
                "allowed",
                format!("{allowed:.1} s from the beginning of an epoch"),
                allowed,
            )
            .say(
                "share",
                format!("{:.2} % of an epoch", 100.0 * share),
                share,
            )
            .add("units", units)
            .say("in_time", if good { "yes" } else { "no" }, good);
        if let Some(config) = own {
            let speeds = speeds(config, probe).await?;
            let told = speeds.iter().map(|(file, speed)| {
                let (made, floor) = (speed.tokens_per_second, speed.floor());
                format!("{file}: {made:.1} tokens a second, promises at most {floor}")
            });
            let told = told.collect::<Vec<_>>().join("; ");
            let values: Vec<_> = speeds
                .iter()
                .map(|(file, speed)| {
                    json!({
                        "model": file,
                        "tokens_per_second": speed.tokens_per_second,
                        "floor": speed.floor(),
                    })
                })
                .collect();
            report.say("speeds", told, values);
        }
        report.print(self.json)?;
        match good {
            true => Ok(()),
            false => Err(Exit::error(
                exit::CHECK_FAILED,
                format!(
                    "proofs of {units} units take more than half of the time in which they are taken: offer fewer units of class {name:?}"
                ),
            )),
        }
    }
}

/// Measures every model of a configuration and keeps what it finds; by the files.
async fn speeds(config: ProviderConfig, probe: Probe) -> Result<Vec<(String, Speed)>> {
    let mut kept = Speeds::read(&config.data_dir)?;
    let mut found = Vec::new();
    for model in config.models.clone() {
        let file = model.display().to_string();
        let step = Step::new(format!("Measuring {file} with {} units", config.units));
        let (config, path) = (config.clone(), model.clone());
        let measuring = move || -> Result<_> {
            let weights = file_sha256(&path).with_context(|| path.display().to_string())?;
            Ok((weights, speed::measure(&path, &config, &probe)?))
        };
        let (weights, speed) = tokio::task::spawn_blocking(measuring).await??;
        step.done();
        found.push((weights, file, speed));
    }
    for (weights, _, speed) in &found {
        kept.keep(&config.data_dir, weights, *speed)?;
    }
    let told = found.into_iter().map(|(_, file, speed)| (file, speed));
    Ok(told.collect())
}
