//! Leases, and the epochs that their rings still have.

use mythic_interface::market::due;
use mythic_interface::market::state::{CloseReason, EpochState, Lease, LeaseEpoch, LeaseStatus};
use mythic_interface::money::split_by;
use mythic_interface::state::Key;
use serde_json::{Value as Json, json};

use super::{Step, due_from, here, names, rules, second_of, sum_of};
use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, base58, listed, signature_text, slot_of, some_key, status};
use crate::{Account, At, Projected, Reject};

table! {
    /// A lease. Amounts in lamports, the price for a second of a unit; seconds of Unix time. What is not known yet is null.
    Lease: LeaseRow = "lease" ["pubkey"] {
        pubkey: Key,
        request: Key,
        request_hash: [u8; 32],
        tenant: Key,
        provider: Key,
        class: Key,
        rent_payer: Key,
        status: i16,
        reason: Option<i16>,
        units: i16,
        price_lamports: i64,
        seconds: i64,
        matrix_side: i64,
        rounds: i64,
        proof_slots: i64,
        stake_per_unit_lamports: i64,
        epoch_slots: i64,
        epoch_seconds: i64,
        rules: Json,
        terms_hash: [u8; 32],
        access_hash: Option<[u8; 32]>,
        accepted_slot: i64,
        start_end_slot: i64,
        started_slot: Option<i64>,
        ack_end_slot: Option<i64>,
        acknowledged_slot: Option<i64>,
        notice_epoch: Option<i64>,
        notice_proved: i64,
        ended_slot: Option<i64>,
        refuted_slot: Option<i64>,
        started_second: Option<i64>,
        metered_second: Option<i64>,
        ends_second: Option<i64>,
        last_proved_epoch: Option<i64>,
        missed: i64,
        disputes: i64,
        open_disputes: i64,
        deposited_lamports: i64,
        compensated_lamports: i64,
        escrow_lamports: i64,
        pending_lamports: i64,
        tenant_due_lamports: i64,
        paid_lamports: i64,
        foundation_lamports: i64,
        burned_lamports: i64,
        refunded_lamports: i64,
        slashed_lamports: i64,
        /// From here on anyone may have something done about it.
        due_slot: Option<i64>,
        lamports: i64,
    }
}

table! {
    /// An epoch of a lease; `pubkey` is the lease. Without a proof it is the seconds behind the last one. The shares are what the
    /// parties get if it is paid, lamports.
    LeaseEpoch: EpochRow = "lease_epoch" ["pubkey", "epoch"] {
        pubkey: Key,
        epoch: i64,
        hash: Option<[u8; 32]>,
        proof: Option<[u8; 32]>,
        seconds: i64,
        amount_lamports: i64,
        provider_share_lamports: i64,
        foundation_share_lamports: i64,
        burn_share_lamports: i64,
        metered_slot: i64,
        dispute_end_slot: i64,
        open_disputes: i64,
        state: i16,
    }
}

/// The bytes that name something.
struct Words {
    status: LeaseStatus,
    reason: Option<CloseReason>,
}

impl Projected {
    pub(super) fn lease(
        &mut self,
        account: &Account,
        at: At,
        lease: &Lease,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(lease.header.status, LeaseStatus::from_u8)?,
            reason: listed("reason", lease.reason, CloseReason::from_u8)?,
        };
        let write_seq = amount("seq", lease.header.seq.get())?;
        let row = row(account.pubkey, lease, &words, lamports)?;
        check(lease)?;
        let epochs = epochs(account.pubkey, lease)?;
        let metered = |proved: bool| {
            let mut slots = epochs
                .iter()
                .filter(move |(epoch, _)| epoch.proof.is_some() == proved)
                .map(|(epoch, _)| epoch.metered_slot);
            let slot = i64::try_from(at.slot).ok()?;
            slots.find(|metered| *metered == slot)
        };
        let steps = here(
            at,
            &[
                (Step::Accepted, Some(row.accepted_slot)),
                (Step::Started, row.started_slot),
                (Step::Acknowledged, row.acknowledged_slot),
                (Step::Proved, metered(true)),
                (Step::Metered, metered(false)),
                (Step::Refuted, row.refuted_slot),
                (Step::Ended, row.ended_slot),
            ],
        );
        self.announce_each(Topic::Leases, account, at, || {
            let mut told = payload(&row, &words, write_seq, account.signature);
            told["epochs"] = epochs.iter().map(shown).collect();
            told["events"] = names(&steps).into();
            told
        });
        self.row(account, at, write_seq, row);
        for (epoch, _) in epochs {
            self.row(account, at, write_seq, epoch);
        }
        self.signed(account, at, write_seq, &steps);
        Ok(())
    }
}

fn row(pubkey: Key, lease: &Lease, words: &Words, lamports: i64) -> Result<LeaseRow, Reject> {
    let terms = &lease.terms;
    let started_slot = slot_of("started_slot", lease.started_slot.get())?;
    let once_started = |field, value: u64| -> Result<Option<i64>, Reject> {
        started_slot.map(|_| amount(field, value)).transpose()
    };
    Ok(LeaseRow {
        pubkey,
        request: terms.request,
        request_hash: terms.request_hash,
        tenant: terms.tenant,
        provider: terms.provider,
        class: terms.class,
        rent_payer: lease.rent_payer,
        status: words.status as i16,
        reason: words.reason.map(|reason| reason as i16),
        units: terms.units.into(),
        price_lamports: amount("price", terms.price.get())?,
        seconds: terms.seconds.get().into(),
        matrix_side: terms.probe.n.get().into(),
        rounds: terms.probe.rounds.get().into(),
        proof_slots: terms.probe.proof_slots.get().into(),
        stake_per_unit_lamports: amount("stake_per_unit", terms.probe.stake_per_unit.get())?,
        epoch_slots: terms.grid.epoch_slots.get().into(),
        epoch_seconds: terms.grid.epoch_seconds.get().into(),
        rules: rules(&terms.rules),
        terms_hash: lease.terms_hash,
        access_hash: some_key(&lease.access_hash),
        accepted_slot: amount("accepted_slot", lease.accepted_slot.get())?,
        start_end_slot: amount("start_end", lease.start_end())?,
        started_slot,
        ack_end_slot: once_started("ack_end", lease.ack_end())?,
        acknowledged_slot: slot_of("acknowledged_slot", lease.acknowledged_slot.get())?,
        notice_epoch: slot_of("notice_epoch", lease.notice_epoch.get())?,
        notice_proved: lease.notice_proved.get().into(),
        ended_slot: slot_of("ended_slot", lease.ended_slot.get())?,
        refuted_slot: slot_of("refuted_slot", lease.refuted_slot.get())?,
        started_second: second_of("started_at", lease.started_at.get())?,
        metered_second: second_of("mark", lease.mark.get())?,
        ends_second: second_of("ends_at", lease.ends_at.get())?,
        last_proved_epoch: once_started("last_proved", lease.last_proved.get())?,
        missed: amount("missed", lease.missed.get())?,
        disputes: lease.disputes.get().into(),
        open_disputes: lease.open_disputes.get().into(),
        deposited_lamports: amount("deposited", lease.deposited.get())?,
        compensated_lamports: amount("compensated", lease.compensated.get())?,
        escrow_lamports: amount("escrow", lease.escrow.get())?,
        pending_lamports: amount("pending", lease.pending.get())?,
        tenant_due_lamports: amount("tenant_due", lease.tenant_due.get())?,
        paid_lamports: amount("paid", lease.paid.get())?,
        foundation_lamports: amount("foundation", lease.foundation.get())?,
        burned_lamports: amount("burned", lease.burned.get())?,
        refunded_lamports: amount("refunded", lease.refunded.get())?,
        slashed_lamports: amount("slashed", lease.slashed.get())?,
        due_slot: due_from(due::lease_slot(lease)),
        lamports,
    })
}

/// Views add amounts of a lease up, which must fit as well.
fn check(lease: &Lease) -> Result<(), Reject> {
    let (deposited, escrow) = (lease.deposited.get(), lease.escrow.get());
    let (pending, burned) = (lease.pending.get(), lease.burned.get());
    let named = [
        escrow,
        pending,
        burned,
        lease.paid.get(),
        lease.foundation.get(),
        lease.refunded.get(),
    ];
    sum_of("deposited", &[deposited, lease.compensated.get()])?;
    sum_of("refunded", &named)?;
    sum_of("tenant_due", &[escrow, pending, lease.tenant_due.get()])?;
    sum_of("slashed", &[burned, lease.slashed.get()])?;
    Ok(())
}

/// The epochs in the ring, the oldest first.
fn epochs(pubkey: Key, lease: &Lease) -> Result<Vec<(EpochRow, EpochState)>, Reject> {
    let used = lease.ring.iter().filter(|entry| entry.state != 0);
    let mut epochs = used
        .map(|entry| epoch(pubkey, lease, entry))
        .collect::<Result<Vec<_>, Reject>>()?;
    epochs.sort_unstable_by_key(|(row, _)| row.epoch);
    Ok(epochs)
}

fn epoch(pubkey: Key, lease: &Lease, entry: &LeaseEpoch) -> Result<(EpochRow, EpochState), Reject> {
    let rules = &lease.terms.rules;
    let state = EpochState::from_u8(entry.state).ok_or(Reject::Listed {
        field: "state",
        value: entry.state,
    })?;
    let metered = entry.amount.get();
    let split = split_by(
        metered,
        rules.provider_bps.get(),
        rules.foundation_bps.get(),
    );
    let row = EpochRow {
        pubkey,
        epoch: amount("epoch", entry.epoch.get())?,
        hash: some_key(&entry.hash),
        proof: some_key(&entry.proof),
        seconds: entry.seconds.get().into(),
        amount_lamports: amount("amount", metered)?,
        // Parts of what fits.
        provider_share_lamports: amount("amount", split.earner)?,
        foundation_share_lamports: amount("amount", split.foundation)?,
        burn_share_lamports: amount("amount", split.burned)?,
        metered_slot: amount("slot", entry.slot.get())?,
        dispute_end_slot: amount("dispute_end", entry.dispute_end(rules))?,
        open_disputes: entry.open_disputes.get().into(),
        state: state as i16,
    };
    Ok((row, state))
}

fn shown((row, state): &(EpochRow, EpochState)) -> Json {
    json!({
        "epoch": row.epoch,
        "status": state.as_str(),
        "proved": row.proof.is_some(),
        "seconds": row.seconds,
        "amount_lamports": row.amount_lamports,
        "metered_slot": row.metered_slot,
        "open_disputes": row.open_disputes,
    })
}

/// What the feed tells of a lease.
fn payload(row: &LeaseRow, words: &Words, write_seq: i64, signature: Option<[u8; 64]>) -> Json {
    json!({
        "object": "lease",
        "id": base58(&row.pubkey),
        "status": words.status.as_str(),
        "reason": words.reason.map(CloseReason::as_str),
        "request": base58(&row.request),
        "tenant": base58(&row.tenant),
        "provider": base58(&row.provider),
        "class": base58(&row.class),
        "units": row.units,
        "price_lamports": row.price_lamports,
        "seconds": row.seconds,
        "epoch_slots": row.epoch_slots,
        "epoch_seconds": row.epoch_seconds,
        "terms_hash": hex::encode(row.terms_hash),
        "access_hash": row.access_hash.map(hex::encode),
        "accepted_slot": row.accepted_slot,
        "start_end_slot": row.start_end_slot,
        "started_slot": row.started_slot,
        "ack_end_slot": row.ack_end_slot,
        "acknowledged_slot": row.acknowledged_slot,
        "notice_epoch": row.notice_epoch,
        "ended_slot": row.ended_slot,
        "refuted_slot": row.refuted_slot,
        "started_at": row.started_second,
        "metered_at": row.metered_second,
        "ends_at": row.ends_second,
        "last_proved_epoch": row.last_proved_epoch,
        "missed": row.missed,
        "disputes": row.disputes,
        "open_disputes": row.open_disputes,
        "deposited_lamports": row.deposited_lamports,
        "compensated_lamports": row.compensated_lamports,
        "escrow_lamports": row.escrow_lamports,
        "pending_lamports": row.pending_lamports,
        "paid_lamports": row.paid_lamports,
        "foundation_lamports": row.foundation_lamports,
        "burned_lamports": row.burned_lamports,
        "refunded_lamports": row.refunded_lamports,
        "tenant_due_lamports": row.tenant_due_lamports,
        "slashed_lamports": row.slashed_lamports,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
