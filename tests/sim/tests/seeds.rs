//! Two hundred seeds, dealt over all networks, three hundred schedules of a provider, and those that once failed. `make sim` plays
//! more.

use std::collections::BTreeSet;

use mythic_sim::run::Played;
use mythic_sim::{Profile, ledger, occurrences, run};

/// Together with the kept ones in about half a minute on two cores.
const SEEDS: u64 = 200;
/// Schedules of kills of a provider: a second each, or less.
const SCHEDULES: u64 = 300;

/// What failed; `each` is told of every seed.
fn fails(seeds: Vec<(Profile, u64)>, mut each: impl FnMut(&Played)) -> Vec<String> {
    let mut failed = Vec::new();
    let played = run::play_all(seeds, 6, |played| {
        each(&played);
        for fault in played.faults.iter().take(1) {
            failed.push(format!(
                "{}\n  {}: {}",
                played.command(),
                fault.rule,
                fault.what
            ));
        }
    });
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(played)
        .expect("the simulation itself works");
    failed
}

#[test]
fn seeds_that_once_failed_pass() {
    let kept = ledger::kept().expect("kept-seeds.toml");
    let seeds = kept.iter().map(|kept| (kept.profile, kept.seed)).collect();
    let failed = fails(seeds, |_| {});
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn two_hundred_simulated_networks_are_indexed_right() {
    let seeds = run::deal(&Profile::ALL, 1..SEEDS + 1);
    let failed = fails(seeds, |_| {});
    assert!(
        failed.is_empty(),
        "{} of {SEEDS} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn a_provider_that_is_killed_at_any_step_leaves_no_orphan_and_no_lamport_astray() {
    let (mut leases, mut seen) = (0, BTreeSet::new());
    let seeds = run::deal(&[Profile::Provider], 1..SCHEDULES + 1);
    let failed = fails(seeds, |played| {
        leases += played.blocks;
        seen.extend(played.seen.iter().cloned());
    });
    assert!(
        failed.is_empty(),
        "{} of {SCHEDULES} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    // They tried what there is to be tried.
    assert!(leases > SCHEDULES as usize, "{leases} leases");
    let all = occurrences();
    let missed: Vec<_> = all.difference(&seen).collect();
    assert!(missed.is_empty(), "never happened: {missed:?}");
}
