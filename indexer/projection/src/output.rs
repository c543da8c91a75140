//! Token ids that were posted in a case.

use mythic_interface::{
    output::OUTPUT_CHUNK,
    state::{Key, OUTPUT_PAGE_TOKENS, Output},
};
use serde_json::Value as Json;

use super::{
    Account, At, Projected, Reject,
    fields::{amount, slot_of},
};
use crate::entity::table;

table! {
    /// A page of posted output. `tokens` is null where a chunk is not posted; `chunks_total` is on page 0, of all pages.
    Output: OutputRow = "output" ["pubkey"] {
        pubkey: Key,
        job: Key,
        rent_payer: Key,
        fingerprint: [u8; 32],
        page: i64,
        token_count: i64,
        chunks: i32,
        chunks_total: Option<i64>,
        updated_slot: i64,
        completed_slot: Option<i64>,
        tokens: Json,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn output(
        &mut self,
        account: &Account,
        at: At,
        o: &Output,
        lamports: i64,
    ) -> Result<(), Reject> {
        let row = OutputRow {
            pubkey: account.pubkey,
            job: o.job,
            rent_payer: o.rent_payer,
            fingerprint: o.fingerprint,
            page: o.page.get().into(),
            token_count: o.count.get().into(),
            chunks: posted(o)?.count_ones() as i32,
            chunks_total: (o.page.get() == 0).then(|| o.posted.get().into()),
            updated_slot: amount("updated_slot", o.updated_slot.get())?,
            completed_slot: slot_of("completed_slot", o.completed_slot.get())?,
            tokens: tokens(o),
            lamports,
        };
        self.row(account, at, amount("seq", o.header.seq.get())?, row);
        Ok(())
    }
}

/// The set of posted chunks, none beyond the page's tokens.
fn posted(o: &Output) -> Result<u16, Reject> {
    let (count, chunks) = (o.count.get(), o.chunks.get());
    let most = OUTPUT_PAGE_TOKENS as u64;
    if u64::from(count) > most {
        return Err(Reject::OutOfRange {
            field: "count",
            value: count.into(),
            most,
        });
    }
    let known = count.div_ceil(OUTPUT_CHUNK as u32);
    if u32::from(chunks) >> known != 0 {
        return Err(Reject::OutOfRange {
            field: "chunks",
            value: chunks.into(),
            most: (1 << known) - 1,
        });
    }
    Ok(chunks)
}

fn tokens(o: &Output) -> Json {
    let posted = |place: usize| (o.chunks.get() >> (place / OUTPUT_CHUNK)) & 1 != 0;
    let tokens: Vec<Json> = (0..o.count.get() as usize)
        .zip(&o.tokens)
        .map(|(place, id)| match posted(place) {
            true => Json::from(id.get()),
            false => Json::Null,
        })
        .collect();
    Json::from(tokens)
}
