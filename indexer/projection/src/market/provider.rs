//! Registered providers.

use mythic_interface::market::state::{Isolation, Provider, ProviderStatus};
use mythic_interface::state::Key;
use serde_json::{Value as Json, json};

use super::{isolation, sum_of};
use crate::entity::table;
use crate::feed::Topic;
use crate::fields::{amount, base58, signature_text, slot_of, status, text};
use crate::{Account, At, Projected, Reject};

table! {
    /// A provider. Amounts in lamports, the price for a second of a unit.
    Provider: ProviderRow = "provider" ["pubkey"] {
        pubkey: Key,
        authority: Key,
        operator: Key,
        rent_payer: Key,
        class: Key,
        status: i16,
        stake_per_unit_lamports: i64,
        stake_lamports: i64,
        activating_lamports: i64,
        activation_slot: Option<i64>,
        unbonding_lamports: i64,
        unbonding_slot: Option<i64>,
        obliged_until_slot: Option<i64>,
        claimable_lamports: i64,
        owed_foundation_lamports: i64,
        owed_burn_lamports: i64,
        units: i32,
        leased: i32,
        backed: i32,
        price_lamports: i64,
        region: String,
        isolation: i16,
        endpoint: String,
        open_leases: i64,
        open_disputes: i64,
        leases: i64,
        proved: i64,
        missed: i64,
        refuted: i64,
        unserved_lamports: i64,
        staked_lamports: i64,
        withdrawn_stake_lamports: i64,
        earned_lamports: i64,
        withdrawn_lamports: i64,
        slashed_lamports: i64,
        registered_slot: i64,
        updated_slot: i64,
        jailed_until: Option<i64>,
        lamports: i64,
    }
}

/// The bytes that name something.
struct Words {
    status: ProviderStatus,
    isolation: Isolation,
}

impl Projected {
    pub(super) fn provider(
        &mut self,
        account: &Account,
        at: At,
        p: &Provider,
        lamports: i64,
    ) -> Result<(), Reject> {
        let words = Words {
            status: status(p.header.status, ProviderStatus::from_u8)?,
            isolation: isolation(p.isolation)?,
        };
        let write_seq = amount("seq", p.header.seq.get())?;
        let row = row(account.pubkey, p, &words, lamports)?;
        check(p)?;
        self.announce(Topic::Leases, account, at, || {
            payload(&row, &words, write_seq, account.signature)
        });
        self.row(account, at, write_seq, row);
        Ok(())
    }
}

fn row(pubkey: Key, p: &Provider, words: &Words, lamports: i64) -> Result<ProviderRow, Reject> {
    Ok(ProviderRow {
        pubkey,
        authority: p.authority,
        operator: p.operator,
        rent_payer: p.rent_payer,
        class: p.class,
        status: words.status as i16,
        stake_per_unit_lamports: amount("stake_per_unit", p.stake_per_unit.get())?,
        stake_lamports: amount("stake", p.stake.get())?,
        activating_lamports: amount("activating", p.activating.get())?,
        activation_slot: slot_of("activating_slot", p.activating_slot.get())?,
        unbonding_lamports: amount("unbonding", p.unbonding.get())?,
        unbonding_slot: slot_of("unbonding_slot", p.unbonding_slot.get())?,
        obliged_until_slot: slot_of("obliged_until", p.obliged_until.get())?,
        claimable_lamports: amount("claimable", p.claimable.get())?,
        owed_foundation_lamports: amount("owed_foundation", p.owed_foundation.get())?,
        owed_burn_lamports: amount("owed_burn", p.owed_burn.get())?,
        units: p.units.get().into(),
        leased: p.leased.get().into(),
        backed: p.backed.get().into(),
        price_lamports: amount("price", p.price.get())?,
        region: text("region", &p.region)?,
        isolation: words.isolation as i16,
        endpoint: text("endpoint", &p.endpoint)?,
        open_leases: p.open_leases.get().into(),
        open_disputes: p.open_disputes.get().into(),
        leases: amount("leases", p.leases.get())?,
        proved: amount("proved", p.proved.get())?,
        missed: amount("missed", p.missed.get())?,
        refuted: amount("refuted", p.refuted.get())?,
        unserved_lamports: amount("unserved", p.unserved.get())?,
        staked_lamports: amount("staked", p.staked.get())?,
        withdrawn_stake_lamports: amount("withdrawn_stake", p.withdrawn_stake.get())?,
        earned_lamports: amount("earned", p.earned.get())?,
        withdrawn_lamports: amount("withdrawn", p.withdrawn.get())?,
        slashed_lamports: amount("slashed", p.slashed.get())?,
        registered_slot: amount("registered_slot", p.registered_slot.get())?,
        updated_slot: amount("updated_slot", p.updated_slot.get())?,
        jailed_until: slot_of("jailed_until", p.jailed_until.get())?,
        lamports,
    })
}

/// What is added up to be compared with the chain must fit as well.
fn check(p: &Provider) -> Result<(), Reject> {
    let stake = [p.stake.get(), p.activating.get(), p.unbonding.get()];
    let gone = [p.slashed.get(), p.withdrawn_stake.get()];
    let earned = [p.claimable.get(), p.withdrawn.get()];
    let owed = [p.owed_foundation.get(), p.owed_burn.get()];
    sum_of("staked", &[stake.as_slice(), &gone].concat())?;
    sum_of("earned", &earned)?;
    sum_of("owed", &[stake.as_slice(), &owed, &earned].concat())?;
    Ok(())
}

/// What the feed tells of a provider.
fn payload(row: &ProviderRow, words: &Words, write_seq: i64, signature: Option<[u8; 64]>) -> Json {
    json!({
        "object": "provider",
        "id": base58(&row.pubkey),
        "status": words.status.as_str(),
        "authority": base58(&row.authority),
        "operator": base58(&row.operator),
        "class": base58(&row.class),
        "units": row.units,
        "leased_units": row.leased,
        "backed_units": row.backed,
        "price_lamports": row.price_lamports,
        "region": row.region,
        "isolation": words.isolation.as_str(),
        "endpoint": row.endpoint,
        "stake_lamports": row.stake_lamports,
        "claimable_lamports": row.claimable_lamports,
        "open_leases": row.open_leases,
        "epochs_proved": row.proved,
        "epochs_missed": row.missed,
        "proofs_refuted": row.refuted,
        "jailed_until_slot": row.jailed_until,
        "write_seq": write_seq,
        "signature": signature_text(signature),
    })
}
