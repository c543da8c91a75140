//! Account updates to rows: decodes what the program wrote, refuses what can't be stored. Pure.
//! Content is hostile until it has passed here; nothing that passes can fail in SQL.

mod court;

use std::collections::HashMap;

use bytes::Bytes;
use mythic_interface::{
    AI_PRECOMPILES_ID,
    le::Text,
    state::{
        Config, ConfigStatus, Dispute, EndReason, FinishReason, GrantStatus, Job, JobStatus, Key,
        Model, ModelStatus, NO_KEY, Output, SpendGrant, Treasury, Validator, ValidatorStatus,
        Vault,
    },
};
use serde_json::{Value as Json, json};

use crate::entity::{Entity, Row, Value};
use crate::feed::{Add, Topic};

/// An account as an update shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub pubkey: Key,
    pub owner: Key,
    pub lamports: u64,
    pub data: Bytes,
    /// Of the transaction; none at start-up.
    pub signature: Option<[u8; 64]>,
    pub write_version: u64,
    /// Slot the producer gave it: the bank's, or that of the last write for a base.
    pub slot: u64,
}

/// Why content can't be projected; goes to `pipeline.dead_letter`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("{0}")]
    Layout(#[from] mythic_interface::state::LoadError),
    #[error("account type {0} is unknown")]
    Unknown(u8),
    #[error("account is empty")]
    Empty,
    #[error("{field} = {value} is above the largest bigint")]
    TooLarge { field: &'static str, value: u64 },
    #[error("{field} = {value} is above {most}")]
    OutOfRange {
        field: &'static str,
        value: u64,
        most: u64,
    },
    #[error("{field} is not printable text")]
    Text { field: &'static str },
    #[error("{field} = {value} is not listed")]
    Listed { field: &'static str, value: u8 },
    #[error("refused by the database: {0}")]
    Database(String),
}

/// A row that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub pubkey: Key,
    pub ordinal: i32,
    pub reason: Reject,
}

/// What one bank changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BankChanges {
    /// The last row of each entity in the bank, and every row of histories.
    pub rows: Vec<Row>,
    /// In the order of the updates.
    pub adds: Vec<Add>,
    pub refused: Vec<Refused>,
    /// Accounts whose newest content in the bank is good.
    pub good: Vec<Key>,
}

impl BankChanges {
    /// Set of entities with rows, by [`Entity::bit`].
    pub fn entities(&self) -> u32 {
        self.rows.iter().fold(0, |set, row| set | row.entity.bit())
    }
}

/// Where rows of an account are written.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub slot: u64,
    pub ordinal: i32,
    pub exact: bool,
}

/// Projects a bank's updates, in their order. `slot` is the bank's. Updates whose ordinal is in `skip` are
/// refused unseen (the database would not take them).
pub fn project_bank(slot: u64, accounts: &[Account], skip: &HashMap<i32, String>) -> BankChanges {
    let mut changes = BankChanges::default();
    let mut places: HashMap<(Entity, Vec<u8>), usize> = HashMap::new();
    let mut adds: Vec<Option<Add>> = Vec::new();
    let mut last: HashMap<(Topic, Key), usize> = HashMap::new();
    let mut verdicts: HashMap<Key, bool> = HashMap::new();
    for (ordinal, account) in (0i32..).zip(accounts) {
        let at = At {
            slot,
            ordinal,
            exact: true,
        };
        let projected = match skip.get(&ordinal) {
            Some(reason) => Err(Reject::Database(reason.clone())),
            None => project(account, at),
        };
        verdicts.insert(account.pubkey, projected.is_ok());
        let projected = match projected {
            Ok(projected) => projected,
            Err(reason) => {
                changes.refused.push(Refused {
                    pubkey: account.pubkey,
                    ordinal,
                    reason,
                });
                continue;
            }
        };
        for row in projected.rows {
            let key = (row.entity, key_bytes(&row));
            match places.get(&key) {
                // The first update that shows a transition names its transaction; for the rest the last wins.
                Some(_) if row.entity == Entity::JobSignature => {}
                Some(place) => changes.rows[*place] = row,
                None => {
                    places.insert(key, changes.rows.len());
                    changes.rows.push(row);
                }
            }
        }
        for (last_only, add) in projected.adds {
            if last_only
                && let Some(earlier) = last.insert((add.topic, add.entity), adds.len())
                && let Some(place) = adds.get_mut(earlier)
            {
                *place = None;
            }
            adds.push(Some(add));
        }
    }
    changes.adds = adds.into_iter().flatten().collect();
    changes.good = verdicts
        .into_iter()
        .filter_map(|(key, good)| good.then_some(key))
        .collect();
    changes.good.sort_unstable();
    changes
}

/// The values of a row's primary key, as one string of bytes.
fn key_bytes(row: &Row) -> Vec<u8> {
    let mut out = row.pubkey.to_vec();
    for key in row.entity.keys() {
        match *key {
            "slot" => out.extend(row.slot.to_be_bytes()),
            "ordinal" => out.extend(row.ordinal.to_be_bytes()),
            column => {
                let place = row.entity.columns().iter().position(|c| *c == column);
                match place.and_then(|p| row.values.get(p)) {
                    Some(Value::I64(v)) => out.extend(v.to_be_bytes()),
                    Some(Value::I16(v)) => out.extend(v.to_be_bytes()),
                    _ => {}
                }
            }
        }
    }
    out
}

/// What one update says.
#[derive(Clone, Debug, Default)]
pub struct Projected {
    pub rows: Vec<Row>,
    /// `true`: only the last one of an account and topic in a bank is announced.
    pub adds: Vec<(bool, Add)>,
}

/// Projects one update.
pub fn project(account: &Account, at: At) -> Result<Projected, Reject> {
    let mut out = Projected::default();
    if account.lamports == 0 || account.owner != AI_PRECOMPILES_ID {
        out.row(
            Entity::Closure,
            account,
            at,
            0,
            vec![bytes(&account.pubkey)],
        );
        let payload = json!({"object": "closure", "id": base58(&account.pubkey), "slot": at.slot});
        out.adds.push((
            true,
            Add {
                topic: Topic::Network,
                entity: account.pubkey,
                payload,
            },
        ));
        return Ok(out);
    }
    let lamports = amount("lamports", account.lamports)?;
    match *account.data.first().ok_or(Reject::Empty)? {
        Job::DISCRIMINATOR => out.job(account, at, Job::load(&account.data)?, lamports)?,
        Validator::DISCRIMINATOR => {
            out.validator(account, at, Validator::load(&account.data)?, lamports)?
        }
        Model::DISCRIMINATOR => out.model(account, at, Model::load(&account.data)?, lamports)?,
        Vault::DISCRIMINATOR => out.vault(account, at, Vault::load(&account.data)?, lamports)?,
        SpendGrant::DISCRIMINATOR => {
            out.grant(account, at, SpendGrant::load(&account.data)?, lamports)?
        }
        Dispute::DISCRIMINATOR => {
            out.dispute(account, at, Dispute::load(&account.data)?, lamports)?
        }
        Treasury::DISCRIMINATOR => {
            out.treasury(account, at, Treasury::load(&account.data)?, lamports)?
        }
        Config::DISCRIMINATOR => out.config(account, at, Config::load(&account.data)?, lamports)?,
        Output::DISCRIMINATOR => out.output(account, at, Output::load(&account.data)?, lamports)?,
        other => return Err(Reject::Unknown(other)),
    }
    Ok(out)
}

impl Projected {
    fn row(
        &mut self,
        entity: Entity,
        account: &Account,
        at: At,
        write_seq: i64,
        values: Vec<Value>,
    ) {
        debug_assert_eq!(values.len(), entity.columns().len(), "{}", entity.table());
        let slot = at.slot.min(i64::MAX as u64) as i64;
        self.rows.push(Row {
            entity,
            pubkey: account.pubkey,
            slot,
            ordinal: at.ordinal,
            write_seq,
            exact: at.exact,
            values,
        });
    }

    fn job(&mut self, account: &Account, at: At, job: &Job, lamports: i64) -> Result<(), Reject> {
        let status = JobStatus::from_u8(job.header.status).ok_or(Reject::Listed {
            field: "status",
            value: job.header.status,
        })?;
        let end_reason = listed("end_reason", job.end_reason, EndReason::from_u8)?;
        let finish_reason = listed("finish_reason", job.finish_reason, FinishReason::from_u8)?;
        let terms = &job.terms;
        let write_seq = amount("seq", job.header.seq.get())?;
        let requested_slot = amount("requested_slot", job.requested_slot.get())?;
        let accepted_slot = slot_of("accepted_slot", job.accepted_slot.get())?;
        let cancel_slot = slot_of("cancel_slot", job.cancel_slot.get())?;
        let submitted_slot = slot_of("submitted_slot", job.submitted_slot.get())?;
        let disputed_slot = slot_of("disputed_slot", job.disputed_slot.get())?;
        let ended_slot = slot_of("ended_slot", job.ended_slot.get())?;
        let deadline_slot = amount("deadline_slot", job.deadline_slot.get())?;
        let window_end_slot = job
            .window_end()
            .map(|slot| amount("window_end_slot", slot))
            .transpose()?;
        let prompt_source = text("prompt_source", &terms.prompt_source)?;
        let ceiling = amount("ceiling", job.ceiling.get())?;
        // Results are known from the submission on, amounts from the end on.
        let submitted = submitted_slot.is_some();
        let output_tokens = submitted.then(|| i64::from(job.output_tokens.get()));
        let output_root = submitted.then_some(&job.output_root);
        let fingerprint = submitted.then_some(&job.fingerprint);
        let at_end = |field, value: u64| -> Result<Option<i64>, Reject> {
            let value = amount(field, value)?;
            Ok(ended_slot.map(|_| value))
        };
        let fee = at_end("fee", job.fee.get())?;
        let to_validator = at_end("validator_amount", job.validator_amount.get())?;
        let to_foundation = at_end("foundation_amount", job.foundation_amount.get())?;
        let burned = at_end("burned_amount", job.burned_amount.get())?;
        let refunded = at_end("refunded_amount", job.refunded_amount.get())?;
        let slashed = at_end("slashed_amount", job.slashed_amount.get())?;
        let stop_hash = some_key(&terms.stop_hash);
        self.row(
            Entity::Job,
            account,
            at,
            write_seq,
            vec![
                bytes(&account.pubkey),
                Value::I64(requested_slot),
                bytes(&terms.owner),
                bytes(&terms.requester),
                bytes(&terms.canceller),
                bytes(&terms.nonce),
                bytes(&terms.model),
                opt_bytes(some_key(&job.validator)),
                bytes(&job.rent_payer),
                opt_bytes(some_key(&job.grant)),
                Value::I16(status as i16),
                opt_i16(end_reason.map(|r| r as i16)),
                opt_i16(finish_reason.map(|r| r as i16)),
                bytes(&terms.prompt_hash),
                Value::I64(terms.prompt_tokens.get().into()),
                Value::I64(terms.max_output_tokens.get().into()),
                opt_i64(output_tokens),
                Value::I64(terms.price_in.get().into()),
                Value::I64(terms.price_out.get().into()),
                bytes(&terms.seed),
                Value::I32(terms.temperature_milli.get().into()),
                Value::I16(terms.sampling_profile.into()),
                opt_bytes(stop_hash),
                Value::Text(prompt_source.to_owned()),
                bytes(&job.terms_hash),
                Value::I64(deadline_slot),
                Value::I64(terms.rules.window_slots.get().into()),
                opt_i64(accepted_slot),
                opt_i64(cancel_slot),
                opt_i64(submitted_slot),
                opt_i64(disputed_slot),
                opt_i64(ended_slot),
                opt_i64(window_end_slot),
                Value::I32(job.open_disputes.get().into()),
                opt_bytes(output_root),
                opt_bytes(fingerprint),
                Value::I64(ceiling),
                opt_i64(fee),
                opt_i64(to_validator),
                opt_i64(to_foundation),
                opt_i64(burned),
                opt_i64(refunded),
                opt_i64(slashed),
                Value::I64(lamports),
            ],
        );
        let steps = [
            Some(requested_slot),
            accepted_slot,
            cancel_slot,
            submitted_slot,
            disputed_slot,
            ended_slot,
        ];
        if let Some(signature) = account.signature {
            for (step, slot) in (1i16..).zip(steps) {
                if slot == i64::try_from(at.slot).ok() && slot.is_some() {
                    let values = vec![
                        bytes(&account.pubkey),
                        Value::I64(requested_slot),
                        Value::I16(step),
                        bytes(&signature),
                    ];
                    self.row(Entity::JobSignature, account, at, write_seq, values);
                }
            }
        }
        let payload = json!({
            "object": "job",
            "id": base58(&account.pubkey),
            "status": status.as_str(),
            "end_reason": end_reason.map(EndReason::as_str),
            "finish_reason": finish_reason.map(FinishReason::as_str),
            "model": base58(&terms.model),
            "validator": some_key(&job.validator).map(base58),
            "owner": base58(&terms.owner),
            "requester": base58(&terms.requester),
            "canceller": some_key(&terms.canceller).map(base58),
            "prompt_hash": hex::encode(terms.prompt_hash),
            "prompt_source": prompt_source,
            "prompt_tokens": terms.prompt_tokens.get(),
            "output_tokens": output_tokens,
            "max_output_tokens": terms.max_output_tokens.get(),
            "price_in": terms.price_in.get(),
            "price_out": terms.price_out.get(),
            "seed": hex::encode(terms.seed),
            "temperature_milli": terms.temperature_milli.get(),
            "sampling_profile": terms.sampling_profile,
            "stop_hash": stop_hash.map(hex::encode),
            "terms_hash": hex::encode(job.terms_hash),
            "output_root": output_root.map(hex::encode),
            "fingerprint": fingerprint.map(hex::encode),
            "ceiling_lamports": ceiling,
            "fee_lamports": fee,
            "validator_lamports": to_validator,
            "foundation_lamports": to_foundation,
            "burned_lamports": burned,
            "refunded_lamports": refunded,
            "slashed_lamports": slashed,
            "requested_slot": requested_slot,
            "accepted_slot": accepted_slot,
            "cancel_slot": cancel_slot,
            "submitted_slot": submitted_slot,
            "disputed_slot": disputed_slot,
            "ended_slot": ended_slot,
            "deadline_slot": deadline_slot,
            "window_end_slot": window_end_slot,
            "open_disputes": job.open_disputes.get(),
            "write_seq": write_seq,
            "signature": account.signature.map(|s| bs58::encode(s).into_string()),
        });
        let here = i64::try_from(at.slot).ok();
        let entity = account.pubkey;
        if submitted_slot.is_some() && submitted_slot == here && status == JobStatus::Submitted {
            self.adds.push((
                true,
                Add {
                    topic: Topic::Results,
                    entity,
                    payload: payload.clone(),
                },
            ));
        }
        if ended_slot.is_some() && ended_slot == here && status.is_terminal() {
            self.adds.push((
                true,
                Add {
                    topic: Topic::Settlements,
                    entity,
                    payload: payload.clone(),
                },
            ));
        }
        self.adds.push((
            false,
            Add {
                topic: Topic::Jobs,
                entity,
                payload,
            },
        ));
        Ok(())
    }

    fn validator(
        &mut self,
        account: &Account,
        at: At,
        v: &Validator,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = ValidatorStatus::from_u8(v.header.status).ok_or(Reject::Listed {
            field: "status",
            value: v.header.status,
        })?;
        let write_seq = amount("seq", v.header.seq.get())?;
        let stake = amount("stake", v.stake.get())?;
        let activating = amount("activating", v.activating.get())?;
        let unbonding = amount("unbonding", v.unbonding.get())?;
        let gpu_name = text("gpu_name", &v.gpu_name)?;
        let endpoint = text("endpoint", &v.endpoint)?;
        let models: Vec<Json> = v
            .served()
            .iter()
            .map(|m| json!({"model": base58(&m.model), "since_slot": m.since_slot.get()}))
            .collect();
        let models = Json::from(models);
        let counters = [
            amount("jobs_settled", v.jobs_settled.get())?,
            amount("jobs_missed", v.jobs_missed.get())?,
            amount("jobs_declined", v.jobs_declined.get())?,
            amount("earned", v.earned.get())?,
            amount("slashed", v.slashed.get())?,
        ];
        let claimable = amount("claimable", v.claimable.get())?;
        let jailed_until = slot_of("jailed_until", v.jailed_until.get())?;
        let mut values = vec![
            bytes(&account.pubkey),
            bytes(&v.authority),
            bytes(&v.operator),
            bytes(&v.rent_payer),
            Value::I16(status as i16),
            Value::I64(stake),
            Value::I64(activating),
            opt_i64(slot_of("activating_slot", v.activating_slot.get())?),
            Value::I64(unbonding),
            opt_i64(slot_of("unbonding_slot", v.unbonding_slot.get())?),
            Value::I64(v.open_jobs.get().into()),
            Value::I64(v.open_disputes.get().into()),
            Value::I64(claimable),
            Value::I64(amount("owed_foundation", v.owed_foundation.get())?),
            Value::I64(amount("owed_burn", v.owed_burn.get())?),
            Value::Text(gpu_name.to_owned()),
            Value::I64(v.vram_mib.get().into()),
            Value::Text(endpoint.to_owned()),
            Value::Json(models.to_string()),
        ];
        values.extend(counters.map(Value::I64));
        values.extend([
            Value::I64(amount("registered_slot", v.registered_slot.get())?),
            opt_i64(jailed_until),
            Value::I64(lamports),
        ]);
        self.row(Entity::Validator, account, at, write_seq, values);
        let values = vec![
            bytes(&account.pubkey),
            bytes(&v.authority),
            Value::I64(stake),
            Value::I64(activating),
            Value::I64(unbonding),
        ];
        self.row(Entity::ValidatorStake, account, at, write_seq, values);
        let payload = json!({
            "object": "validator",
            "id": base58(&account.pubkey),
            "authority": base58(&v.authority),
            "operator": base58(&v.operator),
            "status": status.as_str(),
            "stake": stake,
            "activating": activating,
            "unbonding": unbonding,
            "open_jobs": v.open_jobs.get(),
            "claimable": claimable,
            "gpu_name": gpu_name,
            "vram_mib": v.vram_mib.get(),
            "endpoint": endpoint,
            "models": models,
            "jailed_until": jailed_until,
            "write_seq": write_seq,
        });
        self.adds.push((
            true,
            Add {
                topic: Topic::Validators,
                entity: account.pubkey,
                payload,
            },
        ));
        Ok(())
    }

    fn model(&mut self, account: &Account, at: At, m: &Model, lamports: i64) -> Result<(), Reject> {
        let status = ModelStatus::from_u8(m.header.status).ok_or(Reject::Listed {
            field: "status",
            value: m.header.status,
        })?;
        let write_seq = amount("seq", m.header.seq.get())?;
        let name = text("name", &m.name)?;
        let eos: Vec<u32> = m.spec.eos().iter().map(|id| id.get()).collect();
        let registered_slot = amount("registered_slot", m.registered_slot.get())?;
        let values = vec![
            bytes(&account.pubkey),
            bytes(&m.identity),
            Value::Text(name.to_owned()),
            bytes(&m.registrant),
            Value::I64(m.price_in.get().into()),
            Value::I64(m.price_out.get().into()),
            Value::Bool(status == ModelStatus::Retired),
            bytes(&m.spec.weights_hash),
            bytes(&m.spec.tokenizer_hash),
            bytes(&m.spec.chat_template_hash),
            Value::I32(m.spec.quantisation.get().into()),
            Value::I32(m.spec.kernel_profile.get().into()),
            Value::Json(Json::from(eos).to_string()),
            Value::I64(m.spec.context_length.get().into()),
            Value::I64(m.spec.max_job_tokens.get().into()),
            Value::I64(m.spec.error_ppm.get().into()),
            Value::I64(m.spec.miss_ppm.get().into()),
            Value::I64(m.spec.commit_slots.get().into()),
            Value::I64(m.spec.min_vram_mib.get().into()),
            Value::I64(registered_slot),
            opt_i64(slot_of("retired_slot", m.retired_slot.get())?),
            Value::I64(amount("fee_burned", m.fee_burned.get())?),
            Value::I64(lamports),
        ];
        self.row(Entity::Model, account, at, write_seq, values);
        let payload = json!({
            "object": "model",
            "id": base58(&account.pubkey),
            "identity": hex::encode(m.identity),
            "name": name,
            "price_in": m.price_in.get(),
            "price_out": m.price_out.get(),
            "retired": status == ModelStatus::Retired,
            "write_seq": write_seq,
        });
        self.adds.push((
            true,
            Add {
                topic: Topic::Network,
                entity: account.pubkey,
                payload,
            },
        ));
        Ok(())
    }

    fn vault(&mut self, account: &Account, at: At, v: &Vault, lamports: i64) -> Result<(), Reject> {
        let values = vec![
            bytes(&account.pubkey),
            bytes(&v.owner),
            bytes(&v.rent_payer),
            Value::I64(amount("balance", v.balance.get())?),
            Value::I64(amount("held", v.held.get())?),
            Value::I64(v.open_jobs.get().into()),
            Value::I64(amount("deposited", v.deposited.get())?),
            Value::I64(amount("withdrawn", v.withdrawn.get())?),
            Value::I64(amount("spent", v.spent.get())?),
            Value::I64(amount("created_slot", v.created_slot.get())?),
            Value::I64(lamports),
        ];
        self.row(
            Entity::Vault,
            account,
            at,
            amount("seq", v.header.seq.get())?,
            values,
        );
        Ok(())
    }

    fn grant(
        &mut self,
        account: &Account,
        at: At,
        g: &SpendGrant,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = GrantStatus::from_u8(g.header.status).ok_or(Reject::Listed {
            field: "status",
            value: g.header.status,
        })?;
        let models: Vec<String> = g.named_models().iter().map(base58).collect();
        let values = vec![
            bytes(&account.pubkey),
            bytes(&g.owner),
            bytes(&g.delegate),
            bytes(&g.rent_payer),
            Value::I64(amount("per_job_max", g.per_job_max.get())?),
            Value::I64(amount("window_max", g.window_max.get())?),
            Value::I64(g.window_slots.get().into()),
            Value::I64(amount("window_start", g.window_start.get())?),
            Value::I64(amount("window_spent", g.window_spent.get())?),
            Value::I64(amount("lifetime_cap", g.lifetime_cap.get())?),
            Value::I64(amount("lifetime_spent", g.lifetime_spent.get())?),
            Value::I64(amount("expiry_slot", g.expiry_slot.get())?),
            Value::Bool(status == GrantStatus::Revoked),
            opt_i64(slot_of("revoked_slot", g.revoked_slot.get())?),
            Value::I64(amount("created_slot", g.created_slot.get())?),
            Value::I64(g.open_jobs.get().into()),
            Value::Json(Json::from(models).to_string()),
            Value::I64(lamports),
        ];
        self.row(
            Entity::Grant,
            account,
            at,
            amount("seq", g.header.seq.get())?,
            values,
        );
        Ok(())
    }

    fn treasury(
        &mut self,
        account: &Account,
        at: At,
        t: &Treasury,
        lamports: i64,
    ) -> Result<(), Reject> {
        let values = vec![
            bytes(&account.pubkey),
            Value::I64(amount("balance", t.balance.get())?),
            Value::I64(amount("withdrawn", t.withdrawn.get())?),
            Value::I64(amount("received", t.received.get())?),
            Value::I64(lamports),
        ];
        self.row(
            Entity::Treasury,
            account,
            at,
            amount("seq", t.header.seq.get())?,
            values,
        );
        Ok(())
    }

    fn config(
        &mut self,
        account: &Account,
        at: At,
        c: &Config,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = ConfigStatus::from_u8(c.header.status).ok_or(Reject::Listed {
            field: "status",
            value: c.header.status,
        })?;
        let write_seq = amount("seq", c.header.seq.get())?;
        let (p, r) = (&c.params, &c.params.rules);
        let parameters = json!({
            "window_slots": r.window_slots.get(),
            "openings_slots": r.openings_slots.get(),
            "reveal_slots": r.reveal_slots.get(),
            "cancel_grace_slots": r.cancel_grace_slots.get(),
            "jail_slots": r.jail_slots.get(),
            "close_delay_slots": r.close_delay_slots.get(),
            "validator_bps": r.validator_bps.get(),
            "foundation_bps": r.foundation_bps.get(),
            "slash_bps": r.slash_bps.get(),
            "bond_bps": r.bond_bps.get(),
            "jury_seats": r.jury_seats.get(),
            "jury_stake": r.jury_stake.get(),
            "juror_tariff": r.juror_tariff.get(),
            "juror_penalty": r.juror_penalty.get(),
            "answering_fee": r.answering_fee.get(),
            "stake_per_job": r.stake_per_job.get(),
            "min_stake": r.min_stake.get(),
            "max_job_slots": p.max_job_slots.get(),
            "max_nonce_life_slots": p.max_nonce_life_slots.get(),
            "unbonding_slots": p.unbonding_slots.get(),
            "registration_fee": p.registration_fee.get(),
            "default_price_in": p.default_price_in.get(),
            "default_price_out": p.default_price_out.get(),
        });
        let values = vec![
            bytes(&account.pubkey),
            bytes(&c.admin),
            opt_bytes(some_key(&c.pending_admin)),
            bytes(&c.foundation),
            Value::Bool(status == ConfigStatus::Paused),
            Value::Json(parameters.to_string()),
            Value::I64(lamports),
        ];
        self.row(Entity::Config, account, at, write_seq, values);
        let payload = json!({
            "object": "config",
            "id": base58(&account.pubkey),
            "paused": status == ConfigStatus::Paused,
            "parameters": parameters,
            "write_seq": write_seq,
        });
        self.adds.push((
            true,
            Add {
                topic: Topic::Network,
                entity: account.pubkey,
                payload,
            },
        ));
        Ok(())
    }
}

/// Base58 text of a key.
pub fn base58(key: &Key) -> String {
    bs58::encode(key).into_string()
}

fn amount(field: &'static str, value: u64) -> Result<i64, Reject> {
    i64::try_from(value).map_err(|_| Reject::TooLarge { field, value })
}

/// A slot that may not have come: 0 = not yet.
fn slot_of(field: &'static str, value: u64) -> Result<Option<i64>, Reject> {
    Ok(Some(amount(field, value)?).filter(|slot| *slot != 0))
}

fn text<'a, const N: usize>(field: &'static str, text: &'a Text<N>) -> Result<&'a str, Reject> {
    if text.is_valid() {
        Ok(text.as_str())
    } else {
        Err(Reject::Text { field })
    }
}

/// A byte that names a case; 0 = none yet.
fn listed<T>(
    field: &'static str,
    value: u8,
    from: impl Fn(u8) -> Option<T>,
) -> Result<Option<T>, Reject> {
    match value {
        0 => Ok(None),
        value => from(value).map(Some).ok_or(Reject::Listed { field, value }),
    }
}

fn some_key(key: &Key) -> Option<&Key> {
    (*key != NO_KEY).then_some(key)
}

fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}

fn opt_bytes(value: Option<&[u8; 32]>) -> Value {
    value.map_or(Value::Null, |v| bytes(v))
}

fn opt_i64(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::I64)
}

fn opt_i16(value: Option<i16>) -> Value {
    value.map_or(Value::Null, Value::I16)
}
