//! What producers said that matters to what they say next: it is read back from the archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::{State, bank_id, hash, slot};
use crate::alarms::Kind;
use crate::db::Session;
use crate::error::IndexerError;
use crate::merge::{MEMORY, Merge, Remembered};
use crate::plan::kind;

/// The merge of these producers as it was when the newest input was applied.
pub async fn merge(
    session: &mut Session,
    state: &State,
    names: &[Arc<str>],
) -> Result<Merge, IndexerError> {
    let mut merge = Merge::new(names.iter().cloned());
    let mut runs: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        if let Some(reached) = state.positions.get(&**name) {
            runs.insert(&reached.applied.run, number);
        }
    }
    if runs.is_empty() {
        return Ok(merge);
    }
    // One that is alone is compared with nobody: what matters is which unrooted banks it holds.
    let back = if names.len() > 1 { MEMORY } else { 0 };
    let root = state.tree.root().map_or(0, |root| root.slot);
    let from = i64::try_from(root.saturating_sub(back)).unwrap_or(i64::MAX);
    let rows = session
        .query(
            "SELECT id, kind, run, slot, blockhash, whole, digest, filter_hash, detail FROM archive.event
             WHERE slot >= $1 AND kind = ANY($2) ORDER BY id",
            &[&from, &&HEARD[..]],
        )
        .await?;
    for row in &rows {
        if let Some(past) = past(row)? {
            merge.remember(runs.get(row.get::<_, &[u8]>("run")).copied(), past);
        }
    }
    // The end of a run comes after all its banks; of one that has none here nothing is expected.
    if let (Some(first), true) = (rows.first(), names.len() > 1) {
        let ended = session
            .query(
                "SELECT run FROM archive.event WHERE id > $1 AND kind = $2",
                &[&first.get::<_, i64>("id"), &kind::RUN_END],
            )
            .await?;
        for row in &ended {
            merge.remember(
                runs.get(row.get::<_, &[u8]>("run")).copied(),
                Remembered::RunEnd,
            );
        }
    }
    Ok(merge)
}

const HEARD: [i16; 5] = [
    kind::BANK,
    kind::RESET,
    kind::DEAD,
    kind::ROOTED,
    kind::REFUSED,
];

fn past(row: &Row) -> Result<Option<Remembered>, IndexerError> {
    let named = row.get::<_, Option<&[u8]>>("blockhash").is_some();
    Ok(match row.get("kind") {
        kind::BANK => {
            let content = row
                .get::<_, bool>("whole")
                .then(|| (row.get("filter_hash"), row.get("digest")));
            let (Some(filter), Some(digest)) = content.unwrap_or_default() else {
                return Ok(Some(Remembered::Bank(
                    bank_id(row, "slot", "blockhash")?,
                    None,
                )));
            };
            let id = bank_id(row, "slot", "blockhash")?;
            Some(Remembered::Bank(id, Some((filter, digest))))
        }
        kind::ROOTED if named => Some(Remembered::Rooted(
            slot(row, "slot"),
            hash(row, "blockhash")?,
        )),
        kind::RESET | kind::DEAD => Some(Remembered::GivenUp(slot(row, "slot"))),
        kind::REFUSED => {
            let said: Option<&str> = row.get("detail");
            let astray = said.is_some_and(|said| {
                let word = said.split_once(':').map(|(word, _)| word);
                word == Some(Kind::RootConflict.as_str())
            });
            astray.then_some(Remembered::Astray)
        }
        _ => None,
    })
}
