//! The positions that a dispute checks.

use mythic_interface::state::{Dispute, Key};
use serde_json::{Value as Json, json};

use super::{Account, At, Projected};
use crate::entity::table;

table! {
    /// A checked position; `pubkey` is the dispute. Null until it is shown; logits Q16.16.
    Opening: OpeningRow = "opening" ["pubkey", "place"] {
        pubkey: Key,
        place: i16,
        job: Key,
        position: i64,
        named: bool,
        token: Option<i64>,
        ids: Option<Json>,
        logits: Option<Json>,
    }
}

impl Projected {
    /// Every checked position of a dispute, sampled ones first.
    pub(super) fn openings(&mut self, account: &Account, at: At, d: &Dispute, write_seq: i64) {
        for (place, leaf) in (0i16..).zip(d.checked_leaves()) {
            let shown = leaf.present != 0;
            let row = OpeningRow {
                pubkey: account.pubkey,
                place,
                job: d.job,
                position: leaf.position.get().into(),
                named: place >= i16::from(d.sampled),
                token: shown.then(|| leaf.token.get().into()),
                ids: shown.then(|| json!(leaf.ids.map(|id| id.get()))),
                logits: shown.then(|| json!(leaf.given())),
            };
            self.row(account, at, write_seq, row);
        }
    }
}
