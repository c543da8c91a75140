//! The dispute game from challenge to verdict, with the amounts it must move, and what each lie costs the
//! liar. The invariants are checked by the harness after each transaction.

mod faults;
mod juries;
mod lies;
mod misuse;
mod networks;
mod phases;
mod postings;
mod stuck;
mod verdicts;

use mythic_interface::error::MythicError::*;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls;
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Case, Vote, court, juror, votes};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World};

const STAKE: u64 = 2 * SOL;

/// A court of `seats` seats and enough validators, and a challenged answer of n0 by n1.
fn challenged(n: u8, seats: u16, lie: Lie) -> (World, Case, Key) {
    let mut world = court(2 + 3 * usize::from(seats), seats, |_| {});
    let case = world.answered(n, "n0", 300, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    (world, case, dispute)
}

/// The jurors of such a court.
fn jurors(world: &World) -> usize {
    let params: Config = world.chain.load(&calls::config());
    2 + 3 * usize::from(params.params.rules.jury_seats.get())
}

fn verdict(dispute: &Dispute) -> Option<Verdict> {
    Verdict::from_u8(dispute.verdict)
}

fn ground(dispute: &Dispute) -> Option<Ground> {
    Ground::from_u8(dispute.ground)
}

fn lost(world: &World, name: &str) -> u64 {
    world.validator(name).slashed.get()
}
