//! Disputes and the output posted under them, to rows: the dispute itself, the taken seats of its jury, its checked
//! positions, and pages of token ids.

use mythic_interface::{
    hash::OUTPUT_CHUNK,
    params::MAX_JURY_SEATS,
    state::{
        Dispute, DisputeStatus, Ground, JurySeat, NAMED_POSITIONS, OUTPUT_PAGE_TOKENS, Output,
        SAMPLED_POSITIONS, Verdict,
    },
};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject, amount, base58, bytes, listed, opt_i16, opt_i64, slot_of,
};
use crate::entity::{Entity, Value};
use crate::feed::{Add, Topic};

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

/// Refuses a number that the layout has no room for.
fn at_most(field: &'static str, value: u8, most: usize) -> Result<i16, Reject> {
    if usize::from(value) > most {
        return Err(Reject::OutOfRange {
            field,
            value: value.into(),
            most: most as u64,
        });
    }
    Ok(value.into())
}

impl Projected {
    pub(super) fn dispute(
        &mut self,
        account: &Account,
        at: At,
        d: &Dispute,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = DisputeStatus::from_u8(d.header.status).ok_or(Reject::Listed {
            field: "status",
            value: d.header.status,
        })?;
        let verdict = listed("verdict", d.verdict, Verdict::from_u8)?;
        let ground = listed("ground", d.ground, Ground::from_u8)?;
        let jury_seats = at_most("jury_seats", d.jury_seats, MAX_JURY_SEATS)?;
        let sampled = at_most("sampled", d.sampled, SAMPLED_POSITIONS)?;
        let named = at_most("named", d.named, NAMED_POSITIONS)?;
        let opened = at_most("opened", d.opened, d.checked())?;
        let write_seq = amount("seq", d.header.seq.get())?;
        let phases = Phases::of(d, ground)?;
        let opened_slot = amount("challenged_slot", d.challenged_slot.get())?;
        let completed_slot = slot_of("completed_slot", d.completed_slot.get())?;
        let resolved_slot = slot_of("resolved_slot", d.resolved_slot.get())?;
        let bond = amount("bond", d.bond.get())?;
        // Amounts are known from the end on.
        let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
            let value = amount(field, value)?;
            Ok(resolved_slot.map(|_| value))
        };
        let slashed = at_end("slashed_amount", d.slashed_amount.get())?;
        let to_challenger = at_end("challenger_amount", d.challenger_amount.get())?;
        let to_jurors = at_end("jurors_amount", d.jurors_amount.get())?;
        let to_submitter = at_end("submitter_amount", d.submitter_amount.get())?;
        let burned = at_end("burned_amount", d.burned_amount.get())?;
        let penalties = at_end("penalties_amount", d.penalties_amount.get())?;
        let collected = status == DisputeStatus::Resolved && d.all_collected();
        let values = vec![
            bytes(&account.pubkey),
            bytes(&d.job),
            bytes(&d.challenger),
            bytes(&d.submitter),
            bytes(&d.fingerprint),
            Value::I16(status as i16),
            opt_i16(verdict.map(|v| v as i16)),
            Value::I16(jury_seats),
            Value::I64(bond),
            Value::I64(opened_slot),
            opt_i64(completed_slot),
            opt_i64(resolved_slot),
            opt_i64(slashed),
            opt_i64(to_challenger),
            opt_i64(to_jurors),
            opt_i64(to_submitter),
            opt_i64(burned),
            Value::I64(lamports),
            bytes(&d.model),
            bytes(&d.rent_payer),
            opt_i16(ground.map(|g| g as i16)),
            Value::Bool(d.exact != 0),
            Value::I16(sampled),
            Value::I16(named),
            Value::I16(opened),
            Value::I64(d.output_tokens.get().into()),
            Value::I64(amount("requested_slot", d.requested_slot.get())?),
            Value::I64(amount("submitted_slot", d.submitted_slot.get())?),
            opt_i64(phases.openings_end),
            opt_i64(phases.commit_from),
            opt_i64(phases.commit_end),
            opt_i64(phases.reveal_end),
            opt_i64(phases.due),
            opt_i64(phases.retention_end),
            Value::I64(amount("at_stake", d.at_stake.get())?),
            Value::I64(amount("answering_fee", d.answering_fee.get())?),
            Value::I64(amount("tariff", d.tariff.get())?),
            Value::I64(amount("held", d.held.get())?),
            Value::I64(amount("output_rent", d.output_rent.get())?),
            opt_i64(penalties),
            Value::Bool(collected),
        ];
        self.row(Entity::Dispute, account, at, write_seq, values);
        for (seat, juror) in (0i16..).zip(d.jury()) {
            if juror.is_taken() {
                self.juror(account, at, d, (seat, juror))?;
            }
        }
        self.openings(account, at, d, write_seq);
        let mut jurors: Vec<String> = Vec::new();
        let taken = d.jury().iter().filter(|seat| seat.is_taken());
        for name in taken.clone().map(|seat| base58(&seat.juror)) {
            if !jurors.contains(&name) {
                jurors.push(name);
            }
        }
        let payload = json!({
            "object": "dispute",
            "id": base58(&account.pubkey),
            "job": base58(&d.job),
            "model": base58(&d.model),
            "challenger": base58(&d.challenger),
            "submitter": base58(&d.submitter),
            "status": status.as_str(),
            "verdict": verdict.map(Verdict::as_str),
            "ground": ground.map(Ground::as_str),
            "checked_positions": sampled + named,
            "opened_positions": opened,
            "jury_seats": jury_seats,
            "committed_seats": taken.clone().count(),
            "revealed_seats": taken.filter(|seat| seat.is_revealed()).count(),
            "jurors": jurors,
            "bond_lamports": bond,
            "slashed_lamports": slashed,
            "challenger_lamports": to_challenger,
            "jurors_lamports": to_jurors,
            "submitter_lamports": to_submitter,
            "burned_lamports": burned,
            "penalties_lamports": penalties,
            "opened_slot": opened_slot,
            "openings_end_slot": phases.openings_end,
            "completed_slot": completed_slot,
            "commit_from_slot": phases.commit_from,
            "commit_end_slot": phases.commit_end,
            "reveal_end_slot": phases.reveal_end,
            "due_slot": phases.due,
            "resolved_slot": resolved_slot,
            "collected": collected,
            "write_seq": write_seq,
            "signature": account.signature.map(|s| bs58::encode(s).into_string()),
        });
        self.adds.push((
            true,
            Add {
                topic: Topic::Disputes,
                entity: account.pubkey,
                payload,
            },
        ));
        Ok(())
    }

    fn juror(
        &mut self,
        account: &Account,
        at: At,
        d: &Dispute,
        (place, seat): (i16, &JurySeat),
    ) -> Result<(), Reject> {
        let resolved = d.resolved_slot.get() != 0;
        let revealed_slot = slot_of("revealed_slot", seat.revealed_slot.get())?;
        let reward = amount("reward", seat.reward.get())?;
        let penalty = amount("penalty", seat.penalty.get())?;
        let (fraud, agrees, vector) = match revealed_slot {
            None => (Value::Null, Value::Null, Value::Null),
            Some(_) => {
                let checked = seat.vector.iter().take(d.checked());
                let vector: Vec<[i32; 5]> = checked.map(|v| v.map(|x| x.get())).collect();
                (
                    Value::Bool(seat.fraud != 0),
                    Value::I32(seat.agrees.get().into()),
                    Value::Json(json!(vector).to_string()),
                )
            }
        };
        let values = vec![
            bytes(&account.pubkey),
            Value::I16(place),
            bytes(&d.job),
            bytes(&seat.juror),
            Value::I32(seat.rank.get()),
            bytes(&seat.commitment),
            Value::I64(amount("committed_slot", seat.committed_slot.get())?),
            opt_i64(revealed_slot),
            fraud,
            agrees,
            vector,
            opt_i64(resolved.then_some(reward)),
            opt_i64(resolved.then_some(penalty)),
            Value::Bool(seat.collected != 0),
        ];
        let write_seq = amount("seq", d.header.seq.get())?;
        self.row(Entity::Juror, account, at, write_seq, values);
        Ok(())
    }

    fn openings(&mut self, account: &Account, at: At, d: &Dispute, write_seq: i64) {
        for (place, leaf) in (0i16..).zip(d.checked_leaves()) {
            let (token, ids, logits) = match leaf.present {
                0 => (Value::Null, Value::Null, Value::Null),
                _ => (
                    Value::I64(leaf.token.get().into()),
                    Value::Json(json!(leaf.ids.map(|id| id.get())).to_string()),
                    Value::Json(json!(leaf.given()).to_string()),
                ),
            };
            let values = vec![
                bytes(&account.pubkey),
                Value::I16(place),
                bytes(&d.job),
                Value::I64(leaf.position.get().into()),
                Value::Bool(place >= i16::from(d.sampled)),
                token,
                ids,
                logits,
            ];
            self.row(Entity::Opening, account, at, write_seq, values);
        }
    }

    pub(super) fn output(
        &mut self,
        account: &Account,
        at: At,
        o: &Output,
        lamports: i64,
    ) -> Result<(), Reject> {
        let count = o.count.get();
        let most = OUTPUT_PAGE_TOKENS as u64;
        if u64::from(count) > most {
            return Err(Reject::OutOfRange {
                field: "count",
                value: count.into(),
                most,
            });
        }
        let chunks = o.chunks.get();
        let known = count.div_ceil(OUTPUT_CHUNK as u32);
        if u32::from(chunks) >> known != 0 {
            return Err(Reject::OutOfRange {
                field: "chunks",
                value: chunks.into(),
                most: (1 << known) - 1,
            });
        }
        let posted = |place: usize| (chunks >> (place / OUTPUT_CHUNK)) & 1 != 0;
        let tokens: Vec<Json> = (0..count as usize)
            .zip(&o.tokens)
            .map(|(place, id)| match posted(place) {
                true => Json::from(id.get()),
                false => Json::Null,
            })
            .collect();
        let first = o.page.get() == 0;
        let values = vec![
            bytes(&account.pubkey),
            bytes(&o.job),
            bytes(&o.rent_payer),
            bytes(&o.fingerprint),
            Value::I64(o.page.get().into()),
            Value::I64(count.into()),
            Value::I32(chunks.count_ones() as i32),
            opt_i64(first.then_some(o.posted.get().into())),
            Value::I64(amount("updated_slot", o.updated_slot.get())?),
            opt_i64(slot_of("completed_slot", o.completed_slot.get())?),
            Value::Json(Json::from(tokens).to_string()),
            Value::I64(lamports),
        ];
        let write_seq = amount("seq", o.header.seq.get())?;
        self.row(Entity::Output, account, at, write_seq, values);
        Ok(())
    }
}
