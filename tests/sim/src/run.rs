//! Many seeds, several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc;

use crate::database::{Database, Server};
use crate::generate::generate;
use crate::judge::Fault;
use crate::play::play;
use crate::profile::Profile;
use crate::provider;
use crate::shrink::shrink;

/// A seed that takes longer than this is stuck.
const LONGEST: Duration = Duration::from_secs(3_600);
/// How often it is said how far many seeds are.
const PROGRESS: Duration = Duration::from_secs(10);

/// One seed, played.
#[derive(Clone, Debug)]
pub struct Played {
    pub profile: Profile,
    pub seed: u64,
    pub faults: Vec<Fault>,
    /// Of a provider's schedule its leases, the transactions that were taken, and that were refused.
    pub blocks: usize,
    pub rows: usize,
    pub inexact: usize,
    /// Of a provider's schedule what there was of [`crate::occurrences`].
    pub seen: BTreeSet<String>,
}

impl Played {
    /// The command that plays it again.
    pub fn command(&self) -> String {
        format!(
            "make sim SEED={} PROFILE={}",
            self.seed,
            self.profile.name()
        )
    }
}

/// Deals seeds over profiles: each is played in one.
pub fn deal(profiles: &[Profile], seeds: Range<u64>) -> Vec<(Profile, u64)> {
    let of = |seed: u64| profiles[seed as usize % profiles.len()];
    seeds.map(|seed| (of(seed), seed)).collect()
}

/// Plays seeds, `at_once` at a time, and hands over each as it is done. They share a server, but for those that take it down and those
/// that need none.
pub async fn play_all(
    seeds: Vec<(Profile, u64)>,
    at_once: usize,
    mut done: impl FnMut(Played),
) -> Result<()> {
    let (schedules, networks): (Vec<_>, Vec<_>) = seeds
        .into_iter()
        .partition(|seed| seed.0 == Profile::Provider);
    let (alone, shared): (Vec<_>, Vec<_>) =
        networks.into_iter().partition(|seed| seed.0.is_alone());
    let (sender, mut played) = mpsc::channel(64);
    let mut workers = tokio::task::JoinSet::new();
    for (seeds, at_once) in [(shared, at_once), (alone, 1)] {
        if !seeds.is_empty() {
            workers.spawn(on_one_server(seeds, at_once, sender.clone()));
        }
    }
    if !schedules.is_empty() {
        workers.spawn(without_server(schedules, at_once, sender.clone()));
    }
    drop(sender);
    while let Some(one) = played.recv().await {
        done(one);
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    Ok(())
}

/// Schedules of a provider need nothing but processors, of which each takes one.
async fn without_server(
    seeds: Vec<(Profile, u64)>,
    at_once: usize,
    done: mpsc::Sender<Played>,
) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let seeds = Arc::new(seeds);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_once.clamp(1, cores) {
        let (seeds, next, done) = (seeds.clone(), next.clone(), done.clone());
        workers.spawn_blocking(move || {
            while let Some((profile, seed)) =
                seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied()
            {
                let tally = provider::play(seed);
                let played = Played {
                    profile,
                    seed,
                    faults: tally.faults,
                    blocks: tally.leases,
                    rows: tally.taken,
                    inexact: tally.refused,
                    seen: tally.seen,
                };
                if done.blocking_send(played).is_err() {
                    break;
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker?;
    }
    Ok(())
}

async fn on_one_server(
    seeds: Vec<(Profile, u64)>,
    at_once: usize,
    done: mpsc::Sender<Played>,
) -> Result<()> {
    let alone = seeds.iter().any(|seed| seed.0.is_alone());
    let server = Arc::new(Server::start(alone).await?);
    let seeds = Arc::new(seeds);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..at_once.clamp(1, seeds.len()) {
        let (server, seeds, next, done) =
            (server.clone(), seeds.clone(), next.clone(), done.clone());
        workers.spawn(async move {
            let mut database = server.database().await?;
            while let Some((profile, seed)) =
                seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied()
            {
                let one = match play_one(database, profile, seed).await {
                    Ok((kept, one)) => {
                        database = kept;
                        one
                    }
                    // What is left in that one nobody knows.
                    Err(one) => {
                        database = server.database().await?;
                        one
                    }
                };
                if done.send(one).await.is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    match Arc::into_inner(server) {
        Some(server) => server.stop().await,
        None => Ok(()),
    }
}

/// Plays a seed; without its database where the simulation itself did not get to the end.
async fn play_one(
    mut database: Database,
    profile: Profile,
    seed: u64,
) -> Result<(Database, Played), Played> {
    let work = tokio::spawn(async move {
        let story = generate(seed, profile);
        let verdict = tokio::time::timeout(LONGEST, play(&mut database, &story)).await;
        let verdict = verdict.map_err(|_| anyhow!("it was not over after {LONGEST:?}"))??;
        let played = Played {
            profile,
            seed,
            blocks: story.blocks.len(),
            faults: verdict.faults,
            rows: verdict.rows,
            inexact: verdict.inexact,
            seen: BTreeSet::new(),
        };
        anyhow::Ok((database, played))
    });
    let error = match work.await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => format!("{error:#}"),
        Err(panicked) => panicked.to_string(),
    };
    Err(Played {
        profile,
        seed,
        blocks: 0,
        faults: vec![Fault {
            rule: "simulation",
            what: error,
        }],
        rows: 0,
        inexact: 0,
        seen: BTreeSet::new(),
    })
}

/// Plays one seed, and if it fails prints the smallest story that breaks the same rule: the one asked for, or the first. True if it passed.
pub async fn replay(profile: Profile, seed: u64, rule: Option<&str>) -> Result<bool> {
    if profile == Profile::Provider {
        let rule = rule.map(str::to_owned);
        let played = tokio::task::spawn_blocking(move || provider::replay(seed, rule.as_deref()));
        return Ok(played.await?);
    }
    let server = Server::start(profile.is_alone()).await?;
    let mut database = server.database().await?;
    let story = generate(seed, profile);
    let complete = profile.is_complete();
    let verdict = play(&mut database, &story).await?;
    let passed = verdict.faults.is_empty();
    println!(
        "{} seed {seed}: {} blocks, {} rows compared, {} differences",
        profile.name(),
        story.blocks.len(),
        verdict.rows,
        verdict.faults.len()
    );
    for fault in &verdict.faults {
        println!("{}: {}", fault.rule, fault.what);
    }
    if let Some(rule) = rule.or(verdict.faults.first().map(|fault| fault.rule)) {
        println!("\nmaking it smaller …");
        let (small, tries) = shrink(&mut database, story, complete, rule).await?;
        println!("the smallest of {tries} that still breaks \"{rule}\":\n{small}\n");
        for fault in play(&mut database, &small).await?.faults {
            println!("{}: {}", fault.rule, fault.what);
        }
    }
    drop(database);
    server.stop().await?;
    Ok(passed)
}

/// Sums over many seeds.
#[derive(Debug, Default)]
pub struct Summary {
    pub seeds: usize,
    pub failed: usize,
    pub blocks: usize,
    pub rows: usize,
    pub inexact: usize,
    /// Per rule: how many seeds break it, and the first few.
    pub rules: BTreeMap<&'static str, (usize, Vec<u64>)>,
}

impl Summary {
    pub fn add(&mut self, played: &Played) {
        self.seeds += 1;
        self.failed += usize::from(!played.faults.is_empty());
        self.blocks += played.blocks;
        self.rows += played.rows;
        self.inexact += played.inexact;
        let mut rules: Vec<&'static str> = played.faults.iter().map(|fault| fault.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            let (times, seeds) = self.rules.entry(rule).or_default();
            *times += 1;
            if seeds.len() < 6 {
                seeds.push(played.seed);
            }
        }
    }

    pub fn line(&self, profile: Profile) -> String {
        let (name, [blocks, rows, inexact]) = (profile.name(), profile.counts());
        let mut line = format!(
            "{name:8} {:6} seeds {:6} failed {:8} {blocks} {:8} {rows} {:6} {inexact}",
            self.seeds, self.failed, self.blocks, self.rows, self.inexact
        );
        for (rule, (times, seeds)) in &self.rules {
            line += &format!("\n           {rule}: {times} (seeds {seeds:?})");
        }
        line
    }
}

/// Plays seeds, says how far it is, and lists in the end what failed. True if nothing did.
pub async fn play_many(seeds: Vec<(Profile, u64)>, at_once: usize) -> Result<bool> {
    let began = Instant::now();
    let total = seeds.len();
    let mut sums: BTreeMap<Profile, Summary> = BTreeMap::new();
    let mut failed: Vec<(String, Fault)> = Vec::new();
    let mut count: u32 = 0;
    let mut told = Instant::now();
    play_all(seeds, at_once, |played| {
        count += 1;
        sums.entry(played.profile).or_default().add(&played);
        if let Some(fault) = played.faults.first() {
            println!("{}\n    {}: {}", played.command(), fault.rule, fault.what);
            failed.push((played.command(), fault.clone()));
        }
        if told.elapsed() > PROGRESS {
            told = Instant::now();
            let speed = f64::from(count) / began.elapsed().as_secs_f64();
            let left = (total as f64 - f64::from(count)) / speed;
            println!(
                "{count} of {total} seeds, {speed:.1} a second, over in about {:.0} min, {} failed",
                left / 60.0,
                failed.len()
            );
        }
    })
    .await?;
    for (profile, sum) in &sums {
        println!("{}", sum.line(*profile));
    }
    println!(
        "{count} seeds in {:.0} s, {:.1} a second, {} failed",
        began.elapsed().as_secs_f64(),
        f64::from(count) / began.elapsed().as_secs_f64(),
        failed.len()
    );
    failed.sort_by_key(|(command, _)| command.clone());
    for (command, fault) in &failed {
        println!("{command}    # {}", fault.rule);
    }
    Ok(failed.is_empty() && count as usize == total)
}
