//! Cases: what they are about, their phases, verdict and amounts.

use mythic_interface::{
    params::MAX_JURY_SEATS,
    state::{
        Case, CaseStatus, Claim, Ground, Key, MAX_CLAIMS, MAX_FALSE, SAMPLED_POSITIONS, Verdict,
    },
};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, at_most, base58, listed, signature_text, slot_of, some_key, status},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// A case. Amounts in lamports; what is not known yet is null.
    Case: CaseRow = "dispute_case" ["pubkey"] {
        pubkey: Key,
        job: Key,
        model: Key,
        submitter: Key,
        /// Who got the reward, else who opened it or proved the fault.
        challenger: Option<Key>,
        prover: Option<Key>,
        rent_payer: Key,
        fingerprint: [u8; 32],
        status: i16,
        verdict: Option<i16>,
        ground: Option<i16>,
        exact_profile: bool,
        jury_seats: i16,
        claims: i16,
        false_claims: i16,
        sampled: i16,
        /// Positions of all claims together.
        named: i16,
        /// Positions that are shown.
        opened: i16,
        output_tokens: i64,
        requested_slot: i64,
        submitted_slot: i64,
        opened_slot: i64,
        shown_slot: Option<i64>,
        joining_end_slot: Option<i64>,
        leaves_slot: Option<i64>,
        leaves_due_slot: Option<i64>,
        commit_from_slot: Option<i64>,
        commit_end_slot: Option<i64>,
        reveal_end_slot: Option<i64>,
        due_slot: Option<i64>,
        resolved_slot: Option<i64>,
        retention_end_slot: Option<i64>,
        forfeit_end_slot: Option<i64>,
        stake_at_result_lamports: i64,
        committed_stake_lamports: i64,
        tariff_lamports: i64,
        bonds_lamports: i64,
        held_lamports: i64,
        output_rent_lamports: i64,
        slashed_lamports: Option<i64>,
        /// The part of the slash that went to a claimant, or to who proved a fault.
        reward_lamports: Option<i64>,
        claimants_lamports: Option<i64>,
        jurors_lamports: Option<i64>,
        submitter_lamports: Option<i64>,
        prover_lamports: Option<i64>,
        burned_lamports: Option<i64>,
        penalties_lamports: Option<i64>,
        forfeited_lamports: Option<i64>,
        /// Resolved, and nothing lies in it for anybody.
        paid: bool,
        /// And no fine is left to take.
        collected: bool,
        lamports: i64,
    }
}

/// The slots in which a case goes on, as far as they are known.
struct Phases {
    /// Nobody joins from here on.
    joining_end: Option<i64>,
    /// What is not shown by here is not shown in time; none where a fault was proved without a case.
    leaves_due: Option<i64>,
    /// Jurors commit from here on; none where nobody says that the result is false.
    commit_from: Option<i64>,
    /// Jurors commit no more, and reveal.
    commit_end: Option<i64>,
    /// Jurors reveal no more.
    reveal_end: Option<i64>,
    /// It can be resolved from here on if nothing else happens; none once it is.
    due: Option<i64>,
    /// It can be closed from here on if everything is collected; none until it is resolved.
    retention_end: Option<i64>,
    /// It can be closed from here on although fines are not.
    forfeit_end: Option<i64>,
}

impl Phases {
    fn of(case: &Case) -> Result<Self, Reject> {
        let when = |known: bool, field, slot: u64| -> Result<Option<i64>, Reject> {
            known.then(|| amount(field, slot)).transpose()
        };
        let shown = case.shown_slot.get() != 0;
        let jury = case.is_shown() && case.false_count != 0;
        let due = case.due_slot();
        let resolved = case.resolved_slot.get() != 0;
        Ok(Self {
            joining_end: when(shown, "joining_end", case.joining_end())?,
            leaves_due: when(case.claim_count != 0, "leaves_due", case.leaves_due())?,
            commit_from: when(jury, "commit_from", case.commit_start())?,
            commit_end: when(jury, "commit_end", case.commit_end())?,
            reveal_end: when(jury, "reveal_end", case.reveal_end())?,
            due: when(due.is_some(), "due", due.unwrap_or(0))?,
            retention_end: when(resolved, "retention_end", case.retention_end())?,
            forfeit_end: when(resolved, "forfeit_end", case.forfeit_end())?,
        })
    }
}

/// The bytes that name something.
struct Words {
    status: CaseStatus,
    verdict: Option<Verdict>,
    ground: Option<Ground>,
}

impl Projected {
    pub(super) fn case(
        &mut self,
        account: &Account,
        at: At,
        case: &Case,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(case.header.status, CaseStatus::from_u8)?,
            verdict: listed("verdict", case.verdict, Verdict::from_u8)?,
            ground: listed("ground", case.ground, Ground::from_u8)?,
        };
        let write_seq = amount("seq", case.header.seq.get())?;
        let row = row(account.pubkey, case, &words, lamports)?;
        self.announce(Topic::Disputes, account, at, || {
            payload(&row, &words, case, write_seq, account.signature)
        });
        self.row(account, at, write_seq, row);
        self.claims(account, at, case)?;
        self.jury(account, at, case)?;
        self.openings(account, at, case, write_seq);
        Ok(())
    }
}

/// What of the slash a claimant got.
pub(super) fn reward_of(claim: &Claim) -> u64 {
    claim.amount.get().saturating_sub(claim.bond())
}

/// The validator in whose name the case stands: whoever got the reward, a prover among them; else who opened it.
fn challenger(case: &Case) -> Option<Key> {
    let claims = || case.claims().iter();
    let prover = || some_key(&case.prover);
    let rewarded = claims().find(|claim| reward_of(claim) != 0);
    rewarded
        .map(|claim| claim.claimant)
        .or_else(|| prover().filter(|_| case.prover_amount.get() != 0))
        .or_else(|| claims().next().map(|claim| claim.claimant))
        .or_else(prover)
}

/// Positions that somebody named, and those of them that are shown.
fn named(case: &Case) -> (i16, i16) {
    let leaves = case.claims().iter().flat_map(Claim::group);
    leaves.fold((0, 0), |(named, shown), leaf| {
        (named + 1, shown + i16::from(leaf.present != 0))
    })
}

fn row(pubkey: Key, case: &Case, words: &Words, lamports: i64) -> Result<CaseRow, Reject> {
    let phases = Phases::of(case)?;
    let resolved_slot = slot_of("resolved_slot", case.resolved_slot.get())?;
    // Amounts are known from the end on.
    let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
        let value = amount(field, value)?;
        Ok(resolved_slot.map(|_| value))
    };
    let sum = |value: fn(&Claim) -> u64| {
        let values = case.claims().iter().map(value);
        values.fold(0u64, u64::saturating_add)
    };
    let (named, named_shown) = named(case);
    let shown = case.sample().iter().filter(|leaf| leaf.present != 0);
    let over = words.status == CaseStatus::Resolved;
    Ok(CaseRow {
        pubkey,
        job: case.job,
        model: case.model,
        submitter: case.submitter,
        challenger: challenger(case),
        prover: some_key(&case.prover),
        rent_payer: case.rent_payer,
        fingerprint: case.fingerprint,
        status: words.status as i16,
        verdict: words.verdict.map(|v| v as i16),
        ground: words.ground.map(|g| g as i16),
        exact_profile: case.exact != 0,
        jury_seats: at_most("jury_seats", case.jury_seats, MAX_JURY_SEATS)?,
        claims: at_most("claim_count", case.claim_count, MAX_CLAIMS)?,
        false_claims: at_most("false_count", case.false_count, MAX_FALSE)?,
        sampled: at_most("sampled", case.sampled, SAMPLED_POSITIONS)?,
        named,
        opened: named_shown + shown.count() as i16,
        output_tokens: case.output_tokens.get().into(),
        requested_slot: amount("requested_slot", case.requested_slot.get())?,
        submitted_slot: amount("submitted_slot", case.submitted_slot.get())?,
        opened_slot: amount("opened_slot", case.opened_slot.get())?,
        shown_slot: slot_of("shown_slot", case.shown_slot.get())?,
        joining_end_slot: phases.joining_end,
        leaves_slot: slot_of("leaves_slot", case.leaves_slot.get())?,
        leaves_due_slot: phases.leaves_due,
        commit_from_slot: phases.commit_from,
        commit_end_slot: phases.commit_end,
        reveal_end_slot: phases.reveal_end,
        due_slot: phases.due,
        resolved_slot,
        retention_end_slot: phases.retention_end,
        forfeit_end_slot: phases.forfeit_end,
        stake_at_result_lamports: amount("stake_at_result", case.stake_at_result.get())?,
        committed_stake_lamports: amount("committed_stake", case.committed_stake.get())?,
        tariff_lamports: amount("tariff", case.tariff.get())?,
        bonds_lamports: amount("bonds", sum(Claim::bond))?,
        held_lamports: amount("held", case.held.get())?,
        output_rent_lamports: amount("output_rent", case.output_rent.get())?,
        slashed_lamports: at_end("slashed_amount", case.slashed_amount.get())?,
        reward_lamports: at_end(
            "reward",
            sum(reward_of).saturating_add(case.prover_amount.get()),
        )?,
        claimants_lamports: at_end("claimants_amount", case.claimants_amount.get())?,
        jurors_lamports: at_end("jurors_amount", case.jurors_amount.get())?,
        submitter_lamports: at_end("submitter_amount", case.submitter_amount.get())?,
        prover_lamports: at_end("prover_amount", case.prover_amount.get())?,
        burned_lamports: at_end("burned_amount", case.burned_amount.get())?,
        penalties_lamports: at_end("penalties_amount", case.penalties_amount.get())?,
        forfeited_lamports: at_end("forfeited_amount", case.forfeited_amount.get())?,
        paid: over && case.all_paid(),
        collected: over && case.all_collected(),
        lamports,
    })
}

/// Each key once, in the order in which they come.
fn distinct<'a>(keys: impl Iterator<Item = &'a Key>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in keys.map(base58) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What the feed tells of a case.
fn payload(
    row: &CaseRow,
    words: &Words,
    case: &Case,
    write_seq: i64,
    signature: Option<[u8; 64]>,
) -> Json {
    let taken = case.jury().iter().filter(|seat| seat.is_taken());
    json!({
        "object": "case",
        "id": base58(&row.pubkey),
        "job": base58(&row.job),
        "model": base58(&row.model),
        "challenger": row.challenger.map(|key| base58(&key)),
        "claimants": distinct(case.claims().iter().map(|claim| &claim.claimant)),
        "submitter": base58(&row.submitter),
        "prover": row.prover.map(|key| base58(&key)),
        "status": words.status.as_str(),
        "verdict": words.verdict.map(Verdict::as_str),
        "ground": words.ground.map(Ground::as_str),
        "claims": row.claims,
        "false_claims": row.false_claims,
        "checked_positions": row.sampled + row.named,
        "opened_positions": row.opened,
        "jury_seats": row.jury_seats,
        "committed_seats": taken.clone().count(),
        "revealed_seats": taken.clone().filter(|seat| seat.is_revealed()).count(),
        "jurors": distinct(taken.map(|seat| &seat.juror)),
        "bonds_lamports": row.bonds_lamports,
        "slashed_lamports": row.slashed_lamports,
        "reward_lamports": row.reward_lamports,
        "claimants_lamports": row.claimants_lamports,
        "jurors_lamports": row.jurors_lamports,
        "submitter_lamports": row.submitter_lamports,
        "prover_lamports": row.prover_lamports,
        "burned_lamports": row.burned_lamports,
        "penalties_lamports": row.penalties_lamports,
        "forfeited_lamports": row.forfeited_lamports,
        "opened_slot": row.opened_slot,
        "shown_slot": row.shown_slot,
        "joining_end_slot": row.joining_end_slot,
        "leaves_due_slot": row.leaves_due_slot,
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
