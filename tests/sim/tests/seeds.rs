//! Two hundred seeds, dealt over all profiles, and those that once failed. `make sim` plays more.

use mythic_sim::{Profile, ledger, run};

/// Together with the kept ones in about half a minute on two cores.
const SEEDS: u64 = 200;

fn fails(seeds: Vec<(Profile, u64)>) -> Vec<String> {
    let mut failed = Vec::new();
    let played = run::play_all(seeds, 6, |played| {
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
    let failed = fails(seeds);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn two_hundred_simulated_networks_are_indexed_right() {
    let seeds = run::deal(&Profile::ALL, 1..SEEDS + 1);
    let failed = fails(seeds);
    assert!(
        failed.is_empty(),
        "{} of {SEEDS} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
