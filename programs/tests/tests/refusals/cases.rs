//! Claims, postings, juries, verdicts, proofs of faults.

use mythic_interface::error::MythicError::*;
use mythic_interface::ix::{self, Statement};
use mythic_interface::state::*;
use mythic_program_tests::answer::Lie;
use mythic_program_tests::calls::{self, NONE};
use mythic_program_tests::chain::SOL;
use mythic_program_tests::court::{Answered, Ballot, ballots, court, party};
use mythic_program_tests::keys::{key, operator};
use mythic_program_tests::world::{CALIBRATED, EXACT, World, jail, model};

use crate::seen::{Seen, patch, swap};

/// A job of n0 in a court that n1 calls false.
fn disputed(lie: Lie) -> (World, Answered) {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, lie);
    world.reach_sample(&answered);
    world.must_object(&answered, "n1", &[]);
    (world, answered)
}

/// A claim of `name` as it is, with the bond that is offered.
fn offer(
    world: &World,
    answered: &Answered,
    name: &str,
    bond: u64,
) -> solana_instruction::Instruction {
    let statement = Statement {
        kind: ClaimKind::False,
        bond,
        positions: &[],
        served: None,
    };
    let job = world.job(&answered.job);
    ix::verify_logits(&party(name), answered.job, &job, &statement)
}

pub fn openings_of_cases(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    let running = world.brief(EXACT, "n0", 10);
    let running = world.must_request(&running);
    let early = world.objection(&answered, "n1", &[]);
    seen.refuse(&mut world, early, SampleNotKnown);
    world.reach_sample(&answered);
    let fine = world.objection(&answered, "n1", &[]);

    for at in [1, 9] {
        let mut other = fine.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    seen.refuse(&mut world, swap(fine.clone(), 3, running), WrongFork);
    for kind in [0, 3] {
        let call = patch(fine.clone(), 41, kind);
        seen.refuse(&mut world, call, InvalidClaimKind);
    }
    let own = world.objection(&answered, "n0", &[]);
    seen.refuse(&mut world, own, SelfChallenge);
    let call = swap(fine.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(fine.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(fine.clone(), 5, model(1)), WrongModel);
    seen.refuse(&mut world, swap(fine.clone(), 6, model(1)), WrongModel);
    let call = swap(fine.clone(), 7, calls::case(&running));
    seen.refuse(&mut world, call, WrongAddress);
    let call = swap(fine.clone(), 8, calls::votes(&running));
    seen.refuse(&mut world, call, WrongAddress);
    let mut call = swap(fine.clone(), 8, NONE);
    call.accounts[8].is_writable = false;
    seen.refuse(&mut world, call, WrongVotes);
    let requested = world.job(&answered.job).requested_slot.get();
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
    let mut poor = world.clone();
    poor.chain.must(calls::request_unstake(key("n1"), 2 * SOL));
    seen.refuse(&mut poor, fine.clone(), StakeBelowMinimum);
    let mut jailed = world.clone();
    jail(&mut jailed, "n1", 10);
    seen.refuse(&mut jailed, fine, Jailed);
    let silent = world.answered(1, "n0", 300, Lie::None);
    world.reach_sample(&silent);
    let call = world.objection(&silent, "n1", &[]);
    seen.refuse(&mut world, call, NoRule);

    // A window so long ago that the runtime has forgotten the slots cannot be had by the rules; by force it can.
    let mut late = world.clone();
    late.chain.advance(1_000);
    late.chain.forge(&answered.job, |job: &mut Job| {
        job.terms.rules.window_slots.set(5_000)
    });
    let call = late.objection(&answered, "n2", &[]);
    seen.refuse_forged(&mut late, call, SlotHashExpired);
    let window = world.job(&answered.job).window_end().expect("submitted");
    let mut over = world.clone();
    over.chain.warp_to(window);
    let call = over.objection(&answered, "n2", &[]);
    seen.refuse(&mut over, call, WindowClosed);

    // Once the job has ended there is nothing to claim.
    world.must_object(&answered, "n1", &[]);
    world.must_resolve(&answered);
    let call = world.objection(&answered, "n2", &[]);
    seen.refuse(&mut world, call, WrongJobStatus);
}

pub fn positions(seen: &mut Seen) {
    let mut world = court(4, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    world.reach_sample(&answered);
    let fine = world.objection(&answered, "n1", &[]);
    // 300 tokens, some of them sampled.
    let mut trial = world.clone();
    trial.must_object(&answered, "n1", &[]);
    let case = trial.case(&answered);
    let sampled: Vec<u32> = case
        .sample()
        .iter()
        .map(|leaf| leaf.position.get())
        .collect();
    let free: Vec<u32> = (0..300).filter(|p| !sampled.contains(p)).take(2).collect();
    for named in [
        &[sampled[3]][..],
        &[300],
        &[free[1], free[0]],
        &[free[0], free[0]],
    ] {
        let call = world.objection(&answered, "n1", named);
        seen.refuse(&mut world, call, PositionsInvalid);
    }
    let at = fine.data.len() - 9;
    let call = patch(fine.clone(), at, 3);
    seen.refuse(&mut world, call, PositionsInvalid);
    let call = patch(fine.clone(), at + 1, 1);
    seen.refuse(&mut world, call, InvalidPadding);
    let call = world.claiming(&answered, "n1", ClaimKind::Withheld, &free[..1]);
    seen.refuse(&mut world, call, NothingNamed);
    let calibrated = world.answered(CALIBRATED, "n0", 300, Lie::None);
    let mut other = world.clone();
    other.reach_sample(&calibrated);
    let call = other.objection(&calibrated, "n1", &[0]);
    seen.refuse(&mut other, call, NotExactProfile);
    let bond = case.claims[0].bond();
    let (less, enough) = (
        offer(&world, &answered, "n1", bond - 1),
        offer(&world, &answered, "n1", bond),
    );
    seen.refuse(&mut world, less, BondTooSmall);
    world.chain.must(enough);
}

pub fn joining(seen: &mut Seen) {
    let mut world = court(20, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::None);
    let other = world.answered(EXACT, "n19", 300, Lie::None);
    world.reach_sample(&other);
    world.must_miss(&answered, "n1");
    world.must_miss(&other, "n1");
    let early = world.objection(&answered, "n2", &[]);
    seen.refuse(&mut world, early, NotJoinable);
    world.must_show(&answered);
    let withheld = world.claiming(&answered, "n2", ClaimKind::Withheld, &[]);
    seen.refuse(&mut world, withheld, NotJoinable);
    let fine = world.objection(&answered, "n2", &[]);
    for at in [1, 9] {
        let mut call = fine.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, WrongFork);
    }
    let call = swap(fine.clone(), 7, calls::case(&other.job));
    seen.refuse(&mut world, call, WrongCase);
    let call = swap(fine.clone(), 8, calls::votes(&other.job));
    seen.refuse(&mut world, call, WrongAddress);
    world.chain.must(fine.clone());
    seen.refuse(&mut world, fine, AlreadyClaimed);
    for i in 3..18 {
        world.must_object(&answered, &format!("n{i}"), &[]);
    }
    let full = world.objection(&answered, "n18", &[]);
    seen.refuse(&mut world, full.clone(), CaseFull);
    let end = world.case(&answered).joining_end();
    world.chain.warp_to(end);
    seen.refuse(&mut world, full, JoinClosed);
}

pub fn postings(seen: &mut Seen) {
    let (mut world, answered) = disputed(Lie::None);
    let other = world.answered(EXACT, "n2", 300, Lie::None);
    let output = world.outputs(&answered).remove(0);
    for (at, error) in [(1, WrongFork), (9, OutputMismatch)] {
        let mut call = output.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, error);
    }
    let call = swap(output.clone(), 2, other.job);
    seen.refuse(&mut world, call, WrongCase);
    let mut altered = output.clone();
    altered.data[60] ^= 1;
    seen.refuse(&mut world, altered, OutputMismatch);
    let mut beyond = output.clone();
    beyond.data[9] = 3;
    seen.refuse(&mut world, beyond, OutputMismatch);
    let call = swap(output.clone(), 3, calls::output(&answered.job, 1));
    seen.refuse(&mut world, call, WrongAddress);
    let mut page = swap(output.clone(), 4, calls::output(&answered.job, 1));
    page.accounts[4].is_writable = true;
    seen.refuse(&mut world, page, WrongOutput);

    let early = world.openings(&answered, 1).remove(0);
    seen.refuse(&mut world, early.clone(), WrongAccountOwner);
    world.chain.must(output.clone());
    seen.refuse(&mut world, early.clone(), NotComplete);
    for call in world.outputs(&answered) {
        world.chain.must(call);
    }
    for at in [1, 9] {
        let mut call = early.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, WrongFork);
    }
    let call = swap(early.clone(), 1, other.job);
    seen.refuse(&mut world, call, WrongCase);
    let case = world.case(&answered);
    let sampled: Vec<u32> = case
        .sample()
        .iter()
        .map(|leaf| leaf.position.get())
        .collect();
    let unchecked = (0..300).find(|p| !sampled.contains(p)).expect("many");
    let call = world.opening(&answered, &[unchecked]);
    seen.refuse(&mut world, call, NotChecked);
    let last = early.data.len() - 1;
    let call = patch(early.clone(), last, !early.data[last]);
    seen.refuse(&mut world, call, OpeningMismatch);
    let named = world.named(&answered);
    let empty = ix::post_openings(&named, calls::case(&answered.job), 0, &[]);
    seen.refuse(&mut world, empty, InvalidInstructionData);
    // The other job's page.
    world.reach_sample(&other);
    world.must_object(&other, "n1", &[]);
    for call in world.outputs(&other) {
        world.chain.must(call);
    }
    let page = calls::output(&other.job, 0);
    seen.refuse(&mut world, swap(early.clone(), 2, page), WrongOutput);
    seen.refuse(&mut world, swap(early.clone(), 3, page), WrongOutput);
    let end = world.case(&answered).leaves_due();
    world.chain.warp_to(end);
    seen.refuse(&mut world, early.clone(), OpeningsOver);
    seen.refuse(&mut world, output, OpeningsOver);
    world.must_resolve(&answered);
    seen.refuse(&mut world, early, WrongCaseStatus);
}

pub fn faulty_postings(seen: &mut Seen) {
    for (lie, leaf, error) in [
        (Lie::NotTheChoice(150), 150, OpeningInvalid),
        (Lie::NotTheOutput(150), 150, OutputMismatch),
    ] {
        let mut world = court(4, 3, |_| {});
        let answered = world.answered(EXACT, "n0", 300, lie);
        world.reach_sample(&answered);
        world.must_object(&answered, "n1", &[leaf]);
        for call in world.outputs(&answered) {
            world.chain.must(call);
        }
        let call = world.opening(&answered, &[leaf]);
        seen.refuse(&mut world, call, error);
    }
    let (mut world, answered) = disputed(Lie::EosInside(7));
    let call = world.outputs(&answered).remove(0);
    seen.refuse(&mut world, call, OutputInvalid);
}

pub fn commitments(seen: &mut Seen) {
    let (mut world, answered) = disputed(Lie::OtherModel);
    let early = world.commit(&answered, "n2", Ballot::Honest);
    seen.refuse(&mut world, early, WrongCaseStatus);
    world.must_show(&answered);
    let sampled = world.case(&answered);
    let free = |p: &u32| {
        sampled
            .sample()
            .iter()
            .all(|leaf| leaf.position.get() != *p)
    };
    let named = (0..300).find(free).expect("many");
    world.must_object(&answered, "n7", &[named]);
    let early = world.commit(&answered, "n2", Ballot::Honest);
    seen.refuse(&mut world, early, NotComplete);
    world.must_show(&answered);
    let case = world.case(&answered);
    let commit = world.commit(&answered, "n2", Ballot::Honest);
    seen.refuse(&mut world, commit.clone(), CommitClosed);
    world.chain.warp_to(case.commit_start());
    for at in [1, 9, 41] {
        let mut other = commit.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(commit.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    seen.refuse(&mut world, swap(commit.clone(), 3, model(1)), WrongModel);
    for claimant in ["n1", "n7"] {
        let call = world.commit(&answered, claimant, Ballot::Honest);
        seen.refuse(&mut world, call, SeatOfClaimant);
    }
    for other in ["n0", "v1"] {
        let call = world.commit(&answered, other, Ballot::Honest);
        seen.refuse(&mut world, call, NotEligibleJuror);
    }
    // Registration and support of the model must be older than the request.
    let mut young = world.clone();
    let requested = world.job(&answered.job).requested_slot.get();
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
    // The one with the best rank in every seat leaves none to another, which counts once.
    let mut taken = world.clone();
    taken
        .chain
        .forge(&calls::case(&answered.job), |case: &mut Case| {
            for seat in &mut case.seats {
                seat.rank.set(i32::MAX);
            }
        });
    let call = taken.commit(&answered, "n3", Ballot::Honest);
    taken.chain.must(call.clone());
    seen.refuse(&mut taken, call, AlreadyCommitted);
}

pub fn reveals(seen: &mut Seen) {
    let (mut world, answered) = disputed(Lie::OtherModel);
    let other = world.answered(EXACT, "n4", 20, Lie::None);
    let early = world.reveal(&answered, "n2", Ballot::Honest);
    seen.refuse(&mut world, early, WrongCaseStatus);
    world.must_show(&answered);
    world.reach_sample(&other);
    let votes = {
        world.must_object(&other, "n1", &[]);
        calls::votes(&other.job)
    };
    world.commits(&answered, &ballots(2..3, Ballot::Honest));
    let case = world.case(&answered);
    let reveal = world.reveal(&answered, "n2", Ballot::Honest);
    seen.refuse(&mut world, reveal.clone(), RevealClosed);
    world.chain.warp_to(case.commit_end());
    for at in [1, 9] {
        let mut other = reveal.clone();
        other.data[at] ^= 1;
        seen.refuse(&mut world, other, WrongFork);
    }
    let call = swap(reveal.clone(), 0, operator("n3"));
    seen.refuse(&mut world, call, NotOperator);
    let call = world.reveal(&answered, "n3", Ballot::Honest);
    seen.refuse(&mut world, call, NotSeated);
    let call = world.reveal(&answered, "n2", Ballot::Approve);
    seen.refuse(&mut world, call, CommitmentMismatch);
    let mut short = reveal.clone();
    short.data.truncate(reveal.data.len() - 32);
    seen.refuse(&mut world, short, InvalidInstructionData);
    seen.refuse(&mut world, swap(reveal.clone(), 3, votes), WrongVotes);
    world.chain.must(reveal.clone());
    seen.refuse(&mut world, reveal, AlreadyRevealed);
}

pub fn verdicts(seen: &mut Seen) {
    let (mut world, answered) = disputed(Lie::OtherModel);
    let address = calls::case(&answered.job);
    let collect = |name: &str| calls::collect_case(address, key(name), false);
    seen.refuse(&mut world, collect("n1"), CaseNotResolved);
    let close = world.closing(&answered);
    seen.refuse(&mut world, close.clone(), CaseNotResolved);
    let other = world.answered(EXACT, "n2", 300, Lie::None);
    let resolve = world.resolve(&answered);
    seen.refuse(&mut world, resolve.clone(), CaseNotDue);
    seen.refuse(&mut world, swap(resolve.clone(), 1, other.job), WrongCase);
    let call = swap(resolve, 2, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    world.must_show(&answered);
    world.reach_sample(&other);
    world.must_object(&other, "n1", &[]);
    world.commits(&answered, &ballots(2..8, Ballot::Honest));
    world.reveals(&answered, &ballots(2..8, Ballot::Honest));
    let resolve = world.resolve(&answered);
    let call = swap(resolve.clone(), 3, calls::vault(&key("bob")));
    seen.refuse(&mut world, call, WrongVault);
    let mut call = swap(resolve.clone(), 4, NONE);
    call.accounts[4].is_writable = false;
    seen.refuse(&mut world, call, MissingGrant);
    seen.refuse(&mut world, swap(resolve.clone(), 5, NONE), WrongVotes);
    let votes = calls::votes(&other.job);
    seen.refuse(&mut world, swap(resolve.clone(), 5, votes), WrongVotes);
    world.chain.must(resolve.clone());
    seen.refuse(&mut world, resolve, WrongCaseStatus);
    seen.refuse(&mut world, collect("n0"), NothingToCollect);
    let call = swap(collect("n1"), 1, calls::validator(&key("n0")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(
        &mut world,
        swap(collect("n1"), 1, key("stranger")),
        InvalidIncinerator,
    );
    let gone = calls::collect_case(address, key("n1"), true);
    seen.refuse(&mut world, swap(gone, 1, key("stranger")), WrongAddress);
    seen.refuse(&mut world, close.clone(), NotCollected);
    world.chain.must(collect("n1"));
    seen.refuse(&mut world, collect("n1"), AlreadyCollected);
    world.collect_all(&answered);
    seen.refuse(&mut world, close.clone(), TooEarlyToClose);
    for payer in [1, 3] {
        let delay = 2_250;
        let mut late = world.clone();
        late.chain.advance(delay);
        let call = swap(close.clone(), payer, key("stranger"));
        seen.refuse(&mut late, call, WrongRentPayer);
    }
    let mut late = world.clone();
    late.chain.advance(2_250);
    let mut call = swap(close.clone(), 2, NONE);
    call.accounts[2].is_writable = false;
    seen.refuse(&mut late, call, WrongVotes);
    seen.refuse(&mut late, swap(close, 2, votes), WrongVotes);
    let output = calls::close_output(answered.job, 0, key("n1"));
    seen.refuse(&mut world, output.clone(), JobRunning);
    seen.refuse(&mut world, swap(output.clone(), 1, other.job), WrongCase);
    seen.refuse(&mut world, swap(output, 2, key("stranger")), WrongRentPayer);
}

pub fn faults(seen: &mut Seen) {
    let mut world = court(8, 3, |_| {});
    let answered = world.answered(EXACT, "n0", 300, Lie::NotTheChoice(150));
    let other = world.answered(EXACT, "n2", 300, Lie::None);
    let proof = world.proof(&answered, "n1", 150, NONE);
    for at in [1, 9] {
        let mut call = proof.clone();
        call.data[at] ^= 1;
        seen.refuse(&mut world, call, WrongFork);
    }
    let call = world.proof(&answered, "n0", 150, NONE);
    seen.refuse(&mut world, call, SelfChallenge);
    let call = swap(proof.clone(), 1, operator("n2"));
    seen.refuse(&mut world, call, NotOperator);
    let call = swap(proof.clone(), 4, calls::validator(&key("n2")));
    seen.refuse(&mut world, call, WrongValidator);
    seen.refuse(&mut world, swap(proof.clone(), 7, model(1)), WrongModel);
    let call = world.proof(&answered, "n1", 151, NONE);
    seen.refuse(&mut world, call, NoFault);
    // The token's bytes in the leaf.
    let mut call = proof.clone();
    call.data[1 + 40 + 4] ^= 1;
    seen.refuse(&mut world, call, OpeningMismatch);
    let mut call = proof.clone();
    call.data.truncate(proof.data.len() - 32);
    seen.refuse(&mut world, call, OpeningMismatch);
    let call = swap(proof.clone(), 9, calls::case(&other.job));
    seen.refuse(&mut world, call, WrongAddress);
    world.reach_sample(&other);
    world.must_object(&other, "n1", &[]);
    for call in world.outputs(&other) {
        world.chain.must(call);
    }
    let mut call = world.proof(&answered, "n1", 151, calls::output(&other.job, 0));
    call.accounts[8].is_writable = false;
    seen.refuse(&mut world, call, WrongOutput);
    let mut late = world.clone();
    let end = late.job(&answered.job).window_end().expect("submitted");
    late.chain.warp_to(end);
    seen.refuse(&mut late, proof.clone(), WindowClosed);
    // With a case it is that one; once it is shown the fault is noted, and only once.
    let mut open = world.clone();
    open.must_object(&answered, "n1", &[]);
    let call = swap(proof.clone(), 9, calls::case(&other.job));
    seen.refuse(&mut open, call, WrongCase);
    open.must_show(&answered);
    open.chain.must(proof.clone());
    seen.refuse(&mut open, proof.clone(), FaultProved);
    world.chain.must(proof.clone());
    seen.refuse(&mut world, proof, WrongJobStatus);
}
