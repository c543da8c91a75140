//! Disputes that say that the proof of an epoch is false.

use mythic_interface::market::due;
use mythic_interface::market::state::{
    DisputeEnd, LeaseDispute, LeaseDisputeStatus, NAMED_ELEMENTS,
};
use mythic_interface::state::Key;
use serde_json::{Value as Json, json};

use super::{Step, due_from, here, names, sum_of};
use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, at_most, base58, listed, signature_text, slot_of, status};
use crate::{Account, At, Projected, Reject};

table! {
    /// A dispute. Amounts in lamports; what is not known yet is null.
    LeaseDispute: DisputeRow = "lease_dispute" ["pubkey", "opened_slot"] {
        pubkey: Key,
        opened_slot: i64,
        lease: Key,
        epoch: i64,
        number: i64,
        disputer: Key,
        provider: Key,
        rent_payer: Key,
        hash: [u8; 32],
        proof: [u8; 32],
        matrix_side: i64,
        rounds: i64,
        units: i16,
        status: i16,
        outcome: Option<i16>,
        named: i16,
        /// Elements that were shown and are right.
        opened: i16,
        elements: Json,
        fee_lamports: i64,
        at_stake_lamports: i64,
        openings_end_slot: i64,
        resolved_slot: Option<i64>,
        retention_end_slot: Option<i64>,
        held_lamports: i64,
        returned_lamports: Option<i64>,
        reward_lamports: Option<i64>,
        slashed_lamports: Option<i64>,
        burned_lamports: Option<i64>,
        paid_lamports: Option<i64>,
        /// From here on anyone may have it decided or closed.
        due_slot: Option<i64>,
        lamports: i64,
    }
}

/// The bytes that name something.
struct Words {
    status: LeaseDisputeStatus,
    outcome: Option<DisputeEnd>,
}

impl Projected {
    pub(super) fn lease_dispute(
        &mut self,
        account: &Account,
        at: At,
        dispute: &LeaseDispute,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(dispute.header.status, LeaseDisputeStatus::from_u8)?,
            outcome: listed("end", dispute.end, DisputeEnd::from_u8)?,
        };
        let write_seq = amount("seq", dispute.header.seq.get())?;
        let row = row(account.pubkey, dispute, &words, lamports)?;
        let steps = here(
            at,
            &[
                (Step::Disputed, Some(row.opened_slot)),
                (Step::Resolved, row.resolved_slot),
            ],
        );
        self.announce_each(Topic::Leases, account, at, || {
            let mut told = payload(&row, &words, write_seq, account.signature);
            told["events"] = names(&steps).into();
            told
        });
        self.row(account, at, write_seq, row);
        self.signed(account, at, write_seq, &steps);
        Ok(())
    }
}

fn row(
    pubkey: Key,
    dispute: &LeaseDispute,
    words: &Words,
    lamports: i64,
) -> Result<DisputeRow, Reject> {
    // Both together are the bond.
    sum_of("bond", &[dispute.fee.get(), dispute.at_stake.get()])?;
    let resolved_slot = slot_of("resolved_slot", dispute.resolved_slot.get())?;
    let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
        resolved_slot.map(|_| amount(field, value)).transpose()
    };
    let named = at_most("count", dispute.count, NAMED_ELEMENTS)?;
    Ok(DisputeRow {
        pubkey,
        opened_slot: amount("opened_slot", dispute.opened_slot.get())?,
        lease: dispute.lease,
        epoch: amount("epoch", dispute.epoch.get())?,
        number: dispute.number.get().into(),
        disputer: dispute.disputer,
        provider: dispute.provider,
        rent_payer: dispute.rent_payer,
        hash: dispute.hash,
        proof: dispute.proof,
        matrix_side: dispute.n.get().into(),
        rounds: dispute.rounds.get().into(),
        units: dispute.units.into(),
        status: words.status as i16,
        outcome: words.outcome.map(|outcome| outcome as i16),
        named,
        opened: (dispute.opened & dispute.all()).count_ones() as i16,
        elements: elements(dispute),
        fee_lamports: amount("fee", dispute.fee.get())?,
        at_stake_lamports: amount("at_stake", dispute.at_stake.get())?,
        openings_end_slot: amount("openings_end", dispute.openings_end.get())?,
        resolved_slot,
        retention_end_slot: at_end("retention_end", dispute.retention_end())?,
        held_lamports: amount("held", dispute.held.get())?,
        returned_lamports: at_end("returned", dispute.returned.get())?,
        reward_lamports: at_end("reward", dispute.reward.get())?,
        slashed_lamports: at_end("slashed", dispute.slashed.get())?,
        burned_lamports: at_end("burned", dispute.burned.get())?,
        paid_lamports: at_end("paid", dispute.paid.get())?,
        due_slot: due_from(due::dispute_slot(dispute)),
        lamports,
    })
}

/// What is named, and whether it was shown and is right.
fn elements(dispute: &LeaseDispute) -> Json {
    let named = dispute.named().iter().enumerate();
    named
        .map(|(place, element)| {
            json!({
                "unit": element.unit,
                "round": element.round.get(),
                "row": element.row.get(),
                "column": element.column.get(),
                "opened": (dispute.opened >> place) & 1 != 0,
            })
        })
        .collect()
}

/// What the feed tells of a dispute.
fn payload(row: &DisputeRow, words: &Words, write_seq: i64, signature: Option<[u8; 64]>) -> Json {
    json!({
        "object": "lease_dispute",
        "id": base58(&row.pubkey),
        "status": words.status.as_str(),
        "outcome": words.outcome.map(DisputeEnd::as_str),
        "lease": base58(&row.lease),
        "epoch": row.epoch,
        "number": row.number,
        "disputer": base58(&row.disputer),
        "provider": base58(&row.provider),
        "proof": hex::encode(row.proof),
        "named_elements": row.named,
        "opened_elements": row.opened,
        "bond_lamports": row.fee_lamports + row.at_stake_lamports,
        "fee_lamports": row.fee_lamports,
        "at_stake_lamports": row.at_stake_lamports,
        "returned_lamports": row.returned_lamports,
        "reward_lamports": row.reward_lamports,
        "slashed_lamports": row.slashed_lamports,
        "burned_lamports": row.burned_lamports,
        "paid_lamports": row.paid_lamports,
        "opened_slot": row.opened_slot,
        "openings_end_slot": row.openings_end_slot,
        "resolved_slot": row.resolved_slot,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
