//! Registered models.

use mythic_interface::state::{Key, Model, ModelStatus};
use serde_json::{Value as Json, json};

use super::{
    Account, At, Projected, Reject,
    fields::{amount, base58, slot_of, some_key, status, text},
};
use crate::entity::table;
use crate::feed::Topic;

table! {
    /// A model. Prices in lamports for 1,000 tokens.
    Model: ModelRow = "model" ["pubkey"] {
        pubkey: Key,
        identity: Key,
        name: String,
        registrant: Key,
        creator: Key,
        pending_registrant: Option<Key>,
        price_in: i64,
        price_out: i64,
        retired: bool,
        weights_hash: [u8; 32],
        tokenizer_hash: [u8; 32],
        template_hash: [u8; 32],
        quantisation: i32,
        kernel_profile: i32,
        eos_ids: Json,
        context_length: i64,
        max_job_tokens: i64,
        error_ppm: i64,
        miss_ppm: i64,
        commit_slots: i64,
        min_vram_mib: i64,
        registered_slot: i64,
        retired_slot: Option<i64>,
        burned_lamports: i64,
        lamports: i64,
    }
}

impl Projected {
    pub(super) fn model(
        &mut self,
        account: &Account,
        at: At,
        m: &Model,
        lamports: i64,
    ) -> Result<(), Reject> {
        let status = status(m.header.status, ModelStatus::from_u8)?;
        let write_seq = amount("seq", m.header.seq.get())?;
        let eos: Vec<u32> = m.spec.eos().iter().map(|id| id.get()).collect();
        let row = ModelRow {
            pubkey: account.pubkey,
            identity: m.identity,
            name: text("name", &m.name)?,
            registrant: m.registrant,
            creator: m.creator,
            pending_registrant: some_key(&m.pending_registrant),
            price_in: m.price_in.get().into(),
            price_out: m.price_out.get().into(),
            retired: status == ModelStatus::Retired,
            weights_hash: m.spec.weights_hash,
            tokenizer_hash: m.spec.tokenizer_hash,
            template_hash: m.spec.chat_template_hash,
            quantisation: m.spec.quantisation.get().into(),
            kernel_profile: m.spec.kernel_profile.get().into(),
            eos_ids: Json::from(eos),
            context_length: m.spec.context_length.get().into(),
            max_job_tokens: m.spec.max_job_tokens.get().into(),
            error_ppm: m.spec.error_ppm.get().into(),
            miss_ppm: m.spec.miss_ppm.get().into(),
            commit_slots: m.spec.commit_slots.get().into(),
            min_vram_mib: m.spec.min_vram_mib.get().into(),
            registered_slot: amount("registered_slot", m.registered_slot.get())?,
            retired_slot: slot_of("retired_slot", m.retired_slot.get())?,
            burned_lamports: amount("fee_burned", m.fee_burned.get())?,
            lamports,
        };
        self.announce(Topic::Network, account, at, || {
            json!({
                "object": "model",
                "id": base58(&row.pubkey),
                "identity": hex::encode(row.identity),
                "name": row.name,
                "price_in": row.price_in,
                "price_out": row.price_out,
                "retired": row.retired,
                "write_seq": write_seq,
            })
        });
        self.row(account, at, write_seq, row);
        Ok(())
    }
}
