//! The positions that a case checks, and the leaf of a proven fault.

use mythic_interface::state::{Case, Key, NAMED_POSITIONS, NO_KEY, OpenedLeaf, SAMPLED_POSITIONS};
use serde_json::{Value as Json, json};

use super::{Account, At, Projected};
use crate::entity::table;

table! {
    /// A position; `pubkey` is the case. Null until it is shown; logits Q16.16.
    Opening: OpeningRow = "opening" ["pubkey", "place"] {
        pubkey: Key,
        place: i16,
        job: Key,
        asked: i16,
        /// Place of the claim that names it.
        claim: Option<i16>,
        position: i64,
        token: Option<i64>,
        ids: Option<Json>,
        logits: Option<Json>,
    }
}

/// Why a position is there.
#[derive(Clone, Copy)]
enum Asked {
    Sample = 1,
    Claim = 2,
    Fault = 3,
}

/// Place of the first claim's first position: those of the sample are before it.
const NAMED_PLACE: i16 = SAMPLED_POSITIONS as i16;
/// Place of the leaf of a fault, behind all others.
const FAULT_PLACE: i16 = i16::MAX;

impl Projected {
    /// Every position of a case: those of the sample, those of the claims in their order, that of a fault.
    pub(super) fn openings(&mut self, account: &Account, at: At, case: &Case, write_seq: i64) {
        for (place, leaf) in (0i16..).zip(case.sample()) {
            let row = row(account.pubkey, case, (place, Asked::Sample), leaf);
            self.row(account, at, write_seq, row);
        }
        let mut first = NAMED_PLACE;
        for (number, claim) in (0i16..).zip(case.claims()) {
            for (place, leaf) in (first..).zip(claim.group()) {
                let row = OpeningRow {
                    claim: Some(number),
                    ..row(account.pubkey, case, (place, Asked::Claim), leaf)
                };
                self.row(account, at, write_seq, row);
            }
            first += NAMED_POSITIONS as i16;
        }
        if case.prover != NO_KEY {
            let row = row(
                account.pubkey,
                case,
                (FAULT_PLACE, Asked::Fault),
                &case.fault,
            );
            self.row(account, at, write_seq, row);
        }
    }
}

fn row(pubkey: Key, case: &Case, (place, asked): (i16, Asked), leaf: &OpenedLeaf) -> OpeningRow {
    let shown = leaf.present != 0;
    OpeningRow {
        pubkey,
        place,
        job: case.job,
        asked: asked as i16,
        claim: None,
        position: leaf.position.get().into(),
        token: shown.then(|| leaf.token.get().into()),
        ids: shown.then(|| json!(leaf.ids.map(|id| id.get()))),
        logits: shown.then(|| json!(leaf.given())),
    }
}
