//! Challenges, postings, juries, verdicts, proofs of faults.

use mythic_interface::error::MythicError::*;
use mythic_interface::ix;
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Case, Vote, court, party, votes};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World, jail, model};

use crate::seen::{Seen, patch, swap};

/// A job of n0 in a court, challenged by n1, and its dispute.
fn disputed(lie: Lie) -> (World, Case, Key) {
    let mut world = court(6, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, lie);
    world.reach_sample(&case);
    let dispute = world.must_challenge(&case, "n1");
    (world, case, dispute)
}

pub fn challenges(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::None);
    let unanswered = world.brief(EXACT, "n0", 10);
    let unanswered = world.must_request(&unanswered);
    let early = world.challenge(&case, "n1", &[]);
    seen.refuse(&mut world, early, SampleNotKnown);
    world.reach_sample(&case);
    let fine = world.challenge(&case, "n1", &[]);

    for at in [1, 9] {
        let mut other = fine.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    seen.refuse(&mut world, swap(fine.clone(), 3, unanswered), WrongFork);
    let own = world.challenge(&case, "n0", &[]);
    seen.refuse(&mut world, own, SelfChallenge);
    let call = swap(fine.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(fine.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(fine.clone(), 5, model(1)), WrongModel);
    let call = swap(fine.clone(), 6, calls::dispute(&case.job, &key("n2")));
    seen.refuse(&mut world, call, WrongAddress);
    let requested = world.job(&case.job).requested_slot.get();
    for (slot, error) in [(requested, Some(ChallengerTooYoung)), (requested - 1, None)] {
        let mut world = world.clone();
        let address = calls::validator(&key("n1"));
        world
            .chain
            .forge(&address, |v: &mut Validator| v.registered_slot.set(slot));
        match error {
            Some(error) => seen.refuse(&mut world, fine.clone(), error),
            None => drop(world.chain.must(fine.clone())),
        }
    }

    // Positions: 300 tokens, some of them sampled.
    let mut trial = world.clone();
    let dispute = trial.must_challenge(&case, "n1");
    let sampled = trial.positions(&dispute);
    let free: Vec<u32> = (0..300).filter(|p| !sampled.contains(p)).take(2).collect();
    for named in [
        &[sampled[3]][..],
        &[300],
        &[free[1], free[0]],
        &[free[0], free[0]],
    ] {
        let call = world.challenge(&case, "n1", named);
        seen.refuse(&mut world, call, PositionsInvalid);
    }
    let at = fine.data.len() - 9;
    let call = patch(fine.clone(), at, 3);
    seen.refuse(&mut world, call, PositionsInvalid);
    let call = patch(fine.clone(), at + 1, 1);
    seen.refuse(&mut world, call, InvalidPadding);
    let calibrated = world.answered(CALIBRATED, "n0", 300, Lie::None);
    let mut other = world.clone();
    other.reach_sample(&calibrated);
    let call = other.challenge(&calibrated, "n1", &[0]);
    seen.refuse(&mut other, call, NotExactProfile);

    let bond = trial.dispute(&dispute).bond.get();
    let offer = |bond| {
        let state = world.job(&case.job);
        ix::verify_logits(&party("n1"), case.job, &state, bond, &[])
    };
    let (less, enough) = (offer(bond - 1), offer(bond));
    seen.refuse(&mut world, less, BondTooSmall);
    world.chain.must(enough.clone());
    seen.refuse(&mut world, enough, AccountExists);

    // A window so long ago that the runtime has forgotten the slots cannot be had by the rules; by force it can.
    let mut late = world.clone();
    late.chain.advance(1_000);
    late.chain.forge(&case.job, |job: &mut Job| {
        job.terms.rules.window_slots.set(5_000)
    });
    let call = late.challenge(&case, "n2", &[]);
    seen.refuse_forged(&mut late, call, SlotHashExpired);

    // Once the job has ended there is nothing to challenge.
    let mut ended = world.clone();
    let dispute = calls::dispute(&case.job, &key("n1"));
    let end = ended.dispute(&dispute).openings_end();
    ended.chain.warp_to(end);
    let call = ended.resolve(&dispute);
    ended.chain.must(call);
    let call = ended.challenge(&case, "n2", &[]);
    seen.refuse(&mut ended, call, WrongJobStatus);
    let window = world.job(&case.job).window_end().expect("submitted");
    world.chain.warp_to(window);
    let call = world.challenge(&case, "n2", &[]);
    seen.refuse(&mut world, call, WindowClosed);
}

pub fn postings(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::None);
    let other_case = world.answered(EXACT, "n2", 300, Lie::None);
    let output = world.outputs(&case, &dispute).remove(0);
    for (at, error) in [(1, WrongFork), (9, OutputMismatch)] {
        let mut other = output.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, error);
    }
    let call = swap(output.clone(), 2, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let mut altered = output.clone();
    altered.data[60] ^= 1;
    seen.refuse(&mut world, altered, OutputMismatch);
    let mut beyond = output.clone();
    beyond.data[41] = 3;
    seen.refuse(&mut world, beyond, OutputMismatch);
    let call = swap(output.clone(), 3, calls::output(&case.job, 1));
    seen.refuse(&mut world, call, WrongAddress);
    let mut page = swap(output.clone(), 4, calls::output(&case.job, 1));
    page.accounts[4].is_writable = true;
    seen.refuse(&mut world, page, WrongOutput);

    let openings = world.openings(&case, &dispute, 1);
    let early = openings[0].clone();
    seen.refuse(&mut world, early.clone(), WrongAccountOwner);
    world.chain.must(output.clone());
    seen.refuse(&mut world, early.clone(), NotComplete);
    for call in world.outputs(&case, &dispute) {
        world.chain.must(call);
    }
    for at in [1, 9] {
        let mut other = early.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(early.clone(), 1, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let checked = world.positions(&dispute);
    let unchecked = (0..300).find(|p| !checked.contains(p)).expect("many");
    let named = world.named(&case);
    let tail = case.answer.opening(unchecked);
    let call = ix::post_openings(&named, dispute, 0, &tail);
    seen.refuse(&mut world, call, NotChecked);
    let last = early.data.len() - 1;
    let call = patch(early.clone(), last, !early.data[last]);
    seen.refuse(&mut world, call, OpeningMismatch);
    let empty = ix::post_openings(&named, dispute, 0, &[]);
    seen.refuse(&mut world, empty, InvalidInstructionData);
    // The other job's page.
    world.reach_sample(&other_case);
    let second = world.must_challenge(&other_case, "n1");
    for call in world.outputs(&other_case, &second) {
        world.chain.must(call);
    }
    let wrong = swap(early.clone(), 2, calls::output(&other_case.job, 0));
    seen.refuse(&mut world, wrong, WrongOutput);
    let wrong = swap(early.clone(), 3, calls::output(&other_case.job, 0));
    seen.refuse(&mut world, wrong, WrongOutput);
    let end = world.dispute(&dispute).openings_end();
    world.chain.warp_to(end);
    seen.refuse(&mut world, early, OpeningsOver);
    seen.refuse(&mut world, output, OpeningsOver);

    for (lie, leaf, error) in [
        (Lie::NotTheChoice(150), 150, OpeningInvalid),
        (Lie::NotTheOutput(150), 150, OutputMismatch),
    ] {
        let mut world = court(4, 3, |_| {});
        let case = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&case);
        let call = world.challenge(&case, "n1", &[leaf]);
        world.chain.must(call);
        let dispute = calls::dispute(&case.job, &key("n1"));
        for call in world.outputs(&case, &dispute) {
            world.chain.must(call);
        }
        let call = world.openings(&case, &dispute, 1).remove(16);
        seen.refuse(&mut world, call, error);
    }
    let (mut world, case, dispute) = disputed(Lie::EosInside(7));
    let call = world.outputs(&case, &dispute).remove(0);
    seen.refuse(&mut world, call, OutputInvalid);
}

pub fn juries(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::OtherModel);
    let early = world.commit(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, early.clone(), WrongDisputeStatus);
    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, reveal, WrongDisputeStatus);
    world.must_answer(&case, &dispute);
    let found = world.dispute(&dispute);
    let commit = world.commit(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, commit.clone(), CommitClosed);
    world.chain.warp_to(found.commit_start());
    for at in [1, 9, 41] {
        let mut other = commit.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(commit.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    for side in ["n0", "n1"] {
        let call = world.commit(&case, &dispute, side, Vote::Honest);
        seen.refuse(&mut world, call, NotEligibleJuror);
    }
    let call = world.commit(&case, &dispute, "v1", Vote::Honest);
    seen.refuse(&mut world, call, NotEligibleJuror);
    // Registration and support of the model must be older than the request.
    let mut young = world.clone();
    let requested = world.job(&case.job).requested_slot.get();
    let address = calls::validator(&key("n2"));
    young.chain.forge(&address, |v: &mut Validator| {
        for served in &mut v.models {
            served.since_slot.set(requested);
        }
    });
    seen.refuse(&mut young, commit.clone(), NotEligibleJuror);
    let mut jailed = world.clone();
    jail(&mut jailed, "n2", 10);
    seen.refuse(&mut jailed, commit.clone(), Jailed);
    let mut poor = world.clone();
    poor.chain.must(calls::request_unstake(key("n2"), 2 * SOL));
    seen.refuse(&mut poor, commit.clone(), StakeBelowMinimum);
    world.chain.must(commit.clone());
    seen.refuse(&mut world, commit, AlreadyCommitted);

    let reveal = world.reveal(&case, &dispute, "n2", Vote::Honest);
    seen.refuse(&mut world, reveal.clone(), RevealClosed);
    world.chain.warp_to(found.commit_end());
    for at in [1, 9] {
        let mut other = reveal.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(reveal.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    let call = world.reveal(&case, &dispute, "n3", Vote::Honest);
    seen.refuse(&mut world, call, NotSeated);
    let call = world.reveal(&case, &dispute, "n2", Vote::Approve);
    seen.refuse(&mut world, call, CommitmentMismatch);
    let mut short = reveal.clone();
    short.data.truncate(reveal.data.len() - 20);
    seen.refuse(&mut world, short, InvalidInstructionData);
    world.chain.must(reveal.clone());
    seen.refuse(&mut world, reveal, AlreadyRevealed);
}

pub fn verdicts(seen: &mut Seen) {
    let (mut world, case, dispute) = disputed(Lie::OtherModel);
    let collect = |name: &str| calls::collect_dispute(dispute, key(name));
    seen.refuse(&mut world, collect("n1"), DisputeNotResolved);
    let close = calls::close_dispute(dispute, key("n1"));
    seen.refuse(&mut world, close.clone(), DisputeNotResolved);
    let other_case = world.answered(EXACT, "n2", 300, Lie::None);
    let resolve = world.resolve(&dispute);
    seen.refuse(&mut world, resolve.clone(), DisputeNotDue);
    let call = swap(resolve.clone(), 1, other_case.job);
    seen.refuse(&mut world, call, WrongDispute);
    let call = swap(resolve.clone(), 2, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    world.must_answer(&case, &dispute);
    world.commits(&case, &dispute, &votes(2..6, Vote::Honest));
    world.reveals(&case, &dispute, &votes(2..6, Vote::Honest));
    let call = swap(resolve.clone(), 3, calls::vault(&key("bob")));
    seen.refuse(&mut world, call, WrongVault);
    let call = swap(resolve.clone(), 4, NONE);
    let mut call = call;
    call.accounts[4].is_writable = false;
    seen.refuse(&mut world, call, MissingGrant);
    world.chain.must(resolve.clone());
    seen.refuse(&mut world, resolve, WrongDisputeStatus);
    seen.refuse(&mut world, collect("n0"), NothingToCollect);
    let call = swap(collect("n1"), 1, calls::validator(&key("n0")));
    seen.refuse(&mut world, call, WrongValidator);
    let call = swap(collect("n1"), 1, key("stranger"));
    seen.refuse(&mut world, call, WrongAddress);
    seen.refuse(&mut world, close.clone(), NotCollected);
    world.chain.must(collect("n1"));
    seen.refuse(&mut world, collect("n1"), AlreadyCollected);
    world.collect_all(&dispute);
    seen.refuse(&mut world, close.clone(), TooEarlyToClose);
    let call = swap(close, 1, key("stranger"));
    seen.refuse(&mut world, call, WrongRentPayer);
    let output = calls::close_output(case.job, 0, key("n1"));
    seen.refuse(&mut world, output.clone(), JobRunning);
    seen.refuse(
        &mut world,
        swap(output.clone(), 1, other_case.job),
        WrongDispute,
    );
    seen.refuse(&mut world, swap(output, 2, key("stranger")), WrongRentPayer);
}

pub fn faults(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let case = world.answered(EXACT, "n0", 300, Lie::NotTheChoice(150));
    let other = world.answered(EXACT, "n2", 300, Lie::None);
    let proof = world.proof(&case, "n1", 150, NONE);
    for at in [1, 9] {
        let mut call = proof.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, WrongFork);
    }
    let call = world.proof(&case, "n0", 150, NONE);
    seen.refuse(&mut world, call, SelfChallenge);
    let call = swap(proof.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(proof.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(proof.clone(), 7, model(1)), WrongModel);
    let call = world.proof(&case, "n1", 151, NONE);
    seen.refuse(&mut world, call, NoFault);
    // The token's bytes in the leaf.
    let mut call = proof.clone();
    call.data[1 + 40 + 4] ^= 1;
    seen.refuse(&mut world, call, OpeningMismatch);
    let mut call = proof.clone();
    call.data.truncate(proof.data.len() - 32);
    seen.refuse(&mut world, call, OpeningMismatch);
    world.reach_sample(&other);
    let dispute = world.must_challenge(&other, "n1");
    for call in world.outputs(&other, &dispute) {
        world.chain.must(call);
    }
    let mut call = world.proof(&case, "n1", 151, calls::output(&other.job, 0));
    call.accounts[8].is_writable = false;
    seen.refuse(&mut world, call, WrongOutput);
    world.chain.must(proof.clone());
    seen.refuse(&mut world, proof, WrongJobStatus);
}
