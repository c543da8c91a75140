//! Disputes: what they are about, their phases, verdict and amounts.

use mythic_interface::{
    params::MAX_JURY_SEATS,
    state::{Dispute, DisputeStatus, Ground, Key, NAMED_POSITIONS, SAMPLED_POSITIONS, Verdict},
};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, at_most, base58, listed, signature_text, slot_of, status},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// A dispute. Amounts in lamports; what is not known yet is null.
    Dispute: DisputeRow = "dispute" ["pubkey"] {
        pubkey: Key,
        job: Key,
        challenger: Key,
        submitter: Key,
        fingerprint: [u8; 32],
        status: i16,
        verdict: Option<i16>,
        jury_seats: i16,
        bond_lamports: i64,
        opened_slot: i64,
        completed_slot: Option<i64>,
        resolved_slot: Option<i64>,
        slashed_lamports: Option<i64>,
        challenger_lamports: Option<i64>,
        jurors_lamports: Option<i64>,
        submitter_lamports: Option<i64>,
        burned_lamports: Option<i64>,
        lamports: i64,
        model: Key,
        rent_payer: Key,
        ground: Option<i16>,
        exact_profile: bool,
        sampled: i16,
        named: i16,
        opened: i16,
        output_tokens: i64,
        requested_slot: i64,
        submitted_slot: i64,
        openings_end_slot: Option<i64>,
        commit_from_slot: Option<i64>,
        commit_end_slot: Option<i64>,
        reveal_end_slot: Option<i64>,
        due_slot: Option<i64>,
        retention_end_slot: Option<i64>,
        at_stake_lamports: i64,
        answering_fee_lamports: i64,
        tariff_lamports: i64,
        held_lamports: i64,
        output_rent_lamports: i64,
        penalties_lamports: Option<i64>,
        forfeited_lamports: Option<i64>,
        /// Resolved, and everybody has what is due.
        collected: bool,
    }
}

/// The slots in which a dispute goes on, as far as they are known.
struct Phases {
    /// No more openings and output from here on; none where a fault was proved.
    openings_end: Option<i64>,
    /// Jurors commit from here on.
    commit_from: Option<i64>,
    /// Jurors commit no more, and reveal.
    commit_end: Option<i64>,
    /// Jurors reveal no more.
    reveal_end: Option<i64>,
    /// It can be resolved from here on if nothing else happens; none once it is.
    due: Option<i64>,
    /// It can be closed from here on; none until it is resolved.
    retention_end: Option<i64>,
}

impl Phases {
    fn of(d: &Dispute, ground: Option<Ground>) -> Result<Self, Reject> {
        let when = |known: bool, field, slot: u64| -> Result<Option<i64>, Reject> {
            known.then(|| amount(field, slot)).transpose()
        };
        let challenged = ground != Some(Ground::Fault);
        let jury = d.completed_slot.get() != 0 && d.rule().is_some();
        let due = d.due_slot();
        let resolved = d.resolved_slot.get() != 0;
        Ok(Self {
            openings_end: when(challenged, "openings_end", d.openings_end())?,
            commit_from: when(jury, "commit_from", d.commit_start())?,
            commit_end: when(jury, "commit_end", d.commit_end())?,
            reveal_end: when(jury, "reveal_end", d.reveal_end())?,
            due: when(due.is_some(), "due", due.unwrap_or(0))?,
            retention_end: when(resolved, "retention_end", d.retention_end())?,
        })
    }
}

/// The bytes that name a case.
struct Words {
    status: DisputeStatus,
    verdict: Option<Verdict>,
    ground: Option<Ground>,
}

impl Projected {
    pub(super) fn dispute(
        &mut self,
        account: &Account,
        at: At,
        d: &Dispute,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(d.header.status, DisputeStatus::from_u8)?,
            verdict: listed("verdict", d.verdict, Verdict::from_u8)?,
            ground: listed("ground", d.ground, Ground::from_u8)?,
        };
        let write_seq = amount("seq", d.header.seq.get())?;
        let row = row(account.pubkey, d, &words, lamports)?;
        self.announce(Topic::Disputes, account, at, || {
            payload(&row, &words, d, write_seq, account.signature)
        });
        self.row(account, at, write_seq, row);
        self.jury(account, at, d)?;
        self.openings(account, at, d, write_seq);
        Ok(())
    }
}

fn row(pubkey: Key, d: &Dispute, words: &Words, lamports: i64) -> Result<DisputeRow, Reject> {
    let phases = Phases::of(d, words.ground)?;
    let resolved_slot = slot_of("resolved_slot", d.resolved_slot.get())?;
    // Amounts are known from the end on.
    let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
        let value = amount(field, value)?;
        Ok(resolved_slot.map(|_| value))
    };
    Ok(DisputeRow {
        pubkey,
        job: d.job,
        challenger: d.challenger,
        submitter: d.submitter,
        fingerprint: d.fingerprint,
        status: words.status as i16,
        verdict: words.verdict.map(|v| v as i16),
        jury_seats: at_most("jury_seats", d.jury_seats, MAX_JURY_SEATS)?,
        bond_lamports: amount("bond", d.bond.get())?,
        opened_slot: amount("challenged_slot", d.challenged_slot.get())?,
        completed_slot: slot_of("completed_slot", d.completed_slot.get())?,
        resolved_slot,
        slashed_lamports: at_end("slashed_amount", d.slashed_amount.get())?,
        challenger_lamports: at_end("challenger_amount", d.challenger_amount.get())?,
        jurors_lamports: at_end("jurors_amount", d.jurors_amount.get())?,
        submitter_lamports: at_end("submitter_amount", d.submitter_amount.get())?,
        burned_lamports: at_end("burned_amount", d.burned_amount.get())?,
        lamports,
        model: d.model,
        rent_payer: d.rent_payer,
        ground: words.ground.map(|g| g as i16),
        exact_profile: d.exact != 0,
        sampled: at_most("sampled", d.sampled, SAMPLED_POSITIONS)?,
        named: at_most("named", d.named, NAMED_POSITIONS)?,
        opened: at_most("opened", d.opened, d.checked())?,
        output_tokens: d.output_tokens.get().into(),
        requested_slot: amount("requested_slot", d.requested_slot.get())?,
        submitted_slot: amount("submitted_slot", d.submitted_slot.get())?,
        openings_end_slot: phases.openings_end,
        commit_from_slot: phases.commit_from,
        commit_end_slot: phases.commit_end,
        reveal_end_slot: phases.reveal_end,
        due_slot: phases.due,
        retention_end_slot: phases.retention_end,
        at_stake_lamports: amount("at_stake", d.at_stake.get())?,
        answering_fee_lamports: amount("answering_fee", d.answering_fee.get())?,
        tariff_lamports: amount("tariff", d.tariff.get())?,
        held_lamports: amount("held", d.held.get())?,
        output_rent_lamports: amount("output_rent", d.output_rent.get())?,
        penalties_lamports: at_end("penalties_amount", d.penalties_amount.get())?,
        forfeited_lamports: at_end("forfeited_amount", d.forfeited_amount.get())?,
        collected: words.status == DisputeStatus::Resolved && d.all_collected(),
    })
}

/// What the feed tells of a dispute.
fn payload(
    row: &DisputeRow,
    words: &Words,
    d: &Dispute,
    write_seq: i64,
    signature: Option<[u8; 64]>,
) -> Json {
    let taken = d.jury().iter().filter(|seat| seat.is_taken());
    let mut jurors: Vec<String> = Vec::new();
    for name in taken.clone().map(|seat| base58(&seat.juror)) {
        if !jurors.contains(&name) {
            jurors.push(name);
        }
    }
    json!({
        "object": "dispute",
        "id": base58(&row.pubkey),
        "job": base58(&row.job),
        "model": base58(&row.model),
        "challenger": base58(&row.challenger),
        "submitter": base58(&row.submitter),
        "status": words.status.as_str(),
        "verdict": words.verdict.map(Verdict::as_str),
        "ground": words.ground.map(Ground::as_str),
        "checked_positions": row.sampled + row.named,
        "opened_positions": row.opened,
        "jury_seats": row.jury_seats,
        "committed_seats": taken.clone().count(),
        "revealed_seats": taken.filter(|seat| seat.is_revealed()).count(),
        "jurors": jurors,
        "bond_lamports": row.bond_lamports,
        "slashed_lamports": row.slashed_lamports,
        "challenger_lamports": row.challenger_lamports,
        "jurors_lamports": row.jurors_lamports,
        "submitter_lamports": row.submitter_lamports,
        "burned_lamports": row.burned_lamports,
        "penalties_lamports": row.penalties_lamports,
        "forfeited_lamports": row.forfeited_lamports,
        "opened_slot": row.opened_slot,
        "openings_end_slot": row.openings_end_slot,
        "completed_slot": row.completed_slot,
        "commit_from_slot": row.commit_from_slot,
        "commit_end_slot": row.commit_end_slot,
        "reveal_end_slot": row.reveal_end_slot,
        "due_slot": row.due_slot,
        "resolved_slot": row.resolved_slot,
        "collected": row.collected,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
