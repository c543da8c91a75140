//! Two hundred seeds of the profiles in which no defect is known, and those that once failed. `make sim` plays more, and the
//! others too.

use mythic_sim::{Profile, ledger, run};

/// Together with the kept ones in about a minute on two cores.
const SEEDS: u64 = 200;

/// In these a few seeds of a hundred still fail. `lossy` 185: a row stays inexact though its hole was filled. `pair` 58: the processed view
/// stays behind where two producers hold different blocks of a slot. `wild` 126: a slot that a later run calls dead hides the
/// block that an earlier one sealed; `wild` 196: a root that the run never sealed is taken for the block of its slot that it did.
const OPEN: [Profile; 3] = [Profile::Lossy, Profile::Pair, Profile::Wild];

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
    let profiles: Vec<Profile> = Profile::ALL
        .into_iter()
        .filter(|profile| !OPEN.contains(profile))
        .collect();
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
