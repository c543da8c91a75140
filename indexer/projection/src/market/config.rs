//! The market's parameters.

use mythic_interface::market::state::MarketConfig;
use mythic_interface::state::{ConfigStatus, Key};
use serde_json::{Value as Json, json};

use super::rules;
use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, base58, some_key, status};
use crate::{Account, At, Projected, Reject};

table! {
    /// The configuration.
    MarketConfig: MarketConfigRow = "market_config" ["pubkey"] {
        pubkey: Key,
        admin: Key,
        pending_admin: Option<Key>,
        foundation: Key,
        paused: bool,
        epoch_slots: i64,
        epoch_seconds: i64,
        parameters: Json,
        initialized_slot: i64,
        updated_slot: i64,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn market_config(
        &mut self,
        account: &Account,
        at: At,
        c: &MarketConfig,
        lamports: i64,
    ) -> Result<(), Reject> {
        let paused = status(c.header.status, ConfigStatus::from_u8)? == ConfigStatus::Paused;
        let write_seq = amount("seq", c.header.seq.get())?;
        let row = MarketConfigRow {
            pubkey: account.pubkey,
            admin: c.admin,
            pending_admin: some_key(&c.pending_admin),
            foundation: c.foundation,
            paused,
            epoch_slots: c.grid.epoch_slots.get().into(),
            epoch_seconds: c.grid.epoch_seconds.get().into(),
            parameters: parameters(c),
            initialized_slot: amount("initialized_slot", c.initialized_slot.get())?,
            updated_slot: amount("updated_slot", c.updated_slot.get())?,
            lamports,
        };
        self.announce(Topic::Network, account, at, || {
            json!({
                "object": "market_config",
                "id": base58(&row.pubkey),
                "paused": row.paused,
                "epoch_slots": row.epoch_slots,
                "epoch_seconds": row.epoch_seconds,
                "parameters": row.parameters,
                "write_seq": write_seq,
            })
        });
        self.row(account, at, write_seq, row);
        Ok(())
    }
}

fn parameters(c: &MarketConfig) -> Json {
    let mut all = rules(&c.params.rules);
    all["rules_hash"] = hex::encode(c.rules_hash).into();
    all["max_request_slots"] = c.params.max_request_slots.get().into();
    all["max_nonce_life_slots"] = c.params.max_nonce_life_slots.get().into();
    all["unbonding_slots"] = c.params.unbonding_slots.get().into();
    all
}
