//! A case by itself, its way from one state to the next, its votes, and the output posted for it.

use mythic_interface::dispute::{Findings, decide};
use mythic_interface::state::{
    Case, CaseStatus, Claim, ClaimKind, Ground, Job, Key, NO_KEY, OpenedLeaf, Outcome, Output,
    Verdict, Votes,
};

use super::job::is_running;
use super::state::State;
use crate::keys::address;

fn shown(leaves: &[OpenedLeaf]) -> usize {
    leaves.iter().filter(|leaf| leaf.present != 0).count()
}

/// What holds of a case at any time.
pub fn is_sound(case: &Case) -> Result<(), String> {
    let status = case
        .status()
        .ok_or_else(|| format!("a case has status {}", case.header.status))?;
    ensure!(
        shown(&case.leaves) == usize::from(case.opened),
        "{} leaves are shown and {} counted",
        shown(&case.leaves),
        case.opened
    );
    let falses = case.claims().iter().filter(|claim| claim.is_false());
    ensure!(
        falses.count() == usize::from(case.false_count),
        "claims that say false are miscounted"
    );
    let late = case.claims().iter().skip(1);
    ensure!(
        late.clone().all(Claim::is_false) && late.clone().all(|claim| claim.tariffs.get() == 0)
            || case.claims().first().is_some_and(|claim| !claim.is_false()),
        "somebody joined without saying false, or paid for the jury twice"
    );
    ensure!(
        case.shown_slot.get() == 0 || case.opened == case.sampled,
        "shown without every leaf of the sample"
    );
    if status == CaseStatus::Resolved {
        return is_soundly_resolved(case);
    }
    let bonds: u64 = case.claims().iter().map(Claim::bond).sum();
    ensure!(
        case.held.get() == bonds,
        "an open case does not hold its bonds"
    );
    let amounts = amounts(case).into_iter().sum::<u64>() + case.slashed_amount.get();
    ensure!(
        amounts == 0 && case.verdict == 0 && case.ground == 0 && case.resolved_slot.get() == 0,
        "an open case has a verdict or amounts"
    );
    ensure!(case.claim_count > 0, "nobody opened a case");
    Ok(())
}

/// What a resolved case shared out, but for what is taken later.
fn amounts(case: &Case) -> [u64; 5] {
    [
        case.claimants_amount,
        case.jurors_amount,
        case.submitter_amount,
        case.prover_amount,
        case.burned_amount,
    ]
    .map(|amount| amount.get())
}

fn is_soundly_resolved(case: &Case) -> Result<(), String> {
    let bonds: u64 = case.claims().iter().map(Claim::bond).sum();
    let slashed = case.slashed_amount.get();
    ensure!(
        bonds + slashed == amounts(case).into_iter().sum::<u64>(),
        "bonds and slash are not what was shared out"
    );
    let rewards: u64 = case.seats.iter().map(|seat| seat.reward.get()).sum();
    ensure!(
        rewards == case.jurors_amount.get(),
        "the seats' rewards are not the jurors' amount"
    );
    let claimed: u64 = case.claims().iter().map(|claim| claim.amount.get()).sum();
    ensure!(
        claimed == case.claimants_amount.get(),
        "the claims' amounts are not the claimants' amount"
    );
    let claims = case.claims().iter().filter(|claim| claim.collected == 0);
    let seats = case.seats.iter().filter(|seat| seat.collected == 0);
    let mut due = claims.map(|claim| claim.amount.get()).sum::<u64>()
        + seats.map(|seat| seat.reward.get()).sum::<u64>();
    if case.prover_collected == 0 {
        due += case.prover_amount.get();
    }
    ensure!(
        case.held.get() == due,
        "a resolved case holds {:?} and owes {due}",
        case.held
    );
    let verdict = Verdict::from_u8(case.verdict);
    let guilty = matches!(verdict, Some(Verdict::Guilty | Verdict::Fault));
    ensure!(guilty || slashed == 0, "slashed by {verdict:?}");
    let ground = Ground::from_u8(case.ground);
    ensure!(
        ground != Some(Ground::Jury) || slashed <= case.committed_stake.get(),
        "a jury took more than it brought"
    );
    let judged = matches!(
        ground,
        Some(Ground::Jury | Ground::NoQuorum | Ground::TooFew | Ground::Fault)
    );
    ensure!(
        judged || case.seats.iter().all(|seat| seat.penalty.get() == 0),
        "jurors are fined by {ground:?}"
    );
    ensure!(
        (case.prover == NO_KEY) == (case.fault.present == 0)
            && (case.prover != NO_KEY || ground != Some(Ground::Fault)),
        "a fault without a prover, or one who proved none"
    );
    ensure!(
        case.prover == NO_KEY || guilty,
        "a proven fault came to {verdict:?}"
    );
    for seat in &case.seats {
        ensure!(
            seat.reward.get() == 0 || seat.is_revealed() && seat.penalty.get() == 0,
            "a silent or a fined juror is paid"
        );
    }
    for claim in case.claims() {
        is_soundly_decided(case, claim, guilty)?;
    }
    Ok(())
}

/// Who was not found wrong loses nothing but the fees that were named beforehand, and who was right nothing at all.
fn is_soundly_decided(case: &Case, claim: &Claim, guilty: bool) -> Result<(), String> {
    let outcome = Outcome::from_u8(claim.outcome);
    let (amount, bond) = (claim.amount.get(), claim.bond());
    let least = match outcome {
        Some(Outcome::Right) => bond,
        Some(Outcome::Undecided | Outcome::Wrong) if guilty => bond - claim.at_stake.get(),
        Some(Outcome::Undecided) => claim.at_stake.get(),
        Some(Outcome::Wrong) => 0,
        None => return Err("a claim has no outcome".into()),
    };
    ensure!(
        amount >= least,
        "a claim that is {outcome:?} gets {amount} of {bond}"
    );
    ensure!(
        outcome != Some(Outcome::Undecided) || amount >= claim.at_stake.get(),
        "a claim that nobody refuted lost its part at stake"
    );
    // Of a fault of which nobody had said `false`, the opener is paid though what it missed was shown.
    let rewarded = amount > bond;
    let stands = outcome != Some(Outcome::Wrong) || !claim.is_false();
    ensure!(
        !rewarded || guilty && stands,
        "a claim is rewarded that was {outcome:?}"
    );
    if ClaimKind::from_u8(claim.kind) == Some(ClaimKind::Withheld) {
        ensure!(claim.named == 0, "a claim of withholding names positions");
    }
    ensure!(
        case.ground != Ground::NoClaim as u8 || case.false_count == 0,
        "nobody said false, and somebody did"
    );
    Ok(())
}

/// A case's subject stays, its claims stay, its pieces stay once shown, and its verdict is final.
pub fn went_on(at: &Key, old: &Case, after: &State) -> Result<(), String> {
    let resolved = old.status() == Some(CaseStatus::Resolved);
    let Some(new) = after.get::<Case>(at) else {
        ensure!(resolved && old.all_paid(), "an open case was closed");
        ensure!(
            old.all_collected() || after.slot >= old.forfeit_end(),
            "fines lapsed too early"
        );
        ensure!(
            after.slot >= old.retention_end(),
            "a case was closed too early"
        );
        return Ok(());
    };
    let subject = |c: &Case| {
        (
            [c.job, c.model, c.submitter, c.rent_payer, c.fingerprint],
            [c.requested_slot, c.submitted_slot, c.opened_slot],
            [c.stake_at_result, c.tariff],
            c.sample_hashes,
        )
    };
    ensure!(
        subject(old) == subject(new),
        "the subject of a case changed"
    );
    ensure!(
        old.shown_slot.get() == 0 || old.shown_slot == new.shown_slot,
        "the time to join was moved"
    );
    ensure!(old.header.status <= new.header.status, "a case went back");
    ensure!(
        old.prover == NO_KEY || (old.prover, old.fault) == (new.prover, new.fault),
        "a fault that was proved changed"
    );
    for (was, is) in old.leaves.iter().zip(&new.leaves) {
        ensure!(was.present == 0 || was == is, "a leaf changed");
    }
    for (was, is) in old.claims().iter().zip(&new.claims) {
        let said = |c: &Claim| {
            (
                (c.claimant, c.kind, c.named),
                [c.claimed_slot, c.at_stake, c.answering_fee, c.tariffs],
            )
        };
        ensure!(said(was) == said(is), "a claim changed");
        for (was, is) in was.leaves.iter().zip(&is.leaves) {
            ensure!(was.position == is.position, "a named position changed");
            ensure!(was.present == 0 || was == is, "a leaf changed");
        }
        ensure!(
            !resolved || (was.outcome, was.amount) == (is.outcome, is.amount),
            "an outcome changed"
        );
    }
    ensure!(
        old.claim_count <= new.claim_count
            && (old.claim_count == new.claim_count || after.slot < new.joining_end()),
        "a claim came after the time to join"
    );
    seats_went_on(old, new)?;
    if resolved {
        let verdict = |c: &Case| {
            (
                [c.header.status, c.verdict, c.ground],
                c.resolved_slot,
                c.slashed_amount,
                amounts(c),
            )
        };
        ensure!(verdict(old) == verdict(new), "a verdict changed");
    }
    Ok(())
}

fn seats_went_on(old: &Case, new: &Case) -> Result<(), String> {
    ensure!(
        old.committed_stake <= new.committed_stake,
        "stake that had committed is gone"
    );
    for (was, is) in old.seats.iter().zip(&new.seats) {
        ensure!(
            was.slot_hash == [0; 32] || was.slot_hash == is.slot_hash,
            "the draw of a seat changed"
        );
        ensure!(
            !was.is_revealed() || was.juror == is.juror,
            "a seat that had revealed changed"
        );
        ensure!(
            !was.is_taken() || is.is_taken() && (was.juror == is.juror || is.rank >= was.rank),
            "a seat went to a lower rank"
        );
    }
    Ok(())
}

/// Votes stay as they were revealed, are there while anybody needs them, and say what the verdict says.
pub fn votes_are_sound(before: &State, after: &State) -> Result<(), String> {
    for (at, old) in before.all::<Votes>() {
        let Some(new) = after.get::<Votes>(at) else {
            ensure!(
                after.get::<Case>(&old.case).is_none(),
                "votes were closed before their case"
            );
            continue;
        };
        let case = before.get::<Case>(&old.case);
        for (index, (was, is)) in old.votes.iter().zip(&new.votes).enumerate() {
            let revealed = case.is_some_and(|case| case.seats[index].is_revealed());
            ensure!(
                !revealed || (was.body, was.right) == (is.body, is.right),
                "a vote that was revealed changed"
            );
        }
    }
    for (at, case) in after.all::<Case>() {
        let votes = address(&mythic_interface::pda::votes(at));
        let votes = after.get::<Votes>(&votes);
        ensure!(
            votes.is_some() == (case.false_count > 0),
            "votes without a false claim, or a false claim without votes"
        );
        let fresh = before
            .get::<Case>(at)
            .is_none_or(|old| old.status() != Some(CaseStatus::Resolved));
        if case.status() != Some(CaseStatus::Resolved) || !fresh {
            continue;
        }
        let ground = Ground::from_u8(case.ground).ok_or("a verdict without a ground")?;
        let decision = decide(ground, &Findings::of(case, votes));
        ensure!(
            decision.verdict as u8 == case.verdict && decision.ground == ground,
            "the votes do not give the verdict"
        );
    }
    Ok(())
}

/// Posted output stays until its job has ended.
pub fn output_went_on(
    address: &Key,
    old: &Output,
    before: &State,
    after: &State,
) -> Result<(), String> {
    let Some(new) = after.get::<Output>(address) else {
        let ended = before
            .get::<Job>(&old.job)
            .is_none_or(|job| !is_running(job));
        ensure!(ended, "output of a running job was closed");
        return Ok(());
    };
    let posted = old.chunks.get();
    ensure!(
        new.chunks.get() & posted == posted,
        "a posted chunk is gone"
    );
    for (position, (was, is)) in old.tokens.iter().zip(&new.tokens).enumerate() {
        ensure!(
            posted >> (position / 128) & 1 == 0 || was == is,
            "a posted token changed"
        );
    }
    Ok(())
}
