//! Random cases by many parties, honest and not, with time that jumps to the edges of phases: whatever
//! happens, the invariants hold after each transaction (the harness checks), refusals are the program's own,
//! and cranks that anyone can send bring everything to its end and every lamport home.

mod end;
mod simulation;
mod steps;

use std::collections::BTreeMap;

use mythic_interface::ix::{ALL, Tag};
use mythic_interface::state::*;
use mythic_program_tests::court::court;
use proptest::test_runner::{Config as Runs, TestRunner};
use simulation::{Simulation, VALIDATORS};

#[test]
fn invariants_hold_under_random_disputes_of_juries_of_every_size() {
    let starts = [3, 5, 7, 15].map(|seats| court(VALIDATORS, seats, |_| {}));
    let runs = Runs {
        cases: 192,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Runs::default()
    };
    let strategy = (
        0usize..4,
        proptest::collection::vec(proptest::num::u64::ANY, 100..250),
    );
    let total = std::cell::RefCell::new((BTreeMap::<u8, u64>::new(), BTreeMap::new()));
    let result = TestRunner::new(runs).run(&strategy, |(jury, seeds)| {
        let mut simulation = Simulation {
            world: starts[jury].clone(),
            answers: Vec::new(),
            ballots: BTreeMap::new(),
            succeeded: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        for seed in seeds {
            simulation.step(seed)?;
        }
        simulation.wind_down();
        let (succeeded, outcomes) = &mut *total.borrow_mut();
        for (tag, count) in simulation.succeeded {
            *succeeded.entry(tag).or_default() += count;
        }
        for (outcome, count) in simulation.outcomes {
            *outcomes.entry(outcome).or_insert(0u64) += count;
        }
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let (succeeded, outcomes) = total.into_inner();
    println!("succeeded: {succeeded:?}");
    println!("outcomes (verdict, ground): {outcomes:?}");
    let never: Vec<&Tag> = ALL
        .iter()
        .filter(|tag| **tag as u8 >= Tag::VerifyLogits as u8)
        .filter(|tag| !succeeded.contains_key(&(**tag as u8)))
        .collect();
    assert!(never.is_empty(), "{never:?} never succeeded");
    let (jury, void) = (Ground::Jury as u8, Verdict::Void as u8);
    for outcome in [
        (Verdict::Guilty as u8, jury),
        (Verdict::NotGuilty as u8, jury),
        (void, Ground::NoQuorum as u8),
        (void, Ground::TooFew as u8),
        (Verdict::Guilty as u8, Ground::Unanswered as u8),
        (void, Ground::NoClaim as u8),
        (Verdict::Fault as u8, Ground::Fault as u8),
    ] {
        assert!(outcomes.contains_key(&outcome), "no {outcome:?}");
    }
}
