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
    /// How many seeds in all.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed: what was played up to it before is left out.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// All seeds in this profile; without it they are dealt over all of them, each to one.
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
            // The last one is the same wherever it begins.
            let seeds = arguments.from..(arguments.seeds + 1).max(arguments.from + 1);
            run::play_many(run::deal(&profiles, seeds), at_once).await?
        }
    };
    Ok(match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
