//! Two hundred seeds, and those that once failed. `make sim` plays more.

use mythic_sim::{Profile, ledger, run};

/// Together with the kept ones in about half a minute on two cores.
const SEEDS: u64 = 200;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn fails(seeds: Vec<(Profile, u64)>) -> Vec<String> {
    let defects = ledger::defects().expect("known-defects.toml");
    let mut failed = Vec::new();
    let played = run::play_all(seeds, 3, |played| {
        for fault in played.news(&defects).take(1) {
            failed.push(format!(
                "{}\n  {}: {}",
                played.command(),
                fault.rule,
                fault.what
            ));
        }
    });
    runtime()
        .block_on(played)
        .expect("the simulation itself works");
    failed
}

#[test]
fn seeds_that_once_failed_pass() {
    let kept = ledger::kept().expect("kept-seeds.toml");
    let seeds = kept.iter().map(|kept| (kept.profile, kept.seed)).collect();
    let failed = fails(seeds);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn two_hundred_simulated_networks_are_indexed_right() {
    let profiles = Profile::ALL;
    let seeds = (1..=SEEDS)
        .map(|seed| (profiles[seed as usize % profiles.len()], seed))
        .collect();
    let failed = fails(seeds);
    assert!(
        failed.is_empty(),
        "{} of {SEEDS} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn a_known_defect_is_still_one() {
    let defects = ledger::defects().expect("known-defects.toml");
    for defect in defects {
        let seeds: Vec<_> = defect
            .seeds
            .iter()
            .map(|seed| (defect.profiles[0], *seed))
            .collect();
        assert!(!seeds.is_empty(), "{} names no seed", defect.rule);
        let mut broken = 0;
        let played = run::play_all(seeds, 3, |played| {
            broken += usize::from(played.faults.iter().any(|fault| fault.rule == defect.rule));
        });
        runtime()
            .block_on(played)
            .expect("the simulation itself works");
        assert!(
            broken > 0,
            "no seed breaks \"{}\" any more ({}): take it out of tests/sim/known-defects.toml and its seeds into kept-seeds.toml",
            defect.rule,
            defect.reason
        );
    }
}
