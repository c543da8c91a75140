//! Many seeds, several at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::mpsc;

use crate::database::{Database, Server};
use crate::generate::generate;
use crate::judge::Fault;
use crate::ledger::Defect;
use crate::play::play;
use crate::profile::Profile;
use crate::shrink::shrink;

/// One seed, played.
#[derive(Clone, Debug)]
pub struct Played {
    pub profile: Profile,
    pub seed: u64,
    pub faults: Vec<Fault>,
    pub blocks: usize,
    pub rows: usize,
    pub unreasoned: usize,
}

impl Played {
    /// The faults that are not among the known ones.
    pub fn news<'a>(&'a self, defects: &'a [Defect]) -> impl Iterator<Item = &'a Fault> {
        self.faults.iter().filter(|fault| {
            !defects
                .iter()
                .any(|defect| defect.rule == fault.rule && defect.profiles.contains(&self.profile))
        })
    }

    /// The command that plays it again.
    pub fn command(&self) -> String {
        format!(
            "make sim SEED={} PROFILE={}",
            self.seed,
            self.profile.name()
        )
    }
}

/// Plays seeds on a server of its own, `at_once` at a time, and hands over each as it is done.
pub async fn play_all(
    seeds: Vec<(Profile, u64)>,
    at_once: usize,
    mut done: impl FnMut(Played),
) -> Result<()> {
    let server = Arc::new(Server::start().await?);
    let seeds = Arc::new(seeds);
    let next = Arc::new(AtomicUsize::new(0));
    let (sender, mut played) = mpsc::channel(64);
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..at_once.clamp(1, seeds.len().max(1)) {
        let (server, seeds, next, sender) =
            (server.clone(), seeds.clone(), next.clone(), sender.clone());
        workers.spawn(async move {
            let mut database = server.database(number).await?;
            while let Some((profile, seed)) =
                seeds.get(next.fetch_add(1, Ordering::Relaxed)).copied()
            {
                let one = play_one(&mut database, profile, seed).await?;
                if sender.send(one).await.is_err() {
                    break;
                }
            }
            anyhow::Ok(())
        });
    }
    drop(sender);
    while let Some(one) = played.recv().await {
        done(one);
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    match Arc::into_inner(server) {
        Some(server) => server.stop().await,
        None => Ok(()),
    }
}

async fn play_one(database: &mut Database, profile: Profile, seed: u64) -> Result<Played> {
    let story = generate(seed, profile);
    let verdict = play(database, &story, profile.is_complete()).await?;
    Ok(Played {
        profile,
        seed,
        blocks: story.blocks.len(),
        faults: verdict.faults,
        rows: verdict.rows,
        unreasoned: verdict.unreasoned,
    })
}

/// Plays one seed, and if it fails prints the smallest story that breaks the same rule: the one asked for, or the first. True if it passed.
pub async fn replay(profile: Profile, seed: u64, rule: Option<&str>) -> Result<bool> {
    let server = Server::start().await?;
    let mut database = server.database(0).await?;
    let story = generate(seed, profile);
    let complete = profile.is_complete();
    let verdict = play(&mut database, &story, complete).await?;
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
        for fault in play(&mut database, &small, complete).await?.faults {
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
    pub unreasoned: usize,
    /// Per rule: how many seeds break it, and the first few.
    pub rules: BTreeMap<&'static str, (usize, Vec<u64>)>,
}

impl Summary {
    pub fn add(&mut self, played: &Played) {
        self.seeds += 1;
        self.failed += usize::from(!played.faults.is_empty());
        self.blocks += played.blocks;
        self.rows += played.rows;
        self.unreasoned += played.unreasoned;
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

    pub fn line(&self, name: &str) -> String {
        let mut line = format!(
            "{name:8} {:6} seeds {:6} failed {:8} blocks {:8} rows {:6} inexact without a reason",
            self.seeds, self.failed, self.blocks, self.rows, self.unreasoned
        );
        for (rule, (times, seeds)) in &self.rules {
            line += &format!("\n           {rule}: {times} (seeds {seeds:?})");
        }
        line
    }
}

/// Plays `seeds` of each profile and prints sums. True if nothing failed that is not known.
pub async fn play_many(
    profiles: &[Profile],
    seeds: std::ops::Range<u64>,
    defects: &[Defect],
    at_once: usize,
) -> Result<bool> {
    let began = Instant::now();
    let list: Vec<(Profile, u64)> = seeds
        .flat_map(|seed| profiles.iter().map(move |profile| (*profile, seed)))
        .collect();
    let total = list.len();
    let mut sums: BTreeMap<Profile, Summary> = BTreeMap::new();
    let mut good = true;
    let mut count = 0;
    let mut told = Instant::now();
    play_all(list, at_once, |played| {
        count += 1;
        sums.entry(played.profile).or_default().add(&played);
        if let Some(fault) = played.news(defects).next() {
            good = false;
            println!("{}\n    {}: {}", played.command(), fault.rule, fault.what);
        }
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            println!(
                "{count} of {total}, {:.1} a second",
                count as f64 / began.elapsed().as_secs_f64()
            );
        }
    })
    .await?;
    for (profile, sum) in &sums {
        println!("{}", sum.line(profile.name()));
    }
    println!(
        "{count} seeds in {:.0} s, {:.1} a second",
        began.elapsed().as_secs_f64(),
        count as f64 / began.elapsed().as_secs_f64()
    );
    Ok(good)
}
