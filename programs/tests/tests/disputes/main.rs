//! The game of a case from claim to verdict, with the amounts it must move, and what each lie costs the
//! liar. The invariants are checked by the harness after each transaction.

mod claims;
mod faults;
mod juries;
mod lies;
mod misuse;
mod networks;
mod options;
mod phases;
mod postings;
mod stuck;
mod verdicts;

use mythic_interface::error::MythicError::*;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Answered, Ballot, ballots, court, juror};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World, model};

const STAKE: u64 = 2 * SOL;
/// What a guilty submitter loses, and what is rewarded of it.
const HALF: u64 = STAKE / 2;
const REWARD: u64 = HALF / 5 * 2;

/// A court of `seats` seats and enough validators, and an answer of n0 that n1 calls false.
fn disputed(n: u8, seats: u16, lie: Lie) -> (World, Answered) {
    let mut world = court(2 + 3 * usize::from(seats), seats, |_| {});
    let answered = world.answered(n, "n0", 300, lie);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    (world, answered)
}

/// The jurors of such a court, all of whom vote so.
fn everybody(world: &World, ballot: Ballot) -> Vec<(String, Ballot)> {
    let config: Config = world.chain.load(&calls::config());
    let seats = usize::from(config.params.rules.jury_seats.get());
    ballots(2..2 + 3 * seats, ballot)
}

fn verdict(case: &Case) -> Option<Verdict> {
    Verdict::from_u8(case.verdict)
}

fn ground(case: &Case) -> Option<Ground> {
    Ground::from_u8(case.ground)
}

fn outcomes(case: &Case) -> Vec<Option<Outcome>> {
    let claims = case.claims().iter();
    claims
        .map(|claim| Outcome::from_u8(claim.outcome))
        .collect()
}

/// Distinct jurors of a case that sit.
fn sitting(case: &Case) -> Vec<Key> {
    let seats = case.jury().iter().filter(|seat| seat.is_taken());
    let mut jurors: Vec<Key> = seats.map(|seat| seat.juror).collect();
    jurors.sort_unstable();
    jurors.dedup();
    jurors
}

fn name_of(authority: &Key) -> String {
    let mut names = (0..64).map(juror);
    names.find(|name| key(name) == *authority).expect("a juror")
}

fn lost(world: &World, name: &str) -> u64 {
    world.validator(name).slashed.get()
}

/// Positions that a case does not sample.
fn unsampled(case: &Case) -> impl Iterator<Item = u32> {
    let sampled: Vec<u32> = case
        .sample()
        .iter()
        .map(|leaf| leaf.position.get())
        .collect();
    (0..case.output_tokens.get()).filter(move |position| !sampled.contains(position))
}
