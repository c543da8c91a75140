//! Registered validators, and the history of their stake.

use mythic_interface::state::{Key, Validator, ValidatorStatus};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, base58, slot_of, some_key, status, text},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// A validator. Amounts in lamports.
    Validator: ValidatorRow = "validator" ["pubkey"] {
        pubkey: Key,
        authority: Key,
        owner: Key,
        pending_owner: Option<Key>,
        operator: Key,
        rent_payer: Key,
        status: i16,
        stake: i64,
        activating: i64,
        activation_slot: Option<i64>,
        unbonding: i64,
        unbonding_slot: Option<i64>,
        obliged_until_slot: Option<i64>,
        open_jobs: i64,
        exposure_lamports: i64,
        open_disputes: i64,
        claimable: i64,
        owed_foundation: i64,
        owed_burn: i64,
        gpu_name: String,
        vram_mib: i64,
        endpoint: String,
        models: Json,
        jobs_settled: i64,
        jobs_missed: i64,
        jobs_declined: i64,
        staked_lamports: i64,
        withdrawn_stake_lamports: i64,
        returned_lamports: i64,
        withdrawn_lamports: i64,
        earned: i64,
        slashed: i64,
        registered_slot: i64,
        jailed_until: Option<i64>,
        lamports: i64,
    }
}

table! {
    /// Stake after one write of a validator account, lamports.
    ValidatorStake: StakeRow = "validator_stake" ["pubkey", "slot", "ordinal"] {
        pubkey: Key,
        authority: Key,
        stake: i64,
        activating: i64,
        unbonding: i64,
    }
}

impl Projected {
    pub(super) fn validator(
        &mut self,
        account: &Account,
        at: At,
        v: &Validator,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = status(v.header.status, ValidatorStatus::from_u8)?;
        let write_seq = amount("seq", v.header.seq.get())?;
        let row = row(account.pubkey, v, status as i16, lamports)?;
        let stake = StakeRow {
            pubkey: row.pubkey,
            authority: row.authority,
            stake: row.stake,
            activating: row.activating,
            unbonding: row.unbonding,
        };
        self.announce(Topic::Validators, account, at, || {
            json!({
                "object": "validator",
                "id": base58(&row.pubkey),
                "authority": base58(&row.authority),
                "owner": base58(&row.owner),
                "operator": base58(&row.operator),
                "status": status.as_str(),
                "stake": row.stake,
                "activating": row.activating,
                "unbonding": row.unbonding,
                "open_jobs": row.open_jobs,
                "claimable": row.claimable,
                "gpu_name": row.gpu_name,
                "vram_mib": row.vram_mib,
                "endpoint": row.endpoint,
                "models": row.models,
                "jailed_until": row.jailed_until,
                "write_seq": write_seq,
            })
        });
        self.row(account, at, write_seq, row);
        self.row(account, at, write_seq, stake);
        Ok(())
    }
}

fn row(pubkey: Key, v: &Validator, status: i16, lamports: i64) -> Result<ValidatorRow, Reject> {
    let models = v.served().iter();
    let models: Vec<Json> = models
        .map(|m| json!({"model": base58(&m.model), "since_slot": m.since_slot.get()}))
        .collect();
    Ok(ValidatorRow {
        pubkey,
        authority: v.authority,
        owner: v.owner,
        pending_owner: some_key(&v.pending_owner),
        operator: v.operator,
        rent_payer: v.rent_payer,
        status,
        stake: amount("stake", v.stake.get())?,
        activating: amount("activating", v.activating.get())?,
        activation_slot: slot_of("activating_slot", v.activating_slot.get())?,
        unbonding: amount("unbonding", v.unbonding.get())?,
        unbonding_slot: slot_of("unbonding_slot", v.unbonding_slot.get())?,
        obliged_until_slot: slot_of("obliged_until", v.obliged_until.get())?,
        open_jobs: v.open_jobs.get().into(),
        exposure_lamports: amount("exposure", v.exposure.get())?,
        open_disputes: v.open_cases.get().into(),
        claimable: amount("claimable", v.claimable.get())?,
        owed_foundation: amount("owed_foundation", v.owed_foundation.get())?,
        owed_burn: amount("owed_burn", v.owed_burn.get())?,
        gpu_name: text("gpu_name", &v.gpu_name)?,
        vram_mib: v.vram_mib.get().into(),
        endpoint: text("endpoint", &v.endpoint)?,
        models: Json::from(models),
        jobs_settled: amount("jobs_settled", v.jobs_settled.get())?,
        jobs_missed: amount("jobs_missed", v.jobs_missed.get())?,
        jobs_declined: amount("jobs_declined", v.jobs_declined.get())?,
        staked_lamports: amount("staked", v.staked.get())?,
        withdrawn_stake_lamports: amount("withdrawn_stake", v.withdrawn_stake.get())?,
        returned_lamports: amount("returned", v.returned.get())?,
        withdrawn_lamports: amount("withdrawn", v.withdrawn.get())?,
        earned: amount("earned", v.earned.get())?,
        slashed: amount("slashed", v.slashed.get())?,
        registered_slot: amount("registered_slot", v.registered_slot.get())?,
        jailed_until: slot_of("jailed_until", v.jailed_until.get())?,
        lamports,
    })
}
