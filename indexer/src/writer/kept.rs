//! What is kept beside the tables of accounts: texts of keys, histories of prices and balances, jobs that forks undid.

use std::collections::HashSet;

use super::{Writer, in_set};
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::plan::Plan;
use crate::projection::base58;
use crate::sql;
use mythic_interface::state::Key;

/// Keys that a writer remembers to have written.
const REMEMBERED: usize = 1 << 20;

/// A table with a row for each rooted bank that wrote an account: the account's table, the history's, what it keeps.
const HISTORIES: [(Entity, &str, &[&str]); 7] = [
    (
        Entity::Model,
        "model_price",
        &["price_in", "price_out", "retired"],
    ),
    (
        Entity::Vault,
        "vault_balance",
        &["balance", "held", "deposited", "withdrawn", "spent"],
    ),
    (
        Entity::Treasury,
        "treasury_balance",
        &["balance", "withdrawn", "received"],
    ),
    (
        Entity::Validator,
        "validator_balance",
        &[
            "stake",
            "activating",
            "unbonding",
            "claimable",
            "owed_foundation",
            "owed_burn",
            "earned",
            "slashed",
        ],
    ),
    (
        Entity::Provider,
        "provider_balance",
        &[
            "stake_lamports",
            "activating_lamports",
            "unbonding_lamports",
            "claimable_lamports",
            "owed_foundation_lamports",
            "owed_burn_lamports",
            "earned_lamports",
            "withdrawn_lamports",
            "slashed_lamports",
            "unserved_lamports",
            "proved",
            "missed",
        ],
    ),
    (
        Entity::Lease,
        "lease_balance",
        &[
            "deposited_lamports",
            "compensated_lamports",
            "escrow_lamports",
            "pending_lamports",
            "tenant_due_lamports",
            "paid_lamports",
            "foundation_lamports",
            "burned_lamports",
            "refunded_lamports",
            "slashed_lamports",
        ],
    ),
    (
        Entity::MarketTreasury,
        "market_treasury_balance",
        &[
            "balance_lamports",
            "withdrawn_lamports",
            "received_lamports",
        ],
    ),
];

impl Writer {
    /// Writes the texts of keys that are new to this writer. The caller remembers them once they are committed.
    pub(super) async fn addresses(
        &mut self,
        keys: &HashSet<Key>,
    ) -> Result<Vec<Key>, IndexerError> {
        let fresh: Vec<Key> = keys.difference(&self.texts).copied().collect();
        if !fresh.is_empty() {
            let bytes: Vec<&[u8]> = fresh.iter().map(|key| &key[..]).collect();
            let texts: Vec<String> = fresh.iter().map(base58).collect();
            let sql = format!(
                "INSERT INTO {}.address (key, base58) SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING",
                self.schema
            );
            self.session.execute(&sql, &[&bytes, &texts]).await?;
        }
        Ok(fresh)
    }

    /// Remembers keys whose texts are committed.
    pub(super) fn remember(&mut self, keys: Vec<Key>) {
        if self.texts.len() + keys.len() > REMEMBERED {
            self.texts = HashSet::new();
        }
        self.texts.extend(keys);
    }

    /// Keeps what the banks that end now say, before their hot rows are forgotten. `settled`: the entities that have settled rows.
    pub(super) async fn history(&mut self, plan: &Plan, settled: u32) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        for (entity, table, columns) in HISTORIES {
            if plan.rooted_entities & entity.bit() != 0 {
                let columns = columns.join(", ");
                let sql = format!(
                    "INSERT INTO {schema}.{table} (bank, slot, ordinal, exact, pubkey, {columns})
                     SELECT bank, slot, ordinal, exact, pubkey, {columns} FROM {} ON CONFLICT DO NOTHING",
                    sql::rooted(&schema, entity, settled & entity.bit() != 0)
                );
                self.session.execute(&sql, &[&plan.rooted]).await?;
            }
        }
        if !plan.orphaned.is_empty() && in_set(plan.ended_entities).any(|e| e == Entity::Job) {
            let sql = format!(
                "INSERT INTO {schema}.job_undone (bank, slot, pubkey, requested_slot, status, write_seq, fee_lamports, validator)
                 SELECT h.bank, h.slot, h.pubkey, h.requested_slot, h.status, h.write_seq, h.fee_lamports, h.validator
                   FROM {schema}.job_hot h JOIN {schema}.slot s ON s.bank = h.bank AND s.status = 4
                  WHERE h.bank = ANY($1) ON CONFLICT DO NOTHING"
            );
            self.session.execute(&sql, &[&plan.orphaned]).await?;
        }
        Ok(())
    }

    /// Keeps what a base (hot rows of bank `number`) tells that is new.
    pub(super) async fn history_of_base(
        &mut self,
        number: i64,
        entities: u32,
    ) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        for (entity, table, columns) in HISTORIES {
            if entities & entity.bit() != 0 {
                let of = |row: &str| {
                    columns
                        .iter()
                        .map(|c| format!("{row}.{c}"))
                        .collect::<Vec<_>>()
                        .join(", ")
                };
                let sql = format!(
                    "INSERT INTO {schema}.{table} (bank, slot, ordinal, exact, pubkey, {})
                     SELECT h.bank, h.slot, h.ordinal, h.exact, h.pubkey, {new} FROM {schema}.{}_hot h
                      WHERE h.bank = $1 AND ({new}) IS DISTINCT FROM (
                            SELECT ({}) FROM {schema}.{table} k WHERE k.pubkey = h.pubkey AND k.slot <= h.slot
                             ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1)
                     ON CONFLICT DO NOTHING",
                    columns.join(", "),
                    entity.table(),
                    of("k"),
                    new = of("h")
                );
                self.session.execute(&sql, &[&number]).await?;
            }
        }
        Ok(())
    }
}
