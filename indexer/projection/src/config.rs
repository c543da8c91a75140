//! The protocol's parameters.

use mythic_interface::state::{Config, ConfigStatus, Key};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, base58, some_key, status},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// The configuration.
    Config: ConfigRow = "config" ["pubkey"] {
        pubkey: Key,
        admin: Key,
        pending_admin: Option<Key>,
        foundation: Key,
        paused: bool,
        parameters: Json,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn config(
        &mut self,
        account: &Account,
        at: At,
        c: &Config,
        lamports: i64,
    ) -> Result<(), Reject> {
        let paused = status(c.header.status, ConfigStatus::from_u8)? == ConfigStatus::Paused;
        let write_seq = amount("seq", c.header.seq.get())?;
        let parameters = parameters(c);
        self.announce(Topic::Network, account, at, || {
            json!({
                "object": "config",
                "id": base58(&account.pubkey),
                "paused": paused,
                "parameters": parameters,
                "write_seq": write_seq,
            })
        });
        let row = ConfigRow {
            pubkey: account.pubkey,
            admin: c.admin,
            pending_admin: some_key(&c.pending_admin),
            foundation: c.foundation,
            paused,
            parameters,
            lamports,
        };
        self.row(account, at, write_seq, row);
        Ok(())
    }
}

fn parameters(c: &Config) -> Json {
    let (p, r) = (&c.params, &c.params.rules);
    json!({
        "window_slots": r.window_slots.get(),
        "openings_slots": r.openings_slots.get(),
        "reveal_slots": r.reveal_slots.get(),
        "cancel_grace_slots": r.cancel_grace_slots.get(),
        "prefill_tokens_per_slot": r.prefill_tokens_per_slot.get(),
        "jail_slots": r.jail_slots.get(),
        "close_delay_slots": r.close_delay_slots.get(),
        "maturity_slots": r.maturity_slots.get(),
        "validator_bps": r.validator_bps.get(),
        "foundation_bps": r.foundation_bps.get(),
        "slash_bps": r.slash_bps.get(),
        "bond_bps": r.bond_bps.get(),
        "jury_seats": r.jury_seats.get(),
        "exposure_bps": r.exposure_bps.get(),
        "jury_stake": r.jury_stake.get(),
        "juror_tariff": r.juror_tariff.get(),
        "juror_penalty": r.juror_penalty.get(),
        "answering_fee": r.answering_fee.get(),
        "stake_per_job": r.stake_per_job.get(),
        "min_stake": r.min_stake.get(),
        "no_show": r.no_show.get(),
        "rules_hash": hex::encode(c.rules_hash),
        "max_job_slots": p.max_job_slots.get(),
        "max_nonce_life_slots": p.max_nonce_life_slots.get(),
        "unbonding_slots": p.unbonding_slots.get(),
        "registration_fee": p.registration_fee.get(),
        "default_price_in": p.default_price_in.get(),
        "default_price_out": p.default_price_out.get(),
    })
}
