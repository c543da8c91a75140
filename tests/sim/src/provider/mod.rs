//! Schedules of kills, forks and bad nodes for a provider of the Compute Market: its own decisions, journal and reading of the chain, in
//! virtual time, against the market's own program.
//!
//! - [`schedule`]: what happens, from a seed; [`people`]: tenants and others
//! - [`cluster`]: the chain; [`outside`]: time, nodes, transactions, what goes wrong; [`disk`]: what is left after a kill
//! - [`host`]: the provider's process; [`care`]: its leases, [`answers`]: what it answers to disputes
//! - [`bench`]: what must hold

mod answers;
mod bench;
mod care;
mod cluster;
mod disk;
mod host;
mod outside;
mod people;
mod schedule;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::Result;
use mythic_client::Commitment;
use mythic_interface::market::state::CloseReason;

use crate::judge::Fault;
use host::Host;
use outside::{Outside, at};
use people::People;
use schedule::{Schedule, generate};

/// Milliseconds after which everything must be settled, however often and long the provider was down.
const LONGEST_MS: u64 = 6_000_000;
/// How often it is asked whether everything is.
const ASK_MS: u64 = 5_000;

/// For which leases end.
const REASONS: [CloseReason; 7] = [
    CloseReason::Completed,
    CloseReason::ClosedByTenant,
    CloseReason::ClosedByProvider,
    CloseReason::NeverStarted,
    CloseReason::NeverAcknowledged,
    CloseReason::MissedProofs,
    CloseReason::ProofRefuted,
];

/// A schedule, played.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub faults: Vec<Fault>,
    pub leases: usize,
    /// Instructions that the program took, and refused.
    pub taken: usize,
    pub refused: usize,
    /// What there was of [`occurrences`].
    pub seen: BTreeSet<String>,
}

/// All that many schedules together come to: kinds of mishaps, points of steps at which there is one, reasons for which leases end.
pub fn occurrences() -> BTreeSet<String> {
    let words = schedule::WORDS.map(str::to_owned);
    let points = schedule::points();
    let points = points.into_iter().map(|(name, phase)| at(name, phase));
    let reasons = REASONS.map(|reason| reason.as_str().to_owned());
    words.into_iter().chain(points).chain(reasons).collect()
}

/// Plays the schedule of a seed.
pub fn play(seed: u64) -> Tally {
    run(&generate(seed))
}

/// Plays one seed, and if it fails prints the least of its schedule that breaks the same rule. True if it passed.
pub fn replay(seed: u64, rule: Option<&str>) -> bool {
    let mut schedule = generate(seed);
    let tally = run(&schedule);
    println!(
        "provider seed {seed}: {} leases, {} transactions, {} refused, {} differences",
        tally.leases,
        tally.taken,
        tally.refused,
        tally.faults.len()
    );
    for fault in &tally.faults {
        println!("{}: {}", fault.rule, fault.what);
    }
    let Some(first) = tally.faults.first() else {
        return true;
    };
    let rule = rule.unwrap_or(first.rule);
    let breaks = |schedule: &Schedule| {
        let faults = run(schedule).faults;
        faults.iter().any(|fault| fault.rule == rule)
    };
    while let Some(less) = schedule.smaller().into_iter().find(breaks) {
        schedule = less;
    }
    println!("\nthe least that breaks \"{rule}\":\n{schedule}");
    for fault in run(&schedule).faults {
        println!("{}: {}", fault.rule, fault.what);
    }
    false
}

/// Plays a schedule; what the market's own invariants say is a fault like any other.
fn run(schedule: &Schedule) -> Tally {
    let played = catch_unwind(AssertUnwindSafe(|| to_its_end(schedule)));
    let what = match played {
        Ok(Ok(tally)) => return tally,
        Ok(Err(error)) => format!("{error:#}"),
        Err(panicked) => match (
            panicked.downcast_ref::<String>(),
            panicked.downcast_ref::<&str>(),
        ) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "it panicked".to_owned(),
        },
    };
    let rule = match what.starts_with("invariant broken") {
        true => "invariant",
        false => "simulation",
    };
    Tally {
        faults: vec![Fault { rule, what }],
        ..Tally::default()
    }
}

fn to_its_end(schedule: &Schedule) -> Result<Tally> {
    let mut out = Outside::new(schedule);
    let mut host = Host::new()?;
    let mut people = People::new(schedule);
    let is_settled = |out: &Outside, host: &Host, people: &People| {
        host.is_idle() && people.are_done(out) && accounts(out) == (0, 0, 0)
    };
    let mut next_ask = ASK_MS;
    while out.now < LONGEST_MS {
        out.pass();
        people.tick(&mut out);
        host.tick(&mut out)?;
        if out.now >= next_ask {
            next_ask = out.now + ASK_MS;
            if is_settled(&out, &host, &people) {
                break;
            }
        }
    }
    if let Some(left) = host.left()? {
        out.bench.fault("left behind", left);
    }
    let left = accounts(&out);
    if left != (0, 0, 0) {
        let left = format!("leases, requests and disputes on the chain: {left:?}");
        out.bench.fault("left behind", left);
    }
    let leases = out.bench.leases();
    let sight = out.cluster.newest(Commitment::Finalized);
    out.bench.close(&sight.provider);
    Ok(Tally {
        faults: out.bench.faults,
        leases,
        taken: out.cluster.taken,
        refused: out.cluster.refused,
        seen: out.bench.seen,
    })
}

/// Leases, requests and disputes that the chain has.
fn accounts(out: &Outside) -> (usize, usize, usize) {
    let sight = out.cluster.newest(Commitment::Finalized);
    let (leases, requests) = (sight.leases.len(), sight.requests.len());
    (leases, requests, sight.disputes.len())
}
