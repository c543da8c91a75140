//! Partitions of the archive, made before they are needed and outside the batch's transaction. Old ones go (see `archive`), and
//! one is made again for a block of theirs that comes late.

use std::collections::BTreeSet;

use super::Writer;
use crate::error::IndexerError;
use crate::plan::EPOCH_SLOTS;

impl Writer {
    /// Makes the partitions of these epochs, and of each one's next, as far as they are missing. A table is made apart and then
    /// attached, which waits for no reader and lets none wait.
    pub(super) async fn partitions(&mut self, epochs: &BTreeSet<i64>) -> Result<(), IndexerError> {
        let wanted: BTreeSet<i64> = epochs
            .iter()
            .flat_map(|epoch| [*epoch, epoch + 1])
            .collect();
        for epoch in wanted {
            if !self.epochs.contains(&epoch) {
                self.partition(epoch).await.map_err(|e| match e.is_gone() {
                    true => IndexerError::PartitionBusy(epoch),
                    false => e,
                })?;
                self.epochs.insert(epoch);
            }
        }
        Ok(())
    }

    async fn partition(&mut self, epoch: i64) -> Result<(), IndexerError> {
        let name = format!("archive.account_{epoch}");
        let found = self
            .session
            .query(
                "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass($1)",
                &[&name],
            )
            .await?;
        match found.first().map(|row| row.get::<_, bool>(0)) {
            Some(false) => return Ok(()),
            Some(true) => return Err(IndexerError::PartitionBusy(epoch)),
            None => {}
        }
        let from = epoch.saturating_mul(EPOCH_SLOTS);
        let to = from.saturating_add(EPOCH_SLOTS);
        // The check tells what the attachment would look for in all rows.
        self.session
            .batch(&format!(
                "CREATE TABLE IF NOT EXISTS {name} (LIKE archive.account INCLUDING STORAGE,
                     CONSTRAINT slots_of_epoch CHECK (slot >= {from} AND slot < {to}));
                 ALTER TABLE archive.account ATTACH PARTITION {name} FOR VALUES FROM ({from}) TO ({to});
                 ALTER TABLE {name} DROP CONSTRAINT slots_of_epoch"
            ))
            .await
    }
}
