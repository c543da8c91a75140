//! What a delegate may spend of an owner's vault.

use mythic_interface::state::{GrantStatus, Key, SpendGrant};
use serde_json::Value as Json;

use super::{
    Account, At, Projected, Reject,
    fields::{amount, base58, slot_of, status},
};
use crate::entity::table;

table! {
    /// A spend grant. Amounts in lamports.
    Grant: GrantRow = "spend_grant" ["pubkey"] {
        pubkey: Key,
        owner: Key,
        delegate: Key,
        rent_payer: Key,
        per_job_max: i64,
        window_max: i64,
        window_slots: i64,
        window_start: i64,
        window_spent: i64,
        lifetime_cap: i64,
        lifetime_spent: i64,
        expiry_slot: i64,
        revoked: bool,
        revoked_slot: Option<i64>,
        created_slot: i64,
        open_jobs: i64,
        models: Json,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn grant(
        &mut self,
        account: &Account,
        at: At,
        g: &SpendGrant,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = status(g.header.status, GrantStatus::from_u8)?;
        let models: Vec<String> = g.named_models().iter().map(base58).collect();
        let row = GrantRow {
            pubkey: account.pubkey,
            owner: g.owner,
            delegate: g.delegate,
            rent_payer: g.rent_payer,
            per_job_max: amount("per_job_max", g.per_job_max.get())?,
            window_max: amount("window_max", g.window_max.get())?,
            window_slots: g.window_slots.get().into(),
            window_start: amount("window_start", g.window_start.get())?,
            window_spent: amount("window_spent", g.window_spent.get())?,
            lifetime_cap: amount("lifetime_cap", g.lifetime_cap.get())?,
            lifetime_spent: amount("lifetime_spent", g.lifetime_spent.get())?,
            expiry_slot: amount("expiry_slot", g.expiry_slot.get())?,
            revoked: status == GrantStatus::Revoked,
            revoked_slot: slot_of("revoked_slot", g.revoked_slot.get())?,
            created_slot: amount("created_slot", g.created_slot.get())?,
            open_jobs: g.open_jobs.get().into(),
            models: Json::from(models),
            lamports,
        };
        self.row(account, at, amount("seq", g.header.seq.get())?, row);
        Ok(())
    }
}
