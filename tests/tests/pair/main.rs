//! A network of two machines' worth: chains (one follows the other), gateways, indexers and nodes on both, one database and one broker,
//! and a way between them on which bytes come late, get lost, stall and break.
//!
//! `make pair`: ten minutes (`MYTHIC_PAIR_SECONDS`) under load, while one process after the other is killed or stopped. At the end
//! every job is terminal, the vaults spent what the jobs cost, what both chains' plugins say agrees, the index says of every
//! account what both RPCs say, and no process is left. It begins with a short one with two kills. Two networks on one machine are too
//! much for `make test`, which starts neither.

mod far;
mod faults;
mod netem;
mod world;

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use mythic_e2e::{
    PATIENCE,
    load::{self, Tally},
};

use crate::{netem::Late, world::World};

/// Clients of each gateway.
const CLIENTS: u64 = 3;

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs a test with threads of its own: what comes late may be so for all of them.
fn run(test: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(test)
}

/// Sees to it that somebody is answered all the time until `end`.
async fn goes_on(tally: &Tally, end: Instant) -> Result<()> {
    let (mut answered, mut since, mut longest) = (0, Instant::now(), Duration::ZERO);
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = tally.answered.load(Ordering::Relaxed);
        longest = longest.max(since.elapsed());
        if now > answered {
            (answered, since) = (now, Instant::now());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "nobody was answered for {PATIENCE:?}: {tally:?}"
        );
    }
    println!(
        "longest time without an answer: {:.0} s",
        longest.as_secs_f64()
    );
    ensure!(answered > 0, "nobody was answered: {tally:?}");
    Ok(())
}

#[test]
#[ignore = "ten minutes: make pair"]
fn two_machines_under_load_and_kills_lose_no_job_and_no_lamport() -> Result<()> {
    let name = "two_machines_under_load_and_kills_lose_no_job_and_no_lamport";
    match netem::choose(name)? {
        Some(late) => run(kills(late)),
        // It ran, where the kernel makes bytes late.
        None => Ok(()),
    }
}

async fn kills(late: Late) -> Result<()> {
    let seconds = number("MYTHIC_PAIR_SECONDS").unwrap_or(600);
    let seed = number("MYTHIC_TEST_SEED").unwrap_or_else(rand::random::<u64>);
    println!("replay with MYTHIC_TEST_SEED={seed} MYTHIC_PAIR_SECONDS={seconds} make pair");
    println!("latency and loss: {late}");
    let Some(world) = World::start(late, seed, 3).await? else {
        return Ok(());
    };
    let tally = Arc::new(Tally::default());
    let end = Instant::now() + Duration::from_secs(seconds);
    let gateways = world.gateways().await?;
    let clients: Vec<_> = (0..CLIENTS * gateways.len() as u64)
        .zip(gateways.iter().cycle().cloned())
        .map(|(number, gateway)| {
            let (tally, seed) = (tally.clone(), seed.wrapping_add(number));
            tokio::spawn(async move { load::client(gateway, seed, end, &tally).await })
        })
        .collect();
    let (faulty, went_on) = tokio::join!(faults::run(&world, seed, end), goes_on(&tally, end));
    for client in clients {
        client.await?;
    }
    println!("met: {tally:?}");
    faulty?;
    went_on?;
    let wrong = tally.wrongs();
    ensure!(wrong.is_empty(), "no fault explains: {wrong:#?}");
    world.is_whole().await?;
    world.end().await
}

#[test]
#[ignore = "two networks on one machine: make pair"]
fn a_job_is_paid_on_two_machines_when_a_chain_and_a_gateway_die() -> Result<()> {
    run(two_kills())
}

async fn two_kills() -> Result<()> {
    let Some(world) = World::start(Late::Relay, 1, 2).await? else {
        return Ok(());
    };
    let [near, far] = world.gateways().await?;
    // A chain's plugin dies while a job is open, then a gateway; the users of both go on.
    let early = world.ask(&near, "And the grass green?").await?;
    world.far.crash("chain-2").await?;
    world.ask(&far, "And the sea?").await?;
    world.network.crash("gateway").await?;
    let late = world.ask(&far, "Who sells it?").await?;
    world.ask(&near, "And who buys?").await?;
    for job in [early, late] {
        let ended = world.network.finalized(&job).await?;
        ensure!(ended["status"] == "settled", "{ended}");
    }
    world.is_whole().await?;
    world.end().await
}
