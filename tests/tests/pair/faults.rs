//! What goes wrong: one process at a time is killed or stopped, on either machine or between them, and the way between them breaks.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mythic_broker::{Broker, Flushed};
use mythic_e2e::{DATABASE, deck::Deck};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::world::World;

/// Longest stop of a process, and of the way.
const STOPPED: Duration = Duration::from_secs(8);
/// Stands for the broker.
const BROKER: &str = "broker";
/// What it acknowledged for so long it loses when it forgets.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// Kills a process without warning; it runs again when this is over.
async fn crash(world: &World, process: &str) -> Result<()> {
    if process == BROKER {
        let restart = |broker: &mut Broker| {
            broker.kill();
            broker.restart()
        };
        return world.with_broker(restart).await;
    }
    if world.far.processes().iter().any(|name| name == process) {
        return world.far.crash(process).await;
    }
    world.network.crash(process).await
}

/// Stops a process for a while.
async fn pause(world: &World, process: &str, time: Duration) -> Result<()> {
    if process == BROKER {
        world.with_broker(|broker| broker.freeze()).await?;
        tokio::time::sleep(time).await;
        return world.with_broker(|broker| broker.thaw()).await;
    }
    let pid = world
        .far
        .pid(process)
        .or_else(|| world.network.pid(process));
    let pid = Pid::from_raw(pid.with_context(|| format!("{process} does not run"))?);
    kill(pid, Signal::SIGSTOP)?;
    tokio::time::sleep(time).await;
    // It may have been given up and started anew meanwhile.
    let _ = kill(pid, Signal::SIGCONT);
    Ok(())
}

/// The broker dies, and what it acknowledged of both topics last is on no disk.
async fn forget(world: &World) -> Result<()> {
    let indexer = world.network.config("indexer")?;
    let kafka = indexer.get("kafka");
    let prefix = kafka.and_then(|kafka| kafka.get("topic_prefix")?.as_str());
    let prefix = prefix.context("kafka.topic_prefix")?;
    let topics = ["updates", "feed"].map(|topic| format!("{prefix}.{topic}"));
    let forget = move |broker: &mut Broker| {
        let flushed: Vec<Flushed> = topics
            .iter()
            .map(|topic| broker.flushed(topic))
            .collect::<Result<_>>()?;
        std::thread::sleep(FORGOTTEN);
        broker.kill();
        for topic in &flushed {
            broker.lose_since(topic)?;
        }
        broker.restart()
    };
    world.with_broker(forget).await
}

/// One fault after the other until `end`.
pub async fn run(world: &World, seed: u64, end: Instant) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut names = world.network.processes();
    names.extend(world.far.processes());
    names.extend([DATABASE.to_owned(), BROKER.to_owned()]);
    names.sort();
    let (mut to_kill, mut to_stop) = (Deck::new(names.clone()), Deck::new(names));
    let mut round = 0u64;
    while Instant::now() < end {
        let began = Instant::now();
        let time = STOPPED.mul_f64(random.random_range(0.2..1.0));
        let seconds = time.as_secs_f64();
        let what = match round % 7 {
            0 | 2 | 4 => {
                let process = to_kill.next(&mut random)?;
                let crashed = crash(world, &process).await;
                crashed.with_context(|| format!("killing {process}"))?;
                format!("{process} killed")
            }
            1 => {
                let process = to_stop.next(&mut random)?;
                let stopped = pause(world, &process, time).await;
                stopped.with_context(|| format!("stopping {process}"))?;
                format!("{process} stopped for {seconds:.1} s")
            }
            3 => {
                world.ways.cut();
                "every connection between the machines cut".to_owned()
            }
            5 => {
                forget(world).await.context("a broker that forgets")?;
                format!("broker killed, and the last {FORGOTTEN:?} of its topics lost")
            }
            _ => {
                world.ways.stall(time);
                tokio::time::sleep(time).await;
                format!("nothing between the machines for {seconds:.1} s")
            }
        };
        println!("{round}: {what}, {:.1} s", began.elapsed().as_secs_f64());
        round += 1;
        let pause = Duration::from_secs(random.random_range(2..10));
        tokio::time::sleep(pause.min(end.saturating_duration_since(Instant::now()))).await;
    }
    Ok(())
}
