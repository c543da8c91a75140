//! Every phase at its boundary slots.

use mythic_interface::error::MythicError;
use solana_instruction::Instruction as Call;

use super::*;

/// Refused in a slot.
fn refuse(world: &World, slot: u64, call: &Call, error: MythicError) {
    let mut world = world.clone();
    world.chain.warp_to(slot);
    world.chain.refuse(call.clone(), error);
}

/// Possible in a slot.
fn allow(world: &World, slot: u64, call: &Call) {
    let mut world = world.clone();
    world.chain.warp_to(slot);
    world.chain.must(call.clone());
}

/// Each phase: refused one slot before its first, possible in its first, second and last, refused in the two after it.
#[test]
fn opening_answering_and_joining_are_half_open() {
    let mut world = court(11, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 40, Lie::OtherModel);
    let submitted = world.job(&answered.job).submitted_slot.get();
    let open = world.objection(&answered, "n1", &[]);
    refuse(&world, submitted + 20, &open, SampleNotKnown);
    for slot in [21, 22, 99] {
        allow(&world, submitted + slot, &open);
    }
    refuse(&world, submitted + 100, &open, WindowClosed);
    refuse(&world, submitted + 101, &open, WindowClosed);

    world.reach_sample(&answered);
    world.chain.must(open);
    let end = world.case(&answered).leaves_due();
    assert_eq!(end, world.chain.slot() + 50);
    let output = world.outputs(&answered).remove(0);
    allow(&world, end - 1, &output);
    refuse(&world, end, &output, OpeningsOver);
    refuse(&world, end + 1, &output, OpeningsOver);
    world.chain.must(output);
    let mut openings = world.openings(&answered, 2);
    let last = openings.pop().expect("eight");
    for call in openings {
        world.chain.must(call);
    }
    allow(&world, end - 1, &last);
    refuse(&world, end, &last, OpeningsOver);
    refuse(&world, end + 1, &last, OpeningsOver);
    let resolve = world.resolve(&answered);
    refuse(&world, end - 1, &resolve, CaseNotDue);
    allow(&world, end, &resolve);
    allow(&world, end + 1, &resolve);
    world.chain.must(last);

    let joining = world.case(&answered).joining_end();
    assert_eq!(joining, world.chain.slot() + 100);
    let named = unsampled(&world.case(&answered)).next().expect("many");
    let join = world.objection(&answered, "n2", &[named]);
    allow(&world, joining - 1, &join);
    refuse(&world, joining, &join, JoinClosed);
    refuse(&world, joining + 1, &join, JoinClosed);
    world.chain.must(join);
    let due = world.case(&answered).leaves_due();
    assert_eq!(due, joining + 50);
    let leaf = world.opening(&answered, &[named]);
    allow(&world, due - 1, &leaf);
    refuse(&world, due, &leaf, OpeningsOver);
    refuse(&world, due - 1, &resolve, CaseNotDue);
    allow(&world, due, &resolve);
}

#[test]
fn commits_and_reveals_are_half_open() {
    let (mut world, answered) = disputed(EXACT, 3, Lie::OtherModel);
    world.must_show(&answered);
    let case = world.case(&answered);
    assert_eq!(case.commit_start(), case.joining_end() + 8 + 12);
    assert_eq!(case.commit_end(), case.commit_start() + 100);
    assert_eq!(case.reveal_end(), case.commit_end() + 50);
    let commit = world.commit(&answered, "n2", Ballot::Honest);
    refuse(&world, case.commit_start() - 1, &commit, CommitClosed);
    allow(&world, case.commit_start(), &commit);
    allow(&world, case.commit_start() + 1, &commit);
    allow(&world, case.commit_end() - 1, &commit);
    refuse(&world, case.commit_end(), &commit, CommitClosed);
    refuse(&world, case.commit_end() + 1, &commit, CommitClosed);
    world.chain.warp_to(case.commit_start());
    world.chain.must(commit);
    let reveal = world.reveal(&answered, "n2", Ballot::Honest);
    refuse(&world, case.commit_end() - 1, &reveal, RevealClosed);
    allow(&world, case.commit_end(), &reveal);
    allow(&world, case.commit_end() + 1, &reveal);
    allow(&world, case.reveal_end() - 1, &reveal);
    refuse(&world, case.reveal_end(), &reveal, RevealClosed);
    refuse(&world, case.reveal_end() + 1, &reveal, RevealClosed);
    let resolve = world.resolve(&answered);
    refuse(&world, case.reveal_end() - 1, &resolve, CaseNotDue);
    allow(&world, case.reveal_end(), &resolve);
    allow(&world, case.reveal_end() + 1, &resolve);
    world.chain.warp_to(case.commit_end());
    world.chain.must(reveal);
    world.chain.must(resolve);
}

#[test]
fn a_fault_is_proved_to_the_end_of_the_window() {
    let mut world = court(3, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 40, Lie::NotTheChoice(9));
    let end = world.job(&answered.job).window_end().expect("submitted");
    let call = world.proof(&answered, "n1", 9, calls::NONE);
    allow(&world, end - 1, &call);
    refuse(&world, end, &call, WindowClosed);
    refuse(&world, end + 1, &call, WindowClosed);
}
