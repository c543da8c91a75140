//! The claims of a case.

use mythic_interface::{
    dispute::SAMPLE,
    state::{Case, Claim, ClaimKind, Key, NAMED_POSITIONS, Outcome},
};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, at_most, listed},
};
use crate::entity::table;

table! {
    /// What somebody says of a result; `pubkey` is the case. Amounts in lamports; null until it is known.
    Claim: ClaimRow = "claim" ["pubkey", "place"] {
        pubkey: Key,
        place: i16,
        job: Key,
        claimant: Key,
        kind: i16,
        named: i16,
        /// Which digest of a vote is of the positions that it names.
        digest_place: Option<i16>,
        digest: Option<[u8; 32]>,
        outcome: Option<i16>,
        claimed_slot: i64,
        at_stake_lamports: i64,
        answering_fee_lamports: i64,
        tariffs_lamports: i64,
        amount_lamports: Option<i64>,
        collected: bool,
    }
}

impl Projected {
    /// Every claim of a case, in their order.
    pub(super) fn claims(&mut self, account: &Account, at: At, case: &Case) -> Result<(), Reject> {
        let write_seq = amount("seq", case.header.seq.get())?;
        let mut digest_place = SAMPLE as i16;
        for (place, claim) in (0i16..).zip(case.claims()) {
            let names = claim.named != 0;
            digest_place += i16::from(names);
            let row = row(account.pubkey, case, (place, claim))?;
            let digest_place = names.then_some(digest_place);
            self.row(
                account,
                at,
                write_seq,
                ClaimRow {
                    digest_place,
                    ..row
                },
            );
        }
        Ok(())
    }
}

fn row(pubkey: Key, case: &Case, (place, claim): (i16, &Claim)) -> Result<ClaimRow, Reject> {
    let resolved = case.resolved_slot.get() != 0;
    let kind = ClaimKind::from_u8(claim.kind).ok_or(Reject::Listed {
        field: "kind",
        value: claim.kind,
    })?;
    let due = amount("amount", claim.amount.get())?;
    Ok(ClaimRow {
        pubkey,
        place,
        job: case.job,
        claimant: claim.claimant,
        kind: kind as i16,
        named: at_most("named", claim.named, NAMED_POSITIONS)?,
        digest_place: None,
        digest: (claim.named != 0 && claim.is_shown()).then_some(claim.digest),
        outcome: listed("outcome", claim.outcome, Outcome::from_u8)?.map(|o| o as i16),
        claimed_slot: amount("claimed_slot", claim.claimed_slot.get())?,
        at_stake_lamports: amount("at_stake", claim.at_stake.get())?,
        answering_fee_lamports: amount("answering_fee", claim.answering_fee.get())?,
        tariffs_lamports: amount("tariffs", claim.tariffs.get())?,
        amount_lamports: resolved.then_some(due),
        collected: claim.collected != 0,
    })
}
