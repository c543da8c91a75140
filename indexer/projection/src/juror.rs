//! The taken seats of a case's jury.

use mythic_interface::state::{Case, JurySeat, Key};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, slot_of},
};
use crate::entity::table;

table! {
    /// A taken seat; `pubkey` is the case. Amounts in lamports, rank Q16.16; null until it is shown, and until the case is
    /// resolved.
    Juror: JurorRow = "juror" ["pubkey", "seat"] {
        pubkey: Key,
        seat: i16,
        job: Key,
        juror: Key,
        rank: i32,
        commitment: [u8; 32],
        committed_slot: i64,
        revealed_slot: Option<i64>,
        reward_lamports: Option<i64>,
        penalty_lamports: Option<i64>,
        collected: bool,
    }
}

impl Projected {
    /// Every taken seat of a case.
    pub(super) fn jury(&mut self, account: &Account, at: At, case: &Case) -> Result<(), Reject> {
        let write_seq = amount("seq", case.header.seq.get())?;
        for (seat, juror) in (0i16..).zip(case.jury()) {
            if juror.is_taken() {
                let row = row(account.pubkey, case, (seat, juror))?;
                self.row(account, at, write_seq, row);
            }
        }
        Ok(())
    }
}

fn row(pubkey: Key, case: &Case, (place, seat): (i16, &JurySeat)) -> Result<JurorRow, Reject> {
    let resolved = case.resolved_slot.get() != 0;
    let reward = amount("reward", seat.reward.get())?;
    let penalty = amount("penalty", seat.penalty.get())?;
    Ok(JurorRow {
        pubkey,
        seat: place,
        job: case.job,
        juror: seat.juror,
        rank: seat.rank.get(),
        commitment: seat.commitment,
        committed_slot: amount("committed_slot", seat.committed_slot.get())?,
        revealed_slot: slot_of("revealed_slot", seat.revealed_slot.get())?,
        reward_lamports: resolved.then_some(reward),
        penalty_lamports: resolved.then_some(penalty),
        collected: seat.collected != 0,
    })
}
