//! The projection's part of a transaction: slots, hot rows, overlays, final tables, a base, the heads.

use super::{Writer, in_set};
use crate::archive;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::plan::{GapChange, Plan};
use crate::sql;
use crate::state::bank_bytes;
use crate::tree::Line;

impl Writer {
    /// Returns the entities that have settled rows.
    pub(super) async fn project(&mut self, plan: &mut Plan) -> Result<u32, IndexerError> {
        let schema = self.schema.clone();
        let slots = format!(
            "{schema}.slot (bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status, \
             on_processed, on_confirmed, replaced, accounts, entities, whole, healed, calls)"
        );
        self.session
            .copy(&slots, std::mem::take(&mut plan.slots))
            .await?;
        self.mark(plan).await?;
        let settled = self.rows(plan).await?;
        for entity in in_set(plan.rooted_entities) {
            let rows = sql::rooted(&schema, entity, settled & entity.bit() != 0);
            self.session
                .execute(&sql::merge(&schema, entity, &rows), &[&plan.rooted])
                .await?;
        }
        if self.overlays {
            self.overlay(plan).await?;
        }
        self.gaps(plan).await?;
        Ok(settled)
    }

    /// Lays the overlays over an index that was written without them, and keeps them up from here on.
    pub async fn lay_overlays(&mut self) -> Result<(), IndexerError> {
        let state = self.state();
        let lines = [&state.processed, &state.confirmed].map(|line| line.banks.clone());
        self.session.batch("BEGIN").await?;
        self.heat().await?;
        for (chain, banks) in (1i16..).zip(lines) {
            for entity in Entity::ALL {
                let sql = sql::cover(&self.schema, *entity, false);
                self.session.execute(&sql, &[&chain, &banks]).await?;
            }
        }
        self.session.batch("COMMIT").await?;
        self.overlays = true;
        Ok(())
    }

    async fn overlay(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        self.uncover(plan).await?;
        for (chain, change) in (1i16..).zip(&plan.chains) {
            for entity in in_set(change.entities) {
                if change.switched {
                    let touched: Vec<i64> =
                        change.gone.iter().chain(&change.joined).copied().collect();
                    self.session
                        .execute(
                            &sql::cover(&schema, entity, true),
                            &[&chain, &change.now, &touched],
                        )
                        .await?;
                } else if !change.joined.is_empty() {
                    self.session
                        .execute(
                            &sql::cover(&schema, entity, false),
                            &[&chain, &change.joined],
                        )
                        .await?;
                }
            }
        }
        Ok(())
    }

    /// Takes the rows of banks that left a chain out of its overlay; what is rooted leaves both at once.
    async fn uncover(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let [processed, confirmed] = &plan.chains;
        let leave = match processed.gone == confirmed.gone {
            true => vec![(vec![1i16, 2], vec![processed, confirmed])],
            false => vec![(vec![1], vec![processed]), (vec![2], vec![confirmed])],
        };
        for (numbers, chains) in leave {
            let gone = &chains[0].gone;
            if gone.is_empty() {
                continue;
            }
            if let Some(left) = self.covered.left(plan, &chains) {
                for (entity, left) in left {
                    let sql = sql::uncover_some(&self.schema, entity);
                    self.session
                        .execute(&sql, &[&numbers, &left.banks, &left.pubkeys])
                        .await?;
                }
                continue;
            }
            let entities = chains.iter().fold(0, |set, chain| set | chain.entities);
            for entity in in_set(entities) {
                self.session
                    .execute(&sql::uncover(&self.schema, entity), &[&numbers, gone])
                    .await?;
            }
        }
        Ok(())
    }

    /// How banks stand now, and which of them are whole after all.
    async fn mark(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        if !plan.marks.is_empty() {
            let numbers: Vec<i64> = plan.marks.iter().map(|(n, _)| *n).collect();
            let status: Vec<i16> = plan.marks.iter().map(|(_, m)| m.status).collect();
            let on_processed: Vec<bool> = plan.marks.iter().map(|(_, m)| m.on_processed).collect();
            let on_confirmed: Vec<bool> = plan.marks.iter().map(|(_, m)| m.on_confirmed).collect();
            let replaced: Vec<bool> = plan.marks.iter().map(|(_, m)| m.replaced).collect();
            let sql = format!(
                "UPDATE {schema}.slot s SET status = u.status, on_processed = u.on_processed, on_confirmed = u.on_confirmed, replaced = u.replaced
                 FROM unnest($1::bigint[], $2::smallint[], $3::boolean[], $4::boolean[], $5::boolean[])
                      u(bank, status, on_processed, on_confirmed, replaced)
                 WHERE s.bank = u.bank"
            );
            self.session
                .execute(
                    &sql,
                    &[&numbers, &status, &on_processed, &on_confirmed, &replaced],
                )
                .await?;
        }
        for done in &plan.completed {
            let sql = format!(
                "UPDATE {schema}.slot SET whole = true, accounts = $2, entities = $3 WHERE bank = $1"
            );
            let entities = done.entities as i32;
            self.session
                .execute(&sql, &[&done.number, &done.accounts, &entities])
                .await?;
        }
        Ok(())
    }

    async fn gaps(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let schema = self.schema.clone();
        for (first, change) in &plan.gaps {
            match change {
                GapChange::Top(top) => {
                    let (slot, hash) = (top.slot as i64, top.hash.to_vec());
                    let sql = format!(
                        "UPDATE {schema}.slot SET last_slot = $2, parent_slot = $2, parent_blockhash = $3
                         WHERE status = 6 AND slot = $1"
                    );
                    self.session.execute(&sql, &[first, &slot, &hash]).await?;
                }
                GapChange::Closed => {
                    let sql = format!("DELETE FROM {schema}.slot WHERE status = 6 AND slot = $1");
                    self.session.execute(&sql, &[first]).await?;
                }
                GapChange::GivenUp => {
                    let sql = format!(
                        "UPDATE {schema}.slot SET parent_slot = NULL, parent_blockhash = NULL WHERE status = 6 AND slot = $1"
                    );
                    self.session.execute(&sql, &[first]).await?;
                }
            }
        }
        Ok(())
    }

    /// A base has spoken for banks that came after it: what it lacks is closed.
    pub(super) async fn late(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let (Some(healed), false) = (plan.state.healed, plan.late.is_empty()) else {
            return Ok(());
        };
        if !in_set(plan.late_entities).any(|entity| entity.is_account()) {
            return Ok(());
        }
        let rows = self
            .session
            .query(
                &sql::late_accounts(&self.schema),
                &[&plan.late, &healed.through],
            )
            .await?;
        let mut keys: Vec<Vec<u8>> = rows.iter().map(|row| row.get(0)).collect();
        let base = (healed.event, healed.base_slot);
        let files = self.files.as_deref();
        let there = archive::base_has(&mut self.session, files, base, &keys).await?;
        keys.retain(|key| !there.contains(&key[..]));
        if !keys.is_empty() {
            self.session
                .execute(
                    &sql::late_closures(&self.schema),
                    &[&healed.event, &healed.through, &keys],
                )
                .await?;
        }
        if plan.late_entities & Entity::Closure.bit() != 0 {
            self.session
                .execute(&sql::late_doubts(&self.schema), &[&plan.late])
                .await?;
        }
        Ok(())
    }

    /// Clears the hot rows of banks that are rooted, orphaned or given up.
    pub(super) async fn forget(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let ended: Vec<i64> = plan.rooted.iter().chain(&plan.orphaned).copied().collect();
        for entity in in_set(plan.ended_entities) {
            self.session
                .execute(&sql::forget(&self.schema, entity), &[&ended])
                .await?;
        }
        Ok(())
    }

    pub(super) async fn heads(&mut self, plan: &Plan) -> Result<(), IndexerError> {
        let schema = &self.schema;
        let tree = &plan.state.tree;
        let (processed_bank, processed_slot) = plan.processed_head();
        let confirmed_slot = tree.confirmed_slot().map(|s| s as i64);
        let finalized_slot = tree.root().map(|r| r.slot as i64);
        let root_hash = tree.root().and_then(|r| r.hash).map(|h| h.to_vec());
        let base = tree.base();
        let as_of = base.and_then(|b| b.as_of);
        let through = |chain: &Line| chain.inexact_through.map_or(-1, |slot| slot as i64);
        let healed = plan.state.healed;
        let mut sql = format!(
            "UPDATE {schema}.head SET processed_bank = $1, processed_slot = $2, confirmed_slot = $3, finalized_slot = $4,
             root_hash = $5, run_fresh = $6, base_event = $7, base_slot = $8, base_as_of_slot = $9, base_as_of_hash = $10,
             last_event = $11, processed_inexact_through = $12, confirmed_inexact_through = $13, doubt_through = $14,
             healed_through = $15, healed_event = $16, healed_base_slot = $17, pending_confirmed = $18"
        );
        if plan.exactness_changed {
            sql += &format!(
                ", inexact_through = COALESCE((SELECT max(last_slot) FROM {schema}.slot
                   WHERE NOT healed AND (status = 6 OR (status = 3 AND NOT whole))), -1)"
            );
        }
        self.session
            .execute(
                &sql,
                &[
                    &processed_bank,
                    &processed_slot,
                    &confirmed_slot,
                    &finalized_slot,
                    &root_hash,
                    &tree.run_fresh(),
                    &base.map(|b| b.number),
                    &base.map(|b| b.slot as i64),
                    &as_of.map(|b| b.slot as i64),
                    &as_of.map(|b| b.hash.to_vec()),
                    &(plan.state.next_event - 1),
                    &through(&plan.state.processed),
                    &through(&plan.state.confirmed),
                    &plan.state.doubt_through,
                    &healed.map(|h| h.through),
                    &healed.map(|h| h.event),
                    &healed.map(|h| h.base_slot),
                    &bank_bytes(tree.pending_confirmed()),
                ],
            )
            .await?;
        Ok(())
    }
}
