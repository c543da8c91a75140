//! Inference jobs, and the transactions that first showed their transitions.

use mythic_interface::state::{EndReason, FinishReason, Job, JobStatus, Key};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, base58, listed, signature_text, slot_of, some_key, status, text},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// A job. Amounts in lamports, prices in lamports for 1,000 tokens; what is not known yet is null.
    Job: JobRow = "job" ["pubkey", "requested_slot"] {
        pubkey: Key,
        requested_slot: i64,
        owner: Key,
        requester: Key,
        canceller: Key,
        nonce: [u8; 16],
        model: Key,
        validator: Option<Key>,
        rent_payer: Key,
        spend_grant: Option<Key>,
        status: i16,
        end_reason: Option<i16>,
        finish_reason: Option<i16>,
        prompt_hash: [u8; 32],
        prompt_tokens: i64,
        max_output_tokens: i64,
        output_tokens: Option<i64>,
        price_in: i64,
        price_out: i64,
        seed: [u8; 32],
        temperature_milli: i32,
        sampling_profile: i16,
        options_hash: Option<[u8; 32]>,
        prompt_source: String,
        terms_hash: [u8; 32],
        deadline_slot: i64,
        window_slots: i64,
        accepted_slot: Option<i64>,
        cancel_slot: Option<i64>,
        submitted_slot: Option<i64>,
        disputed_slot: Option<i64>,
        ended_slot: Option<i64>,
        window_end_slot: Option<i64>,
        open_disputes: i32,
        output_root: Option<[u8; 32]>,
        fingerprint: Option<[u8; 32]>,
        ceiling_lamports: i64,
        fee_lamports: Option<i64>,
        validator_lamports: Option<i64>,
        foundation_lamports: Option<i64>,
        burned_lamports: Option<i64>,
        refunded_lamports: Option<i64>,
        slashed_lamports: Option<i64>,
        open_request: bool,
        no_show_lamports: Option<i64>,
        stake_at_result_lamports: Option<i64>,
        lamports: i64,
    }
}

table! {
    /// The transaction that first showed a transition of a job.
    JobSignature: SignatureRow = "job_signature" ["pubkey", "requested_slot", "step"] {
        pubkey: Key,
        requested_slot: i64,
        step: i16,
        signature: [u8; 64],
    }
}

/// The bytes that name a case.
struct Words {
    status: JobStatus,
    end_reason: Option<EndReason>,
    finish_reason: Option<FinishReason>,
}

impl Projected {
    pub(super) fn job(
        &mut self,
        account: &Account,
        at: At,
        job: &Job,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(job.header.status, JobStatus::from_u8)?,
            end_reason: listed("end_reason", job.end_reason, EndReason::from_u8)?,
            finish_reason: listed("finish_reason", job.finish_reason, FinishReason::from_u8)?,
        };
        let write_seq = amount("seq", job.header.seq.get())?;
        let row = row(account.pubkey, job, &words, lamports)?;
        let here = i64::try_from(at.slot).ok();
        let steps = [
            Some(row.requested_slot),
            row.accepted_slot,
            row.cancel_slot,
            row.submitted_slot,
            row.disputed_slot,
            row.ended_slot,
        ];
        let is_here = |slot: Option<i64>| slot.is_some() && slot == here;
        let submitted = is_here(row.submitted_slot) && words.status == JobStatus::Submitted;
        let ended = is_here(row.ended_slot) && words.status.is_terminal();
        let told = || payload(&row, &words, write_seq, account.signature);
        if submitted {
            self.announce(Topic::Results, account, at, told);
        }
        if ended {
            self.announce(Topic::Settlements, account, at, told);
        }
        self.announce_each(Topic::Jobs, account, at, told);
        let (pubkey, requested_slot) = (row.pubkey, row.requested_slot);
        self.row(account, at, write_seq, row);
        if let Some(signature) = account.signature {
            for (step, _) in (1i16..).zip(steps).filter(|(_, slot)| is_here(*slot)) {
                let row = SignatureRow {
                    pubkey,
                    requested_slot,
                    step,
                    signature,
                };
                self.row(account, at, write_seq, row);
            }
        }
        Ok(())
    }
}

fn row(pubkey: Key, job: &Job, words: &Words, lamports: i64) -> Result<JobRow, Reject> {
    let terms = &job.terms;
    let submitted_slot = slot_of("submitted_slot", job.submitted_slot.get())?;
    let ended_slot = slot_of("ended_slot", job.ended_slot.get())?;
    let window_end = job.window_end();
    // Results are known from the submission on, amounts from the end on.
    let submitted = submitted_slot.is_some();
    let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
        let value = amount(field, value)?;
        Ok(ended_slot.map(|_| value))
    };
    Ok(JobRow {
        pubkey,
        requested_slot: amount("requested_slot", job.requested_slot.get())?,
        owner: terms.owner,
        requester: terms.requester,
        canceller: terms.canceller,
        nonce: terms.nonce,
        model: terms.model,
        validator: some_key(&job.validator),
        rent_payer: job.rent_payer,
        spend_grant: some_key(&job.grant),
        status: words.status as i16,
        end_reason: words.end_reason.map(|r| r as i16),
        finish_reason: words.finish_reason.map(|r| r as i16),
        prompt_hash: terms.prompt_hash,
        prompt_tokens: terms.prompt_tokens.get().into(),
        max_output_tokens: terms.max_output_tokens.get().into(),
        output_tokens: submitted.then(|| job.output_tokens.get().into()),
        price_in: terms.price_in.get().into(),
        price_out: terms.price_out.get().into(),
        seed: terms.seed,
        temperature_milli: terms.temperature_milli.get().into(),
        sampling_profile: terms.sampling_profile.into(),
        options_hash: some_key(&terms.options_hash),
        prompt_source: text("prompt_source", &terms.prompt_source)?,
        terms_hash: job.terms_hash,
        deadline_slot: amount("deadline_slot", job.deadline_slot.get())?,
        window_slots: terms.rules.window_slots.get().into(),
        accepted_slot: slot_of("accepted_slot", job.accepted_slot.get())?,
        cancel_slot: slot_of("cancel_slot", job.cancel_slot.get())?,
        submitted_slot,
        disputed_slot: slot_of("case_slot", job.case_slot.get())?,
        ended_slot,
        window_end_slot: window_end
            .map(|slot| amount("window_end_slot", slot))
            .transpose()?,
        open_disputes: i32::from(words.status == JobStatus::Disputed),
        output_root: submitted.then_some(job.output_root),
        fingerprint: submitted.then_some(job.fingerprint),
        ceiling_lamports: amount("ceiling", job.ceiling.get())?,
        fee_lamports: at_end("fee", job.fee.get())?,
        validator_lamports: at_end("validator_amount", job.validator_amount.get())?,
        foundation_lamports: at_end("foundation_amount", job.foundation_amount.get())?,
        burned_lamports: at_end("burned_amount", job.burned_amount.get())?,
        refunded_lamports: at_end("refunded_amount", job.refunded_amount.get())?,
        slashed_lamports: at_end("slashed_amount", job.slashed_amount.get())?,
        open_request: job.open != 0,
        no_show_lamports: at_end("no_show_amount", job.no_show_amount.get())?,
        stake_at_result_lamports: submitted
            .then(|| amount("stake_at_result", job.stake_at_result.get()))
            .transpose()?,
        lamports,
    })
}

/// What the feed tells of a job.
fn payload(row: &JobRow, words: &Words, write_seq: i64, signature: Option<[u8; 64]>) -> Json {
    json!({
        "object": "job",
        "id": base58(&row.pubkey),
        "status": words.status.as_str(),
        "end_reason": words.end_reason.map(EndReason::as_str),
        "finish_reason": words.finish_reason.map(FinishReason::as_str),
        "model": base58(&row.model),
        "validator": row.validator.map(|key| base58(&key)),
        "owner": base58(&row.owner),
        "requester": base58(&row.requester),
        "canceller": some_key(&row.canceller).map(|key| base58(&key)),
        "prompt_hash": hex::encode(row.prompt_hash),
        "prompt_source": row.prompt_source,
        "prompt_tokens": row.prompt_tokens,
        "output_tokens": row.output_tokens,
        "max_output_tokens": row.max_output_tokens,
        "price_in": row.price_in,
        "price_out": row.price_out,
        "seed": hex::encode(row.seed),
        "temperature_milli": row.temperature_milli,
        "sampling_profile": row.sampling_profile,
        "options_hash": row.options_hash.map(hex::encode),
        "terms_hash": hex::encode(row.terms_hash),
        "output_root": row.output_root.map(hex::encode),
        "fingerprint": row.fingerprint.map(hex::encode),
        "ceiling_lamports": row.ceiling_lamports,
        "fee_lamports": row.fee_lamports,
        "validator_lamports": row.validator_lamports,
        "foundation_lamports": row.foundation_lamports,
        "burned_lamports": row.burned_lamports,
        "refunded_lamports": row.refunded_lamports,
        "slashed_lamports": row.slashed_lamports,
        "no_show_lamports": row.no_show_lamports,
        "requested_slot": row.requested_slot,
        "accepted_slot": row.accepted_slot,
        "cancel_slot": row.cancel_slot,
        "submitted_slot": row.submitted_slot,
        "disputed_slot": row.disputed_slot,
        "ended_slot": row.ended_slot,
        "deadline_slot": row.deadline_slot,
        "window_end_slot": row.window_end_slot,
        "open_disputes": row.open_disputes,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
