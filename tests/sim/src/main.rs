//! `make sim`: plays seeds, prints what differs and how to play it again.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use mythic_sim::{Profile, run};

/// Seeds where none are named: of networks, and of schedules of a provider, which take a small part of the time.
const NETWORKS: u64 = 200;
const SCHEDULES: u64 = 1_000;

/// Simulated networks: the indexer against a plain model of the true chain; and, in the profile `provider`, a provider of the Compute Market
/// that is killed, against the market's own program.
#[derive(Parser)]
struct Arguments {
    /// Play this seed alone, and make it smaller if it fails.
    #[arg(long, requires = "profile")]
    seed: Option<u64>,
    /// With --seed: the rule that the smaller story has to break too; without it, the first that is broken.
    #[arg(long, requires = "seed")]
    rule: Option<String>,
    /// How many seeds in all; without it 200 of networks and 1,000 of a provider.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed: what was played up to it before is left out.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// All seeds in this profile; without it they are dealt over all networks, each to one, and as many are played of a provider.
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
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            let at_once = arguments.at_once.unwrap_or(3 * cores);
            // The last one is the same wherever it begins.
            let seeds = |default: u64| {
                let last = arguments.seeds.unwrap_or(default);
                arguments.from..(last + 1).max(arguments.from + 1)
            };
            let schedules = || run::deal(&[Profile::Provider], seeds(SCHEDULES));
            let dealt = match profile {
                Some(Profile::Provider) => schedules(),
                Some(profile) => run::deal(&[profile], seeds(NETWORKS)),
                None => {
                    let networks = run::deal(&Profile::ALL, seeds(NETWORKS));
                    networks.into_iter().chain(schedules()).collect()
                }
            };
            run::play_many(dealt, at_once).await?
        }
    };
    Ok(match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
