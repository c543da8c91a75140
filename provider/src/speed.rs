//! How fast the engines of this machine answer: measured while all units are at work and a proof of each is computed beside them, and kept
//! in the data directory. No lease is promised a floor that was not measured.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use mythic_engine::{Engine, EngineConfig, GenerateRequest, Sampler};
use mythic_interface::{hash::Hash, market::state::Probe};
use mythic_model::prompt::Message;
use mythic_support::files;
use serde::{Deserialize, Serialize};
use solana_pubkey::Pubkey;
use tokio_util::sync::CancellationToken;

use crate::{
    config::ProviderConfig,
    intake::fit::Decline,
    proof::{Shape, computer::Computer},
    spec::{FLOOR_ANSWER, FLOOR_PROMPT},
};

/// Tokens that each engine makes while it is measured, and before: the first ones wait for the weights to be read.
const TOKENS: u32 = 4 * FLOOR_ANSWER;
const FIRST_TOKENS: u32 = 8;
/// What all are asked; the answer is long.
const QUESTION: &str = "Count from one to five hundred in words, one number a line.";
/// Of what was measured, the part that may be promised: a machine is not the same every day.
const PROMISED: f64 = 0.9;

/// What was measured of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Tokens a second of the slowest engine, each with one answer under way.
    pub tokens_per_second: f64,
    /// Engines that were at work, of one unit each.
    pub units: u16,
    /// Threads of each.
    pub threads: usize,
}

impl Speed {
    /// The largest floor that may be promised.
    pub fn floor(&self) -> u32 {
        // Saturates, and is 0 where nothing was measured.
        (self.tokens_per_second * PROMISED) as u32
    }

    /// Whether it says something of a provider as it is configured now.
    fn is_of(&self, config: &ProviderConfig) -> bool {
        self.units >= config.units && self.threads == config.threads_of(1)
    }
}

/// What was measured here, by the hex SHA-256 of the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Speeds(BTreeMap<String, Speed>);

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("speeds.json")
}

impl Speeds {
    /// Everything that was measured with a data directory.
    pub fn read(data_dir: &Path) -> Result<Self> {
        let path = path(data_dir);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                let path = path.display();
                format!("{path} is damaged: remove it, and measure again")
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// What holds for a provider as it is configured: nothing where more units or other threads were configured since.
    pub fn of(config: &ProviderConfig) -> Self {
        let mut speeds = Self::read(&config.data_dir).unwrap_or_else(|error| {
            tracing::warn!("no floor is promised: {error:#}");
            Self::default()
        });
        speeds.0.retain(|_, speed| speed.is_of(config));
        speeds
    }

    /// Keeps what was measured of some weights.
    pub fn keep(&mut self, data_dir: &Path, weights: &Hash, speed: Speed) -> Result<()> {
        self.0.insert(hex::encode(weights), speed);
        files::private_dir(data_dir)?;
        Ok(files::replace(
            &path(data_dir),
            &serde_json::to_vec_pretty(self)?,
        )?)
    }

    /// Refuses a floor that was not measured of these weights, in hex, with as many units at work as are offered.
    pub fn check(&self, weights: &str, floor: Option<u32>, units: u16) -> Result<(), Decline> {
        let Some(asked) = floor else {
            return Ok(());
        };
        let measured = self.0.get(weights).filter(|speed| speed.units >= units);
        match measured.map(Speed::floor) {
            Some(most) if asked <= most => Ok(()),
            Some(most) => Err(Decline::Floor { asked, most }),
            None => Err(Decline::Unmeasured(asked)),
        }
    }
}

/// Measures a model as a provider with this configuration serves it: an engine for each unit, all at work until the last one is measured,
/// and a proof of the class for each computed meanwhile. Takes as long as that takes; not for a thread of an async runtime.
pub fn measure(model: &Path, config: &ProviderConfig, probe: &Probe) -> Result<Speed> {
    let threads = config.threads_of(1);
    let load = |_| {
        let config = EngineConfig {
            device: config.device.clone(),
            threads,
            kv_bytes: config.kv_bytes,
            // What is asked here repeats itself, and what is promised must hold for any text.
            speculation: false,
            ..EngineConfig::default()
        };
        Engine::load(model, config).with_context(|| format!("loading {}", model.display()))
    };
    let engines = (0..config.units).map(load).collect::<Result<Vec<_>>>()?;
    let computer = &Computer::open(&config.device)?;
    let shape = Shape {
        lease: Pubkey::new_from_array([1; 32]),
        epoch: 1,
        hash: [2; 32],
        size: (1, probe.rounds.get(), probe.n.get()),
    };
    let over = &AtomicBool::new(false);
    let prove = || {
        while !over.load(Ordering::Relaxed) {
            std::hint::black_box(computer.compute(&shape).root());
        }
    };
    let (sender, measured) = mpsc::channel();
    let speeds = thread::scope(|scope| {
        let works = engines.iter().map(|engine| {
            let sender = sender.clone();
            scope.spawn(prove);
            scope.spawn(move || work(engine, sender, over))
        });
        let works: Vec<_> = works.collect();
        drop(sender);
        // Ends once each has told its own, or is gone.
        let speeds: Result<Vec<f64>> = measured.iter().collect();
        over.store(true, Ordering::Relaxed);
        let ended: Vec<_> = works.into_iter().map(|work| work.join()).collect();
        ensure!(
            ended.iter().all(Result::is_ok),
            "an engine's thread panicked"
        );
        speeds
    });
    let slowest = speeds?.into_iter().reduce(f64::min);
    Ok(Speed {
        tokens_per_second: slowest.context("no units are configured")?,
        units: config.units,
        threads,
    })
}

/// Measures an engine, tells what was found, and goes on until all is over: the others are measured beside it.
fn work(engine: &Engine, measured: mpsc::Sender<Result<f64>>, over: &AtomicBool) {
    let _ = measured.send(run(engine));
    drop(measured);
    while !over.load(Ordering::Relaxed) && tokens(engine, 0, TOKENS).is_ok() {}
}

/// Tokens a second of one engine with one answer under way.
fn run(engine: &Engine) -> Result<f64> {
    tokens(engine, 0, FIRST_TOKENS)?;
    let (started, mut made) = (Instant::now(), 0);
    let mut turn = 1;
    while made < TOKENS {
        made += tokens(engine, turn, FLOOR_ANSWER)?;
        turn += 1;
    }
    Ok(f64::from(made) / started.elapsed().as_secs_f64())
}

/// A prompt as long as a floor covers, and of each turn another one: nothing of it is kept from the turn before.
fn prompt(engine: &Engine, turn: u32) -> Result<Vec<u32>> {
    let mut text = format!("Question {turn}.");
    loop {
        text = format!("{text} {QUESTION}");
        let message = Message::new("user", text.as_str());
        let ids = engine.formatter().chat(&[message])?;
        if ids.len() >= FLOOR_PROMPT as usize {
            return Ok(ids);
        }
    }
}

/// Makes an answer; how many tokens it has.
fn tokens(engine: &Engine, turn: u32, most: u32) -> Result<u32> {
    let request = GenerateRequest {
        prompt_ids: prompt(engine, turn)?,
        max_tokens: most,
        sampler: Sampler::Free {
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        },
        stop: Vec::new(),
        logprobs: false,
    };
    let mut steps = engine.generate(request, CancellationToken::new())?;
    let mut made = 0;
    while let Some(step) = steps.blocking_recv() {
        step?;
        made += 1;
    }
    ensure!(made > 0, "the model answers with no token");
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: Hash = [7; 32];

    fn speed(units: u16, threads: usize) -> Speed {
        Speed {
            tokens_per_second: 50.5,
            units,
            threads,
        }
    }

    #[test]
    fn a_floor_is_promised_up_to_what_was_measured_of_these_weights_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        let none = Speeds::read(dir.path()).unwrap();
        assert!(
            none.check(&hex::encode(WEIGHTS), None, 1).is_ok(),
            "nothing is promised"
        );
        let unknown = none.check(&hex::encode(WEIGHTS), Some(1), 1).unwrap_err();
        assert!(unknown.to_string().contains("not measured"), "{unknown}");
        let mut speeds = none;
        speeds.keep(dir.path(), &WEIGHTS, speed(1, 2)).unwrap();
        let read = Speeds::read(dir.path()).unwrap();
        assert_eq!(read, speeds);
        // Nine tenths of 50.5.
        assert!(read.check(&hex::encode(WEIGHTS), Some(45), 1).is_ok());
        let refused = read.check(&hex::encode(WEIGHTS), Some(46), 1).unwrap_err();
        assert!(refused.to_string().contains("at most 45"), "{refused}");
        assert!(!refused.is_passing());
        assert!(read.check("08", Some(1), 1).is_err());
        fs::write(path(dir.path()), b"{").unwrap();
        let damaged = Speeds::read(dir.path()).unwrap_err().to_string();
        assert!(damaged.contains("measure again"), "{damaged}");
    }

    #[test]
    fn what_was_measured_with_fewer_units_or_other_threads_promises_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = |units: u16, threads: usize| ProviderConfig {
            data_dir: dir.path().to_path_buf(),
            units,
            threads,
            ..ProviderConfig::default()
        };
        let mut speeds = Speeds::default();
        speeds.keep(dir.path(), &WEIGHTS, speed(2, 3)).unwrap();
        for (units, threads, holds) in [(2, 3, true), (1, 3, true), (3, 3, false), (2, 4, false)] {
            let found = Speeds::of(&config(units, threads));
            let weights = hex::encode(WEIGHTS);
            assert_eq!(found.check(&weights, Some(1), units).is_ok(), holds);
            // More may be offered on the chain than are configured.
            assert!(found.check(&weights, Some(1), 3).is_err());
        }
    }
}
