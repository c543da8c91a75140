//! Finds the account updates that only the database refuses.

use std::collections::BTreeSet;

use super::Writer;
use crate::entity::Entity;
use crate::error::IndexerError;
use crate::holder::Input;
use crate::projection::{Before, project_bank};
use crate::sql;
use mythic_postgres::CopyBuffer;

impl Writer {
    /// Finds which updates of a bank the database refuses, by halves, and remembers them for the next try.
    pub(super) async fn find_refused(
        &mut self,
        inputs: &[(i64, Input)],
        cause: &IndexerError,
    ) -> Result<(), IndexerError> {
        let Some((number, Input::Bank(bank))) = inputs.first() else {
            return Err(IndexerError::Broken(format!(
                "the database refuses an event without content: {cause}"
            )));
        };
        let known = self.refusals.get(number).cloned().unwrap_or_default();
        let all: Vec<i32> = (0..bank.accounts.len() as i32)
            .filter(|o| !known.contains_key(o))
            .collect();
        let mut found: Vec<(i32, String)> = Vec::new();
        let mut suspects = vec![all.clone()];
        while let Some(set) = suspects.pop() {
            let chosen: BTreeSet<i32> = set.iter().copied().collect();
            let mut skip = known.clone();
            skip.extend(
                all.iter()
                    .filter(|o| !chosen.contains(o))
                    .map(|o| (*o, String::new())),
            );
            let changes = project_bank(bank.id.slot, &bank.accounts, &skip, |_| Before::default());
            let mut rows: std::collections::BTreeMap<Entity, CopyBuffer> = Default::default();
            for row in &changes.rows {
                row.write(*number, rows.entry(row.entity).or_default());
            }
            self.session.batch("BEGIN").await?;
            let mut outcome = Ok(());
            for (entity, rows) in rows {
                outcome = self
                    .session
                    .copy(&sql::hot(&self.schema, entity), rows)
                    .await
                    .map(|_| ());
                if outcome.is_err() {
                    break;
                }
            }
            self.session.rollback().await;
            match outcome {
                Ok(()) => {}
                Err(e) if !e.is_data() => return Err(e),
                Err(e) => match set.as_slice() {
                    [one] => found.push((*one, e.to_string())),
                    _ => {
                        let (left, right) = set.split_at(set.len() / 2);
                        suspects.push(left.to_vec());
                        suspects.push(right.to_vec());
                    }
                },
            }
        }
        if found.is_empty() {
            return Err(IndexerError::Broken(format!(
                "the database refuses bank {number}, but no update of it alone: {cause}"
            )));
        }
        for (ordinal, reason) in found {
            tracing::error!(
                bank = number,
                slot = bank.id.slot,
                ordinal,
                "account update goes to dead letters: {reason}"
            );
            self.refusals
                .entry(*number)
                .or_default()
                .insert(ordinal, reason);
        }
        Ok(())
    }
}
