//! A dispute by itself, its way from one state to the next, and the output posted for it.

use mythic_interface::state::{Dispute, DisputeStatus, Ground, Job, Key, Output, Verdict};

use super::job::is_running;
use super::state::State;

/// What holds of a dispute at any time.
pub fn is_sound(dispute: &Dispute) -> Result<(), String> {
    let status = dispute
        .status()
        .ok_or_else(|| format!("a dispute has status {}", dispute.header.status))?;
    let shown = dispute
        .leaves
        .iter()
        .filter(|leaf| leaf.present != 0)
        .count();
    ensure!(
        shown == usize::from(dispute.opened),
        "{shown} leaves are shown and {} counted",
        dispute.opened
    );
    let bond = dispute.bond.get();
    let [challenger, jurors, submitter, burned, slashed] = [
        dispute.challenger_amount,
        dispute.jurors_amount,
        dispute.submitter_amount,
        dispute.burned_amount,
        dispute.slashed_amount,
    ]
    .map(|amount| amount.get());
    let rewards: u64 = dispute.seats.iter().map(|seat| seat.reward.get()).sum();
    ensure!(
        rewards == jurors,
        "the seats' rewards are not the jurors' amount"
    );
    ensure!(
        dispute.completed_slot.get() == 0 || shown == dispute.checked(),
        "complete without every leaf"
    );
    if status != DisputeStatus::Resolved {
        ensure!(
            dispute.held.get() == bond,
            "an open dispute does not hold its bond"
        );
        ensure!(
            challenger + jurors + submitter + burned + slashed == 0
                && dispute.verdict == 0
                && dispute.ground == 0
                && dispute.resolved_slot.get() == 0,
            "an open dispute has a verdict or amounts"
        );
        return Ok(());
    }
    ensure!(
        bond + slashed == challenger + jurors + submitter + burned,
        "bond and slash are not what was shared out"
    );
    let mut held: u64 = match dispute.challenger_collected {
        0 => challenger,
        _ => 0,
    };
    for seat in dispute.seats.iter().filter(|seat| seat.collected == 0) {
        held += seat.reward.get();
    }
    ensure!(
        dispute.held.get() == held,
        "a resolved dispute holds {:?} and owes {held}",
        dispute.held
    );
    let verdict = Verdict::from_u8(dispute.verdict);
    let guilty = matches!(verdict, Some(Verdict::Guilty | Verdict::Fault));
    ensure!(guilty || slashed == 0, "slashed by {verdict:?}");
    let ground = Ground::from_u8(dispute.ground);
    ensure!(
        dispute.seats.iter().all(|seat| seat.penalty.get() == 0) || ground == Some(Ground::Jury),
        "jurors are penalised by {ground:?}"
    );
    ensure!(
        dispute
            .seats
            .iter()
            .all(|seat| seat.reward.get() == 0 || seat.is_revealed()),
        "a silent juror is paid"
    );
    Ok(())
}

/// A dispute's subject stays, its pieces stay once shown, and its verdict is final.
pub fn went_on(address: &Key, old: &Dispute, after: &State) -> Result<(), String> {
    let resolved = old.status() == Some(DisputeStatus::Resolved);
    let Some(new) = after.get::<Dispute>(address) else {
        ensure!(resolved && old.all_paid(), "an open dispute was closed");
        ensure!(
            old.all_collected() || after.slot >= old.forfeit_end(),
            "fines lapsed too early"
        );
        ensure!(
            after.slot >= old.retention_end(),
            "a dispute was closed too early"
        );
        return Ok(());
    };
    let subject = |d: &Dispute| {
        (
            [
                d.job,
                d.model,
                d.challenger,
                d.submitter,
                d.rent_payer,
                d.fingerprint,
            ],
            [
                d.requested_slot,
                d.submitted_slot,
                d.challenged_slot,
                d.bond,
            ],
            d.sample_hashes,
            d.positions_hash(),
        )
    };
    ensure!(
        subject(old) == subject(new),
        "the subject of a dispute changed"
    );
    for (was, is) in old.leaves.iter().zip(&new.leaves) {
        ensure!(
            was.present == 0 || was == is,
            "a leaf that was shown changed"
        );
    }
    for (was, is) in old.seats.iter().zip(&new.seats) {
        ensure!(
            was.slot_hash == [0; 32] || was.slot_hash == is.slot_hash,
            "the draw of a seat changed"
        );
        ensure!(
            !was.is_revealed() || (was.juror, was.vector) == (is.juror, is.vector),
            "a vector that was revealed changed"
        );
        ensure!(
            !was.is_taken() || is.is_taken() && (was.juror == is.juror || is.rank >= was.rank),
            "a seat went to a lower rank"
        );
    }
    if resolved {
        let verdict = |d: &Dispute| {
            (
                [d.header.status, d.verdict, d.ground],
                d.resolved_slot,
                [d.slashed_amount, d.challenger_amount, d.jurors_amount],
                [d.submitter_amount, d.burned_amount],
            )
        };
        ensure!(verdict(old) == verdict(new), "a verdict changed");
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
            .is_none_or(|job| !is_running(job) && job.open_disputes.get() == 0);
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
