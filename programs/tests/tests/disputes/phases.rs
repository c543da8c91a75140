//! Every phase at its boundary slots.

use mythic_interface::error::MythicError;
use mythic_program_tests::world::model;

use super::*;

/// Each phase: refused one slot before its first, possible in its first, second and last, refused in the two after it.
#[test]
fn every_phase_is_half_open() {
    let mut world = court(11, 3, |_| {});
    let case = world.answered(EXACT, "n0", 40, Lie::OtherModel);
    let submitted = world.job(&case.job).submitted_slot.get();
    let refuse =
        |world: &World, slot: u64, call: &solana_instruction::Instruction, error: MythicError| {
            let mut world = world.clone();
            world.chain.warp_to(slot);
            world.chain.refuse(call.clone(), error);
        };
    let allow = |world: &World, slot: u64, call: &solana_instruction::Instruction| {
        let mut world = world.clone();
        world.chain.warp_to(slot);
        world.chain.must(call.clone());
    };
    let challenge = world.challenge(&case, "n1", &[]);
    refuse(&world, submitted + 20, &challenge, SampleNotKnown);
    allow(&world, submitted + 21, &challenge);
    allow(&world, submitted + 22, &challenge);
    allow(&world, submitted + 99, &challenge);
    refuse(&world, submitted + 100, &challenge, WindowClosed);
    refuse(&world, submitted + 101, &challenge, WindowClosed);

    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    let end = world.dispute(&dispute).openings_end();
    assert_eq!(end, world.chain.slot() + 50);
    let output = world.outputs(&case, &dispute).remove(0);
    allow(&world, end - 1, &output);
    refuse(&world, end, &output, OpeningsOver);
    refuse(&world, end + 1, &output, OpeningsOver);
    world.chain.must(output);
    let mut openings = world.openings(&case, &dispute, 2);
    let last = openings.pop().expect("eight");
    for call in openings {
        world.chain.must(call);
    }
    allow(&world, end - 1, &last);
    refuse(&world, end, &last, OpeningsOver);
    refuse(&world, end + 1, &last, OpeningsOver);
    let resolve = world.resolve(&dispute);
    refuse(&world, end - 1, &resolve, DisputeNotDue);
    allow(&world, end, &resolve);
    allow(&world, end + 1, &resolve);
    world.chain.must(last);

    let found = world.dispute(&dispute);
    assert_eq!(found.commit_start(), world.chain.slot() + 8 + 12);
    assert_eq!(found.commit_end(), found.commit_start() + 100);
    assert_eq!(found.reveal_end(), found.commit_end() + 50);
    let commit = world.commit(&case, &dispute, "n2", Vote::Honest);
    refuse(&world, found.commit_start() - 1, &commit, CommitClosed);
    allow(&world, found.commit_start(), &commit);
    allow(&world, found.commit_start() + 1, &commit);
    allow(&world, found.commit_end() - 1, &commit);
    refuse(&world, found.commit_end(), &commit, CommitClosed);
    refuse(&world, found.commit_end() + 1, &commit, CommitClosed);
    world.chain.warp_to(found.commit_start());
    world.chain.must(commit);
    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    refuse(&world, found.commit_end() - 1, &reveal, RevealClosed);
    allow(&world, found.commit_end(), &reveal);
    allow(&world, found.commit_end() + 1, &reveal);
    allow(&world, found.reveal_end() - 1, &reveal);
    refuse(&world, found.reveal_end(), &reveal, RevealClosed);
    refuse(&world, found.reveal_end() + 1, &reveal, RevealClosed);
    refuse(&world, found.reveal_end() - 1, &resolve, DisputeNotDue);
    allow(&world, found.reveal_end(), &resolve);
    allow(&world, found.reveal_end() + 1, &resolve);
    world.chain.warp_to(found.commit_end());
    world.chain.must(reveal);
    world.chain.must(resolve);

    let mut world = court(3, 3, |_| {});
    let case = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(9));
    let end = world.job(&case.job).window_end().expect("submitted");
    let call = world.proof(&case, "n1", 9, calls::NONE);
    allow(&world, end - 1, &call);
    refuse(&world, end, &call, WindowClosed);
    refuse(&world, end + 1, &call, WindowClosed);
    assert_eq!(model(EXACT), world.job(&case.job).terms.model);
}
