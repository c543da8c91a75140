//! Where the rows of banks go: into hot tables while they may still be undone, or straight to the final ones.

use std::collections::BTreeMap;

use super::Writer;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::plan::{BankRows, Plan};
use crate::sql;
use mythic_postgres::CopyBuffer;

/// Bytes of rows that a rebuild keeps until their banks are rooted; beyond it they go into hot tables.
const WAITING: usize = 512 << 20;

/// Rows of many banks, by table.
type Tables = BTreeMap<Entity, CopyBuffer>;

fn add(tables: &mut Tables, rows: BankRows) {
    for (entity, rows) in rows {
        tables.entry(entity).or_default().append(rows);
    }
}

impl Writer {
    /// Writes the rows of the batch's banks. Those of banks that are rooted in this transaction are never hot: they are in temporary
    /// tables until its end. Returns the entities that have such rows.
    pub(super) async fn rows(&mut self, plan: &mut Plan) -> Result<u32, IndexerError> {
        let (mut hot, mut settled) = (Tables::new(), Tables::new());
        let mut banks = std::mem::take(&mut self.waiting);
        for (number, rows) in std::mem::take(&mut plan.rows) {
            add(banks.entry(number).or_default(), rows);
        }
        // What is compared with a base, or filled in later, is looked for in hot tables.
        let plain = plan.base.is_none() && plan.late.is_empty() && plan.completed.is_empty();
        for (number, rows) in banks {
            if plain && plan.rooted.contains(&number) {
                add(&mut settled, rows);
            } else if plain && !self.overlays && !plan.orphaned.contains(&number) {
                self.waiting.insert(number, rows);
            } else {
                add(&mut hot, rows);
            }
        }
        let waiting = self.waiting.values().flat_map(BTreeMap::values);
        if waiting.map(CopyBuffer::len).sum::<usize>() > WAITING {
            self.heat().await?;
        }
        self.hot(hot).await?;
        let mut entities = 0;
        for (entity, rows) in settled {
            if !rows.is_empty() {
                let made = sql::make_settled(&self.schema, entity);
                self.session.batch(&made).await?;
                self.session.copy(&sql::settled(entity), rows).await?;
                entities |= entity.bit();
            }
        }
        Ok(entities)
    }

    async fn hot(&mut self, tables: Tables) -> Result<(), IndexerError> {
        for (entity, rows) in tables {
            self.session
                .copy(&sql::hot(&self.schema, entity), rows)
                .await?;
        }
        Ok(())
    }

    /// Writes the rows that wait into hot tables.
    pub(super) async fn heat(&mut self) -> Result<(), IndexerError> {
        let mut tables = Tables::new();
        for (_, rows) in std::mem::take(&mut self.waiting) {
            add(&mut tables, rows);
        }
        self.hot(tables).await
    }
}
