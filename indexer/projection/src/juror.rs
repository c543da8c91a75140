//! The taken seats of a dispute's jury.

use mythic_interface::state::{Dispute, JurySeat, Key};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, slot_of},
};
use crate::entity::table;

table! {
    /// A taken seat; `pubkey` is the dispute. Amounts in lamports, rank and vector Q16.16; null until it is shown, and until
    /// the dispute is resolved.
    Juror: JurorRow = "juror" ["pubkey", "seat"] {
        pubkey: Key,
        seat: i16,
        job: Key,
        juror: Key,
        rank: i32,
        commitment: [u8; 32],
        committed_slot: i64,
        revealed_slot: Option<i64>,
        fraud: Option<bool>,
        agrees: Option<i32>,
        vector: Option<Json>,
        reward_lamports: Option<i64>,
        penalty_lamports: Option<i64>,
        collected: bool,
    }
}

impl Projected {
    /// Every taken seat of a dispute.
    pub(super) fn jury(&mut self, account: &Account, at: At, d: &Dispute) -> Result<(), Reject> {
        let write_seq = amount("seq", d.header.seq.get())?;
        for (seat, juror) in (0i16..).zip(d.jury()) {
            if juror.is_taken() {
                let row = row(account.pubkey, d, (seat, juror))?;
                self.row(account, at, write_seq, row);
            }
        }
        Ok(())
    }
}

fn row(pubkey: Key, d: &Dispute, (place, seat): (i16, &JurySeat)) -> Result<JurorRow, Reject> {
    let resolved = d.resolved_slot.get() != 0;
    let revealed_slot = slot_of("revealed_slot", seat.revealed_slot.get())?;
    let reward = amount("reward", seat.reward.get())?;
    let penalty = amount("penalty", seat.penalty.get())?;
    let shown = revealed_slot.map(|_| {
        let checked = seat.vector.iter().take(d.checked());
        let vector: Vec<[i32; 5]> = checked.map(|v| v.map(|x| x.get())).collect();
        (seat.fraud != 0, i32::from(seat.agrees.get()), json!(vector))
    });
    let (fraud, agrees, vector) = match shown {
        None => (None, None, None),
        Some((fraud, agrees, vector)) => (Some(fraud), Some(agrees), Some(vector)),
    };
    Ok(JurorRow {
        pubkey,
        seat: place,
        job: d.job,
        juror: seat.juror,
        rank: seat.rank.get(),
        commitment: seat.commitment,
        committed_slot: amount("committed_slot", seat.committed_slot.get())?,
        revealed_slot,
        fraud,
        agrees,
        vector,
        reward_lamports: resolved.then_some(reward),
        penalty_lamports: resolved.then_some(penalty),
        collected: seat.collected != 0,
    })
}
