//! Requests for capacity.

use mythic_interface::market::due;
use mythic_interface::market::meter::price_of;
use mythic_interface::market::state::{Isolation, LeaseKind, Request, RequestStatus};
use mythic_interface::state::Key;
use serde_json::{Value as Json, json};

use super::{Step, due_from, here, isolation, names, rules};
use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, base58, signature_text, slot_of, some_key, status, text};
use crate::{Account, At, Projected, Reject};

table! {
    /// A request. Amounts in lamports, the price for a second of a unit; what is not known yet is null.
    Request: RequestRow = "request" ["pubkey"] {
        pubkey: Key,
        tenant: Key,
        nonce: [u8; 16],
        kind: i16,
        spec_hash: [u8; 32],
        spec_source: String,
        model: Option<Key>,
        class: Key,
        units: i16,
        region: String,
        isolation: i16,
        provider: Option<Key>,
        price_lamports: i64,
        seconds: i64,
        epoch_slots: i64,
        epoch_seconds: i64,
        rules: Json,
        rent_payer: Key,
        status: i16,
        terms_hash: [u8; 32],
        requested_slot: i64,
        deadline_slot: i64,
        ended_slot: Option<i64>,
        deposited_lamports: i64,
        escrow_lamports: i64,
        refunded_lamports: i64,
        /// From here on anyone may have it ended or closed.
        due_slot: Option<i64>,
        lamports: i64,
    }
}

/// The bytes that name something.
struct Words {
    status: RequestStatus,
    kind: LeaseKind,
    isolation: Isolation,
}

impl Projected {
    pub(super) fn request(
        &mut self,
        account: &Account,
        at: At,
        request: &Request,
        lamports: i64,
    ) -> Result<(), Reject> {
        let kind = request.terms.kind;
        let words = Words {
            status: status(request.header.status, RequestStatus::from_u8)?,
            kind: LeaseKind::from_u8(kind).ok_or(Reject::Listed {
                field: "kind",
                value: kind,
            })?,
            isolation: isolation(request.terms.isolation)?,
        };
        let write_seq = amount("seq", request.header.seq.get())?;
        let row = row(account.pubkey, request, &words, lamports)?;
        let ended = |as_what: RequestStatus| row.ended_slot.filter(|_| words.status == as_what);
        let steps = here(
            at,
            &[
                (Step::Requested, Some(row.requested_slot)),
                (Step::Cancelled, ended(RequestStatus::Cancelled)),
                (Step::Expired, ended(RequestStatus::Expired)),
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

fn row(pubkey: Key, request: &Request, words: &Words, lamports: i64) -> Result<RequestRow, Reject> {
    let terms = &request.terms;
    let (price, seconds) = (terms.price.get(), terms.seconds.get());
    let deposited = price_of(price, terms.units, seconds.into());
    Ok(RequestRow {
        pubkey,
        tenant: terms.tenant,
        nonce: terms.nonce,
        kind: words.kind as i16,
        spec_hash: terms.spec_hash,
        spec_source: text("spec_source", &terms.spec_source)?,
        model: some_key(&terms.model),
        class: terms.class,
        units: terms.units.into(),
        region: text("region", &terms.region)?,
        isolation: words.isolation as i16,
        provider: some_key(&terms.provider),
        price_lamports: amount("price", price)?,
        seconds: seconds.into(),
        epoch_slots: terms.grid.epoch_slots.get().into(),
        epoch_seconds: terms.grid.epoch_seconds.get().into(),
        rules: rules(&terms.rules),
        rent_payer: request.rent_payer,
        status: words.status as i16,
        terms_hash: request.terms_hash,
        requested_slot: amount("requested_slot", request.requested_slot.get())?,
        deadline_slot: amount("deadline_slot", request.deadline_slot.get())?,
        ended_slot: slot_of("ended_slot", request.ended_slot.get())?,
        deposited_lamports: amount("deposited", deposited.unwrap_or(u64::MAX))?,
        escrow_lamports: amount("escrow", request.escrow.get())?,
        refunded_lamports: amount("refunded", request.refunded.get())?,
        due_slot: due_from(due::request_slot(request)),
        lamports,
    })
}

/// What the feed tells of a request.
fn payload(row: &RequestRow, words: &Words, write_seq: i64, signature: Option<[u8; 64]>) -> Json {
    json!({
        "object": "request",
        "id": base58(&row.pubkey),
        "status": words.status.as_str(),
        "kind": words.kind.as_str(),
        "tenant": base58(&row.tenant),
        "provider": row.provider.map(|key| base58(&key)),
        "model": row.model.map(|key| base58(&key)),
        "class": base58(&row.class),
        "units": row.units,
        "region": row.region,
        "isolation": words.isolation.as_str(),
        "price_lamports": row.price_lamports,
        "seconds": row.seconds,
        "deposited_lamports": row.deposited_lamports,
        "escrow_lamports": row.escrow_lamports,
        "refunded_lamports": row.refunded_lamports,
        "spec_hash": hex::encode(row.spec_hash),
        "spec_source": row.spec_source,
        "terms_hash": hex::encode(row.terms_hash),
        "requested_slot": row.requested_slot,
        "deadline_slot": row.deadline_slot,
        "ended_slot": row.ended_slot,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
