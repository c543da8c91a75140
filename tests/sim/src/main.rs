//! `make sim`: plays seeds, prints what differs and how to play it again.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use mythic_sim::{Profile, run};

/// Simulated networks: the indexer against a plain model of the true chain.
#[derive(Parser)]
struct Arguments {
    /// Play this seed alone, and make it smaller if it fails.
    #[arg(long, requires = "profile")]
    seed: Option<u64>,
    /// With --seed: the rule that the smaller story has to break too; without it, the first that is broken.
    #[arg(long, requires = "seed")]
    rule: Option<String>,
    /// How many seeds of each profile, from the first on.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// One profile; all of them without it.
    #[arg(long)]
    profile: Option<Profile>,
    /// Seeds played at once; without it, three per processor, since each waits for its server now and then.
    #[arg(long)]
    at_once: Option<usize>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let passed = match (arguments.seed, arguments.profile) {
        (Some(seed), Some(profile)) => {
            run::replay(profile, seed, arguments.rule.as_deref()).await?
        }
        (_, profile) => {
            let profiles = profile.map_or(Profile::ALL.to_vec(), |profile| vec![profile]);
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            let at_once = arguments.at_once.unwrap_or(3 * cores);
            let seeds = arguments.from..arguments.from + arguments.seeds;
            run::play_many(&profiles, seeds, at_once).await?
        }
    };
    Ok(match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
